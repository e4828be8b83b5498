//! Peers: single addresses that requests can go to.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use md5::{Digest, Md5};
use weir_engine::Addr;

use crate::{
    clock::Now,
    counters::{Counters, Exchanged},
    health::{AtomicHealth, Health},
    server::{Admission, Limits, Origin, ServerId},
};

/// An address with its parameters and state, shared by all threads. It is immutable: an edit
/// replaces it by another one with the same state.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address to connect to.
    pub address: Addr,
    /// The printable address, as in `$upstream_addr`: `127.0.0.1:8080`, `unix:/path`.
    pub name: String,
    /// The address as written in the `server` directive.
    pub server: String,
    /// Its id for `sticky`: its `route=`, or the MD5 of its name in hex.
    pub sid: String,
    /// The parameters of its `server`.
    pub limits: Limits,
    /// Its number in the group.
    pub id: ServerId,
    /// Its origin.
    pub origin: Origin,
    /// Its counters, in a group with a `zone`.
    pub(crate) counters: Option<Counters>,
    /// The state, which outlives edits and reloads.
    pub state: Arc<PeerState>,
}

impl Peer {
    /// A peer with new state.
    pub fn new(address: Addr, server: &str, limits: Limits, route: Option<&str>) -> Self {
        let name = address.to_string();
        Self {
            sid: route.map_or_else(|| default_sid(&name), str::to_owned),
            server: server.to_owned(),
            id: ServerId::default(),
            origin: Origin::default(),
            counters: None,
            state: Arc::new(PeerState::new(i64::from(limits.weight))),
            address,
            name,
            limits,
        }
    }

    /// Takes over the state of the same peer from before a reload or an edit.
    pub(crate) fn inherit(&mut self, earlier: &Self) {
        self.state = Arc::clone(&earlier.state);
        if let (Some(own), Some(known)) = (&mut self.counters, &earlier.counters) {
            own.clone_from(known);
        }
        if self.limits.weight != earlier.limits.weight {
            self.state.effective_weight.store(self.weight(), Relaxed);
            self.state.current_weight.store(0, Relaxed);
        }
    }

    /// Sets the result of probes. Requests respect it from their next choice on.
    pub fn set_health(&self, health: Health, now: Now) {
        let before = self.state.health.swap(health);
        if health == Health::Good && before != Health::Good {
            self.recovers(now);
        }
    }

    /// Counts the result of an attempt.
    pub fn count(&self, exchanged: Exchanged) {
        if let Some(counters) = &self.counters {
            counters.count(exchanged);
        }
    }

    /// The number of its state, unique in the process.
    pub(crate) fn serial(&self) -> u64 {
        self.state.serial
    }

    pub(crate) fn weight(&self) -> i64 {
        i64::from(self.limits.weight)
    }

    /// Whether it has too many recent failures.
    pub fn is_failed(&self, now: Now) -> bool {
        let state = &self.state;
        self.limits.max_fails != 0
            && state.fails.load(Relaxed) >= self.limits.max_fails
            && now.seconds - state.checked.load(Relaxed) <= self.limits.fail_timeout
    }

    /// Whether it has reached `max_conns`.
    pub fn is_full(&self) -> bool {
        self.limits.max_conns != 0 && self.state.conns.load(Relaxed) >= self.limits.max_conns
    }

    /// Whether probes, failures and `max_conns` allow a request.
    pub(crate) fn is_well(&self, now: Now) -> bool {
        self.state.health.is_good() && !self.is_failed(now) && !self.is_full()
    }

    /// Whether it can take an unbound request.
    pub fn is_available(&self, now: Now) -> bool {
        self.limits.admission == Admission::Open && self.is_well(now)
    }
}

