//! The test's interface to the simulated network.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use rustix::io::Errno;

use super::network::{EndId, EndState, Fate, Holder, World, with};

fn world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    with(act).expect("in a simulation")
}

/// A connection's end held by the test, closed on drop. One task may read while another writes.
#[derive(Debug)]
pub struct Peer(EndId);

impl Peer {
    /// Connects from one address to another.
    ///
    /// # Errors
    /// `ConnectionRefused` without a listener, or by chance.
    pub async fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let peer = world(|world| {
            let end = world.pair(from);
            world.end(end).holder = Holder::Test;
            world.connect(end, to);
            Self(end)
        });
        poll_fn(|cx| {
            world(|world| {
                let end = world.end(peer.0);
                match end.state {
                    EndState::Connecting => {
                        end.reader = Some(cx.waker().clone());
                        Poll::Pending
                    }
                    EndState::Broken => Poll::Ready(Err(end.error.take())),
                    _ => Poll::Ready(Ok(())),
                }
            })
        })
        .await
        .map_err(|error| error.unwrap_or(Errno::CONNRESET))?;
        Ok(peer)
    }

    /// The connection's number in the trace.
    pub fn number(&self) -> u32 {
        self.0.connection()
    }

    /// The faults of the connection so far.
    pub fn fate(&self) -> Fate {
        world(|world| world.fate_of(self.number()))
    }

    /// Waits for bytes and takes at most `max`; 0 is the end.
    ///
    /// # Errors
    /// `ConnectionReset`, or `BrokenPipe`.
    pub async fn read(&self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let id = self.0;
        poll_fn(|cx| {
            let read = world(|world| match world.receive(id, max, |bytes| into.extend(bytes)) {
                Err(Errno::AGAIN) => {
                    world.end(id).reader = Some(cx.waker().clone());
                    None
                }
                done => Some(done),
            });
            read.map_or(Poll::Pending, |done| Poll::Ready(done.map_err(io::Error::from)))
        })
        .await
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// As for [`Peer::read`].
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        let id = self.0;
        while !bytes.is_empty() {
            let sent = poll_fn(|cx| {
                let sent = world(|world| match world.send(id, bytes) {
                    Err(Errno::AGAIN) => {
                        world.end(id).writer = Some(cx.waker().clone());
                        None
                    }
                    done => Some(done),
                });
                sent.map_or(Poll::Pending, Poll::Ready)
            });
            bytes = &bytes[sent.await?..];
        }
        Ok(())
    }

    /// Closes the sending direction.
    pub fn finish(&self) {
        let _ = world(|world| world.finish(self.0));
    }

    /// Makes the drop send a reset.
    pub fn reset_on_drop(&self) {
        world(|world| world.end(self.0).resets = true);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        with(|world| world.close(self.0));
    }
}

/// A listener of the test. After its drop, connections are refused.
#[derive(Debug)]
pub struct Listening(usize);

impl Listening {
    /// Listens at an address.
    pub fn at(address: SocketAddr) -> Self {
        Self(world(|world| world.listen(address)))
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> Peer {
        poll_fn(|cx| {
            world(|world| match world.door(self.0).waiting.pop_front() {
                Some(end) => {
                    world.end(end).holder = Holder::Test;
                    Poll::Ready(Peer(end))
                }
                None => {
                    world.door(self.0).taker = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        with(|world| world.close_door(self.0));
    }
}
