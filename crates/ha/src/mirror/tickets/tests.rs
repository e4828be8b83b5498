use std::collections::BTreeMap;

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
    assert_eq!((b.made, b.keys.unwrap().1.len()), (0, KEPT as usize));
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

#[test]
fn a_node_that_starts_waits_for_the_keys_of_the_others() {
    let (mut a, mut b) = (node("a"), node("b"));
    connect(&mut a, &mut b);
    let at = |seconds| Duration::from_secs(seconds);
    for seconds in 0..10 {
        second(&mut a, &mut b, at(seconds));
    }
    let known = b.keys.clone();
    assert_eq!((a.made, b.made), (1, 0));
    // The node that makes keys starts again, and has none. Its link is up two seconds later.
    a = node("a");
    b.records.handle_disconnected(&name("a"));
    b.tick(at(10), &[]);
    a.tick(at(10), &[]);
    a.tick(at(11), &[]);
    connect(&mut a, &mut b);
    for seconds in 12..30 {
        second(&mut a, &mut b, at(seconds));
    }
    assert_eq!((&a.keys, &b.keys), (&known, &known));
    assert_eq!((a.made, b.made), (0, 0));
    // A node that is alone makes its own after three seconds.
    let mut alone = node("c");
    for seconds in 0..3 {
        alone.tick(at(seconds), &[]);
    }
    assert_eq!(alone.made, 0);
    alone.tick(at(3), &[]);
    assert_eq!(alone.made, 1);
}

#[test]
fn starts_do_not_prolong_the_life_of_a_key() {
    let (mut a, mut b) = (node("a"), node("b"));
    connect(&mut a, &mut b);
    let (mut made, mut life) = (Vec::new(), 0);
    for seconds in 0..4 * 3600 {
        // One of the two starts again every ten minutes, with nothing or with what it left.
        if seconds % 600 == 599 {
            life += 1;
            let (old, other) = if life % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let mut new = Node { made: old.made, ..node(old.tickets.me.as_str()) };
            if life % 4 < 2 {
                restore(&mut new, old);
            }
            *old = new;
            other.records.handle_disconnected(&old.tickets.me.clone());
            connect(&mut a, &mut b);
        }
        second(&mut a, &mut b, Duration::from_secs(seconds));
        if a.keys.is_some() && made.last().map(|(key, _)| key) != Some(&a.encrypts()) {
            made.push((a.encrypts(), seconds));
        }
    }
    assert_eq!(made.len(), 4, "{made:?}");
    for pair in made.windows(2) {
        // A start loses at most a part of the lifetime.
        let served = pair[1].1 - pair[0].1;
        assert!((3600..3600 + 1800).contains(&served), "{made:?}");
    }
}

/// Hands the successor of a killed worker what its predecessor has left.
fn restore(new: &mut Node, old: &Node) {
    let own = Key::owned(Kind::TicketsHeld, &old.tickets.me, b"");
    for key in old.records.tickets(Kind::TicketKey).chain([&own]) {
        let value = old.records.value(key).map(<[u8]>::to_vec);
        new.records.put(key.clone(), value).unwrap();
    }
}

#[test]
fn a_key_is_kept_for_three_lifetimes_after_its_last_ticket() {
    let mut a = node("a");
    let mut gone = BTreeMap::new();
    let mut last = BTreeMap::new();
    for seconds in 0..10 * 3600 {
        a.tick(Duration::from_secs(seconds), &[]);
        if a.keys.is_none() {
            continue;
        }
        last.insert(a.encrypts(), seconds);
        for key in last.keys().filter(|key| !a.decrypts(**key)) {
            gone.entry(*key).or_insert(seconds);
        }
    }
    assert_eq!(gone.len(), 6);
    for (key, since) in gone {
        assert!(since - last[&key] >= 3 * 3600 - 1, "{key:?}");
    }
}

#[test]
fn of_three_that_were_apart_every_key_of_the_last_lifetime_is_kept() {
    let mut nodes = [node("a"), node("b"), node("c")];
    let at = |seconds| Duration::from_secs(seconds);
    for seconds in 0..2 * 3600 + 100 {
        nodes.iter_mut().for_each(|node| node.tick(at(seconds), &[]));
    }
    // Each made three. The last tickets of the second ones are 100 s old.
    let [a, b, c] = &mut nodes;
    connect(a, b);
    connect(a, c);
    connect(b, c);
    for seconds in 0..20 {
        exchange(a, b);
        exchange(b, c);
        exchange(a, c);
        a.tick(at(7300 + seconds), &["b", "c"]);
        b.tick(at(7300 + seconds), &["a", "c"]);
        c.tick(at(7300 + seconds), &["a", "b"]);
    }
    for node in [a, b, c] {
        for (maker, number) in [(b'a', 2), (b'a', 3), (b'b', 2), (b'b', 3), (b'c', 2), (b'c', 3)] {
            assert!(node.decrypts((maker, number)), "{maker} {number}");
        }
    }
}

#[test]
fn nonsense_about_ages_uses_up_no_keys() {
    let (mut a, mut b) = (node("a"), node("b"));
    connect(&mut a, &mut b);
    for tick in 0..60 * 50 {
        a.tick(Duration::from_millis(20 * tick), &["b"]);
        exchange(&mut a, &mut b);
        let newest = b.records.tickets(Kind::TicketKey).next_back().cloned();
        let names = newest.iter().flat_map(name_of);
        let held: Vec<u8> = [255; 4].into_iter().chain(names).collect();
        let own = Key::owned(Kind::TicketsHeld, &b.tickets.me, b"");
        b.records.put(own, Some(if tick % 3 == 0 { vec![1] } else { held })).unwrap();
        exchange(&mut a, &mut b);
    }
    // One in three seconds.
    assert!(a.made <= 20, "{}", a.made);
}

#[test]
fn a_key_with_a_last_number_does_not_stay() {
    for number in [LAST - 1, LAST, LAST + 1, u64::MAX] {
        let (mut a, mut b) = (node("a"), node("b"));
        connect(&mut a, &mut b);
        for seconds in 0..10 {
            second(&mut a, &mut b, Duration::from_secs(seconds));
        }
        let key = [&number.to_be_bytes()[..], b"zzz"].concat();
        let key = Key { kind: Kind::TicketKey, key };
        b.records.put(key.clone(), Some(vec![b'z'; TICKET_KEY])).unwrap();
        exchange(&mut a, &mut b);
        // Its node is gone.
        a.records.handle_disconnected(&name("b"));
        for seconds in 10..6 * 3600 {
            a.tick(Duration::from_secs(seconds), &[]);
        }
        assert!(a.records.value(&key).is_none(), "{number}");
        assert!(!a.decrypts((b'z', b'z')) && a.made >= 5, "{number}");
    }
}
