//! `limit_req` (<https://nginx.org/en/docs/http/ngx_http_limit_req_module.html>).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Inherit, Node, Slot, Word, directives};
use weir_edge::value::LimitLevel;
use weir_edge::zone::{Contents, Live, Memory, Tally, Zone, room};
use weir_engine::clock;
use weir_engine::error_log::{Level, process_log};
use weir_engine::stats::{Family, Key};
use weir_upstream::shared_zone::SharedZone;

use crate::core::value::{ErrorStatus, StatusBetween};
use crate::errors::Cause;
use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::request::{Request, State};
use crate::variables::VariableRow;

mod shared;
mod table;

use shared::Shared;
use table::{Counted, Table};

pub(crate) const MODULE: Module = Module {
    name: "limit_req",
    tables: &[&LimitReq::table(&LIMIT_REQ)],
    variables: &[VariableRow::new(
        "limit_req_status",
        "What `limit_req` did: `PASSED`, `DELAYED`, `REJECTED`, `DELAYED_DRY_RUN` or \
         `REJECTED_DRY_RUN`.",
        status_variable,
    )],
    handlers: &[PhaseHandler {
        phase: Phase::PreAccess,
        enabled: |settings| !settings.get(&LIMIT_REQ).limits.is_empty(),
        handler: Handler::Async(handle),
    }],
    prepare: Some(|whole| ZONES.bind(whole.registries)),
    ..Module::NONE
};

static LIMIT_REQ: Slot<LimitReq> = Slot::new();
static ZONES: Live<Requests> = Live::empty();
static OUTCOME: State<Option<LimitReqStatus>> = State::new(|| None);

directives! {
    /// Limits on the request rate.
    pub(crate) struct LimitReq as LimitReqWritten in [http, server, location] {
        /// Defines a shared memory zone: the key of its buckets, its size and the rate.
        "limit_req_zone" in [http] [3, 4]: "key zone=name:size rate=rate [sync]" => define_zone,
        /// Limits the request rate by a zone. Excess requests are delayed, up to `burst` of them.
        "limit_req" [1, 2, 3]: "zone=name [burst=number] [nodelay | delay=number]" => add_limit,
        /// The log level of refused requests; delayed ones are logged one level lower.
        "limit_req_log_level" => log_level: LimitLevel = LimitLevel::Error,
        /// The response status of refused requests.
        "limit_req_status" => status: ErrorStatus = StatusBetween(503),
        /// Logs excess requests, but neither refuses nor delays them.
        "limit_req_dry_run" => dry_run: bool,
        field limits: Inherit<Vec<Limit>>,
    }
}

/// The longest key, in bytes. Requests with a longer one are not counted.
const LONGEST_KEY: usize = 65_535;

/// The buckets of a zone, for all threads.
struct Requests {
    table: Mutex<Table>,
    /// What other nodes are told, for zones with `sync`.
    shared: Shared,
    /// The memory for nodes, in bytes.
    size: u64,
    /// By [`LimitReqStatus`].
    outcomes: Key,
}

/// The outcomes of zones.
static OUTCOMES: Family = Family::new(5);

impl Contents for Requests {
    const USAGE: &'static str = "limit_req";

    fn new(size: u64) -> Self {
        let (table, shared) = (Mutex::new(Table::new(size)), Shared::default());
        Self { table, shared, size: room(size), outcomes: OUTCOMES.own() }
    }

    fn shared(self: Arc<Self>, rate: u64, burst: u64) -> Arc<dyn SharedZone> {
        self.shared.set_bounds(rate, burst);
        self
    }
}

impl Tally for Requests {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        const NAMES: [&str; 5] =
            ["passed", "delayed", "rejected", "delayed_dry_run", "rejected_dry_run"];
        NAMES.into_iter().zip(self.outcomes.read()).collect()
    }

    fn reset(&self) {
        self.outcomes.reset(0..5);
    }

    fn memory(&self) -> Memory {
        Memory { size: self.size, used: self.size - self.lock().room() }
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A `limit_req` of a location, in thousandths of a request.
#[derive(Clone)]
struct Limit {
    zone: Arc<Zone<Requests>>,
    burst: u64,
    delay: u64,
}

/// The value of `$limit_req_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LimitReqStatus {
    Passed,
    Delayed,
    Rejected,
    DelayedDryRun,
    RejectedDryRun,
}

/// An invalid rate. The hint for `10/s` adds the missing `r`.
fn bad_rate(word: &Word, value: &[u8]) -> Fault {
    let fault = Fault::new(format!("invalid rate \"{}\"", word.shown())).at(word);
    let text = String::from_utf8_lossy(value);
    match text.split_once('/') {
        Some((number, unit @ ("s" | "m"))) if parse_number(number.as_bytes()).is_some() => {
            fault.hint(format!("write \"rate={number}r/{unit}\""))
        }
        _ => fault.hint("a rate is written as 10r/s or 30r/m"),
    }
}

