//! The end-to-end tests live in the test target beside this file, `main.rs`; the library is empty.
