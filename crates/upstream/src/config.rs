//! The configuration of a group.

use std::{fmt, path::PathBuf, sync::Arc};

use weir_engine::Addr;

use crate::{
    agent::config::AgentConfig,
    balance::{method::Method, round_robin::RoundRobin},
    check::config::CheckConfig,
    discovery::config::DiscoverConfig,
    locality::LocalityConfig,
    outlier::config::OutlierConfig,
    queue::QueueConfig,
    report::ReportConfig,
    resolver::ResolverConfig,
    server::{Server, SlowStart},
    sticky::SessionsConfig,
    upstreams::Side,
};

/// The configuration of a group. Groups with equal configurations are the same.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The key of the group's state across reloads: unique within the registry.
    pub key: String,
    /// The name in `no live upstreams` and `$upstream_addr`.
    pub name: String,
    /// `zone`: the group can be changed at run time.
    pub zone: Option<String>,
    /// `state`: the file with the servers, which is written when they change.
    pub state: Option<PathBuf>,
    /// The servers, in order.
    pub servers: Vec<Server>,
    /// `discover`: a source of further servers.
    pub discover: Option<DiscoverConfig>,
    /// The balancing method.
    pub method: MethodHandle,
    /// The health checks of the servers, at most [`MAX_CHECKS`](crate::MAX_CHECKS).
    pub checks: Vec<CheckConfig>,
    /// `agent_check`.
    pub agent: Option<AgentConfig>,
    /// `load_report`.
    pub report: Option<ReportConfig>,
    /// `prefer_locality`: the servers near this balancer come first.
    pub locality: Option<LocalityConfig>,
    /// `queue`: requests wait while no server can take them.
    pub queue: Option<QueueConfig>,
    /// `outlier_ejection`.
    pub outliers: Option<OutlierConfig>,
    /// `sticky learn`: the store of sessions.
    pub sessions: Option<SessionsConfig>,
    /// The resolver of server names, with its timeout in milliseconds.
    pub resolver: Option<(ResolverConfig, u64)>,
}

impl GroupConfig {
    /// A group of one server line with default parameters, balanced round robin: the address of a
    /// `proxy_pass`.
    pub fn implicit(key: String, name: &str, addresses: Vec<Addr>) -> Self {
        let server = Server { text: name.to_owned(), addresses, ..Server::default() };
        Self {
            key,
            name: name.to_owned(),
            zone: None,
            state: None,
            servers: vec![server],
            discover: None,
            method: MethodHandle::default(),
            checks: Vec::new(),
            agent: None,
            report: None,
            locality: None,
            queue: None,
            outliers: None,
            sessions: None,
            resolver: None,
        }
    }

    /// Whether the average times of its servers are used: by the method, by ramps, or by the view
    /// of a group with a zone.
    pub(crate) fn uses_times(&self) -> bool {
        let mut servers = self.servers.iter();
        self.zone.is_some()
            || self.method.0.compares_times()
            || servers.any(|server| server.limits.slow_start == SlowStart::Auto)
    }

    /// The name of its record in the journal.
    pub(crate) fn journal_key(&self) -> String {
        format!("group {}", self.key)
    }

    /// Whether anything judges the health of its servers.
    pub(crate) fn judges_health(&self) -> bool {
        !self.checks.is_empty() || self.outliers.is_some() || self.agent.is_some()
    }

    /// The side of an `upstream` block.
    pub(crate) fn side(&self) -> Side {
        if self.key == Side::Stream.key(&self.name) { Side::Stream } else { Side::Http }
    }
}

/// A balancing method with its parameters.
#[derive(Clone)]
pub struct MethodHandle(pub(crate) Method);

impl Default for MethodHandle {
    fn default() -> Self {
        Self(Arc::new(RoundRobin))
    }
}

impl fmt::Debug for MethodHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
