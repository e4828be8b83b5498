//! Entry points of fuzz targets and tests: a connection of either side, whose peer sends anything.
//!
//! They panic if what the connection says depends on how its input was split, or if what it sends
//! breaks the rules, by [`watch::Watch`], which knows nothing of the connection but its bytes.

pub(crate) mod watch;

use super::Millis;
use super::{Config, Connection, ErrorCode, Event, OUTPUT_LIMIT, PREFACE, Role, StreamId};
use watch::Watch;

/// The number of unsent bytes that no input may cause: bodies, then heads and replies until it
/// takes no more input, and what one read of it causes.
const MOST_OUTPUT: usize = OUTPUT_LIMIT + (512 << 10);

/// A server, whose input begins behind the preface.
pub fn fuzz_server(data: &[u8]) {
    fuzz(Role::Server, data);
}

/// A client, which has sent some requests.
pub fn fuzz_client(data: &[u8]) {
    fuzz(Role::Client, data);
}

/// The first byte chooses how the user behaves; the rest is input.
fn fuzz(role: Role, data: &[u8]) {
    let Some((&choice, input)) = data.split_first() else { return };
    let whole = run(role, input, usize::MAX, Manner::Strict);
    for piece in [1, 5 + usize::from(choice)] {
        assert_eq!(run(role, input, piece, Manner::Strict), whole, "pieces of {piece} bytes");
        run(role, input, piece, Manner::Busy(choice));
    }
}

/// How the user behaves.
#[derive(Clone, Copy)]
enum Manner {
    /// It does what depends on events alone, so that splits make no difference.
    Strict,
    /// It also sends bodies, as there is room, and does other things by this choice.
    Busy(u8),
}

/// What happened, without the sizes of pieces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    lines: Vec<String>,
    /// Bytes of the body that is being received.
    body: usize,
}

impl Story {
    fn add(&mut self, event: &Event<'_>, fields: usize) {
        if let Event::Data { stream, bytes, ended, .. } = event {
            self.body += bytes.len();
            if *ended {
                self.lines.push(format!("end of {} after {}", stream.id, self.body));
                self.body = 0;
            }
        } else {
            self.lines.push(format!("{event:?} {fields} {}", std::mem::take(&mut self.body)));
        }
    }
}

fn config(role: Role) -> Config {
    Config {
        role,
        max_streams: 8,
        stream_window: 20_000,
        connection_window: 100_000,
        max_frame: 16_384,
        chunk: 3000,
        max_head: 4000,
        max_fields: 50,
        extended_connect: true,
    }
}

/// The other side's opening, so that the input need not find it.
fn opening(role: Role) -> Vec<u8> {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    match role {
        Role::Server => [PREFACE, &settings].concat(),
        Role::Client => settings.to_vec(),
    }
}

/// The user of a connection.
struct User {
    connection: Connection,
    watch: Watch,
    streams: Vec<StreamId>,
    manner: Manner,
    now: Millis,
    /// The number of bytes of the output that the watch has seen.
    seen: usize,
}

fn run(role: Role, input: &[u8], piece: usize, manner: Manner) -> Story {
    let config = config(role);
    let connection = Connection::new(config);
    let mut user =
        User { connection, watch: Watch::new(role), streams: vec![], manner, now: 0, seen: 0 };
    user.look();
    let mut story = Story::default();
    user.receive(&opening(role), &mut story);
    if role == Role::Client {
        for body in [false, true, true] {
            let stream = user.connection.open(!body, |head| head.field(b":method", b"GET"));
            user.streams.push(stream);
        }
    }
    user.act();
    for piece in input.chunks(piece) {
        user.receive(piece, &mut story);
        user.act();
        if let Manner::Busy(choice) = manner {
            user.now += u64::from(choice % 16);
        }
    }
    story
}

