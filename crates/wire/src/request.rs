//! Request heads of any protocol: from text ([`crate::h1::RequestParser`]) or from fields
//! ([`RequestFields`]), by the same builder, with the same limits and checks.

mod builder;
mod error;
mod fields;
mod framing;
mod head;
mod limits;
mod method;

pub(crate) use builder::Builder;
pub use error::{Pseudo, PseudoFault, RequestError, RequestFault};
pub use fields::RequestFields;
pub use framing::{Framing, parse_length, request_framing};
pub use head::{Connection, RequestHead};
pub(crate) use limits::BLANK_MAX;
pub use limits::Limits;
pub use method::{Method, Version};
