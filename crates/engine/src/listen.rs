//! Listening sockets: binding, and accepting on each thread.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::addr::Addr;
use crate::capacity;
use crate::connection::{Conn, Inherited};
use crate::error_log::{Level, Seldom};
use crate::event_loop::reactor::watched::Watched;
use crate::event_loop::readiness::Watch;
use crate::event_loop::{self, Task};
use crate::kernel;
use crate::os_error::Failed;
use crate::stats;

mod bind;

pub use bind::{
    BindError, Keepalive, ListenOptions, Transport, apply, bind, hold_off, is_abandoned,
    is_multipath, retire, share,
};

/// The number of connections accepted before their tasks run. It is low because connections still
/// in the kernel survive the process being killed: with 16, four kills under load cost 130
/// connections, with 4 it is 50.
const ACCEPTS_PER_TURN: usize = 4;

/// The limit with `multi_accept`: all waiting connections, within reason.
const ACCEPTS_PER_LONG_TURN: usize = 1024;

/// Accepting from one listener on one thread, until dropped.
pub struct Accepting {
    task: Task,
    listener: Arc<OwnedFd>,
    inherited: Inherited,
    counting: Counting,
    handle: Rc<dyn Fn(Conn)>,
}

/// Whether connections are counted as those of clients, and limited as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    Clients,
    None,
}

/// Ends accepting: no new connection wakes this thread, and those that have arrived are accepted,
/// since no other thread may have been woken for them.
pub async fn end(all: Vec<Accepting>) {
    if all.is_empty() {
        return;
    }
    all.iter().for_each(|one| one.task.abort());
    // A ring releases the sockets in its next turn.
    event_loop::settle().await;
    all.iter().for_each(Accepting::take_rest);
}

impl Accepting {
    fn take_rest(&self) {
        for _ in 0..ACCEPTS_PER_LONG_TURN {
            match accept_one(&self.listener, self.inherited, self.counting) {
                Ok(Some(conn)) => (self.handle)(conn),
                Ok(None) | Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to accept from a listening socket on this thread; `handle` gets each connection and must
/// not block; usually it spawns a task. With `multi_accept`, all waiting connections are accepted
/// at once.
///
/// # Errors
/// A system error if the loop cannot watch the socket.
pub fn accept(
    listener: Arc<OwnedFd>,
    multi_accept: bool,
    handle: impl Fn(Conn) + 'static,
) -> io::Result<Accepting> {
    begin(listener, multi_accept, Counting::Clients, handle)
}

/// Starts to accept as by [`accept`] from a socket for other purposes than clients: statistics and
/// `worker_connections` leave its connections out.
///
/// # Errors
/// A system error if the loop cannot watch the socket.
pub fn accept_beside(
    listener: Arc<OwnedFd>,
    handle: impl Fn(Conn) + 'static,
) -> io::Result<Accepting> {
    begin(listener, false, Counting::None, handle)
}

fn begin(
    listener: Arc<OwnedFd>,
    multi_accept: bool,
    counting: Counting,
    handle: impl Fn(Conn) + 'static,
) -> io::Result<Accepting> {
    let inherited = Inherited::from(&listener);
    let mut watched = Watched::new(Arc::clone(&listener), Watch::Listener)?;
    let turn = if multi_accept { ACCEPTS_PER_LONG_TURN } else { ACCEPTS_PER_TURN };
    let handle: Rc<dyn Fn(Conn)> = Rc::new(handle);
    let taker = Rc::clone(&handle);
    let task = event_loop::spawn(async move {
        loop {
            accept_some(&mut watched, (inherited, counting), turn, &*taker).await;
        }
    });
    Ok(Accepting { task, listener, inherited, counting, handle })
}

/// Accepts up to one turn's worth of connections: the kernel reports remaining ones again.
async fn accept_some(
    listener: &mut Watched,
    (inherited, counting): (Inherited, Counting),
    turn: usize,
    handle: &dyn Fn(Conn),
) {
    let Some(source) = listener.source() else { return rest(listener).await };
    poll_fn(|cx| source.poll_read(cx)).await;
    source.read_blocked();
    for _ in 0..turn {
        match accept_one(listener.fd(), inherited, counting) {
            Ok(Some(conn)) => handle(conn),
            Ok(None) => {}
            Err(Errno::AGAIN) => return,
            Err(Errno::INTR) => {}
            Err(error) => {
                if complain(error) {
                    if capacity::is_exhausted(Some(error)) && capacity::give_up_spare() {
                        return;
                    }
                    return rest(listener).await;
                }
            }
        }
    }
}

/// Pauses the listener until a descriptor is free; other tasks free some meanwhile.
async fn rest(listener: &mut Watched) {
    listener.rest();
    capacity::rest().await;
    // If it fails, the next attempt is another pause.
    let _ = listener.resume(Watch::Listener);
}

/// Accepts a connection; `None` if it exceeded the limit and was closed.
fn accept_one(
    listener: &OwnedFd,
    inherited: Inherited,
    counting: Counting,
) -> rustix::io::Result<Option<Conn>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, peer) = kernel::acceptfrom_with(listener.as_fd(), flags)?;
    let peer = peer.map_or(Addr::Unix(None), Addr::from_any);
    if counting == Counting::None {
        return Ok(Some(Conn::outgoing(socket, peer)));
    }
    stats::count_accepted();
    if !capacity::claim() {
        return Ok(None);
    }
    Ok(Some(Conn::accepted(socket, peer, inherited)))
}

static EXHAUSTED: Seldom = Seldom::new();
static FAILED: Seldom = Seldom::new();

/// Logs an error; returns whether accepting must pause.
fn complain(error: Errno) -> bool {
    let exhausted = capacity::is_exhausted(Some(error));
    let level = match error {
        Errno::CONNABORTED => Level::Error,
        _ if exhausted => Level::Crit,
        _ => Level::Alert,
    };
    let told = if exhausted { &EXHAUSTED } else { &FAILED };
    told.log(level, Failed("accept4() failed", &error.into()));
    // A recurring error must not spin; only a client's own fault may repeat at once.
    error != Errno::CONNABORTED
}

#[cfg(test)]
mod tests;
