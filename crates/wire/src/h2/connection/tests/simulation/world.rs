//! Two sides and the link between them.

use super::super::raw;
use super::Random;
use super::side::{Half, Known, Side};
use crate::h2::frame::kind;
use crate::h2::{Config, ErrorCode, Millis, OUTPUT_LIMIT, Role};

/// The number of steps in which users act at random; then they finish what they have begun.
const STEPS: usize = 300;

/// The number of rounds in which all must end.
const ROUNDS: usize = 5000;

pub(super) struct World {
    random: Random,
    client: Side,
    server: Side,
    now: Millis,
    /// Whether a side has announced its end.
    ends: bool,
    /// Whether the client knows only the priorities of RFC 7540.
    is_old: bool,
}

fn config(role: Role, random: &mut Random) -> Config {
    Config {
        role,
        max_streams: random.pick(&[1, 3, 20, 120]),
        stream_window: random.pick(&[1, 100, 5000, 65_535, 1 << 20]),
        connection_window: random.pick(&[65_535, 70_000, 1 << 24]),
        max_frame: random.pick(&[16_384, 20_000, 1 << 20]),
        chunk: random.pick(&[100, 1000, 8192, 1 << 20]),
        max_head: 32_768,
        max_fields: 100,
        extended_connect: random.one_in(2),
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut config = |role| Side::new(config(role, &mut random));
        let (client, server) = (config(Role::Client), config(Role::Server));
        let is_old = random.one_in(2);
        Self { random, client, server, now: 0, ends: false, is_old }
    }

    pub(super) fn run(mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        for round in 0.. {
            assert!(round < ROUNDS, "streams do not end: {}", self.story());
            if !self.finish_round() {
                break;
            }
        }
        self.judge();
    }

    fn step(&mut self) {
        match self.random.below(8) {
            0 => self.now += self.random.below(50) as u64,
            1 | 2 => self.flush(),
            3 | 4 => self.deliver(),
            5 => self.open(),
            6 if self.is_old => self.depend(),
            _ => self.act(),
        }
        let heads = 1000 * self.server.streams.len() + 25_000 * self.client.streams.len();
        for side in [&self.client, &self.server] {
            assert!(side.connection.output().len() < 2 * OUTPUT_LIMIT + heads);
            let unread = side.connection.streams.iter().map(|(_, stream)| stream.receive.unread());
            assert_eq!(side.connection.receive_window.unread(), unread.sum::<u32>());
        }
    }

    fn open(&mut self) {
        if self.client.connection.can_open() {
            let wanted = self.random.pick(&[0, 1, 1000, 20_000, 200_000]);
            let end = wanted == 0 && self.random.one_in(2);
            self.client.open(wanted, end, &mut self.random);
            self.client.look();
        }
    }

    /// A PRIORITY frame of the client, between frames.
    fn depend(&mut self) {
        if !self.client.connection.output().is_empty() {
            return;
        }
        let most = 2 * self.client.streams.len() + 20;
        let mut id = || 2 * self.random.below(most) as u32 + 1;
        let (stream, mut on) = (id(), id());
        let exclusive = self.random.one_in(3);
        let weight = self.random.below(256) as u8;
        if stream == on || self.random.one_in(4) {
            on = 0;
        }
        let on = on | u32::from(exclusive) << 31;
        let payload = [&on.to_be_bytes()[..], &[weight]].concat();
        self.client.link.push((self.now, raw::frame(kind::PRIORITY, 0, stream, &payload)));
    }

    fn flush(&mut self) {
        let side = if self.random.one_in(2) { &mut self.client } else { &mut self.server };
        let bytes = self.random.pick(&[1, 10, 1000, usize::MAX]);
        let arrival = self.now + self.random.below(100) as u64;
        side.flush(bytes, arrival);
    }

    /// Delivers what has arrived, in pieces. Later bytes wait for earlier ones.
    fn deliver(&mut self) {
        let now = self.now;
        let (from, to) = match self.random.one_in(2) {
            true => (&mut self.client, &mut self.server),
            false => (&mut self.server, &mut self.client),
        };
        let arrived = from.link.iter().take_while(|(arrival, _)| *arrival <= now).count();
        let bytes: Vec<u8> = from.link.drain(..arrived).flat_map(|(_, bytes)| bytes).collect();
        let mut left = &bytes[..];
        while !left.is_empty() {
            let piece = self.random.pick(&[1, 9, 100, usize::MAX]).min(left.len());
            let (now_bytes, rest) = left.split_at(piece);
            to.receive(now_bytes, now);
            left = rest;
        }
    }

    /// A user does something on one of its streams, or on the connection.
    fn act(&mut self) {
        let random = &mut self.random;
        let side = if random.one_in(2) { &mut self.client } else { &mut self.server };
        let live: Vec<u32> =
            side.streams.iter().filter(|(_, known)| !known.forgotten).map(|(id, _)| *id).collect();
        if live.is_empty() {
            return;
        }
        let id = random.pick(&live);
        match random.below(40) {
            0 => side.forget(id),
            1 if side.streams[&id].reset.is_none() && !is_complete(&side.streams[&id]) => {
                side.reset(id, ErrorCode::CANCEL);
            }
            2 => {
                let bytes = random.pick(&[0, 1, 3000, 100_000, 1 << 30]);
                let stream = side.streams[&id].name.unwrap();
                side.connection.set_stream_window(stream, bytes);
            }
            3 if !self.is_old => {
                let value = random.pick(&["u=0", "u=5, i", "i", "u=3", ""]);
                let stream = side.streams[&id].name.unwrap();
                side.connection.set_priority(stream, value.as_bytes());
            }
            4 => side.connection.ping(),
            5 if random.one_in(10) => {
                side.connection.shut_down();
                self.ends = true;
            }
            6..=15 => {
                let most = random.pick(&[1, 100, usize::MAX]);
                side.read(id, most);
            }
            _ => go_on(side, id, random),
        }
        side.look();
    }

    /// Users finish what they have begun. False once nothing is left to be done.
    fn finish_round(&mut self) -> bool {
        self.now += 1000;
        let mut busy = false;
        for turn in 0..2 {
            let (side, other) = match turn {
                0 => (&mut self.client, &mut self.server),
                _ => (&mut self.server, &mut self.client),
            };
            let ids: Vec<u32> = side.streams.keys().copied().collect();
            for id in ids {
                let known = &side.streams[&id];
                if known.forgotten {
                    continue;
                }
                busy = true;
                if known.reset.is_some() || is_complete(known) {
                    side.forget(id);
                } else {
                    let stream = known.name.unwrap();
                    side.connection.set_stream_window(stream, 100_000);
                    side.read(id, usize::MAX);
                    finish(side, id);
                }
                side.look();
            }
            side.flush(usize::MAX, 0);
            for (_, bytes) in std::mem::take(&mut side.link) {
                busy = true;
                other.receive(&bytes, self.now);
            }
        }
        busy
    }

    /// What is not over.
    fn story(&self) -> String {
        let live = |side: &Side| {
            let streams = side.streams.iter().filter(|(_, known)| !known.forgotten);
            let streams = streams.map(|(id, known)| {
                let slot = known.name.unwrap().slot;
                format!("{id}: {known:?} {:?}", side.connection.streams[slot])
            });
            let windows = (side.connection.send_window, side.connection.receive_window);
            format!("{windows:?} {:#?}", streams.collect::<Vec<_>>())
        };
        format!("client {}\nserver {}", live(&self.client), live(&self.server))
    }

    fn judge(&self) {
        for (id, known) in &self.client.streams {
            let Some(other) = self.server.streams.get(id) else {
                let never_sent = known.reset.is_some();
                assert!(never_sent, "the server does not know stream {id}");
                continue;
            };
            let unprocessed = known.reset.is_some_and(|(_, unprocessed)| unprocessed);
            assert!(!unprocessed, "stream {id} was processed");
            judge_half(&known.sent, &other.received, known, other);
            judge_half(&other.sent, &known.received, known, other);
        }
        for id in self.server.streams.keys() {
            assert!(self.client.streams.contains_key(id));
        }
        for side in [&self.client, &self.server] {
            assert_eq!(side.connection.streams(), 0);
            assert!(side.connection.order.is_empty() && side.connection.output().is_empty());
        }
        // The windows of both ends agree: nothing was lost or granted twice.
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            let window = from.connection.send_window.available();
            assert_eq!(window, to.connection.receive_window.known(), "{:?}", from.role());
            assert_eq!(to.connection.receive_window.unread(), 0);
        }
        let over = self.client.connection.is_over() || self.server.connection.is_over();
        assert_eq!(over, self.ends);
    }
}

