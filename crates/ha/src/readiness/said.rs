//! What the guard says of this node's addresses, in the words that it shares with the worker, which
//! passes it on to the partners (`weir ha status` shows it there).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use serde_json::{Value, json};

/// The words for a text: a sequence number that is odd during a change, the length, the bytes.
pub(super) const WORDS: usize = 1024;
const SEQUENCE: usize = 0;
const LENGTH: usize = 1;
const BYTES: usize = 2;

/// The longest text.
const LONGEST: usize = (WORDS - BYTES) * 8;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 256;

/// The most groups of addresses that are told.
const MOST_GROUPS: usize = 32;

/// The attempts to read a text that is being changed.
const TRIES: usize = 8;

/// What the guard has concluded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Why the node must not hold addresses.
    pub unfit: Option<String>,
    /// The groups of addresses, in the order of the block.
    pub groups: Vec<Holding>,
}

/// A group of addresses at a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Whether the node holds it.
    pub holds: bool,
    /// Since when, or for how long, in milliseconds: of the monotonic clock on the node itself, as
    /// an age for others.
    pub time: u64,
    /// Why that is so.
    pub why: String,
}

impl Said {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let groups = self.groups.iter().take(MOST_GROUPS).map(
            |group| json!({ "holds": group.holds, "time": group.time, "why": cut(&group.why) }),
        );
        json!({ "unfit": self.unfit.as_deref().map(cut), "groups": groups.collect::<Vec<_>>() })
    }

    /// From JSON of a partner, which may be anything. `None` if it is something else.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(cut);
        let groups = value["groups"].as_array()?.iter().take(MOST_GROUPS).map(|group| Holding {
            holds: group["holds"] == true,
            time: group["time"].as_u64().unwrap_or_default(),
            why: text(&group["why"]).unwrap_or_default(),
        });
        Some(Self { unfit: text(&value["unfit"]), groups: groups.collect() })
    }

    /// The same with ages in place of times.
    #[must_use]
    pub fn at(mut self, now: u64) -> Self {
        for group in &mut self.groups {
            group.time = now.saturating_sub(group.time);
        }
        self
    }

    /// Writes it down, unless it is there already. One process writes.
    pub(super) fn write(&self, words: &[AtomicU64]) {
        let text = self.to_json().to_string().into_bytes();
        if text.len() > LONGEST || bytes(words) == Some(text.clone()) {
            return;
        }
        let sequence = words[SEQUENCE].load(Relaxed) | 1;
        words[SEQUENCE].store(sequence, Relaxed);
        fence(Release);
        words[LENGTH].store(text.len() as u64, Relaxed);
        for (word, bytes) in words[BYTES..].iter().zip(text.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Relaxed);
        }
        words[SEQUENCE].store(sequence.wrapping_add(1), Release);
    }

    /// Reads it; `None` if nothing has been written, or a writer ended in the middle.
    pub(super) fn read(words: &[AtomicU64]) -> Option<Self> {
        Self::from_json(&serde_json::from_slice(&bytes(words)?).ok()?)
    }
}

fn bytes(words: &[AtomicU64]) -> Option<Vec<u8>> {
    for _ in 0..TRIES {
        let sequence = words[SEQUENCE].load(Acquire);
        let length = usize::try_from(words[LENGTH].load(Relaxed)).unwrap_or(0).min(LONGEST);
        let used = words[BYTES..].iter().take(length.div_ceil(8));
        let mut text: Vec<u8> = used.flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        text.truncate(length);
        fence(Acquire);
        if sequence.is_multiple_of(2) && words[SEQUENCE].load(Relaxed) == sequence {
            return (length > 0).then_some(text);
        }
        std::hint::spin_loop();
    }
    None
}

fn cut(text: &str) -> String {
    text.chars().filter(|shown| !shown.is_control()).take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<AtomicU64> {
        (0..WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn said(why: &str) -> Said {
        let group = Holding { holds: true, time: 1200, why: why.to_owned() };
        Said { unfit: Some("it rains".to_owned()), groups: vec![group, Holding::default()] }
    }

    #[test]
    fn what_is_said_is_read_by_others() {
        let words = words();
        assert_eq!(Said::read(&words), None);
        for why in ["no other node held them", "é", ""] {
            said(why).write(&words);
            assert_eq!(Said::read(&words), Some(said(why)));
        }
        let sequence = words[SEQUENCE].load(Relaxed);
        said("").write(&words);
        assert_eq!(words[SEQUENCE].load(Relaxed), sequence, "nothing has changed");
        assert_eq!(said("").at(1500).groups[0].time, 300);
    }

    #[test]
    fn a_change_that_was_cut_short_is_nothing_and_the_next_one_is_whole() {
        let words = words();
        said("one").write(&words);
        words[SEQUENCE].store(5, Relaxed);
        assert_eq!(Said::read(&words), None);
        said("two").write(&words);
        assert_eq!(Said::read(&words), Some(said("two")));
    }

    #[test]
    fn texts_and_groups_have_limits() {
        let long = Said {
            unfit: Some("x\n".repeat(1000)),
            groups: vec![Holding { why: "y".repeat(1000), ..Holding::default() }; 100],
        };
        let back = Said::from_json(&long.to_json()).unwrap();
        assert_eq!(back.unfit.unwrap().len(), LONGEST_REASON);
        assert_eq!(back.groups.len(), MOST_GROUPS);
        let words = words();
        long.write(&words);
        assert_eq!(Said::read(&words), None, "it has no room, and breaks nothing");
        assert_eq!(Said::from_json(&json!([1])), None);
        assert_eq!(Said::from_json(&json!({"groups": [1, {"holds": 1}]})).unwrap().groups.len(), 2);
    }
}
