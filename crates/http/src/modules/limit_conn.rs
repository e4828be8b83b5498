//! `limit_conn` (<https://nginx.org/en/docs/http/ngx_http_limit_conn_module.html>).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};

use crate::core::value::{ErrorStatus, LimitLevel};
use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::{Request, State};
use crate::variables::VariableRow;
use crate::zone::{Contents, Live, Zone, node_size, room};

pub(crate) const MODULE: Module = Module {
    name: "limit_conn",
    tables: &[&LimitConn::table(&LIMIT_CONN)],
    variables: &[VariableRow::new("limit_conn_status", status_variable)],
    handlers: &[PhaseHandler {
        phase: Phase::PreAccess,
        enabled: |settings| !settings.get(&LIMIT_CONN).limits.is_empty(),
        handler: Handler::Sync(handle),
    }],
    prepare: Some(|whole| ZONES.bind(whole.registries)),
    ..Module::NONE
};

static LIMIT_CONN: Slot<LimitConn> = Slot::new();
static ZONES: Live<Connections> = Live::empty();
static COUNTED: State<Standing> = State::new(Standing::default);

directives! {
    /// Limits on concurrent connections.
    pub(crate) struct LimitConn as LimitConnWritten in [http, server, location] {
        /// Defines a shared memory zone: the key of its counters and its size.
        "limit_conn_zone" in [http] [2]: "key zone=name:size" => define_zone,
        /// The maximum number of concurrent connections for one key of a zone.
        "limit_conn" [2]: "zone number" => add_limit,
        /// The log level of refused connections.
        "limit_conn_log_level" => log_level: LimitLevel = LimitLevel::Error,
        /// The response status of refused connections.
        "limit_conn_status" => status: ErrorStatus = ErrorStatus(503),
        /// Logs excess connections, but does not refuse them.
        "limit_conn_dry_run" => dry_run: bool,
        field limits: Inherit<Vec<Limit>>,
    }
}

/// The longest key, in bytes. Requests with a longer one are not counted.
const LONGEST_KEY: usize = 255;

/// The size of nginx's node without the key, in bytes.
const NODE_HEAD: usize = 36;

/// The connection counts by key, for all threads.
struct Connections(Mutex<Counts>);

struct Counts {
    by_key: HashMap<Arc<[u8]>, u64>,
    /// The memory left for nodes, in bytes.
    room: u64,
}

impl Contents for Connections {
    const USAGE: &'static str = "limit_conn";

    fn new(size: u64) -> Self {
        Self(Mutex::new(Counts { by_key: HashMap::new(), room: room(size) }))
    }
}

/// Why a connection is refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// The key has reached its limit.
    TooMany,
    /// The zone has no memory for another key.
    Full,
}

impl Connections {
    fn take(self: &Arc<Self>, key: &[u8], most: u64) -> Result<Held, Refusal> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts.by_key.get_key_value(key).map(|(key, &count)| (Arc::clone(key), count));
        let (key, count) = match known {
            Some((_, count)) if count >= most => return Err(Refusal::TooMany),
            Some(known) => known,
            None => {
                let need = node_size(NODE_HEAD + key.len());
                counts.room = counts.room.checked_sub(need).ok_or(Refusal::Full)?;
                (key.into(), 0)
            }
        };
        counts.by_key.insert(Arc::clone(&key), count + 1);
        Ok(Held { zone: Arc::clone(self), key })
    }

    fn give_back(&self, key: &[u8]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = counts.by_key.get_mut(key) else { return };
        *count -= 1;
        if *count == 0 {
            counts.by_key.remove(key);
            counts.room += node_size(NODE_HEAD + key.len());
        }
    }
}

/// A counted connection; dropping it decrements the count.
struct Held {
    zone: Arc<Connections>,
    key: Arc<[u8]>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.zone.give_back(&self.key);
    }
}

/// A `limit_conn` of a location.
#[derive(Clone)]
struct Limit {
    zone: Arc<Zone<Connections>>,
    most: u64,
}

