//! HTTP/1: heads, bodies and message framing.
//!
//! A caller keeps one growing buffer per connection and drives a parser over it:
//!
//! ```
//! use weir_wire::h1::{Limits, RequestParser};
//! let mut parser = RequestParser::new();
//! let mut buf = b"GET /a HTTP/1.1\r\nHost: a.te".to_vec();
//! assert_eq!(parser.advance(&buf, &Limits::default()), Ok(None));
//! buf.extend_from_slice(b"st\r\n\r\nrest");
//! assert_eq!(parser.advance(&buf, &Limits::default()), Ok(Some(buf.len() - 4)));
//! assert_eq!(parser.head().host, b"a.test");
//! parser.reset();
//! ```

mod chunked;
#[cfg(test)]
mod faults;
mod field;
pub mod fuzz;
mod lines;
mod request;
mod request_line;
mod response;

pub use crate::request::{
    Connection, Framing, Limits, Method, RequestError, RequestFault, RequestHead, Version,
    parse_length, request_framing,
};
pub use chunked::{ChunkError, ChunkHead, Chunked, Joined, LAST_CHUNK, chunk_head};
pub use request::RequestParser;
pub use response::{ResponseError, ResponseFault, ResponseHead, ResponseParser, StatusLine};
