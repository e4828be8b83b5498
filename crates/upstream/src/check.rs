//! Active health checks: servers are probed at intervals, and get no requests while they fail
//! (<https://nginx.org/en/docs/http/ngx_http_upstream_hc_module.html>).
//!
//! A group's checks are one duty of the process, whatever the number of its threads. It survives
//! reloads, which only replace its plan. Its parts:
//!
//! ```text
//!  schedule (who is due?) ─▶ probe (the protocol's) ─▶ tally (who has changed?) ─▶ peer's health
//! ```
//!
//! `schedule`, `tally` and `lag` get the time as an argument; `probe` is a trait, so that any
//! protocol can be checked.

pub(crate) mod config;
pub(crate) mod duty;
pub(crate) mod judge;
mod lag;
mod probe;
mod schedule;
pub(crate) mod tally;

pub use config::CheckConfig;
pub use probe::{CheckPlan, Finding, Probe, Probed, Probing};
pub use tally::CheckCounts;
