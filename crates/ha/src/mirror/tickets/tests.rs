use super::*;

use crate::mirror::message::Message;

const HOUR: Duration = Duration::from_secs(3600);

struct Node {
    records: Records,
    tickets: Tickets,
    keys: Option<(usize, Vec<TicketKey>)>,
    made: u8,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn node(text: &str) -> Node {
    let (records, tickets) = (Records::new(name(text)), Tickets::new(name(text), HOUR));
    Node { records, tickets, keys: None, made: 0 }
}

impl Node {
    fn tick(&mut self, now: Duration, in_sight: &[&str]) {
        let names: Vec<Name> = in_sight.iter().map(|node| name(node)).collect();
        let mut out = Effects::new();
        self.tickets.handle_tick(now, &mut self.records, names.iter(), &mut out);
        for effect in out {
            match effect {
                Effect::MakeTicketKey => {
                    self.made += 1;
                    let first = self.tickets.me.as_str().as_bytes()[0];
                    let mut key = [first; TICKET_KEY];
                    key[1] = self.made;
                    self.tickets.add(&key, &mut self.records);
                }
                Effect::Tickets { encrypts, keys } => self.keys = Some((encrypts, keys)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The node that made the encrypting key, and its number there.
    fn encrypts(&self) -> (u8, u8) {
        let (at, keys) = self.keys.as_ref().unwrap();
        (keys[*at].0[0], keys[*at].0[1])
    }

    fn decrypts(&self, key: (u8, u8)) -> bool {
        self.keys.as_ref().unwrap().1.iter().any(|known| (known.0[0], known.0[1]) == key)
    }
}

fn exchange(one: &mut Node, other: &mut Node) {
    let mut out = Effects::new();
    for _ in 0..8 {
        for turn in [false, true] {
            let (from, to) = if turn { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
            while let Some(message) = from.records.poll_message(&to.tickets.me) {
                let message = Message::decode(&message.encode()).unwrap();
                to.records.handle_message(&from.tickets.me, message, &mut out);
            }
        }
    }
}

fn connect(one: &mut Node, other: &mut Node) {
    one.records.handle_connected(other.tickets.me.clone());
    other.records.handle_connected(one.tickets.me.clone());
}

/// A second of both.
fn second(a: &mut Node, b: &mut Node, now: Duration) {
    a.tick(now, &["b"]);
    b.tick(now, &["a"]);
    // No ticket that a node cannot read.
    for (one, other) in [(&*a, &*b), (&*b, &*a)] {
        if one.keys.is_some() && other.keys.is_some() {
            assert!(other.decrypts(one.encrypts()), "{:?} {:?}", one.encrypts(), other.keys);
        }
    }
    exchange(a, b);
}

#[test]
fn a_new_key_encrypts_when_both_can_decrypt() {
    let (mut a, mut b) = (node("a"), node("b"));
    connect(&mut a, &mut b);
    let start = Duration::from_secs(100);
    let mut used = Vec::new();
    for at in 0..4 * 3600 + 60 {
        second(&mut a, &mut b, start + Duration::from_secs(at));
        if a.keys.is_some() && used.last() != Some(&a.encrypts()) {
            used.push(a.encrypts());
        }
    }
    // The first by name has made them all, one an hour.
    assert_eq!(used, [(b'a', 1), (b'a', 2), (b'a', 3), (b'a', 4), (b'a', 5)]);
    assert_eq!((b.made, b.keys.unwrap().1.len()), (0, KEPT));
}

#[test]
fn the_other_node_goes_on_and_both_sides_keep_the_newest() {
    let (mut a, mut b) = (node("a"), node("b"));
    connect(&mut a, &mut b);
    let at = |seconds| Duration::from_secs(seconds);
    for seconds in 0..10 {
        second(&mut a, &mut b, at(seconds));
    }
    let first = a.encrypts();
    // Apart for two hours: both make keys.
    a.records.handle_disconnected(&name("b"));
    b.records.handle_disconnected(&name("a"));
    for seconds in 10..7300 {
        a.tick(at(seconds), &[]);
        b.tick(at(seconds), &[]);
    }
    assert!(a.made == 3 && b.made == 2);
    let (of_a, of_b) = (a.encrypts(), b.encrypts());
    assert_ne!(of_a, first);
    connect(&mut a, &mut b);
    exchange(&mut a, &mut b);
    for seconds in 7300..7320 {
        a.tick(at(seconds), &["b"]);
        b.tick(at(seconds), &["a"]);
        exchange(&mut a, &mut b);
    }
    assert_eq!(a.keys, b.keys);
    for key in [of_a, of_b] {
        assert!(a.decrypts(key) && b.decrypts(key));
    }
}