fn define_zone(_: &mut LimitReqWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    Zone::<Requests>::define(node, cx, 3, |word| match word.after("rate=") {
        Some(value) => parse_rate(value).ok_or_else(|| bad_rate(word, value)),
        None => Err(Fault::parameter(word)),
    })
}

/// Parses `5r/s` or `30r/m` as thousandths of a request per second.
fn parse_rate(value: &[u8]) -> Option<u64> {
    let (number, scale) = match value.strip_suffix(b"r/m") {
        Some(number) => (number, 60),
        None => (value.strip_suffix(b"r/s").unwrap_or(value), 1),
    };
    let rate = parse_number(number).filter(|&rate| rate > 0)?;
    Some(rate.saturating_mul(1000) / scale)
}

fn add_limit(own: &mut LimitReqWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let (mut zone, mut burst, mut delay) = (None, 0, 0);
    for word in &node.args {
        if let Some(name) = word.after("zone=") {
            zone = Some(Zone::<Requests>::refer(name, cx)?);
        } else if let Some(value) = word.after("burst=") {
            burst = positive(value, "burst", word)?;
        } else if let Some(value) = word.after("delay=") {
            delay = positive(value, "delay", word)?;
        } else if word.is("nodelay") {
            delay = i64::MAX as u64 / 1000;
        } else {
            return Err(Fault::parameter(word));
        }
    }
    let missing = || format!("\"{}\" must have \"zone\" parameter", node.text());
    let zone = zone.ok_or_else(missing)?;
    let limits = own.limits.get_or_insert_default();
    if limits.iter().any(|limit| Arc::ptr_eq(&limit.zone, &zone)) {
        return Err(Fault::duplicate());
    }
    let (burst, delay) = (burst.saturating_mul(1000), delay.saturating_mul(1000));
    zone.note_burst(burst);
    limits.push(Limit { zone, burst, delay });
    Ok(())
}

fn positive(value: &[u8], what: &str, word: &Word) -> Result<u64, Fault> {
    parse_number(value)
        .filter(|&number| number > 0)
        .ok_or_else(|| Fault::new(format!("invalid {what} value \"{}\"", word.shown())).at(word))
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if request.with_main(&OUTCOME, |outcome| outcome.is_some()) {
            return Verdict::Next;
        }
        let location = request.location.clone();
        let own = location.settings.get(&LIMIT_REQ);
        let Some(decision) = decide(request, &own.limits) else { return Verdict::Next };
        let outcome = tell(request, own, &decision);
        decision.count(outcome);
        request.with_main(&OUTCOME, |place| *place = Some(outcome));
        match (outcome, decision) {
            (LimitReqStatus::Rejected, _) => {
                request.blame(Cause::LimitReq);
                Verdict::Status(own.status.0)
            }
            (LimitReqStatus::Delayed, Decision::Pass { delay, .. }) => {
                match request.pause(Duration::from_millis(delay), "limit_req").await {
                    Ok(()) => Verdict::Next,
                    Err(crate::request::pause::Gone) => Verdict::Abort,
                }
            }
            _ => Verdict::Next,
        }
    })
}

/// The decision of all limits together, and the limit that made it.
enum Decision<'l> {
    /// The request passes, after a delay in milliseconds.
    Pass { delay: u64, excess: u64, by: &'l Limit },
    /// The request exceeds `burst`.
    Refuse { excess: u64, by: &'l Limit },
    /// A zone has no memory for the key.
    Full { by: &'l Limit },
}

impl Decision<'_> {
    /// Counts the outcome at the limit that made it.
    fn count(&self, outcome: LimitReqStatus) {
        let (Self::Pass { by, .. } | Self::Refuse { by, .. } | Self::Full { by }) = self;
        by.count(outcome);
    }
}

/// Logs a decision in nginx's words.
fn tell(request: &Request, own: &LimitReq, decision: &Decision<'_>) -> LimitReqStatus {
    let dry = if own.dry_run { ", dry run" } else { "" };
    let shown = |excess: u64| format!("{}.{:03}", excess / 1000, excess % 1000);
    match decision {
        Decision::Pass { delay: 0, .. } => return LimitReqStatus::Passed,
        Decision::Pass { excess, by, .. } => {
            let (excess, zone) = (shown(*excess), &by.zone.name);
            let message = format!("delaying request{dry}, excess: {excess}, by zone \"{zone}\"");
            request.log(own.log_level.one_less(), &message);
            return if own.dry_run {
                LimitReqStatus::DelayedDryRun
            } else {
                LimitReqStatus::Delayed
            };
        }
        Decision::Refuse { excess, by } => {
            let (excess, zone) = (shown(*excess), &by.zone.name);
            let message = format!("limiting requests{dry}, excess: {excess} by zone \"{zone}\"");
            request.log(own.log_level.level(), &message);
        }
        Decision::Full { .. } => {}
    }
    if own.dry_run { LimitReqStatus::RejectedDryRun } else { LimitReqStatus::Rejected }
}

/// A limit that admits the request. Its bucket is charged when all limits admit it.
struct Agreed<'l> {
    limit: &'l Limit,
    key: Vec<u8>,
}

