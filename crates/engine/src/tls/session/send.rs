//! Sending: plaintext in, records out.

use std::io::{self, IoSlice, Write};
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;

use super::Session;
use crate::buffer::{self, Buf, STRETCH};
use crate::kernel;
use crate::socket::Socket;
use crate::tls::records::{self, OUTBOUND_LIMIT};

/// A key is replaced after this many records: half of the limit for AES-GCM (RFC 8446 section 5.5).
const RECORDS_PER_KEY: u64 = 1 << 23;

/// The maximum number of slices per write to rustls: the limit of pending data plus the ends of
/// some buffers.
pub(super) const PARTS: usize = OUTBOUND_LIMIT / STRETCH + 8;

/// Cuts `bufs` into slices of at most [`STRETCH`] bytes, up to [`PARTS`]: rustls copies them.
pub(super) fn cut<'a, 'b>(
    bufs: &'a [IoSlice<'_>],
    parts: &'b mut [IoSlice<'a>; PARTS],
) -> &'b [IoSlice<'a>] {
    let mut count = 0;
    let stretches = bufs.iter().flat_map(|buf| buf.chunks(STRETCH));
    for (part, stretch) in parts.iter_mut().zip(stretches) {
        *part = IoSlice::new(stretch);
        count += 1;
    }
    &parts[..count]
}

impl Session {
    /// Encrypts from `bufs` and sends; returns the length of the plaintext taken.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx, socket))?;
        let Some(key) = &self.keys.outbound else {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let taken = self.tls.writer().write_vectored(cut(bufs, &mut parts))?;
            if let Poll::Ready(Err(error)) = self.poll_write(cx, socket) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(taken));
        };
        if self.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // Reports the error of a failed connection.
        self.tls.writer().flush()?;
        if key.used() >= RECORDS_PER_KEY {
            self.refresh()?;
            return self.poll_send(cx, socket, bufs);
        }
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let mut rest = Buf::empty();
        let sealed = records::seal(key, bufs, usize::from(self.fragment), |records| {
            let count = match socket.poll_send(cx, &[IoSlice::new(records)]) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            if count < records.len() {
                rest = buffer::copy_of(&records[count..]);
            }
            Ok(())
        });
        let (taken, sent) = sealed.map_err(io::Error::other)?;
        self.outbound = rest;
        Poll::Ready(sent.map(|()| taken))
    }

    /// Updates the keys of both directions.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        let refreshed = self.keys.follow(|| self.tls.refresh_traffic_keys());
        refreshed.map_err(io::Error::other)
    }

    pub(super) fn wants_write(&self) -> bool {
        !self.outbound.is_empty() || self.tls.wants_write()
    }

    /// Ready when no encrypted data is pending.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<()>> {
        while self.wants_write() {
            ready!(self.poll_write(cx, socket))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<()>> {
        if !self.outbound.is_empty() {
            let rest = IoSlice::new(&self.outbound[self.sent as usize..]);
            match ready!(socket.poll_send(cx, &[rest]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count as u32,
            }
            if self.sent as usize == self.outbound.len() {
                (self.outbound, self.sent) = (Buf::empty(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        match self.tls.write_tls(&mut Outbound { cx, socket }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Ok(0) if self.tls.wants_write() => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            done => Poll::Ready(done.map(drop)),
        }
    }

    /// Sends a close_notify alert.
    pub(crate) fn poll_close_notify(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closing, true) {
            self.tls.send_close_notify();
        }
        self.poll_flush(cx, socket)
    }

    /// Sends a close_notify alert in a single call, for a socket that the loop does not watch and
    /// that is closed at once.
    pub(crate) fn close_notify_on(&mut self, fd: impl std::os::fd::AsFd) {
        if !std::mem::replace(&mut self.closing, true) {
            self.tls.send_close_notify();
            let mut bytes = self.outbound[self.sent as usize..].to_vec();
            while self.tls.wants_write() && self.tls.write_tls(&mut bytes).is_ok() {}
            // In one packet with the FIN.
            let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
            let _ = kernel::send(fd, &bytes, flags);
        }
    }
}

/// The socket as the writer that rustls needs.
pub(in crate::tls) struct Outbound<'a, 'b> {
    pub(in crate::tls) cx: &'a mut Context<'b>,
    pub(in crate::tls) socket: &'a mut Socket,
}

impl Write for Outbound<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.socket.poll_send(self.cx, bufs) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
