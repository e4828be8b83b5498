//! What the end-to-end tests share with `cargo xtask`. The tests are in the target `main.rs`.
#![forbid(unsafe_code)]

pub mod slow_disk;
pub mod tonic;
