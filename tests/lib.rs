//! The end-to-end tests are in the test target `main.rs`; the library is empty.
