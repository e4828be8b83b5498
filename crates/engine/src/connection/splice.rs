//! Moving data between connections without copying it to our memory.
//!
//! The kernel moves data through a pipe. Each thread has one, which is empty between two calls, so
//! it does not limit the number of connections and holds no data of waiting ones.
//!
//! ```text
//!   receive into the pipe ──▶ send out of it, until it is empty ──────────────▶ the pipe goes back
//!                                   ├── the receiver is full: read the rest ──▶ the pipe goes back
//!                                   └── the receiver is broken ───────────────▶ the pipe is closed
//! ```

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};
use weir_sys::ring::BUFFER_SIZE;

use super::Conn;
use crate::buffer::{self, Buf};
use crate::event_loop::readiness::Heard;
use crate::kernel;
use crate::socket::Socket;

/// The capacity of the pipe: 128 buffers, which are up to 32 KiB long on the loopback device and a
/// packet's content elsewhere.
const PIPE_SIZE: usize = 512 * 1024;

/// The maximum number of bytes per call.
pub(crate) const LARGEST_MOVE: usize = 512 * 1024;

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

thread_local! {
    static PIPE: RefCell<Option<Pipe>> = const { RefCell::new(None) };
}

/// Whether there is a pipe; a process without free descriptors has none.
pub fn is_possible() -> bool {
    PIPE.with_borrow_mut(|pipe| {
        if pipe.is_none() {
            *pipe = Pipe::open().ok();
        }
        pipe.is_some()
    })
}

/// The result of a move.
#[derive(Debug)]
pub struct Moved {
    /// The number of bytes received; 0 is the end of the stream.
    pub received: usize,
    /// The number of bytes sent.
    pub sent: usize,
    /// The bytes received and not sent.
    pub rest: Buf,
    /// The error of sending, after which no more is accepted.
    pub broken: Option<io::Error>,
}

impl Conn {
    /// Whether [`Conn::poll_move`] can be used: the connection is plain, and no data has been
    /// received early.
    pub fn can_move(&self) -> bool {
        self.tls.is_none() && self.early.is_empty()
    }

    /// Receives at most `max` bytes, up to [`LARGEST_MOVE`], and sends them over `to`. Bytes that
    /// `to` does not take at once are returned. Requires [`Conn::can_move`] of both.
    ///
    /// An error is one of receiving, or of the pipe.
    pub fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Self,
        max: usize,
    ) -> Poll<io::Result<Moved>> {
        if ready!(self.socket.poll_to_move(cx))? == Heard::Held {
            return Poll::Ready(self.move_held(max));
        }
        let pipe = match PIPE.take() {
            Some(pipe) => pipe,
            None => Pipe::open()?,
        };
        let received = match self.socket.poll_splice_from(cx, &pipe.into, max.min(LARGEST_MOVE)) {
            Poll::Ready(Ok(received)) => received,
            nothing => {
                PIPE.set(Some(pipe));
                return nothing.map_ok(Moved::nothing);
            }
        };
        let mut moved = Moved::nothing(received);
        while moved.sent < received {
            match to.socket.poll_splice_to(cx, &pipe.out, received - moved.sent) {
                Poll::Ready(Ok(0)) => moved.broken = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    moved.sent += sent;
                    continue;
                }
                Poll::Ready(Err(error)) => moved.broken = Some(error),
                Poll::Pending => pipe.read(received - moved.sent, &mut moved.rest)?,
            }
            break;
        }
        if moved.broken.is_none() {
            PIPE.set(Some(pipe));
        }
        Poll::Ready(Ok(moved))
    }

    /// Data that the loop has received cannot go through the pipe.
    fn move_held(&mut self, max: usize) -> io::Result<Moved> {
        let mut rest = buffer::take(max.min(BUFFER_SIZE));
        let received = self.socket.take_held(&mut rest, max.min(BUFFER_SIZE))?;
        Ok(Moved { rest, ..Moved::nothing(received) })
    }
}

impl Moved {
    /// A result with bytes received and none sent.
    fn nothing(received: usize) -> Self {
        Self { received, sent: 0, rest: Buf::empty(), broken: None }
    }
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (out, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // If the system refuses, the pipe is smaller.
        let _ = rustix::pipe::fcntl_setpipe_size(&into, PIPE_SIZE);
        Ok(Self { out, into })
    }

    /// Empties the pipe, which holds `len` bytes.
    fn read(&self, len: usize, rest: &mut Buf) -> io::Result<()> {
        *rest = buffer::take(len);
        while rest.len() < len {
            match rustix::io::read(&self.out, rustix::buffer::spare_capacity(&mut **rest)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Socket {
    fn poll_splice_from(
        &mut self,
        cx: &mut Context<'_>,
        into: &OwnedFd,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_to_move(cx))?;
            // Less than requested may mean that the pipe is full.
            match kernel::splice(&*self, None, into, None, max, FLAGS) {
                Err(Errno::AGAIN) => self.read_blocked()?,
                Err(Errno::INTR) => {}
                done => return Poll::Ready(Ok(done?)),
            }
        }
    }

    fn poll_splice_to(
        &mut self,
        cx: &mut Context<'_>,
        out: &OwnedFd,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, |fd| Ok(kernel::splice(out, None, fd, None, len, FLAGS)?))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::addr::Addr;
    use crate::event_loop::{block_on, yield_now};

    /// Both ends of a TCP connection, ours first.
    fn pair() -> (Conn, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, peer) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Conn::from_fd(ours.into(), Addr::Inet(peer)), theirs)
    }

    #[test]
    fn data_and_its_end_are_moved() {
        block_on(async {
            let ((mut from, mut source), (mut to, mut sink)) = (pair(), pair());
            assert!(from.can_move() && to.can_move());
            source.write_all(b"some bytes").unwrap();
            let moved = poll_fn(|cx| from.poll_move(cx, &mut to, 4)).await.unwrap();
            assert_eq!((moved.received, moved.sent, moved.rest.len()), (4, 4, 0));
            let moved = poll_fn(|cx| from.poll_move(cx, &mut to, 100)).await.unwrap();
            assert_eq!((moved.received, moved.sent), (6, 6));
            drop(source);
            let moved = poll_fn(|cx| from.poll_move(cx, &mut to, 100)).await.unwrap();
            assert_eq!(moved.received, 0);
            drop(to);
            let mut got = String::new();
            sink.read_to_string(&mut got).unwrap();
            assert_eq!(got, "some bytes");
        });
    }

    #[test]
    fn unsent_data_is_returned() {
        block_on(async {
            let ((mut from, mut source), (mut to, mut sink)) = (pair(), pair());
            let all: Vec<u8> = (0..64_000_000_u32).map(|number| (number % 251) as u8).collect();
            let copy = all.clone();
            let writer = std::thread::spawn(move || source.write_all(&copy));
            let mut sent = 0;
            // The peer does not read, so the amount taken is limited.
            let rest = loop {
                let moved = poll_fn(|cx| from.poll_move(cx, &mut to, usize::MAX)).await.unwrap();
                sent += moved.sent;
                assert_eq!(moved.received, moved.sent + moved.rest.len());
                if !moved.rest.is_empty() {
                    break moved.rest;
                }
            };
            assert!(rest[..] == all[sent..sent + rest.len()]);
            drop((from, to));
            // With io_uring, sockets are closed at the end of the turn.
            yield_now().await;
            assert!(writer.join().unwrap().is_err());
            let mut got = Vec::new();
            let _ = sink.read_to_end(&mut got);
            assert!(got[..] == all[..got.len()]);
        });
    }
}
