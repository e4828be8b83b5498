//! `limit_conn` (<https://nginx.org/en/docs/http/ngx_http_limit_conn_module.html>).

use weir_conf::{Cx, Fault, Inherit, Node, Slot, directives};
use weir_edge::limit_conn::{self, CountedConnection, Limit, Outcome, Refusal};
use weir_edge::value::LimitLevel;

use crate::core::value::{ErrorStatus, StatusBetween};
use crate::errors::Cause;
use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::{Request, State};
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "limit_conn",
    tables: &[&LimitConn::table(&LIMIT_CONN)],
    variables: &[VariableRow::new(
        "limit_conn_status",
        "What `limit_conn` did: `PASSED`, `REJECTED` or `REJECTED_DRY_RUN`.",
        status_variable,
    )],
    handlers: &[PhaseHandler {
        phase: Phase::PreAccess,
        enabled: |settings| !settings.get(&LIMIT_CONN).limits.is_empty(),
        handler: Handler::Sync(handle),
    }],
    prepare: Some(|whole| limit_conn::ZONES.bind(whole.registries)),
    ..Module::NONE
};

static LIMIT_CONN: Slot<LimitConn> = Slot::new();
static COUNTED: State<Standing> = State::new(Standing::default);

directives! {
    /// Limits on concurrent connections.
    pub(crate) struct LimitConn as LimitConnWritten in [http, server, location] {
        /// Defines a shared memory zone: the key of its counters and its size.
        "limit_conn_zone" in [http] [2, 3]: "key zone=name:size [sync]" => define_zone,
        /// The maximum number of concurrent connections for one key of a zone.
        "limit_conn" [2]: "zone number" => add_limit,
        /// The log level of refused connections.
        "limit_conn_log_level" => log_level: LimitLevel = LimitLevel::Error,
        /// The response status of refused connections.
        "limit_conn_status" => status: ErrorStatus = StatusBetween(503),
        /// Logs excess connections, but does not refuse them.
        "limit_conn_dry_run" => dry_run: bool,
        field limits: Inherit<Vec<Limit>>,
    }
}

/// The request's counted connections and result, kept until it ends.
#[derive(Default)]
struct Standing {
    outcome: Option<LimitConnStatus>,
    held: Vec<CountedConnection>,
}

/// The value of `$limit_conn_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LimitConnStatus {
    Passed,
    Rejected,
    RejectedDryRun,
}

fn define_zone(_: &mut LimitConnWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    limit_conn::define_zone(node, cx)
}

fn add_limit(own: &mut LimitConnWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    Limit::add(own.limits.get_or_insert_default(), node, cx)
}

fn handle(request: &mut Request) -> Verdict {
    if request.with_main(&COUNTED, |standing| standing.outcome.is_some()) {
        return Verdict::Next;
    }
    let location = request.location.clone();
    let own = location.settings.get(&LIMIT_CONN);
    for limit in &own.limits {
        match limit.take(request) {
            None => {}
            Some(Ok(held)) => {
                limit.count(Outcome::Passed);
                request.with_main(&COUNTED, |standing| {
                    standing.outcome = Some(LimitConnStatus::Passed);
                    standing.held.push(held);
                });
            }
            Some(Err(refusal)) => return refuse(request, own, limit, &refusal),
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
    let outcome =
        if own.dry_run { LimitConnStatus::RejectedDryRun } else { LimitConnStatus::Rejected };
    limit.count(if own.dry_run { Outcome::RejectedDryRun } else { Outcome::Rejected });
    request.with_main(&COUNTED, |standing| {
        *standing = Standing { outcome: Some(outcome), held: Vec::new() };
    });
    if own.dry_run {
        return Verdict::Next;
    }
    request.blame(Cause::LimitConn);
    Verdict::Status(own.status.0)
}

fn status_variable(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let outcome = request.with_main(&COUNTED, |standing| standing.outcome);
    let Some(outcome) = outcome else { return false };
    out.extend_from_slice(match outcome {
        LimitConnStatus::Passed => b"PASSED",
        LimitConnStatus::Rejected => b"REJECTED",
        LimitConnStatus::RejectedDryRun => b"REJECTED_DRY_RUN",
    });
    true
}
