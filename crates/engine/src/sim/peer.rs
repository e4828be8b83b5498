//! The test's side of the simulated network.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use rustix::io::Errno;

use super::network::{EndId, Fate, Holder, State, World, with};

fn world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    with(act).expect("in a simulation")
}

/// An end of a connection in the hands of the test. It is closed when it is dropped. One task may
/// read and another one write.
#[derive(Debug)]
pub struct Peer(EndId);

impl Peer {
    /// Connects from one address to another.
    ///
    /// # Errors
    /// `ConnectionRefused` where nobody listens, or as it happens.
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
                    State::Connecting => {
                        end.reader = Some(cx.waker().clone());
                        Poll::Pending
                    }
                    State::Broken => Poll::Ready(Err(end.error.take())),
                    _ => Poll::Ready(Ok(())),
                }
            })
        })
        .await
        .map_err(|error| error.unwrap_or(Errno::CONNRESET))?;
        Ok(peer)
    }

    /// The number of the connection in the trace.
    pub fn number(&self) -> u32 {
        self.0.connection()
    }

    /// What the network has done to the connection until now.
    pub fn fate(&self) -> Fate {
        world(|world| world.fate_of(self.number()))
    }

    /// Waits for bytes and takes at most `max` of them; 0 is the end.
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

    /// Sends all of it.
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

    /// Sends no more, and can still receive.
    pub fn finish(&self) {
        let _ = world(|world| world.finish(self.0));
    }

    /// Makes a reset of the close.
    pub fn reset_on_drop(&self) {
        world(|world| world.end(self.0).resets = true);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        with(|world| world.close(self.0));
    }
}

/// A place where the test takes connections. Dropped, it is closed, and connecting is refused.
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
