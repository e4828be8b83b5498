//! `…_cache_rfc9111`: responses are kept and used as RFC 9111 asks of a shared cache, in place of
//! nginx's rules.
//!
//! ```text
//!   request's Cache-Control ──▶ reuse: is the stored response good enough for this request?
//!   response's Cache-Control,
//!   Expires, Age, Date, … ────▶ lifetime: is it kept, and until when?
//!                          └──▶ stored: the fields that are kept, and those that a 304 changes
//!   POST, PUT, DELETE, … ─────▶ invalidation: what is kept of their targets is removed
//! ```
//!
//! All but the last decide by texts and numbers: times are seconds since 1970, and come from the
//! caller.

mod control;
pub(crate) mod demands;
mod dictionary;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(super) mod invalidation;
pub(super) mod lifetime;
pub(super) mod reuse;
pub(super) mod shown;
pub(super) mod stored;
mod understood;

#[cfg(test)]
mod tests;
