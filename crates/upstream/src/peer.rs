//! Peers: single addresses that requests can go to.

use std::sync::{
    Arc, OnceLock,
    atomic::{
        AtomicI64, AtomicU64,
        Ordering::{Relaxed, Release, SeqCst},
    },
};

use md5::{Digest, Md5};
use weir_engine::Addr;
use weir_engine::clock::Micros;
use weir_engine::tls::counters::Ended;

use crate::{
    address_key::AddressKey,
    agent::said::Said,
    balance::{ewma::cost::Cost, ranking::moves::Moves},
    check::tally::CheckResults,
    clock::Now,
    counters::{Counters, Exchanged},
    downtime::Downtime,
    health::{Health, Source, Sources, Verdicts},
    outlier::conduct::Conduct,
    queue::Queue,
    report::{ReportConfig, Reported},
    retry::Causes,
    server::{Admission, Limits, Origin, ServerId},
    slow_start::ramp::Ramp,
};

/// The limit of active requests is what the agent says, or else `max_conns`.
const ASKED: u64 = u64::MAX;

/// An address with its parameters and state, shared by all threads. It is immutable: an edit
/// replaces it by another one with the same state.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address to connect to.
    pub address: Addr,
    /// Its key for kept connections.
    pub address_key: AddressKey,
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
    /// Its number among equal addresses of the configuration, from 0.
    pub(crate) twin: u32,
    /// The sources of health that its group heeds.
    pub(crate) heeded: Sources,
    /// `load_report` of its group.
    pub(crate) report: Option<Arc<ReportConfig>>,
    /// The limit of active requests: `max_conns`, 0 for none, or [`ASKED`].
    pub(crate) room: u64,
    /// Its counters, in a group with a `zone`.
    pub(crate) counters: Option<Counters>,
    /// The requests that wait for a peer of its group.
    pub(crate) queue: Option<Arc<Queue>>,
    /// Counts the active requests of its group, for methods that need it.
    pub(crate) active: Option<Arc<AtomicU64>>,
    /// Notes what its requests do, for methods that follow it.
    pub(crate) moves: Option<Arc<Moves>>,
    /// Counts changes of what the peers of its group can take.
    pub(crate) changes: Arc<AtomicU64>,
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
            twin: 0,
            heeded: Sources::default(),
            report: None,
            room: limits.max_conns,
            counters: None,
            queue: None,
            active: None,
            moves: None,
            changes: Arc::default(),
            state: Arc::new(PeerState::new(i64::from(limits.weight))),
            address_key: AddressKey::of(&address),
            address,
            name,
            limits,
        }
    }

    /// Makes changed parameters and terms of the group take effect.
    pub(crate) fn settle(&mut self) {
        let is_asked = self.heeded.has(Source::Agent);
        self.room = if is_asked { ASKED } else { self.limits.max_conns };
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

    /// Sets the verdict of a source. Requests respect it from their next choice on.
    pub fn set_health(&self, source: Source, health: Health, now: Now) {
        let before = self.health();
        self.state.verdicts.set(source, health);
        let after = self.health();
        self.state.downtime.set_ill(after != Health::Good, now.millis);
        self.tell_change();
        if after == Health::Good && before != Health::Good {
            self.state.cost.forget();
            self.recovers(now);
            self.call_waiting(now);
        }
    }

    /// Makes the verdicts of these sources pending, for a new peer.
    pub(crate) fn await_verdicts(&self, sources: Sources, now: Now) {
        self.state.verdicts.await_all(sources);
        if self.health() != Health::Good {
            self.state.downtime.set_ill(true, now.millis);
        }
    }

    /// The worst verdict of the sources that its group heeds, administrative ones apart.
    pub fn health(&self) -> Health {
        self.state.verdicts.worst(self.heeded.of_health())
    }

    /// Whether all of these sources find it good, and its agent lets it take unbound requests.
    pub(crate) fn is_healthy(&self) -> bool {
        self.state.verdicts.are_good(self.heeded)
    }

    /// The sum of the times in which it took no requests, because of its health or its failures,
    /// and the start of the current one. In milliseconds of [`Now`].
    pub fn downtime(&self, now: Now) -> (u64, Option<u64>) {
        // The group may heed other sources than at the last verdict.
        self.state.downtime.set_ill(self.health() != Health::Good, now.millis);
        self.state.downtime.read(now.millis)
    }

    /// Counts the result of an attempt. Returns whether an exemplar is asked for.
    #[inline]
    pub fn count(&self, exchanged: Exchanged) -> bool {
        self.counters.as_ref().is_some_and(|counters| counters.count(exchanged))
    }

    /// Keeps an attempt as an exemplar, by the id of its request and the microseconds to its last
    /// byte.
    pub fn keep_exemplar(&self, id: &str, took: Micros) {
        self.counters.iter().for_each(|counters| counters.keep_exemplar(id, took));
    }

    /// Counts a failed attempt; `retried` if another one follows. `stale` if it used a kept
    /// connection that turned out to be closed.
    pub fn count_failure(&self, cause: Causes, stale: bool, retried: bool) {
        if let Some(counters) = &self.counters {
            counters.count_failure(if stale { Causes::OFF } else { cause }, retried);
        }
    }

    /// Counts what a handshake with it has come to.
    pub fn count_handshake(&self, ended: Ended<'_>) {
        if let Some(counters) = &self.counters {
            counters.count_handshake(ended);
        }
    }

    /// Starts its counts over, but for those of current requests.
    pub(crate) fn reset_counts(&self, now: Now) {
        let PeerState { requests, failures, unavailable, checks, downtime, .. } = &*self.state;
        [requests, failures, unavailable].into_iter().for_each(|count| count.store(0, Relaxed));
        self.state.begin_step();
        checks.reset();
        downtime.reset(now.millis);
        if let Some(counters) = &self.counters {
            counters.reset();
        }
    }

    /// Its `route=`.
    pub(crate) fn own_route(&self) -> Option<&str> {
        (self.sid != default_sid(&self.name)).then_some(self.sid.as_str())
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

    /// The administrative state: that of the parameters, or a stricter one that its agent wants.
    pub(crate) fn admission(&self) -> Admission {
        let is_wanted =
            |source| self.heeded.has(source) && self.state.verdicts.of(source) != Health::Good;
        match self.limits.admission {
            Admission::Down => Admission::Down,
            _ if is_wanted(Source::AgentMaint) => Admission::Down,
            Admission::Draining => Admission::Draining,
            _ if is_wanted(Source::AgentDrain) || is_wanted(Source::AgentWeight) => {
                Admission::Draining
            }
            Admission::Open => Admission::Open,
        }
    }

    /// The limit of active requests in force: `max_conns`, or that of its agent. 0 is none.
    pub(crate) fn max_conns(&self) -> u64 {
        match self.room {
            ASKED => self.state.said.max_conns().unwrap_or(self.limits.max_conns),
            room => room,
        }
    }

    /// The number of its active requests.
    pub(crate) fn active(&self) -> u64 {
        self.state.conns.load(SeqCst)
    }

    /// Whether it has reached its limit of active requests.
    pub fn is_full(&self) -> bool {
        let is_reached = |max: u64| max != 0 && self.state.conns.load(SeqCst) >= max;
        self.room != 0 && is_reached(self.max_conns())
    }

    /// Reserves a place for one more request, unless all are taken. Exact over all threads and
    /// configurations.
    pub(crate) fn reserve(&self) -> bool {
        let (conns, max) = (&self.state.conns, self.max_conns());
        if max == 0 {
            conns.fetch_add(1, SeqCst);
        } else {
            let one_more = |taken| (taken < max).then_some(taken + 1);
            let Ok(before) = conns.fetch_update(SeqCst, SeqCst, one_more) else { return false };
            if before + 1 == max {
                self.tell_change();
            }
        }
        if let Some(active) = &self.active {
            active.fetch_add(1, Relaxed);
        }
        self.tell_move();
        true
    }

    /// Gives a reserved place back. [`call_waiting`](Self::call_waiting) is to follow.
    pub(crate) fn release(&self) {
        let before = self.state.conns.fetch_sub(1, SeqCst);
        if self.room != 0 && before == self.max_conns() {
            self.tell_change();
        }
        if let Some(active) = &self.active {
            active.fetch_sub(1, Relaxed);
        }
        self.tell_move();
    }

    /// Tells methods that follow it of a request that begins, is answered or ends.
    pub(crate) fn tell_move(&self) {
        if let Some(moves) = &self.moves {
            moves.add(self.serial());
        }
    }

    /// Tells the methods that keep account of peers that what this one can take has changed: its
    /// health, its failures, its effective weight, or whether it is full.
    pub(crate) fn tell_change(&self) {
        self.changes.fetch_add(1, Release);
    }

    /// Calls the first request in the queue, if this peer can take one.
    pub(crate) fn call_waiting(&self, now: Now) {
        if let Some(queue) = &self.queue
            && queue.is_waited_in()
            && self.is_available(now)
        {
            queue.call();
        }
    }

    /// Whether it can take a request that is bound to it.
    pub(crate) fn takes_bound(&self, now: Now) -> bool {
        self.limits.admission != Admission::Down
            && self.state.verdicts.are_good(self.heeded.for_bound_requests())
            && !self.is_failed(now)
            && !self.is_full()
    }

    /// Whether it can take an unbound request.
    pub fn is_available(&self, now: Now) -> bool {
        self.limits.admission == Admission::Open
            && self.is_healthy()
            && !self.is_failed(now)
            && !self.is_full()
    }
}

/// The shared state of a peer, which any thread may read. Methods that take turns change what is
/// theirs in their turn.
#[derive(Debug)]
pub struct PeerState {
    pub(crate) serial: u64,
    pub(crate) verdicts: Verdicts,
    pub(crate) checks: CheckResults,
    /// Made on first use: few groups eject.
    pub(crate) outlier: OnceLock<Box<Conduct>>,
    /// The words of its agent.
    pub(crate) said: Said,
    /// Its load reports.
    pub(crate) reported: Reported,
    pub(crate) downtime: Downtime,
    /// The start of its `slow_start` in milliseconds; 0 if there was none.
    pub(crate) recovered: AtomicU64,
    /// The progress of a `slow_start=auto`.
    pub(crate) ramp: Ramp,
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
    /// Its cost for `ewma`.
    pub(crate) cost: Cost,
    /// The number of all requests it was chosen for.
    pub requests: AtomicU64,
    /// The number of all failures.
    pub failures: AtomicU64,
    /// The number of all responses that told of a failure.
    pub(crate) errors: AtomicU64,
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
            verdicts: Verdicts::default(),
            checks: CheckResults::default(),
            outlier: OnceLock::new(),
            said: Said::default(),
            reported: Reported::default(),
            downtime: Downtime::default(),
            recovered: AtomicU64::new(0),
            ramp: Ramp::default(),
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
            cost: Cost::default(),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            selected: AtomicI64::new(0),
        }
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
    let new = if old == 0 { sample } else { mean(sample, old) };
    into.store(new, Relaxed);
}

/// Times stay far below the numbers that overflow.
fn mean(sample: u64, old: u64) -> u64 {
    sample.wrapping_add(old.wrapping_mul(19)).wrapping_add(10) / 20
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
        // Each rounds to the nearest, 94.5 to 95.
        for (sample, expected) in [(0, 100), (0, 95), (95, 95), (85, 95), (84, 94)] {
            average(&average_of, sample);
            assert_eq!(average_of.load(Relaxed), expected);
        }
    }
}