impl User {
    fn receive(&mut self, mut input: &[u8], story: &mut Story) {
        let mut before = input;
        loop {
            let result = self.connection.receive(&mut input, self.now);
            self.watch.received(&before[..before.len() - input.len()]);
            self.look();
            before = input;
            match result {
                Ok(Some(event)) => {
                    let fields = match event {
                        Event::Head { .. } | Event::Trailers { .. } => 1,
                        _ => 0,
                    };
                    let fields = fields * self.connection.fields().entries().len();
                    story.add(&event, fields);
                    self.answer(event);
                    self.look();
                }
                Ok(None) => break,
                Err(error) => {
                    story.lines.push(format!("{error:?}"));
                    break;
                }
            }
        }
        assert!(input.is_empty());
        assert!(self.connection.output().len() <= MOST_OUTPUT);
    }

    /// Shows new output to the watch.
    fn look(&mut self) {
        let output = self.connection.output();
        self.watch.wrote(&output[self.seen..]);
        self.seen = output.len();
    }

    fn answer(&mut self, event: Event<'_>) {
        let role = self.connection.role();
        match event {
            Event::Head { stream, .. } if role == Role::Server => {
                assert!(self.streams.iter().all(|other| other.slot != stream.slot));
                self.streams.push(stream);
                let end = matches!(self.manner, Manner::Strict) && stream.id % 4 == 1;
                self.connection.send_head(stream, end, |head| head.status(200));
            }
            Event::Head { stream, .. } => self.is_known(stream),
            Event::Data { stream, bytes, ended, .. } => {
                self.is_known(stream);
                assert!(ended || !bytes.is_empty());
                self.connection.release(stream, bytes.len());
            }
            Event::Trailers { stream, .. } => self.is_known(stream),
            Event::Reset { stream, .. } => {
                self.is_known(stream);
                self.connection.forget(stream);
                self.streams.retain(|other| *other != stream);
            }
            Event::GoAway { .. } | Event::Pong => {}
        }
    }

    fn is_known(&self, stream: StreamId) {
        assert!(self.streams.contains(&stream), "{stream:?}");
    }

    /// Does what a user does between inputs, and sends the output.
    fn act(&mut self) {
        let sent = match self.manner {
            Manner::Strict => usize::MAX,
            Manner::Busy(choice) => {
                self.send_bodies(choice);
                1 + 100 * usize::from(choice)
            }
        };
        self.look();
        let output = self.connection.output();
        let sent =
            if self.connection.takes_input() { sent.min(output.len()) } else { output.len() };
        self.connection.sent(sent);
        self.seen -= sent;
    }

    fn send_bodies(&mut self, choice: u8) {
        for stream in self.streams.clone() {
            let room = self.connection.room(stream);
            if room > 0 {
                let length = room.min(700 * usize::from(choice % 8));
                let end = choice & 0x10 != 0;
                self.connection.send_data(stream, &vec![0; length], end);
                if end && choice & 0x20 != 0 {
                    self.connection.forget(stream);
                    self.streams.retain(|other| *other != stream);
                }
            }
        }
        while let Some(stream) = self.connection.poll_writable() {
            self.is_known(stream);
            assert!(self.connection.room(stream) > 0);
        }
        if choice & 0x40 != 0 && self.connection.streams() == 4 {
            self.connection.shut_down();
        }
        if choice & 0x80 != 0 && self.streams.len() == 3 {
            let stream = self.streams.remove(0);
            self.connection.reset(stream, ErrorCode::CANCEL);
            self.connection.forget(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_of_a_conversation() {
        let head = b"\0\0\x06\x01\x04\0\0\0\x01\x82\x86\x84\x41\x01a";
        let data = b"\0\0\x03\0\x01\0\0\0\x01abc";
        let update = b"\0\0\x04\x08\0\0\0\0\x01\0\0\x10\0";
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x05";
        let good = [&head[..], update, settings, data, head, update, data].concat();
        let mut random = 7u32;
        for _ in 0..200 {
            let mut input = vec![(random >> 24) as u8];
            input.extend_from_slice(&good);
            for _ in 0..1 + random % 3 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (random >> 8) as usize % input.len();
                input[at] = (random >> 16) as u8 & 0x1f;
            }
            fuzz_server(&input);
            fuzz_client(&input);
        }
    }
}
