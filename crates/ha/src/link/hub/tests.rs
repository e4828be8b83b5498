use std::task::{Context, Poll, Waker};

use super::*;
use crate::link::hello::VERSIONS;

fn hello(name: &str, instance: u64) -> Hello {
    Hello {
        versions: VERSIONS,
        weir: "1".to_owned(),
        name: name.to_owned(),
        pair: [1; 16],
        instance,
        block: [0; 32],
    }
}

fn next(hub: &Hub) -> Option<Event> {
    match hub.poll_event(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}

fn connected() -> Option<Event> {
    Some(Event::Connected { node: "b".to_owned(), version: 1 })
}

fn disconnected() -> Option<Event> {
    Some(Event::Disconnected { node: "b".to_owned() })
}

#[test]
fn the_mirror_learns_of_links_and_messages() {
    let hub = Hub::default();
    assert_eq!(hub.admit("a", &hello("b", 1), 1, Dialler::Own), None, "b is no partner");
    hub.add("b");
    let sent = hub.send("b", Class::State, b"early".to_vec());
    assert_eq!(sent, Err(SendError::NotConnected));
    let (first, _) = hub.admit("a", &hello("b", 1), 1, Dialler::Partner).unwrap();
    // Whoever asks first learns of the links that are up.
    assert_eq!(next(&hub), connected());
    hub.send("b", Class::State, b"lost".to_vec()).unwrap();
    let (second, true) = hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap() else { panic!() };
    assert!(!hub.is_current("b", first) && hub.is_current("b", second));
    assert_eq!((next(&hub), next(&hub)), (connected(), None));
    let mut frames = Vec::new();
    let cx = Context::from_waker(Waker::noop());
    assert!(!hub.next_frame("b", &cx, &mut frames), "what waited for the old link is not sent");
    assert_eq!(hub.admit("a", &hello("b", 1), 1, Dialler::Partner), None, "the own one is kept");
    hub.end("b", first, "the old one", false);
    hub.received("b", Class::Counters, b"1".to_vec());
    let (node, class, message) = ("b".to_owned(), Class::Counters, b"1".to_vec());
    assert_eq!(next(&hub), Some(Event::Received { node, class, message }));
    hub.end("b", second, "the end", false);
    assert_eq!((next(&hub), next(&hub)), (disconnected(), None));
    assert_eq!(hub.shown()[0].1.reason, "the end");
    hub.admit("a", &hello("b", 2), 1, Dialler::Partner).unwrap();
    hub.remove("b");
    assert_eq!((next(&hub), next(&hub), next(&hub)), (connected(), disconnected(), None));
    hub.remove("b");
}

#[test]
fn a_mirror_that_takes_nothing_stops_the_links() {
    let hub = Hub::default();
    hub.add("b");
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..2 * MOST_EVENTS {
        hub.received("b", Class::State, vec![0; 100_000]);
    }
    assert!(hub.poll_room(&mut cx).is_ready(), "without a mirror nothing is kept");
    assert_eq!(next(&hub), None);
    let mut taken = 0;
    while hub.poll_room(&mut cx).is_ready() {
        hub.received("b", Class::State, vec![0; 100_000]);
        taken += 100_000;
    }
    assert!((MOST_EVENT_BYTES..MOST_EVENT_BYTES + 100_000).contains(&taken));
    assert!(next(&hub).is_some());
    assert!(hub.poll_room(&mut cx).is_ready());
}

#[test]
fn a_failure_is_news_once() {
    let hub = Hub::default();
    hub.add("b");
    assert!(hub.note_failure("b", "refused") && !hub.note_failure("b", "refused"));
    assert!(hub.note_failure("b", "no route"));
    assert!(!hub.note_failure("c", "refused"), "no partner");
    let (number, _) = hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap();
    assert!(!hub.note_failure("b", "refused"), "there is a link");
    hub.end("b", number, "gone", false);
    assert!(hub.note_failure("b", "refused"));
}

#[test]
fn a_process_that_has_yielded_does_not_dial() {
    let hub = Hub::default();
    hub.add("b");
    let is_down = || {
        let mut down = std::pin::pin!(hub.down("b"));
        Future::poll(down.as_mut(), &mut Context::from_waker(Waker::noop())).is_ready()
    };
    assert!(is_down());
    let (number, _) = hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap();
    assert!(!is_down());
    hub.end("b", number, "newer", true);
    assert!(!is_down(), "the newer process has the link");
    let (number, _) = hub.admit("a", &hello("b", 1), 1, Dialler::Partner).unwrap();
    hub.end("b", number, "gone", false);
    assert!(is_down(), "the partner has come back to this process");
}

#[test]
fn an_end_is_said_once_for_each_time_that_a_link_was_said_to_be_up() {
    let hub = Hub::default();
    hub.add("b");
    assert!(!hub.must_tell_down("b"), "nothing was said");
    let (first, false) = hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap() else { panic!() };
    assert!(!hub.must_tell_down("b"), "it is up");
    // The partner gives the first up for the second.
    hub.end("b", first, "another link has taken its place", false);
    let (second, true) = hub.admit("a", &hello("b", 1), 1, Dialler::Partner).unwrap() else {
        panic!()
    };
    hub.end("b", second, "the end", false);
    assert!(hub.must_tell_down("b") && !hub.must_tell_down("b"));
    let (third, false) = hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap() else { panic!() };
    // The partner gives it up for one that does not come.
    hub.end("b", third, "another link has taken its place", false);
    assert!(hub.remove("b"), "the node leaves meanwhile");
    assert!(!hub.remove("b") && !hub.must_tell_down("b") && !hub.knows("b"));
    hub.add("b");
    let (fourth, false) = hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap() else {
        panic!()
    };
    hub.end("b", fourth, "another link has taken its place", false);
    assert!(hub.must_tell_down("b"), "dialling fails");
    assert!(!hub.remove("b"));
}

#[test]
fn another_mirror_learns_of_the_links_that_are_up() {
    let hub = Hub::default();
    hub.add("b");
    hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap();
    assert_eq!((next(&hub), next(&hub)), (connected(), None));
    hub.received("b", Class::State, b"for the one before".to_vec());
    hub.begin_events();
    assert_eq!((next(&hub), next(&hub)), (connected(), None));
}

#[test]
fn what_comes_before_the_mirror_is_for_the_mirror() {
    let hub = Hub::default();
    hub.add("b");
    let message =
        || Event::Received { node: "b".into(), class: Class::Config, message: b"1".to_vec() };
    hub.admit("a", &hello("b", 1), 1, Dialler::Partner).unwrap();
    hub.received("b", Class::Config, b"of a link that is replaced".to_vec());
    hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap();
    hub.received("b", Class::Config, b"1".to_vec());
    hub.begin_events();
    assert_eq!(
        (next(&hub), next(&hub), next(&hub)),
        (connected(), Some(message()), None),
        "the link goes on"
    );
}

#[test]
fn a_link_that_says_much_before_the_mirror_begins_anew_with_it() {
    let hub = Hub::default();
    hub.add("b");
    let large = vec![0; MOST_EARLY_BYTES / 2 + 1];
    for (count, message) in [(MOST_EARLY + 1, &b"1"[..]), (2, &large)] {
        hub.admit("a", &hello("b", 1), 1, Dialler::Own).unwrap();
        for _ in 0..count + 1 {
            hub.received("b", Class::State, message.to_vec());
        }
        assert!(hub.0.events.borrow().waiting.is_empty() && hub.shown()[0].1.up);
        hub.begin_events();
        assert!(!hub.shown()[0].1.up);
    }
    assert_eq!((next(&hub), hub.0.events.borrow().bytes), (None, 0));
}
