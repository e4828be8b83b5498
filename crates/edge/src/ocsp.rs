//! The status of certificates, asked of OCSP responders (RFC 6960): that of the server's own, which
//! is stapled to them, and that of clients' certificates.
//! <https://nginx.org/en/docs/http/ngx_http_ssl_module.html#ssl_ocsp>
//!
//! ```text
//!   stapling (a duty)  ─┐                 ┌─▶ responder ─▶ the name server, the connection
//!                       ├─▶ question, fetch                 │
//!   clients (requests) ─┘     ▲           judge ◀── response
//!                             └─ cache (clients only)
//! ```

use std::time::Duration;

use weir_engine::error_log::Level;
use weir_upstream::Resolver;

pub mod cache;
pub mod clients;
mod fetch;
mod responder;
pub mod stapling;

pub use responder::OcspResponder;

/// A resolver, and the time that it has.
pub type Resolving = (Resolver, Duration);

/// A log for messages of one purpose.
pub type Log<'a> = &'a dyn Fn(Level, &str);
