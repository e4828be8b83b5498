//! What the end-to-end tests share with the measurements of `cargo xtask bench`. The tests are in
//! the target `main.rs`.
#![forbid(unsafe_code)]

pub mod slow_disk;
