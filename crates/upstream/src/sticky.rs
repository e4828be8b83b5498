//! `sticky`: requests of one client session stay with one peer.
//!
//! Cookies and variables are http's; here are the cookie's text and the sessions that `learn`
//! remembers.

mod cookie;
mod sessions;

pub use cookie::{Cookie, CookieMoment, Expires, is_samesite};
pub use sessions::{Sessions, SessionsConfig};
