use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn zone() -> Arc<str> {
    "zone".into()
}

const MOMENT: Duration = Duration::from_secs(10);

fn all(counters: &mut Counters, now: Duration) -> Vec<Message> {
    std::iter::from_fn(|| counters.poll_message(now, &name("b"))).collect()
}

fn connected() -> Counters {
    let mut counters = Counters::default();
    counters.handle_connected(name("b"));
    assert_eq!(all(&mut counters, MOMENT), [Message::Levels(true, Vec::new())]);
    counters
}

#[test]
fn amounts_add_up_in_an_interval() {
    let mut counters = connected();
    for _ in 0..3 {
        counters.count(&zone(), b"key", 2);
    }
    let amount = |amount| Amount { place: (zone(), b"key".to_vec()), amount };
    assert_eq!(all(&mut counters, MOMENT), [Message::Amounts(vec![amount(6)])]);
    counters.count(&zone(), b"key", 1);
    assert_eq!(all(&mut counters, MOMENT + Duration::from_millis(19)), []);
    let next = MOMENT + limits::COUNT_INTERVAL;
    assert_eq!(all(&mut counters, next), [Message::Amounts(vec![amount(1)])]);
    // A clock that jumps back.
    counters.count(&zone(), b"key", 1);
    assert_eq!(all(&mut counters, Duration::ZERO).len(), 1);
}

#[test]
fn levels_are_told_as_they_are_and_anew_on_a_new_connection() {
    let mut counters = connected();
    for level in [1, 2, 1] {
        counters.set_level(&zone(), b"key", level);
    }
    let level = |level| Level { place: (zone(), b"key".to_vec()), level };
    assert_eq!(all(&mut counters, MOMENT), [Message::Levels(false, vec![level(1)])]);
    counters.set_level(&zone(), b"key", 0);
    counters.set_level(&zone(), b"other", 0);
    let next = MOMENT + limits::COUNT_INTERVAL;
    assert_eq!(all(&mut counters, next), [Message::Levels(false, vec![level(0)])]);
    counters.set_level(&zone(), b"key", 5);
    let mut out = Effects::new();
    counters.handle_disconnected(&name("b"), &mut out);
    assert_eq!(out, [Effect::Gone(name("b"))]);
    counters.handle_connected(name("b"));
    let anew = [Message::Levels(true, Vec::new()), Message::Levels(false, vec![level(5)])];
    assert_eq!(all(&mut counters, MOMENT), anew);
}

#[test]
fn a_slow_node_costs_bounded_memory() {
    let mut counters = connected();
    for number in 0..200_000_u32 {
        counters.count(&zone(), &number.to_be_bytes(), 1);
        counters.set_level(&zone(), &number.to_be_bytes(), 1);
        counters.set_level(&zone(), &number.to_be_bytes(), 0);
    }
    assert_eq!(counters.untold(), 200_000 - limits::COUNTED as u64);
    assert!(counters.usage() <= limits::COUNTED + limits::LEVELS);
    counters.set_level(&zone(), b"last", 3);
    let mut told = Vec::new();
    for message in all(&mut counters, MOMENT + limits::COUNT_INTERVAL) {
        assert!(message.encode().len() <= limits::COUNTED_MESSAGE + 64);
        if let Message::Levels(anew, levels) = message {
            if anew {
                told.clear();
            }
            told.extend(levels);
        }
    }
    let last = told.iter().find(|level| level.place.1 == b"last");
    assert_eq!(last.map(|level| level.level), Some(3));
}
