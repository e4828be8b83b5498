//! Entry points of fuzz targets: no bytes of another node, and no file, may cause a panic.

use std::time::Duration;

use super::{Class, Effect, Mirror, Name, limits};

/// Decodes a message about the configuration, of the kind that the first byte chooses.
pub fn config(bytes: &[u8]) {
    message(1, 6, bytes);
}

/// Decodes a message with records or their digests.
pub fn state(bytes: &[u8]) {
    message(16, 3, bytes);
}

/// Decodes a message with counters.
pub fn counters(bytes: &[u8]) {
    message(32, 2, bytes);
}

fn message(first: u8, kinds: u8, bytes: &[u8]) {
    super::message::fuzz(bytes);
    let Some((choice, rest)) = bytes.split_first() else { return };
    let kind = first + choice % kinds;
    super::message::fuzz(&[&[limits::PROTOCOL, kind][..], rest].concat());
}

/// Decodes a durable state.
pub fn durable(bytes: &[u8]) {
    super::durable::fuzz(bytes);
}

/// Hands messages to a node: each has two bytes of length. What it answers goes through.
pub fn conversation(mut bytes: &[u8]) {
    let names = ["a", "b", "c"].map(Name::new);
    let [Some(a), Some(b), Some(c)] = names else { return };
    let members = [a.clone(), b.clone(), c.clone()];
    let mut mirror = Mirror::new(a, members, None, Some(Duration::from_secs(60)));
    let mut now = Duration::from_secs(1);
    mirror.handle_connected(now, &b, limits::PROTOCOL.into());
    mirror.handle_connected(now, &c, limits::PROTOCOL.into());
    while let Some((&[sender, length], rest)) = bytes.split_first_chunk() {
        let (message, rest) = rest.split_at(usize::from(length).min(rest.len()));
        bytes = rest;
        let node = if sender % 2 == 0 { &b } else { &c };
        let message = [&[limits::PROTOCOL][..], message].concat();
        mirror.handle_message(now, node, &message);
        now += Duration::from_millis(u64::from(sender) * 50);
        while let Some(effect) = mirror.poll_effect() {
            match effect {
                Effect::Check { set, .. } => mirror.handle_checked(now, &set.version, Ok(())),
                Effect::Apply { set, .. } => mirror.handle_applied(now, &set.version, Ok(())),
                Effect::Store { serial, .. } => mirror.handle_stored(now, serial),
                Effect::MakeTicketKey => mirror.handle_ticket_key(&[sender; 80]),
                _ => {}
            }
        }
        mirror.handle_tick(now);
        for node in [&b, &c] {
            for class in [Class::Config, Class::State, Class::Counters] {
                for _ in 0..4 {
                    let Some(message) = mirror.poll_message(now, node, class) else { break };
                    super::message::fuzz(&message);
                }
            }
        }
    }
    assert!(mirror.is_consistent());
}
