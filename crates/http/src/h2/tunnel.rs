//! A stream as one side of a tunnel (RFC 9113 section 8.5, RFC 8441). Each direction ends by
//! itself.

use std::io;
use std::task::{Context, Poll, ready};

use weir_engine::buffer::Buf;

use super::Stream;
use crate::duplex::Duplex;

impl Duplex for Stream {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Buf,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_data(cx, into, max).map_err(Into::into)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(cx))?;
        let count = room.min(bytes.len());
        self.send_data(&bytes[..count], false);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self, cx).map_err(Into::into)
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_data(&[], true);
        Poll::Ready(Ok(()))
    }
}
