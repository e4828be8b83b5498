//! Receiving: records in, plaintext out.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::Session;
use crate::buffer::{self, Buf};
use crate::socket::Socket;
use crate::tls::aead::{APPLICATION_DATA, HEAD, TAIL};
use crate::tls::records;

/// The size of a receive: one record and most of another.
const INBOUND: usize = 32 * 1024;

/// The size of a receive when the reader wants more than [`INBOUND`].
const LARGE_INBOUND: usize = 128 * 1024;

/// A partial record may keep a buffer of up to four times this size.
const SMALL_INBOUND: usize = 1024;

/// The maximum number of consecutive records without plaintext, as in OpenSSL.
pub(super) const MOST_EMPTY: u8 = 32;

/// The connection yields to other tasks after this many records without plaintext for the reader.
const RECORDS_PER_TURN: usize = 16;

/// A fatal alert `unexpected_message` (RFC 8446 section 6.2).
const UNEXPECTED_MESSAGE: [u8; 2] = [2, 10];

/// The content type of alerts.
const ALERT: u8 = 21;

impl Session {
    /// Received bytes not yet decrypted.
    pub(super) fn received(&self) -> &[u8] {
        &self.inbound[self.taken as usize..]
    }

    /// Receives up to `max` bytes of plaintext.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        into: &mut Vec<u8>,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        for _ in 0..RECORDS_PER_TURN {
            if let Some(done) = self.take_plaintext(into, max) {
                return Poll::Ready(done);
            }
            let opened = self.open_records(into, max);
            if opened > 0 {
                return Poll::Ready(Ok(opened));
            }
            self.check_empty(cx, socket)?;
            ready!(self.poll_records(cx, socket, max))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when plaintext is available or the socket is readable.
    pub(crate) fn poll_readable(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<io::Result<()>> {
        let waits = !self.plain.is_empty()
            || records::whole(self.received()).is_some()
            || self.tls.reader().fill_buf().is_ok();
        match waits {
            true => Poll::Ready(Ok(())),
            false => socket.poll_readable(cx),
        }
    }

    /// Whether an idle connection is still open and has sent no data. Messages of TLS itself, such
    /// as new session tickets, do not count as data.
    pub(crate) fn is_silent(&mut self, socket: &mut Socket) -> bool {
        if self.is_idle() && socket.is_silent() {
            return true;
        }
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_recv(&mut cx, socket, &mut Vec::new(), 1).is_pending()
    }

    /// Takes available plaintext; `None` if more records are needed.
    fn take_plaintext(&mut self, into: &mut Vec<u8>, max: usize) -> Option<io::Result<usize>> {
        if !self.plain.is_empty() {
            let count = self.plain.len().min(max);
            buffer::append(&self.plain[..count], into);
            match count == self.plain.len() {
                true => self.plain = Buf::empty(),
                false => drop(self.plain.drain(..count)),
            }
            return Some(Ok(count));
        }
        let mut total = 0;
        while total < max {
            let mut reader = self.tls.reader();
            match reader.fill_buf() {
                // The peer sent a close_notify alert.
                Ok([]) => return Some(Ok(total)),
                Ok(bytes) => {
                    let count = bytes.len().min(max - total);
                    buffer::append(&bytes[..count], into);
                    reader.consume(count);
                    total += count;
                }
                // The peer closed without close_notify; like nginx, treat it as the end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Some(Ok(total));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Some(Err(error)),
            }
        }
        if total > 0 {
            self.empty = 0;
        }
        (total > 0).then_some(Ok(total))
    }

    /// Decrypts whole records of application data until `max` bytes are appended to `into`, and
    /// returns their number. Stops before a record for rustls.
    fn open_records(&mut self, into: &mut Vec<u8>, max: usize) -> usize {
        let Some(key) = self.keys.inbound.as_ref().filter(|_| !self.early) else { return 0 };
        let mut total = 0;
        while total < max
            && self.empty <= MOST_EMPTY
            && let Some(length) = records::whole(self.received())
        {
            let record = &self.inbound[self.taken as usize..][..length];
            let opened = records::open(key, record, |plain| {
                let (now, later) = plain.split_at(plain.len().min(max - total));
                buffer::append(now, into);
                if !later.is_empty() {
                    self.plain = buffer::copy_of(later);
                }
                now.len()
            });
            let Some(count) = opened else { break };
            self.empty = if count == 0 { self.empty + 1 } else { 0 };
            total += count;
            self.taken += length as u32;
        }
        self.drop_taken();
        total
    }

    /// Fails a connection that sends only empty records.
    fn check_empty(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> io::Result<()> {
        if self.empty <= MOST_EMPTY {
            return Ok(());
        }
        if let Some(key) = &self.keys.outbound
            && !self.wants_write()
            && !std::mem::replace(&mut self.closing, true)
        {
            let mut record = [0; HEAD + UNEXPECTED_MESSAGE.len() + TAIL];
            if key.seal_as(ALERT, Some(&UNEXPECTED_MESSAGE), &mut record).is_ok() {
                let _ = socket.poll_send(cx, &[IoSlice::new(&record)]);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "too many empty records"))
    }

    /// Receives from the socket and passes to rustls the records that are its own.
    fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        max: usize,
    ) -> Poll<io::Result<()>> {
        // A peer that does not take our alerts and key updates is not read from either.
        if self.tls.wants_write() {
            ready!(self.poll_flush(cx, socket))?;
        }
        // A complete record left by `open_records` is for rustls.
        let Some(length) = records::whole(self.received()) else {
            return self.poll_fill(cx, socket, max);
        };
        let may_be_empty = match self.keys.inbound {
            Some(_) => length == HEAD + TAIL,
            None => self.received()[0] == APPLICATION_DATA,
        };
        let end = self.taken as usize + length;
        while (self.taken as usize) < end {
            self.feed(cx, socket, end)?;
        }
        self.drop_taken();
        if may_be_empty && matches!(self.tls.reader().fill_buf(), Err(error) if is_nothing(&error))
        {
            self.empty += 1;
        }
        Poll::Ready(Ok(()))
    }

    /// Passes received bytes to rustls, as many as it takes.
    fn feed(&mut self, cx: &mut Context<'_>, socket: &mut Socket, end: usize) -> io::Result<()> {
        let fed = self.tls.read_tls(&mut &self.inbound[self.taken as usize..end])?;
        if fed == 0 {
            // rustls takes nothing after the peer's close_notify.
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.taken += fed as u32;
        let before = self.keys.inbound.clone();
        let processed = self.keys.follow(|| self.tls.process_new_packets());
        if let (Some(before), Some(after)) = (before, &self.keys.inbound) {
            if !Arc::ptr_eq(&before, after) {
                after.pass_one();
            }
            // An empty write makes rustls send its pending key update before the new keys are used.
            let _ = self.tls.writer().write(&[]);
        }
        if self.tls.wants_write() {
            // An alert, a ticket or a key update. The rest that the socket does not take is sent
            // before any later data.
            let _ = self.poll_write(cx, socket);
        }
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if self.early { self.take_early() } else { Ok(()) }
    }

    /// Takes early data of one record from rustls, and notices the end of the handshake.
    fn take_early(&mut self) -> io::Result<()> {
        if let rustls::Connection::Server(server) = &mut self.tls
            && let Some(mut early) = server.early_data()
        {
            let mut data = Vec::new();
            early.read_to_end(&mut data)?;
            if !data.is_empty() {
                // A record is passed on only after all plaintext before it was taken.
                debug_assert!(self.plain.is_empty());
                self.plain = buffer::copy_of(&data);
            }
        }
        if !self.tls.is_handshaking() {
            self.early = false;
            self.info.early.set(false);
        }
        Ok(())
    }

    /// Frees the buffer between records.
    fn drop_taken(&mut self) {
        if self.received().is_empty() {
            (self.inbound, self.taken) = (Buf::empty(), 0);
        }
    }

    /// Receives more, after the bytes of a partial record.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        max: usize,
    ) -> Poll<io::Result<()>> {
        if socket.poll_may_recv(cx).is_pending() {
            self.hold_little();
            return Poll::Pending;
        }
        let size = if max > INBOUND { LARGE_INBOUND } else { INBOUND };
        if !self.inbound.is_empty() && (self.taken > 0 || self.inbound.room() < INBOUND / 4) {
            let mut larger = buffer::take(size);
            buffer::append(self.received(), &mut larger);
            (self.inbound, self.taken) = (larger, 0);
        }
        let room = if self.inbound.is_empty() { size } else { self.inbound.room() };
        let received = socket.poll_fill(cx, &mut self.inbound, room);
        if received.is_pending() {
            self.hold_little();
        }
        if ready!(received)? == 0 {
            (self.inbound, self.taken) = (Buf::empty(), 0);
            self.tls.read_tls(&mut io::empty())?;
        }
        Poll::Ready(Ok(()))
    }

    /// Shrinks the buffer of a partial record: many connections may wait for the rest of one.
    fn hold_little(&mut self) {
        let waiting = self.received();
        if self.inbound.capacity() >= 4 * waiting.len().max(SMALL_INBOUND) {
            (self.inbound, self.taken) = (buffer::copy_of(waiting), 0);
        }
    }
}

/// Whether the reader's error means that more data is needed.
fn is_nothing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
