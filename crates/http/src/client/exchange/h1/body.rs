//! A request's body on a connection: a known number of bytes, or chunks.

use std::io;
use std::task::{Context, Poll, ready};

use weir_engine::buffer::{Buf, drop_front, split_front};
use weir_wire::h1::{Framing, Joined};
use weir_wire::header::Headers;

use super::Link;
use crate::body::{Body, BodyError, BodyStep, Rest};
use crate::client::READ_SIZE;

/// The maximum length of a read for a body of known length, in bytes.
const LARGEST_READ: u64 = 64 * 1024;

impl Link {
    /// Begins the body that the head has announced.
    pub(super) fn begin_body(&mut self, body: &mut Body, framing: Framing) {
        match framing {
            Framing::None | Framing::UntilClose => {}
            Framing::Length(length) => body.announce_length(length),
            Framing::Chunked => {
                body.announce_unknown();
                self.chunks = Some(Box::default());
            }
        }
    }

    pub(in crate::client) fn take_body(
        &mut self,
        body: &mut Body,
    ) -> Result<Option<BodyStep>, BodyError> {
        match body.rest() {
            Rest::None => Ok(Some(BodyStep::End)),
            Rest::Length(_) if self.input.is_empty() => Ok(None),
            Rest::Length(left) => {
                let count = (self.input.len() as u64).min(left);
                let data = split_front(&mut self.input, count as usize);
                body.take_in(count, count);
                Ok(Some(BodyStep::Data(data)))
            }
            Rest::Unknown => self.take_chunks(body),
        }
    }

    fn take_chunks(&mut self, body: &mut Body) -> Result<Option<BodyStep>, BodyError> {
        let decoder = self.chunks.get_or_insert_default();
        let joined = decoder.join(&mut self.input).map_err(|_| BodyError::Malformed)?;
        let Joined { data: place, used, ended } = joined;
        let mut data = split_front(&mut self.input, used);
        data.truncate(place.end);
        drop_front(&mut data, place.start);
        // A chunk that is too large is refused when it is announced.
        body.admit((data.len() as u64).saturating_add(decoder.chunk_left()))?;
        body.take_in(data.len() as u64, used as u64);
        if ended {
            if decoder.has_framing_trailer() {
                return Err(BodyError::Malformed);
            }
            let mut trailers = Headers::new();
            decoder.trailers(&mut trailers).map_err(|_| BodyError::Malformed)?;
            body.ends(trailers);
        }
        match (data.is_empty(), ended) {
            (false, _) => Ok(Some(BodyStep::Data(data))),
            (true, true) => Ok(Some(BodyStep::End)),
            (true, false) => Ok(None),
        }
    }

    pub(in crate::client) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        body: &Body,
    ) -> Poll<io::Result<usize>> {
        // With a known length, the next request stays in the socket. Asking for one byte more shows
        // that the socket is empty, which saves another look.
        let want = match body.rest() {
            Rest::Length(left) => left.saturating_add(1).min(LARGEST_READ) as usize,
            _ => READ_SIZE,
        };
        self.conn.poll_fill(cx, &mut self.input, want)
    }

    pub(in crate::client) fn receives_into(&self, body: &Body) -> bool {
        matches!(body.rest(), Rest::Length(_)) && self.input.is_empty()
    }

    pub(in crate::client) fn poll_recv_into(
        &mut self,
        cx: &mut Context<'_>,
        body: &Body,
        into: &mut Buf,
    ) -> Poll<io::Result<usize>> {
        let Rest::Length(left) = body.rest() else { return Poll::Ready(Ok(0)) };
        let want = left.saturating_add(1).min(into.room() as u64) as usize;
        let count = ready!(self.conn.poll_recv(cx, into, want))?;
        if count as u64 <= left {
            return Poll::Ready(Ok(count));
        }
        let last = into.len() - 1;
        let next = into.split_off(last);
        self.input.extend_from_slice(&next);
        Poll::Ready(Ok(count - 1))
    }
}
