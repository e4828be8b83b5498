//! Checks by gRPC's health checking protocol (`type=grpc`).

use weir_wire::grpc_health;
use weir_wire::header::Headers;

use crate::request::Request;

/// What a server is asked, and the answer that is expected.
#[derive(Clone, Debug, Default)]
pub(super) struct GrpcCheck {
    /// `grpc_service=`; the whole server if it is empty.
    pub(super) service: Vec<u8>,
    /// `grpc_status=`: the status of servers that do not know the protocol. 0: they have to say
    /// that they work.
    pub(super) status: u32,
}

/// The number of bytes of a response that are looked at: its message has a few.
pub(super) const MOST: usize = 1024;

pub(super) const DOING: &str = "checking the response of gRPC";

impl GrpcCheck {
    /// The message that is sent.
    pub(super) fn message(&self) -> Vec<u8> {
        grpc_health::request(&self.service)
    }

    /// Why the server does not pass.
    pub(super) fn fault(&self, request: &Request, status: u16, body: &[u8]) -> Option<String> {
        if status != 200 {
            return Some(format!("status code {status}"));
        }
        let of = |headers: &Headers| {
            let value = headers.get_name(b"grpc-status")?;
            std::str::from_utf8(value).ok()?.parse::<u32>().ok()
        };
        let found = of(&request.attempts.trailers).or_else(|| of(&request.attempts.headers));
        match found {
            None => Some("no grpc-status".into()),
            Some(found) if found != self.status => Some(format!("grpc-status {found}")),
            Some(0) if grpc_health::is_serving(body) != Some(true) => {
                Some("the service is not serving".into())
            }
            Some(_) => None,
        }
    }
}