/// The request's counted connections and result, kept until it ends.
#[derive(Default)]
struct Standing {
    outcome: Option<Outcome>,
    held: Vec<Held>,
}

/// The value of `$limit_conn_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Rejected,
    RejectedDryRun,
}

fn define_zone(_: &mut LimitConnWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    Zone::<Connections>::define(node, cx, |word| Err(Fault::parameter(word)))
}

fn add_limit(own: &mut LimitConnWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    const MOST: u64 = 65_535;
    let zone = Zone::<Connections>::refer(&node.args[0].value, cx)?;
    let limits = own.limits.get_or_insert_default();
    if limits.iter().any(|limit| Arc::ptr_eq(&limit.zone, &zone)) {
        return Err(Fault::duplicate());
    }
    let word = &node.args[1];
    let most = parse_number(&word.value).filter(|&most| most > 0).ok_or_else(|| {
        Fault::new(format!("invalid number of connections \"{}\"", word.shown())).at(word)
    })?;
    if most > MOST {
        return Err(Fault::new("connection limit must be less 65536").at(word));
    }
    limits.push(Limit { zone, most });
    Ok(())
}

fn handle(request: &mut Request) -> Verdict {
    if request.with_main(&COUNTED, |standing| standing.outcome.is_some()) {
        return Verdict::Next;
    }
    let location = request.location.clone();
    let own = location.settings.get(&LIMIT_CONN);
    for limit in &own.limits {
        let (Some(definition), Some(zone)) = (limit.zone.definition(), limit.zone.contents())
        else {
            continue;
        };
        let Some(key) = definition.key_of(request, LONGEST_KEY) else { continue };
        match zone.take(&key, limit.most) {
            Ok(held) => request.with_main(&COUNTED, |standing| {
                standing.outcome = Some(Outcome::Passed);
                standing.held.push(held);
            }),
            Err(refusal) => return refuse(request, own, limit, &refusal),
        }
    }
    Verdict::Next
}

fn refuse(request: &mut Request, own: &LimitConn, limit: &Limit, refusal: &Refusal) -> Verdict {
    if *refusal == Refusal::TooMany {
        let dry = if own.dry_run { ", dry run," } else { "" };
        let message = format!("limiting connections{dry} by zone \"{}\"", limit.zone.name);
        request.log(own.log_level.level(), &message);
    }
    let outcome = if own.dry_run { Outcome::RejectedDryRun } else { Outcome::Rejected };
    request.with_main(&COUNTED, |standing| {
        *standing = Standing { outcome: Some(outcome), held: Vec::new() };
    });
    if own.dry_run { Verdict::Next } else { Verdict::Status(own.status.0) }
}

fn status_variable(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let outcome = request.with_main(&COUNTED, |standing| standing.outcome);
    let Some(outcome) = outcome else { return false };
    out.extend_from_slice(match outcome {
        Outcome::Passed => b"PASSED",
        Outcome::Rejected => b"REJECTED",
        Outcome::RejectedDryRun => b"REJECTED_DRY_RUN",
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_counts_no_more() {
        let zone = Arc::new(Connections::new(1 << 20));
        let room = |zone: &Connections| zone.0.lock().unwrap().room;
        let before = room(&zone);
        let first = zone.take(b"a", 2).unwrap();
        let second = zone.take(b"a", 2).unwrap();
        assert_eq!(zone.take(b"a", 2).err(), Some(Refusal::TooMany));
        let _other = zone.take(b"b", 1).unwrap();
        drop(first);
        let third = zone.take(b"a", 2).unwrap();
        drop((second, third, _other));
        assert_eq!(room(&zone), before);
    }

    #[test]
    fn a_full_zone_takes_no_new_keys() {
        let zone = Arc::new(Connections::new(32 * 1024));
        let mut held = Vec::new();
        let refusal = loop {
            match zone.take(&(held.len() as u32).to_be_bytes(), 1) {
                Ok(one) => held.push(one),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refusal, Refusal::Full);
        assert!(held.len() > 100);
        assert!(zone.take(&0_u32.to_be_bytes(), 2).is_ok());
    }
}
