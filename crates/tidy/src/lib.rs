//! Rules about the code, as tests: who may depend on whom, where `unsafe` may stand, how large
//! files and cycles of files may become. What `ARCHITECTURE.md` says and can be checked is checked.
//!
//! A rule is a function from a parsed [`source::Source`] to its faults, and beside each rule a test
//! gives it code that it must not let pass.

#![forbid(unsafe_code)]
#![cfg(test)]

mod cycles;
mod layers;
mod sizes;
mod source;
mod tree;
mod walls;
