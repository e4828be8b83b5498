//! `ssl_ocsp_cache`: the status of clients' certificates, kept for all threads and over reloads.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use weir_conf::{Arity, Cx, Fault, Node, Value};
use weir_engine::tls::ocsp::{CertStatus, OcspKey, StatusAnswer};

use crate::tls::values::{SMALLEST_ZONE, shared_zone};

/// The memory for an entry: the key twice, status, time and the overhead of both collections.
const ENTRY: u64 = 256;

/// The time in seconds for which an answer without an end is kept.
const WITHOUT_END: i64 = 3600;

/// `ssl_ocsp_cache`.
#[derive(Clone, Debug, Default)]
pub struct OcspCache(pub Option<Arc<OcspZone>>);

/// A cache of answers; all servers that name it share it.
#[derive(Debug)]
pub struct OcspZone {
    size: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<OcspKey, Entry>,
    /// In order of insertion; a key occurs once.
    order: VecDeque<OcspKey>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    status: CertStatus,
    /// In seconds since 1970.
    until: i64,
}

impl OcspZone {
    fn new(size: u64) -> Self {
        Self { size, kept: Mutex::default() }
    }

    /// The zone of this name and size, which may be of an earlier configuration.
    fn named(name: &str, size: u64) -> Arc<Self> {
        static ZONES: LazyLock<Mutex<HashMap<String, Weak<OcspZone>>>> =
            LazyLock::new(Mutex::default);
        let mut zones = ZONES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = zones.get(name).and_then(Weak::upgrade)
            && known.size == size
        {
            return known;
        }
        let zone = Arc::new(Self::new(size));
        zones.retain(|_, zone| zone.strong_count() > 0);
        zones.insert(name.to_owned(), Arc::downgrade(&zone));
        zone
    }

    /// The status that is kept for a key and holds at `now`, in seconds since 1970.
    pub(super) fn find(&self, key: &OcspKey, now: i64) -> Option<CertStatus> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.answers.get(key).filter(|entry| entry.until > now).map(|entry| entry.status)
    }

    /// Keeps an answer; the oldest one gives way if there is no room.
    pub(super) fn keep(&self, key: &OcspKey, answer: StatusAnswer, now: i64) {
        let until = answer.until.unwrap_or(now + WITHOUT_END);
        if until < now {
            return;
        }
        let entry = Entry { status: answer.status, until };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.answers.insert(*key, entry).is_some() {
            return;
        }
        kept.order.push_back(*key);
        while kept.order.len() as u64 > self.size / ENTRY {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.answers.remove(&oldest);
        }
    }
}

/// The sizes of the zones of one configuration, by name.
#[derive(Default)]
struct Sizes(HashMap<String, u64>);

impl Value for OcspCache {
    const SYNTAX: &'static str = "off | shared:name:size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let text = word.text();
        if text == "off" {
            return Ok(Self(None));
        }
        let invalid = || Fault::new(format!("invalid OCSP cache \"{text}\"")).at(word);
        let (name, size) = shared_zone(&text).ok_or_else(invalid)?;
        if size < SMALLEST_ZONE {
            return Err(Fault::new(format!("OCSP cache \"{text}\" is too small")).at(word));
        }
        let known = *cx.registry::<Sizes>().0.entry(name.to_owned()).or_insert(size);
        if known != size {
            return Err(Fault::new(format!(
                "the size {size} of shared memory zone \"{name}\" conflicts with already declared \
                 size {known}"
            )));
        }
        Ok(Self(Some(OcspZone::named(name, size))))
    }

    fn show(&self) -> Option<String> {
        self.0.is_none().then(|| "off".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> OcspKey {
        let mut key = [0; 60];
        key[0] = number;
        key
    }

    fn answer(until: Option<i64>) -> StatusAnswer {
        StatusAnswer { status: CertStatus::Good, until }
    }

    #[test]
    fn an_answer_is_kept_until_the_next() {
        let zone = OcspZone::new(1 << 20);
        zone.keep(&key(1), answer(Some(100)), 50);
        assert_eq!(zone.find(&key(1), 99), Some(CertStatus::Good));
        assert_eq!(zone.find(&key(1), 100), None);
        assert_eq!(zone.find(&key(2), 99), None);
        zone.keep(&key(2), answer(None), 50);
        assert_eq!(zone.find(&key(2), 50 + WITHOUT_END - 1), Some(CertStatus::Good));
        assert_eq!(zone.find(&key(2), 50 + WITHOUT_END), None);
        zone.keep(&key(3), answer(Some(49)), 50);
        assert_eq!(zone.find(&key(3), 40), None);
        let revoked = StatusAnswer { status: CertStatus::Revoked, until: Some(200) };
        zone.keep(&key(1), revoked, 100);
        assert_eq!(zone.find(&key(1), 150), Some(CertStatus::Revoked));
    }

    #[test]
    fn the_oldest_answer_gives_way() {
        let zone = OcspZone::new(4 * ENTRY);
        for number in 0..6 {
            zone.keep(&key(number), answer(None), 0);
        }
        let found: Vec<_> = (0..6).filter(|&at| zone.find(&key(at), 0).is_some()).collect();
        assert_eq!(found, [2, 3, 4, 5]);
        assert_eq!(zone.kept.lock().unwrap().answers.len(), 4);
    }
}
