use super::*;

const NOW: Duration = Duration::from_secs(100);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

struct Node {
    mirror: Mirror,
    /// The reason for which it refuses sets, and cannot apply them.
    refuses: Option<&'static str>,
    fails: Option<&'static str>,
    answers: Vec<Outcome>,
    aside: Vec<Version>,
    told: Vec<String>,
    disk: Option<(Vec<u8>, Arc<[u8]>)>,
    checks: usize,
}

fn node(text: &str) -> Node {
    let members = [name("a"), name("b")];
    Node {
        mirror: Mirror::new(name(text), members, None, None),
        refuses: None,
        fails: None,
        answers: Vec::new(),
        aside: Vec::new(),
        told: Vec::new(),
        disk: None,
        checks: 0,
    }
}

fn proposed(number: u8, size: usize) -> Proposed {
    Proposed { digest: [number; 32], signature: vec![1], bytes: vec![number; size].into() }
}

impl Node {
    fn obey(&mut self, now: Duration) {
        while let Some(effect) = self.mirror.poll_effect() {
            match effect {
                Effect::Check { set, .. } => {
                    self.checks += 1;
                    let result = self.refuses.map_or(Ok(()), |reason| Err(reason.to_owned()));
                    self.mirror.handle_checked(now, &set.version, result);
                }
                Effect::Apply { set, state } => {
                    let result = self.fails.map_or(Ok(()), |reason| Err(reason.to_owned()));
                    if result.is_ok() {
                        self.disk = Some((state, set.bytes));
                    }
                    self.mirror.handle_applied(now, &set.version, result);
                }
                Effect::Store { serial, state } => {
                    let bytes = self.disk.take().unwrap().1;
                    self.disk = Some((state, bytes));
                    self.mirror.handle_stored(now, serial);
                }
                Effect::Answer(_, outcome) => self.answers.push(outcome),
                Effect::KeepAside { loser, .. } => self.aside.push(loser.version),
                Effect::Log(_, text) => self.told.push(text),
                _ => {}
            }
        }
    }

    fn propose(&mut self, number: u8, size: usize) {
        self.mirror.propose(NOW, u64::from(number), proposed(number, size));
        self.obey(NOW);
    }

    fn version(&self) -> Option<(u64, u8)> {
        let version = &self.mirror.standing()?.version;
        Some((version.counter, version.digest[0]))
    }

    fn tick(&mut self, now: Duration) {
        self.mirror.handle_tick(now);
        self.obey(now);
    }
}

fn connect(a: &mut Node, b: &mut Node, now: Duration) {
    a.mirror.handle_connected(now, &name("b"), 1);
    b.mirror.handle_connected(now, &name("a"), 1);
}

fn part(a: &mut Node, b: &mut Node) {
    a.mirror.handle_disconnected(NOW, &name("b"));
    b.mirror.handle_disconnected(NOW, &name("a"));
    a.obey(NOW);
    b.obey(NOW);
}

