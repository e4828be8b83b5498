//! The end-to-end tests; see main.rs.