/// What was received is what was sent: all of it, unless the stream was reset.
fn judge_half(sent: &Half, received: &Half, one: &Known, other: &Known) {
    if one.reset.is_none() && other.reset.is_none() {
        assert_eq!(sent, received);
        return;
    }
    assert!(sent.heads.starts_with(&received.heads), "{sent:?} {received:?}");
    assert!(received.body <= sent.body);
    assert!(received.trailers.is_none() || received.trailers == sent.trailers);
    if received.ended {
        assert_eq!(sent, received);
    }
}

fn is_complete(known: &Known) -> bool {
    known.sent.ended && known.received.ended
}

/// A stream's user takes its next step.
fn go_on(side: &mut Side, id: u32, random: &mut Random) {
    let known = &side.streams[&id];
    if known.reset.is_some() || known.sent.ended {
        return;
    }
    if side.role() == Role::Server && !has_final_head(known) {
        if random.one_in(4) {
            side.send_head(id, 103, false);
        } else {
            let wanted = random.pick(&[0, 1, 1000, 20_000, 200_000]);
            let end = wanted == 0 && random.one_in(2);
            side.streams.get_mut(&id).unwrap().wanted = wanted;
            side.send_head(id, 200, end);
            side.streams.get_mut(&id).unwrap().is_final = true;
        }
    } else if known.sent.body == known.wanted && random.one_in(2) {
        side.send_head(id, 0, true);
    } else {
        let most = random.pick(&[1, 1000, usize::MAX]);
        side.send_body(id, most, random.one_in(2));
    }
}

/// A stream's user takes its next step to the end.
fn finish(side: &mut Side, id: u32) {
    if side.role() == Role::Server && !has_final_head(&side.streams[&id]) {
        side.send_head(id, 200, false);
        side.streams.get_mut(&id).unwrap().is_final = true;
    }
    side.send_body(id, usize::MAX, true);
}

fn has_final_head(known: &Known) -> bool {
    known.is_final
}