fn exchange(a: &mut Node, b: &mut Node, now: Duration) {
    loop {
        let mut is_quiet = true;
        for turn in [false, true] {
            let (one, other) = if turn { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
            let (from, to) = (one.mirror.me.clone(), other.mirror.me.clone());
            while let Some(message) = one.mirror.poll_message(now, &to, Class::Config) {
                is_quiet = false;
                other.mirror.handle_message(now, &from, &message);
                other.obey(now);
            }
        }
        if is_quiet {
            return;
        }
    }
}

fn pair() -> (Node, Node) {
    let (mut a, mut b) = (node("a"), node("b"));
    connect(&mut a, &mut b, NOW);
    exchange(&mut a, &mut b, NOW);
    (a, b)
}

/// Both nodes have dialled, and one of the two connections is given up.
#[test]
fn a_change_outlives_the_replacement_of_a_connection() {
    let (mut a, mut b) = pair();
    a.propose(1, 10);
    connect(&mut a, &mut b, NOW);
    assert!(a.answers.is_empty(), "b was never away: {:?}", a.answers);
    exchange(&mut a, &mut b, NOW);
    assert!(matches!(a.answers.as_slice(), [Outcome::Acknowledged(_)]), "{:?}", a.answers);
    assert_eq!((a.version(), b.version()), (Some((1, 1)), Some((1, 1))));
    // While the other one fetches it, and while it is confirmed.
    b.propose(2, 3 * limits::PIECE);
    let message = b.mirror.poll_message(NOW, &name("a"), Class::Config).unwrap();
    a.mirror.handle_message(NOW, &name("b"), &message);
    connect(&mut a, &mut b, NOW);
    b.obey(NOW);
    assert!(b.answers.is_empty(), "{:?}", b.answers);
    exchange(&mut a, &mut b, NOW);
    assert!(matches!(b.answers.as_slice(), [Outcome::Acknowledged(_)]), "{:?}", b.answers);
}

#[test]
fn a_change_is_acknowledged_when_both_have_it() {
    let (mut a, mut b) = pair();
    a.propose(1, 3 * limits::PIECE + 5);
    assert!(a.answers.is_empty() && a.version().is_none());
    exchange(&mut a, &mut b, NOW);
    assert_eq!((a.version(), b.version()), (Some((1, 1)), Some((1, 1))));
    assert_eq!(a.answers.len(), 1);
    assert_eq!(a.answers[0].to_string(), "version 1 of a is in force on all nodes");
    assert_eq!(b.disk.as_ref().unwrap().1.len(), 3 * limits::PIECE + 5);
    assert_eq!(b.mirror.view().sealed, a.mirror.view().version);
    // An empty set is a set.
    b.propose(2, 0);
    exchange(&mut a, &mut b, NOW);
    assert_eq!((a.version(), b.version()), (Some((2, 2)), Some((2, 2))));
}

/// A node's next process, with what is durable.
fn restarted(old: &Node, text: &str) -> Node {
    let restored = old.disk.clone().map(|(state, set)| (Durable::decode(&state).unwrap(), set));
    let mirror = Mirror::new(name(text), [name("a"), name("b")], restored, None);
    Node { mirror, disk: old.disk.clone(), ..node(text) }
}

#[test]
fn the_next_process_answers_for_what_it_finds_in_force() {
    let (mut a, mut b) = pair();
    a.propose(1, 10);
    exchange(&mut a, &mut b, NOW);
    part(&mut a, &mut b);
    a.propose(2, 10);
    let version = a.mirror.standing().unwrap().version.clone();
    let mut next = restarted(&a, "a");
    next.mirror.resume(NOW, 7, version.clone());
    next.tick(NOW);
    assert_eq!(next.answers, [], "the other node has some time to connect");
    connect(&mut next, &mut b, NOW);
    exchange(&mut next, &mut b, NOW);
    assert_eq!(next.answers, [Outcome::Acknowledged(version.clone())]);
    // One that does not connect is away after all.
    let mut alone = restarted(&a, "a");
    alone.mirror.resume(NOW, 8, version.clone());
    alone.tick(NOW + limits::CONNECT - Duration::from_millis(1));
    assert_eq!(alone.answers, []);
    alone.tick(NOW + limits::CONNECT);
    let missing = vec![(name("b"), Missing::Away)];
    assert_eq!(alone.answers, [Outcome::Applied(version, missing)]);
}

#[test]
fn a_refusal_keeps_it_from_all() {
    let (mut a, mut b) = pair();
    b.refuses = Some("no such file");
    a.propose(1, 10);
    exchange(&mut a, &mut b, NOW);
    assert_eq!(a.answers, [Outcome::Refused(name("b"), "no such file".to_owned())]);
    assert_eq!((a.version(), b.version()), (None, None));
    b.refuses = None;
    a.propose(2, 10);
    exchange(&mut a, &mut b, NOW);
    assert_eq!((a.version(), b.version()), (Some((2, 2)), Some((2, 2))));
}

#[test]
fn of_two_at_once_one_goes_on() {
    let (mut a, mut b) = pair();
    a.propose(1, 10);
    b.propose(2, 10);
    exchange(&mut a, &mut b, NOW);
    assert_eq!(a.answers, [Outcome::Concurrent(name("b"))]);
    assert!(matches!(b.answers[..], [Outcome::Acknowledged(_)]));
    assert_eq!((a.version(), b.version()), (Some((1, 2)), Some((1, 2))));
}

#[test]
fn a_node_that_was_away_catches_up_and_the_loser_is_kept_aside() {
    let (mut a, mut b) = pair();
    part(&mut a, &mut b);
    a.propose(1, 10);
    let away = Outcome::Applied(
        a.mirror.standing().unwrap().version.clone(),
        vec![(name("b"), Missing::Away)],
    );
    assert_eq!(a.answers, [away]);
    b.propose(2, 10);
    b.propose(3, 10);
    connect(&mut a, &mut b, NOW);
    exchange(&mut a, &mut b, NOW);
    assert_eq!((a.version(), b.version()), (Some((2, 3)), Some((2, 3))));
    assert_eq!((a.aside.len(), b.aside.len()), (1, 0));
    assert!(a.told.iter().any(|line| line.contains("kept aside")));
}

#[test]
fn a_node_restored_from_a_backup_does_not_undo_an_acknowledged_change() {
    let (mut a, mut b) = pair();
    a.propose(1, 10);
    exchange(&mut a, &mut b, NOW);
    let backup = a.disk.clone();
    a.propose(2, 10);
    exchange(&mut a, &mut b, NOW);
    part(&mut a, &mut b);
    let (state, bytes) = backup.unwrap();
    let restored = Some((Durable::decode(&state).unwrap(), bytes));
    a.mirror = Mirror::new(name("a"), [name("a"), name("b")], restored, None);
    assert_eq!(a.version(), Some((1, 1)));
    for number in 3..9 {
        a.propose(number, 10);
    }
    assert_eq!(a.version(), Some((7, 8)));
    connect(&mut a, &mut b, NOW);
    exchange(&mut a, &mut b, NOW);
    assert_eq!((a.version(), b.version()), (Some((2, 2)), Some((2, 2))));
    assert_eq!(a.aside.len(), 1);
    // The next change has a number that nobody has used.
    b.propose(9, 10);
    exchange(&mut a, &mut b, NOW);
    assert_eq!((a.version(), b.version()), (Some((8, 9)), Some((8, 9))));
}

#[test]
fn a_node_that_cannot_apply_says_so_and_tries_again() {
    let (mut a, mut b) = pair();
    b.fails = Some("bind() failed");
    a.propose(1, 10);
    exchange(&mut a, &mut b, NOW);
    let [Outcome::Applied(_, missing)] = &a.answers[..] else { panic!("{:?}", a.answers) };
    assert_eq!(missing[..], [(name("b"), Missing::Failed("bind() failed".to_owned()))]);
    let later = NOW + limits::RETRY[0];
    b.tick(later - Duration::from_millis(1));
    exchange(&mut a, &mut b, NOW);
    assert_eq!(b.version(), None);
    b.fails = None;
    b.tick(later);
    exchange(&mut a, &mut b, later);
    assert_eq!(b.version(), Some((1, 1)));
    assert_eq!(b.mirror.view().trouble, None);
}

#[test]
fn a_hanging_partner_costs_a_proposer_a_limited_time() {
    let (mut a, mut b) = pair();
    a.propose(1, 10);
    a.tick(NOW + limits::CHECK);
    assert!(a.answers.is_empty());
    a.tick(NOW + limits::CHECK + Duration::from_millis(1));
    assert_eq!(a.answers, [Outcome::Unanswered(name("b"))]);
    // A partner that goes away during the check.
    a.propose(2, 10);
    part(&mut a, &mut b);
    assert_eq!(a.answers[1..], [Outcome::WentAway(name("b"))]);
    assert_eq!(a.version(), None);
}

#[test]
fn a_flood_ends_the_connection() {
    let (mut a, mut b) = pair();
    b.propose(1, 10);
    exchange(&mut a, &mut b, NOW);
    // The same proposal again and again, which is stale, and no answer is taken.
    let message = |mirror: &mut Mirror| mirror.poll_message(NOW, &name("a"), Class::Config);
    b.mirror.propose(NOW, 2, proposed(2, 10));
    let propose = message(&mut b.mirror).unwrap();
    let mut old = b.mirror.standing().unwrap().clone();
    (old.version.counter, old.sealed) = (0, None);
    let stale = Message::Propose(old, SetInfo { size: 1, signature: Vec::new() }).encode();
    for _ in 0..=limits::ANSWERS {
        a.mirror.handle_message(NOW, &name("b"), &stale);
        assert!(a.mirror.usage().answers <= limits::ANSWERS + 1);
    }
    a.obey(NOW);
    assert!(a.told.iter().any(|line| line == "node b: it sends more than it may"));
    assert!(!a.mirror.view().nodes[0].is_connected);
    // Nothing is heard of it until it is connected again.
    a.mirror.handle_message(NOW, &name("b"), &propose);
    a.obey(NOW);
    assert_eq!(a.checks, 1);
}

/// A set that nobody waits for any more is checked to its end before another one.
#[test]
fn checks_do_not_pile_up() {
    let (mut a, mut b) = pair();
    let mut running = Vec::new();
    for number in 0..20 {
        a.mirror.propose(NOW, u64::from(number), proposed(number, 10));
        for _ in 0..8 {
            for turn in [true, false] {
                let (one, other) = if turn { (&mut a, &mut b) } else { (&mut b, &mut a) };
                let (from, to) = (one.mirror.me.clone(), other.mirror.me.clone());
                while let Some(message) = one.mirror.poll_message(NOW, &to, Class::Config) {
                    other.mirror.handle_message(NOW, &from, &message);
                }
            }
        }
        while let Some(effect) = b.mirror.poll_effect() {
            if let Effect::Check { set, .. } = effect {
                running.push(set.version);
            }
        }
        a.mirror.handle_tick(NOW + limits::CHECK * 2);
    }
    assert_eq!(running.len(), 1);
}

#[test]
fn strangers_and_other_versions_are_not_heard() {
    let mut a = node("a");
    a.mirror.handle_connected(NOW, &name("c"), 1);
    a.mirror.handle_connected(NOW, &name("b"), 2);
    a.mirror.handle_connected(NOW, &name("a"), 1);
    a.obey(NOW);
    assert_eq!(
        a.told,
        [
            "node c: the ha block has no such node",
            "node b: it speaks version 2 of the mirror, and this node version 1; run the same \
             release on both",
            "node a: the ha block has no such node",
        ]
    );
    assert!(a.mirror.poll_message(NOW, &name("b"), Class::Config).is_none());
    a.mirror.handle_connected(NOW, &name("b"), 1);
    a.mirror.handle_message(NOW, &name("b"), b"\x02\x01");
    a.obey(NOW);
    assert_eq!(a.told[3], "node b: it sent a malformed message: it has another version");
}

#[test]
fn nodes_that_a_configuration_removes_are_disconnected() {
    let (mut a, _) = pair();
    a.mirror.set_members(NOW, []);
    a.obey(NOW);
    assert_eq!(a.told, ["node b: the ha block has no such node"]);
    // A single node needs nobody.
    a.propose(1, 10);
    assert!(matches!(a.answers[..], [Outcome::Acknowledged(_)]), "{:?}", a.answers);
}

#[test]
fn a_durable_state_with_a_flipped_bit_is_refused() {
    let (mut a, mut b) = pair();
    a.propose(1, 10);
    exchange(&mut a, &mut b, NOW);
    let (state, _) = a.disk.unwrap();
    assert_eq!(Durable::decode(&state).unwrap().version().counter, 1);
    for at in 0..state.len() * 8 {
        let mut bytes = state.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(Durable::decode(&bytes).is_err());
    }
    assert!(Durable::decode(&state[..state.len() - 1]).is_err());
}

#[test]
fn a_counter_that_leaves_no_room_is_refused() {
    let (mut a, mut b) = pair();
    a.propose(1, 10);
    exchange(&mut a, &mut b, NOW);
    let mut far = b.mirror.standing().unwrap().clone();
    far.version.counter = u64::MAX;
    far.version.proposer = name("b");
    let info = SetInfo { size: 1, signature: Vec::new() };
    let status = message::Status { set: Some((far.clone(), info.clone())), trouble: None };
    a.mirror.handle_message(NOW, &name("b"), &Message::Status(status).encode());
    a.obey(NOW);
    let last = a.told.last().unwrap();
    assert_eq!(last, "node b: it sent a malformed version: its counter is too far ahead");
    // A proposal that another node would have made.
    a.mirror.handle_connected(NOW, &name("b"), 1);
    far.version = Version { counter: 9, proposer: name("a"), digest: [9; 32] };
    a.mirror.handle_message(NOW, &name("b"), &Message::Propose(far, info).encode());
    a.obey(NOW);
    assert_eq!(
        a.told.last().unwrap(),
        "node b: it sent a malformed proposal: it is another node's"
    );
    a.propose(3, 10);
    assert_eq!(a.version(), Some((2, 3)));
}

/// Statuses again and again fill neither the log nor memory.
#[test]
fn repeated_statuses_are_no_news() {
    let (mut a, mut b) = pair();
    part(&mut a, &mut b);
    b.propose(1, 10);
    a.propose(2, 10);
    a.propose(3, 10);
    connect(&mut a, &mut b, NOW);
    let status = b.mirror.poll_message(NOW, &name("a"), Class::Config).unwrap();
    let told = a.told.len();
    for _ in 0..1000 {
        a.mirror.handle_message(NOW, &name("b"), &status);
        a.obey(NOW);
    }
    assert_eq!(a.told.len(), told + 1);
}
