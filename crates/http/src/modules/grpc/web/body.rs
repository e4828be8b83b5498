//! The body of a response in gRPC on its way to a client of gRPC-Web.

use std::io;

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_wire::grpc_web::{self as wire, Encoder, Fault, Step};

use super::{CALL, MESSAGE, STATUS};
use crate::filter::BodyFilter;
use crate::piece::Piece;
use crate::request::Request;

/// The translation of one body.
pub(super) struct Body {
    encoder: Encoder,
    /// Whether the body becomes base64.
    text: bool,
    /// Whether the head has a grpc-status.
    has_status: bool,
    /// Whether the body has broken off between two messages.
    is_broken: bool,
}

impl Body {
    pub(super) fn new(text: bool, has_status: bool) -> Self {
        Self { encoder: Encoder::new(text), text, has_status, is_broken: false }
    }

    /// A buffer for the text of `length` bytes.
    fn room(&self, length: usize) -> Buf {
        if self.text { buffer::take(length / 3 * 4 + 8) } else { Buf::default() }
    }

    /// The status in place of one that the upstream has not sent.
    fn own_status(&self, request: &Request) -> (u8, String) {
        let fault = request.state_if(&CALL).and_then(|call| call.fault.get());
        match (self.is_broken, fault) {
            (true, Some(fault)) => (wire::INTERNAL, format!("client sent {fault}")),
            (true, None) => (wire::UNAVAILABLE, "upstream broke off the response".to_owned()),
            (false, _) => (wire::UNKNOWN, "upstream sent no grpc-status".to_owned()),
        }
    }
}

/// Logs a fault of the upstream.
fn failed(request: &Request, fault: Fault) -> io::Error {
    let message = format!("upstream sent {} while reading upstream", fault.text());
    request.log_upstream(Level::Error, &message);
    io::Error::new(io::ErrorKind::InvalidData, fault.text())
}

impl BodyFilter for Body {
    fn push(
        &mut self,
        request: &mut Request,
        input: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        let mut rest = Some(input);
        while let Some(piece) = rest {
            let (memory, more) = piece.load()?;
            let bytes = memory.bytes().unwrap_or_default();
            let mut text = self.room(bytes.len());
            match self.encoder.push(bytes, &mut text).map_err(|fault| failed(request, fault))? {
                Step::Unchanged => out.push(memory),
                Step::Appended if text.is_empty() => {}
                Step::Appended => out.push(text.into()),
            }
            rest = more;
        }
        Ok(())
    }

    fn finish(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        let trailers = std::mem::take(&mut request.response.trailers);
        let own = match self.has_status || trailers.get_name(STATUS).is_some() {
            true => None,
            false => Some(self.own_status(request)),
        };
        let own = own.map(|(status, message)| (status.to_string(), message));
        let own = own.iter().flat_map(|(status, message)| {
            [(STATUS, status.as_bytes()), (MESSAGE, message.as_bytes())]
        });
        let fields = trailers.iter().map(|(name, value, _)| (name, value));
        let mut frame = Buf::default();
        let ended = self.encoder.end(own.chain(fields), &mut frame);
        ended.map_err(|fault| failed(request, fault))?;
        out.push(frame.into());
        Ok(())
    }

    fn ends_broken(&mut self) -> bool {
        self.is_broken = !self.encoder.is_within_message();
        self.is_broken
    }
}
