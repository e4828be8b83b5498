//! By readiness: edge-triggered epoll, and two calls for each message.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::MESSAGE;
use crate::connections::Connections;

/// The number that stands for the listener.
const LISTENER: u64 = u64::MAX;

/// Events taken at once.
const EVENTS: usize = 512;

pub fn run(listener: &TcpListener, backend: SocketAddr) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::empty())?;
    let watch = |stream: &TcpStream, number: usize| {
        stream.set_nonblocking(true)?;
        let data = EventData::new_u64(number as u64);
        Ok(epoll::add(&epoll, stream, data, EventFlags::IN | EventFlags::ET)?)
    };
    listener.set_nonblocking(true)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections = Connections::new(backend);
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            match event.data.u64() {
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        let number = connections.add(stream)?;
                        connections.get(number).map_or(Ok(()), |end| watch(&end.stream, number))?;
                    }
                }
                number => pass_on(&mut connections, number as usize, watch)?,
            }
        }
    }
}

fn pass_on(
    connections: &mut Connections,
    number: usize,
    watch: impl FnOnce(&TcpStream, usize) -> io::Result<()>,
) -> io::Result<()> {
    let Some(end) = connections.get(number) else { return Ok(()) };
    let mut message = [0; MESSAGE];
    match (&end.stream).read(&mut message) {
        Ok(count @ 1..) => {
            let receiver = connections.receiver(number, watch)?;
            if let Some(end) = receiver.and_then(|receiver| connections.get(receiver)) {
                // Who has gone shows by itself.
                let _ = (&end.stream).write_all(&message[..count]);
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        _ => connections.close(number),
    }
    Ok(())
}
