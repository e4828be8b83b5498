//! Rules about the code, as tests: dependencies, `unsafe`, the sizes of files and of cycles,
//! leftovers of merges, pages of documentation. They check the rules of `ARCHITECTURE.md` as far
//! as possible.
//!
//! A rule is a function from a parsed [`source::Source`] to its faults; a test beside each rule
//! gives it code that it must reject.

#![forbid(unsafe_code)]
#![cfg(test)]

mod conflicts;
mod cycles;
mod dependencies;
mod errors;
mod layers;
mod pages;
mod sizes;
mod source;
mod tree;
mod walls;