/// The shared state of a peer. Balancing changes it under the group's lock; any thread may read it.
#[derive(Debug)]
pub struct PeerState {
    pub(crate) serial: u64,
    health: AtomicHealth,
    /// The start of its `slow_start` in milliseconds; 0 if there was none.
    pub(crate) recovered: AtomicU64,
    /// The balance of smooth round robin: gains in every turn, and pays when chosen.
    pub(crate) current_weight: AtomicI64,
    /// The gain per turn: the weight, less what failures took from it.
    pub(crate) effective_weight: AtomicI64,
    /// The number of active requests.
    pub conns: AtomicU64,
    /// Failures since it was last found working.
    pub fails: AtomicU64,
    /// The time of the last failure in seconds.
    pub accessed: AtomicI64,
    /// The start of the current `fail_timeout` in seconds.
    pub checked: AtomicI64,
    /// Moving average of the time to the header, in milliseconds.
    pub header_time: AtomicU64,
    /// Moving average of the time to the last byte, in milliseconds.
    pub response_time: AtomicU64,
    /// Moving average of the time to connect, in milliseconds.
    pub connect_time: AtomicU64,
    /// Moving average of the age of unfinished requests, in milliseconds.
    pub(crate) inflight_time: AtomicU64,
    /// The sum of the ages of unfinished requests at `inflight_changed`, in milliseconds.
    pub(crate) inflight_last: AtomicU64,
    /// The time of the last change of `inflight_last`, in milliseconds.
    pub(crate) inflight_changed: AtomicU64,
    /// The number of unfinished requests.
    pub(crate) inflight: AtomicU64,
    /// The number of all requests it was chosen for.
    pub requests: AtomicU64,
    /// The number of all failures.
    pub failures: AtomicU64,
    /// How often failures made it unavailable.
    pub unavailable: AtomicU64,
    /// The time of its last choice in seconds.
    pub selected: AtomicI64,
}

impl PeerState {
    fn new(weight: i64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            serial: NEXT.fetch_add(1, Relaxed),
            health: AtomicHealth::default(),
            recovered: AtomicU64::new(0),
            current_weight: AtomicI64::new(0),
            effective_weight: AtomicI64::new(weight),
            conns: AtomicU64::new(0),
            fails: AtomicU64::new(0),
            accessed: AtomicI64::new(0),
            checked: AtomicI64::new(0),
            header_time: AtomicU64::new(0),
            response_time: AtomicU64::new(0),
            connect_time: AtomicU64::new(0),
            inflight_time: AtomicU64::new(0),
            inflight_last: AtomicU64::new(0),
            inflight_changed: AtomicU64::new(0),
            inflight: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            selected: AtomicI64::new(0),
        }
    }

    /// The result of probes.
    pub fn health(&self) -> Health {
        self.health.load()
    }
}

/// The default id for `sticky`, without `route=`.
pub(crate) fn default_sid(name: &str) -> String {
    hex_md5(name.as_bytes())
}

/// Adds a sample to a moving average, with a weight of a twentieth; the first sample is taken as it
/// is, and fractions round to nearest.
pub(crate) fn average(into: &AtomicU64, sample: u64) {
    let old = into.load(Relaxed);
    if old == sample {
        return;
    }
    let new =
        if old == 0 { sample } else { (0.5 + sample as f64 * 0.05 + old as f64 * 0.95) as u64 };
    into.store(new, Relaxed);
}

/// The MD5 of bytes as 32 lower-case hex digits.
pub(crate) fn hex_md5(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(bytes) {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sid_is_the_md5_of_the_name_unless_a_route_is_given() {
        let address = Addr::Inet("127.0.0.1:8081".parse().unwrap());
        let peer = Peer::new(address.clone(), "localhost:8081", Limits::default(), None);
        assert_eq!(peer.name, "127.0.0.1:8081");
        assert_eq!(peer.sid, "df2b80dc43705d28db9be6f29fe58da3");
        let peer = Peer::new(address, "localhost:8081", Limits::default(), Some("a"));
        assert_eq!(peer.sid, "a");
    }

    #[test]
    fn averages_take_the_first_sample_whole() {
        let average_of = AtomicU64::new(0);
        average(&average_of, 100);
        assert_eq!(average_of.load(Relaxed), 100);
        average(&average_of, 200);
        assert_eq!(average_of.load(Relaxed), 105);
    }
}
