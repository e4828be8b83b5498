//! Large answers without a look at them and without memory of the program's own: from socket to
//! socket by way of a pipe. Each client has a connection to the backend for itself, so nobody has to
//! know where an answer ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::MESSAGE;

/// What the pipe holds, and what one call moves at most.
const PIPE: usize = 512 * 1024;

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// The number that stands for the listener.
const LISTENER: u64 = u64::MAX;

/// Events taken at once.
const EVENTS: usize = 512;

/// A client and its connection to the backend; the client has the even number.
struct Pair {
    client: TcpStream,
    backend: TcpStream,
}

pub fn run(listener: &TcpListener, backend: SocketAddr) -> io::Result<()> {
    let mut pipe = open()?;
    let epoll = epoll::create(CreateFlags::empty())?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    // A number is used once, so that a late event meets nobody else.
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let number = event.data.u64();
            if number == LISTENER {
                let (client, _) = listener.accept()?;
                let backend = TcpStream::connect(backend)?;
                for (end, place) in [(&client, 0), (&backend, 1)] {
                    end.set_nodelay(true)?;
                    end.set_nonblocking(true)?;
                    let data = EventData::new_u64(pairs.len() as u64 * 2 + place);
                    epoll::add(&epoll, end, data, EventFlags::IN)?;
                }
                pairs.push(Some(Pair { client, backend }));
                continue;
            }
            let place = &mut pairs[number as usize / 2];
            let goes_on = place.as_mut().is_none_or(|pair| match number % 2 {
                0 => ask(pair),
                _ => answer(pair, &pipe).unwrap_or_else(|_| {
                    // It may hold what was for a client that has gone.
                    pipe = open().expect("another pipe");
                    false
                }),
            });
            if !goes_on {
                *place = None;
            }
        }
    }
}

fn open() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let pipe = pipe_with(PipeFlags::NONBLOCK)?;
    fcntl_setpipe_size(&pipe.1, PIPE)?;
    Ok(pipe)
}

/// Passes a request on; false when the client has gone.
fn ask(pair: &mut Pair) -> bool {
    let mut message = [0; MESSAGE];
    match pair.client.read(&mut message) {
        Ok(count @ 1..) => pair.backend.write_all(&message[..count]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
        Ok(0) => false,
    }
}

/// Moves what there is of an answer; false when the backend has closed.
fn answer(pair: &Pair, (out, into): &(OwnedFd, OwnedFd)) -> rustix::io::Result<bool> {
    loop {
        let mut left = match splice(&pair.backend, None, into, None, PIPE, FLAGS) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(Errno::AGAIN) => return Ok(true),
            Err(error) => return Err(error),
        };
        while left > 0 {
            match splice(out, None, &pair.client, None, left, FLAGS) {
                Ok(count) => left -= count,
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&pair.client, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
