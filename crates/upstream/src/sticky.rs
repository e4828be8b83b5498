//! `sticky`: requests of one client session stay with one peer.
//!
//! http reads cookies and variables; this module has the cookie's text and the sessions of `learn`.

mod cookie;
mod sessions;
mod shared;

pub(crate) use cookie::is_samesite;
pub use cookie::{Cookie, CookieMoment, Expires};
pub(crate) use sessions::SessionKey;
pub use sessions::{Sessions, SessionsConfig};
pub(crate) use shared::{fuzz, read_key};
