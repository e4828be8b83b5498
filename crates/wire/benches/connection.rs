//! The cost of a connection of HTTP/2, alone, in instructions: so many small requests and
//! responses, for callgrind. The difference between two numbers is the cost.
//!
//!     cargo bench -p weir-wire --bench connection server|client TIMES
#![allow(clippy::unwrap_used, reason = "a failure of a measurement is a panic")]

use std::hint::black_box;

use weir_wire::h2::hpack::{BlockWriter, Encoder};
use weir_wire::h2::{Config, Connection, Event, PREFACE, Role};
use weir_wire::header::Known;

/// The number of streams that are open at once.
const STREAMS: usize = 100;

fn config(role: Role) -> Config {
    Config {
        role,
        max_streams: 128,
        stream_window: 65_536,
        connection_window: (1 << 31) - 1,
        max_frame: 16_384,
        chunk: 8192,
        max_head: 32 << 10,
        max_fields: 1000,
        extended_connect: false,
    }
}

fn request(head: &mut BlockWriter<'_>) {
    head.field(b":method", b"GET");
    head.field(b":scheme", b"http");
    head.field(b":path", b"/index.html");
    head.field(b":authority", b"www.example.com");
    head.field(b"user-agent", b"h2load nghttp2/1.52.0");
}

fn response(head: &mut BlockWriter<'_>) {
    head.status(200);
    head.known(Known::Server, b"weir");
    head.known(Known::Date, b"Wed, 05 Aug 2026 10:00:01 GMT");
    head.known(Known::ContentType, b"text/plain");
    head.known(Known::ContentLength, b"100");
}

/// A frame of HEADERS as a peer sends it again and again, whose stream is to be set.
fn headers(encoder: &mut Encoder, flags: u8, write: impl FnOnce(&mut BlockWriter<'_>)) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 1, flags, 0, 0, 0, 0];
    write(&mut encoder.block(&mut frame));
    frame[2] = u8::try_from(frame.len() - 9).unwrap();
    frame
}

fn set_stream(frame: &mut [u8], stream: u32) {
    frame[5..9].copy_from_slice(&stream.to_be_bytes());
}

fn opened(role: Role) -> Connection {
    let mut connection = Connection::new(config(role));
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let opening = match role {
        Role::Server => [PREFACE, &settings].concat(),
        Role::Client => settings.to_vec(),
    };
    let grant = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x70, 0, 0, 0];
    let opening = [&opening[..], &grant].concat();
    assert!(connection.receive(&mut &opening[..], 0).unwrap().is_none());
    connection.sent(connection.output().len());
    connection
}

/// As many requests as there are streams arrive, and are answered by a head and 100 bytes.
fn server(times: usize) {
    let mut connection = opened(Role::Server);
    let mut encoder = Encoder::new(4096);
    let mut early =
        [headers(&mut encoder, 0x5, request), headers(&mut encoder, 0x5, request)].into_iter();
    // From now on all fields are in the table.
    let again = headers(&mut encoder, 0x5, request);
    let mut id = 1;
    let mut input = Vec::new();
    for _ in 0..times.div_ceil(STREAMS) {
        input.clear();
        for _ in 0..STREAMS {
            let at = input.len();
            input.extend_from_slice(early.next().as_ref().unwrap_or(&again));
            set_stream(&mut input[at..], id);
            id += 2;
        }
        let mut left = &input[..];
        while let Some(event) = connection.receive(&mut left, 0).unwrap() {
            let Event::Head { stream, .. } = event else { panic!("{event:?}") };
            black_box(connection.fields());
            connection.send_head(stream, false, response);
            assert!(connection.room(stream) >= 100);
            connection.send_data(stream, black_box(&[b'x'; 100]), true);
            connection.forget(stream);
        }
        connection.sent(connection.output().len());
        refill(&mut connection);
    }
}

/// As many requests as there are streams are sent, and their answers arrive.
fn client(times: usize) {
    let mut connection = opened(Role::Client);
    let mut encoder = Encoder::new(4096);
    let mut early =
        [headers(&mut encoder, 0x4, response), headers(&mut encoder, 0x4, response)].into_iter();
    // From now on all fields are in the table.
    let again = headers(&mut encoder, 0x4, response);
    let mut data = [&[0, 0, 100, 0, 1, 0, 0, 0, 0][..], &[b'x'; 100]].concat();
    let mut input = Vec::new();
    for _ in 0..times.div_ceil(STREAMS) {
        input.clear();
        for _ in 0..STREAMS {
            let id = connection.open(true, request).id;
            let at = input.len();
            input.extend_from_slice(early.next().as_ref().unwrap_or(&again));
            set_stream(&mut input[at..], id);
            set_stream(&mut data, id);
            input.extend_from_slice(&data);
        }
        connection.sent(connection.output().len());
        let mut left = &input[..];
        while let Some(event) = connection.receive(&mut left, 0).unwrap() {
            match event {
                Event::Head { .. } => drop(black_box(connection.fields())),
                Event::Data { stream, bytes, .. } => {
                    connection.release(stream, bytes.len());
                    connection.forget(stream);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The client grants what was sent.
fn refill(connection: &mut Connection) {
    let grant = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0x27, 0x10];
    assert!(connection.receive(&mut &grant[..], 0).unwrap().is_none());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let times = arguments.get(1).and_then(|times| times.parse().ok()).unwrap_or(STREAMS);
    match arguments.first().map(String::as_str) {
        Some("client") => client(times),
        Some("server") => server(times),
        _ => {
            server(times);
            client(times);
        }
    }
}