/// Checks the limits in order. None when no limit has a key for the request.
fn decide<'l>(request: &mut Request, limits: &'l [Limit]) -> Option<Decision<'l>> {
    let mut agreed: Vec<Agreed<'l>> = Vec::new();
    let mut counted = None;
    for (place, limit) in limits.iter().enumerate() {
        let (Some(definition), Some(zone)) = (limit.zone.definition(), limit.zone.contents())
        else {
            continue;
        };
        let Some(key) = definition.key_of(request, LONGEST_KEY) else { continue };
        let last = place + 1 == limits.len();
        let now = clock::now().millis();
        let found = zone.lock().count(&key, now, definition.rate, limit.burst, last);
        match found {
            Counted::Later => agreed.push(Agreed { limit, key }),
            Counted::Now(excess) => {
                if definition.sync {
                    zone.shared.note(&key);
                }
                counted = Some((excess, limit));
            }
            Counted::Refused(excess) => {
                give_up(&agreed);
                return Some(Decision::Refuse { excess, by: limit });
            }
            Counted::Full => {
                give_up(&agreed);
                let name = &limit.zone.name;
                let message = format!("could not allocate node in limit_req zone \"{name}\"");
                process_log().log(Level::Alert, 0, &message);
                return Some(Decision::Full { by: limit });
            }
        }
    }
    settle(&agreed, counted)
}

fn give_up(agreed: &[Agreed<'_>]) {
    for Agreed { limit, key } in agreed {
        if let Some(zone) = limit.zone.contents() {
            zone.lock().give_up(key);
        }
    }
}

/// Charges the buckets of all limits; the longest delay counts.
fn settle<'l>(agreed: &[Agreed<'l>], counted: Option<(u64, &'l Limit)>) -> Option<Decision<'l>> {
    let (mut excess, mut by) = match (counted, agreed.last()) {
        (Some((excess, limit)), _) => (excess, limit),
        (None, Some(last)) => (0, last.limit),
        (None, None) => return None,
    };
    let mut delay = by.delay_of(excess);
    for Agreed { limit, key } in agreed.iter().rev() {
        let (Some(definition), Some(zone)) = (limit.zone.definition(), limit.zone.contents())
        else {
            continue;
        };
        let found = zone.lock().settle(key, clock::now().millis(), definition.rate);
        if definition.sync {
            zone.shared.note(key);
        }
        let wanted = limit.delay_of(found);
        if wanted > delay {
            (delay, excess, by) = (wanted, found, *limit);
        }
    }
    let others = agreed.iter().map(|agreed| agreed.limit).chain(counted.map(|(_, limit)| limit));
    for limit in others.filter(|limit| !std::ptr::eq(*limit, by)) {
        limit.count(LimitReqStatus::Passed);
    }
    Some(Decision::Pass { delay, excess, by })
}

impl Limit {
    fn count(&self, outcome: LimitReqStatus) {
        if let Some(zone) = self.zone.contents() {
            zone.outcomes.add([(outcome as usize, 1)]);
        }
    }

    /// The delay for an excess, in milliseconds.
    fn delay_of(&self, excess: u64) -> u64 {
        let rate = self.zone.definition().map_or(1, |definition| definition.rate.max(1));
        excess.saturating_sub(self.delay) * 1000 / rate
    }
}

fn status_variable(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(outcome) = request.with_main(&OUTCOME, |outcome| *outcome) else { return false };
    out.extend_from_slice(match outcome {
        LimitReqStatus::Passed => b"PASSED",
        LimitReqStatus::Delayed => b"DELAYED",
        LimitReqStatus::Rejected => b"REJECTED",
        LimitReqStatus::DelayedDryRun => b"DELAYED_DRY_RUN",
        LimitReqStatus::RejectedDryRun => b"REJECTED_DRY_RUN",
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(parse_rate(b"5r/s"), Some(5000));
        assert_eq!(parse_rate(b"30r/m"), Some(500));
        assert_eq!(parse_rate(b"1r/m"), Some(16));
        assert_eq!(parse_rate(b"7"), Some(7000));
        for bad in ["", "0r/s", "r/s", "1r/h", "-1r/s", "1.5r/s"] {
            assert_eq!(parse_rate(bad.as_bytes()), None, "{bad}");
        }
    }
}
