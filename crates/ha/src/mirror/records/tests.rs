use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(text: &str) -> Key {
    Key { kind: Kind::Keyval, key: text.into() }
}

fn connect(a: &mut Records, b: &mut Records) {
    a.handle_connected(b.me.clone());
    b.handle_connected(a.me.clone());
}

/// Exchanges messages until there are none, and returns their number and size.
fn exchange(a: &mut Records, b: &mut Records, out: &mut Effects) -> (usize, usize) {
    let (mut count, mut size) = (0, 0);
    loop {
        let before = count;
        for turn in [true, false] {
            let (one, other) = if turn { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
            while let Some(message) = one.poll_message(&other.me) {
                let bytes = message.encode();
                (count, size) = (count + 1, size + bytes.len());
                assert!(bytes.len() <= limits::MESSAGE);
                other.handle_message(&one.me, Message::decode(&bytes).unwrap(), out);
            }
        }
        if count == before {
            return (count, size);
        }
    }
}

fn two() -> (Records, Records, Effects) {
    (Records::new(name("a")), Records::new(name("b")), Effects::new())
}

fn live(records: &Records) -> BTreeMap<Key, Vec<u8>> {
    records.all().map(|(key, value)| (key.clone(), value.to_vec())).collect()
}

#[test]
fn many_equal_records_cost_a_reconnection_a_kilobyte() {
    let (mut a, mut b, mut out) = two();
    for number in 0..100_000 {
        a.put(key(&number.to_string()), Some(vec![b'v'; 40])).unwrap();
    }
    connect(&mut a, &mut b);
    let (_, all) = exchange(&mut a, &mut b, &mut out);
    assert!(all > 100_000 * 40);
    assert_eq!(live(&a), live(&b));
    connect(&mut a, &mut b);
    let (messages, size) = exchange(&mut a, &mut b, &mut out);
    assert_eq!(messages, 2);
    assert!(size < 1100, "{size}");
    // Ten changes that were missed.
    a.handle_disconnected(&name("b"));
    for number in 0..10 {
        a.put(key(&number.to_string()), Some(b"new".to_vec())).unwrap();
    }
    connect(&mut a, &mut b);
    let (_, size) = exchange(&mut a, &mut b, &mut out);
    assert!(size < 80_000, "{size}");
    assert_eq!(live(&a), live(&b));
    assert!(a.is_consistent() && b.is_consistent());
}

#[test]
fn the_last_writer_wins_on_both() {
    let (mut a, mut b, mut out) = two();
    a.put(key("x"), Some(b"a".to_vec())).unwrap();
    b.put(key("x"), Some(b"b".to_vec())).unwrap();
    b.put(key("y"), Some(b"b".to_vec())).unwrap();
    connect(&mut a, &mut b);
    exchange(&mut a, &mut b, &mut out);
    // Equal clocks: the later name.
    assert_eq!(a.value(&key("x")), Some(&b"b"[..]));
    a.put(key("x"), Some(b"again".to_vec())).unwrap();
    a.put(key("y"), None).unwrap();
    exchange(&mut a, &mut b, &mut out);
    assert_eq!(live(&b), BTreeMap::from([(key("x"), b"again".to_vec())]));
    assert_eq!(live(&a), live(&b));
}

#[test]
fn a_removal_reaches_a_node_that_was_away() {
    let (mut a, mut b, mut out) = two();
    a.put(key("x"), Some(b"1".to_vec())).unwrap();
    connect(&mut a, &mut b);
    exchange(&mut a, &mut b, &mut out);
    a.handle_disconnected(&name("b"));
    a.put(key("x"), None).unwrap();
    connect(&mut a, &mut b);
    out.clear();
    exchange(&mut a, &mut b, &mut out);
    assert_eq!(b.value(&key("x")), None);
    assert_eq!(out, [Effect::Record { key: key("x"), value: None }]);
}

#[test]
fn a_slow_node_gets_what_it_lacks_by_digests() {
    let (mut a, mut b, mut out) = two();
    connect(&mut a, &mut b);
    exchange(&mut a, &mut b, &mut out);
    for number in 0..limits::CHANGES * 3 {
        a.put(key(&number.to_string()), Some(b"v".to_vec())).unwrap();
        assert!(a.usage().2 <= limits::CHANGES);
    }
    exchange(&mut a, &mut b, &mut out);
    assert_eq!(live(&b).len(), limits::CHANGES * 3);
}

#[test]
fn tombstones_have_a_limit() {
    let (mut a, ..) = two();
    for number in 0..limits::TOMBSTONES + 100 {
        a.put(key(&number.to_string()), Some(b"v".to_vec())).unwrap();
        a.put(key(&number.to_string()), None).unwrap();
    }
    assert_eq!(a.tombstones.len(), limits::TOMBSTONES);
    a.clock += 2 * limits::TOMBSTONE_AGE;
    a.put(key("other"), Some(b"v".to_vec())).unwrap();
    assert!(a.tombstones.is_empty() && a.is_consistent());
}

#[test]
fn only_the_owner_writes_its_records() {
    let (mut a, mut b, mut out) = two();
    let health = Key::owned(Kind::Health, &name("a"), b"group");
    a.put(health.clone(), Some(b"up".to_vec())).unwrap();
    connect(&mut a, &mut b);
    exchange(&mut a, &mut b, &mut out);
    // The owner starts again, knows nothing, and says something else.
    let mut again = Records::new(name("a"));
    again.put(health.clone(), Some(b"down".to_vec())).unwrap();
    connect(&mut again, &mut b);
    exchange(&mut again, &mut b, &mut out);
    assert_eq!((again.value(&health), b.value(&health)), (Some(&b"down"[..]), Some(&b"down"[..])));
    // What the owner no longer knows is gone.
    let mut again = Records::new(name("a"));
    connect(&mut again, &mut b);
    exchange(&mut again, &mut b, &mut out);
    assert_eq!((again.value(&health), b.value(&health)), (None, None));
    // Nobody else can write it.
    let stamp = Stamp { clock: 99, node: name("b") };
    let forged = Message::Records(vec![Record { key: health, stamp, value: None }]);
    assert!(Message::decode(&forged.encode()).is_err());
}

#[test]
fn sizes_and_clocks_have_limits() {
    let (mut a, _, mut out) = two();
    let long = vec![0; limits::VALUE + 1];
    assert_eq!(a.put(key("x"), Some(long)), Err(PutError::TooLong));
    let large = vec![0; limits::VALUE];
    let most = limits::RECORD_BYTES as usize / limits::VALUE - 1;
    for number in 0..most {
        a.put(key(&number.to_string()), Some(large.clone())).unwrap();
    }
    a.put(key("last"), Some(large.clone())).unwrap_err();
    // A change of a known record fits, and a smaller one.
    a.put(key("0"), Some(vec![1; limits::VALUE])).unwrap();
    a.put(key("last"), Some(vec![1; 1000])).unwrap();
    // Records of others have the same limit, and are named once.
    a.handle_connected(name("b"));
    let record = |clock, text: &str| Record {
        key: key(text),
        stamp: Stamp { clock, node: name("b") },
        value: Some(large.clone()),
    };
    for text in ["y", "z"] {
        a.handle_message(&name("b"), Message::Records(vec![record(9, text)]), &mut out);
    }
    assert_eq!((a.left_out, out.len()), (2, 1));
    // A clock at its end would end all changes.
    let far = Message::Records(vec![record(u64::MAX, "0")]);
    a.handle_message(&name("b"), far, &mut out);
    assert!(a.clock < 1000);
}

/// Clocks that a hostile partner drives to their end stop nothing.
#[test]
fn a_clock_at_its_end_still_takes_changes() {
    let (mut a, _, mut out) = two();
    a.handle_connected(name("b"));
    a.clock = u64::MAX - 1;
    for number in 0..3 {
        a.put(key("x"), Some(vec![number])).unwrap();
    }
    let stamp = Stamp { clock: u64::MAX, node: name("b") };
    let record = Record { key: key("x"), stamp, value: Some(b"b".to_vec()) };
    a.handle_message(&name("b"), Message::Records(vec![record]), &mut out);
    assert_eq!(a.value(&key("x")), Some(&b"b"[..]));
    a.put(key("y"), None).unwrap();
    a.put(key("x"), None).unwrap();
    assert_eq!(a.value(&key("x")), None);
}
