//! `sticky`: requests of one client session stay with one peer.
//!
//! http reads cookies and variables; this module has the cookie's text and the sessions of `learn`.

mod cookie;
mod sessions;

pub(crate) use cookie::is_samesite;
pub use cookie::{Cookie, CookieMoment, Expires};
pub use sessions::{Sessions, SessionsConfig};
