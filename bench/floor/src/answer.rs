//! A backend that gives the same small answer to whatever is asked, by HTTP/1, HTTP/2 or FastCGI, as
//! cheaply as can be: the cores that it shares with the generator should have less to do than the
//! proxy in front of it.

mod h2;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::MESSAGE;

/// What nginx would answer to `return 200 "hello\n"`.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Mon, 23 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\
    Connection: keep-alive\r\n\r\nhello\n";

/// What PHP would answer over FastCGI: a record of output, one of its end, and one of the request's
/// end.
const APPLICATION: &[u8] = b"\x01\x06\0\x01\0\x4a\x06\0\
    X-Powered-By: PHP/8.2.29\r\nContent-type: text/html; charset=UTF-8\r\n\r\nhello\n\0\0\0\0\0\0\
    \x01\x06\0\x01\0\0\0\0\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";

/// How a request ends that has no body.
const END: &[u8] = b"\r\n\r\n";

/// How a request over FastCGI begins and ends: the version, and the empty record of the body.
const FASTCGI: &[u8] = b"\x01";
const END_OF_BODY: &[u8] = b"\x01\x05\0\x01\0\0\0\0";

/// Events taken at once.
const EVENTS: usize = 512;

/// The number that stands for the listener.
const LISTENER: u64 = u64::MAX;

pub fn run(listener: &TcpListener) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::empty())?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    // A number is used again when its connection has closed; what is still told about that is taken
    // for a wake-up without cause.
    let mut streams: Vec<Option<Client>> = Vec::new();
    let mut events = Vec::with_capacity(EVENTS);
    let mut output = Vec::new();
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            match event.data.u64() {
                LISTENER => {
                    let (stream, _) = listener.accept()?;
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    let free = streams.iter().position(Option::is_none);
                    let number = free.unwrap_or_else(|| {
                        streams.push(None);
                        streams.len() - 1
                    });
                    let data = EventData::new_u64(number as u64);
                    epoll::add(&epoll, &stream, data, EventFlags::IN)?;
                    streams[number] = Some(Client { stream, h2: None });
                }
                number => {
                    let place = &mut streams[number as usize];
                    if place.as_mut().is_some_and(|client| !client.answer(&mut output)) {
                        *place = None;
                    }
                }
            }
        }
    }
}

/// A connection to us.
struct Client {
    stream: TcpStream,
    /// Its state if it speaks HTTP/2.
    h2: Option<h2::Connection>,
}

impl Client {
    /// Answers what has come; false when the connection has ended.
    fn answer(&mut self, output: &mut Vec<u8>) -> bool {
        let mut message = [0; MESSAGE];
        let stream = &mut self.stream;
        let input = match stream.read(&mut message) {
            Ok(0) => return false,
            Ok(count) => &message[..count],
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        if self.h2.is_some() || input.starts_with(h2::PREFACE) {
            output.clear();
            self.h2.get_or_insert_default().receive(input, output);
            return stream.write_all(output).is_ok();
        }
        if input.starts_with(FASTCGI) {
            return !input.ends_with(END_OF_BODY) || stream.write_all(APPLICATION).is_ok();
        }
        !input.ends_with(END) || stream.write_all(ANSWER).is_ok()
    }
}
