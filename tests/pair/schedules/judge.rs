//! What must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::node::Node;
use super::*;

/// How long two nodes may hold the address beside a cut: as long as a takeover.
const TAKEOVER: Duration = LIMIT.saturating_add(ALLOWANCE);

/// The values that a pair may have in the end: of writes that saw each other the last one, of
/// others each.
#[derive(Debug)]
struct Pair {
    /// The values, `None` for a removed one.
    candidates: Vec<Option<String>>,
    /// A node has died that may have been the only one with a value.
    is_loose: bool,
}

impl Default for Pair {
    fn default() -> Self {
        Self { candidates: vec![None], is_loose: false }
    }
}

/// The pairs that were written.
#[derive(Debug, Default)]
pub(super) struct Pairs(BTreeMap<String, Pair>);

/// The pairs of a node.
pub(super) type Found = BTreeMap<String, String>;

/// The pairs that a node's API shows.
pub(super) fn pairs_of(node: &Node<'_>) -> Option<Found> {
    let (status, body) = node.ask("GET", "/api/9/http/keyvals/pairs", "")?;
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

impl Pairs {
    /// A node that saw `before` has written `after`.
    pub(super) fn write(&mut self, key: &str, before: Option<&str>, after: Option<String>) {
        let pair = self.0.entry(key.to_owned()).or_default();
        let is_before = |candidate: &Option<String>| candidate.as_deref() == before;
        // Of two removals, it is not known which one was seen.
        if pair.candidates.iter().filter(|candidate| is_before(candidate)).count() == 1 {
            pair.candidates.retain(|candidate| !is_before(candidate));
        }
        pair.candidates.push(after);
    }

    /// A node is about to die; the others have these pairs.
    pub(super) fn die(&mut self, others: &[Found]) {
        for (key, pair) in &mut self.0 {
            let is_elsewhere = |value: &Option<String>| {
                others.iter().any(|found| found.get(key) == value.as_ref())
            };
            pair.is_loose |= !pair.candidates.iter().all(is_elsewhere);
        }
    }

    /// All nodes have these pairs.
    pub(super) fn judge(&self, found: &Found) {
        for (key, pair) in &self.0 {
            let value = found.get(key);
            let is_candidate = pair.candidates.iter().any(|known| known.as_ref() == value);
            assert!(
                is_candidate || pair.is_loose,
                "the pair {key} is {value:?}, and may be {:?}",
                pair.candidates
            );
        }
    }
}

/// The counters of a worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    passed: u64,
    rejected: u64,
    requests: u64,
}

impl Counters {
    pub(super) fn of(node: &Node<'_>) -> Option<Self> {
        let read = |path: &str| -> Option<serde_json::Value> {
            let (status, body) = node.ask("GET", &format!("/api/9/http/{path}"), "")?;
            (status == 200).then(|| serde_json::from_str(&body).unwrap())
        };
        let (limit, requests) = (read("limit_reqs/rate")?, read("requests")?);
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        Some(Self {
            passed: number(&limit["passed"]),
            rejected: number(&limit["rejected"]),
            requests: number(&requests["total"]),
        })
    }

    /// The same worker's counters, after so many requests passed and were rejected.
    pub(super) fn judge(self, later: Self, passed: u64, rejected: u64) {
        let counted = (later.passed, later.rejected);
        assert_eq!(counted, (self.passed + passed, self.rejected + rejected), "limited requests");
        let least = self.requests + passed + rejected;
        assert!(later.requests > least, "{} requests after {least}", later.requests);
    }
}

/// Nodes held the address at once in the first times; they did not hear each other in the second.
pub(super) fn judge_holders(both: &[(Instant, Instant)], parted: &[(Instant, Instant)]) {
    for &(start, end) in both {
        let mut from = start;
        for &(cut, healed) in parted.iter().filter(|(_, healed)| *healed > start) {
            let alone = cut.min(end).saturating_duration_since(from);
            assert!(alone < TAKEOVER, "two nodes held the address for {alone:?} before a cut");
            from = from.max(healed);
        }
        let alone = end.saturating_duration_since(from);
        assert!(alone < TAKEOVER, "two nodes held the address for {alone:?} without a cut");
    }
}

/// Every acknowledged change is in force.
pub(super) fn judge_changes(acknowledged: &BTreeSet<u32>, in_force: &BTreeSet<u32>) {
    let lost: Vec<_> = acknowledged.difference(in_force).collect();
    assert!(lost.is_empty(), "acknowledged changes {lost:?} are lost: {in_force:?}");
}

/// Whether a judgement finds a fault.
fn finds_fault(judge: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    catch_unwind(judge).is_err()
}

#[test]
fn schedules_are_judged_by_cuts_and_writes() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let holders = |both: (u64, u64), cuts: &[(u64, u64)]| {
        let cuts: Vec<_> = cuts.iter().map(|&(from, to)| (at(from), at(to))).collect();
        let both = [(at(both.0), at(both.1))];
        finds_fault(move || judge_holders(&both, &cuts))
    };
    assert!(holders((10, 20), &[]), "no cut");
    assert!(holders((10, 20), &[(15, 16)]), "long before it");
    assert!(holders((10, 20), &[(9, 15)]), "long after it");
    assert!(holders((10, 20), &[(9, 12), (17, 21)]), "between two");
    assert!(!holders((10, 20), &[(9, 19)]), "until the adverts meet");
    assert!(!holders((10, 20), &[(9, 14), (15, 30)]), "in two");
    assert!(!holders((10, 11), &[]), "a takeover");

    let found = |value: &str| Found::from([("x".to_owned(), value.to_owned())]);
    let mut pairs = Pairs::default();
    pairs.write("x", None, Some("1".to_owned()));
    pairs.write("x", Some("1"), Some("2".to_owned()));
    // Apart from that one.
    pairs.write("x", Some("1"), Some("3".to_owned()));
    let is_wrong =
        |pairs: &Pairs, found: &Found| finds_fault(AssertUnwindSafe(|| pairs.judge(found)));
    assert!(is_wrong(&pairs, &found("1")) && is_wrong(&pairs, &Found::new()));
    assert!(!is_wrong(&pairs, &found("2")) && !is_wrong(&pairs, &found("3")));
    // Both are elsewhere but one.
    pairs.die(&[found("2")]);
    assert!(!is_wrong(&pairs, &found("1")));
    let (counted, same) = (Counters { passed: 5, rejected: 1, requests: 9 }, Counters::default());
    assert!(finds_fault(move || counted.judge(same, 0, 0)), "backwards");
    let acknowledged = BTreeSet::from([1, 2]);
    assert!(finds_fault(move || judge_changes(&acknowledged, &BTreeSet::from([1]))));
}
