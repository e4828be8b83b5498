//! The destinations of requests in a configuration: `upstream` blocks and plain addresses.

use std::collections::HashMap;

use weir_conf::{Assembly, Block, BlockId, Environment, Fault, SourceMap, Span};
use weir_engine::Addr;
use weir_engine::url::{Url, look_up};
use weir_script::Template;

use crate::{
    agent::config::AgentConfig,
    check::config::CheckConfig,
    config::{GroupConfig, MethodHandle},
    health::MAX_CHECKS,
    keepalive::KeepaliveConfig,
    resolver::ResolverConfig,
    server::{Server, SlowStart},
    settings::{StickyConfig, UPSTREAM, Upstream, at_block},
};

/// The default of `resolver_timeout` in milliseconds.
const RESOLVER_TIMEOUT: u64 = 30_000;

/// The namespaces of upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// `http`.
    Http,
    /// `stream`.
    Stream,
}

impl Side {
    /// The usage of zones declared by this side's `zone` directive.
    pub(crate) fn zone_usage(self) -> &'static str {
        match self {
            Self::Http => "upstream",
            Self::Stream => "stream upstream",
        }
    }

    /// The group key of an `upstream` block.
    pub(crate) fn key(self, name: &str) -> String {
        match self {
            Self::Http => format!("http {name}"),
            Self::Stream => format!("stream {name}"),
        }
    }
}

/// The index of an upstream in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamRef(usize);

impl UpstreamRef {
    /// The index into the result of [`Upstreams::plans`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// Every upstream that is declared or referred to, in the order of the text. A registry of the
/// assembly.
#[derive(Debug, Default)]
pub struct Upstreams {
    entries: Vec<Named>,
    /// The indices by name in lower case: an implicit upstream may occur with several ports.
    by_name: HashMap<(Side, String), Vec<usize>>,
}

#[derive(Debug)]
struct Named {
    side: Side,
    name: String,
    /// Its block, if it is declared.
    block: Option<BlockId>,
    /// The port of an implicit upstream, else 0.
    port: u16,
    has_port: bool,
    addresses: Vec<Addr>,
    place: Span,
    checks: Vec<CheckConfig>,
}

/// A finished upstream, for the run time.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    /// The configuration of its group, for [`Registry::group`](crate::Registry::group).
    pub group: GroupConfig,
    /// The settings of kept connections.
    pub keepalive: KeepaliveConfig,
    /// The key of `hash`.
    pub key: Option<Template>,
    /// The localities of `prefer_locality`, the first one most; empty without it.
    pub localities: Vec<Template>,
    /// `sticky`.
    pub sticky: Option<StickyConfig>,
}

impl Upstreams {
    /// Declares an `upstream` block.
    ///
    /// # Errors
    /// A duplicate name.
    pub fn declare(
        &mut self,
        side: Side,
        name: &str,
        block: BlockId,
        place: Span,
    ) -> Result<(), Fault> {
        if let Some(&at) = self.of_name(side, name).first() {
            let known = &mut self.entries[at];
            if known.block.is_some() {
                let fault = Fault::new(format!("duplicate upstream \"{name}\""));
                return Err(fault.first(known.place));
            }
            if known.has_port {
                let message = format!("upstream \"{name}\" may not have port {}", known.port);
                return Err(at_block(message, known.place));
            }
            known.block = Some(block);
            known.port = 0;
            known.place = place;
            return Ok(());
        }
        self.add(Named {
            side,
            name: name.to_owned(),
            block: Some(block),
            port: 0,
            has_port: false,
            addresses: Vec::new(),
            place,
            checks: Vec::new(),
        });
        Ok(())
    }

    /// Refers to the upstream of an unresolved address: a declared one of that name, whether before
    /// or after this, or an implicit one.
    ///
    /// # Errors
    /// A port after the name of a declared upstream.
    pub fn refer(&mut self, side: Side, url: &Url, place: Span) -> Result<UpstreamRef, Fault> {
        for &index in self.of_name(side, &url.host) {
            let entry = &self.entries[index];
            if entry.block.is_some() && url.has_port {
                return Err(Fault::new(format!(
                    "upstream \"{}\" may not have port {}",
                    url.host, url.port
                )));
            }
            if entry.port != 0 && url.port != 0 && entry.port != url.port {
                continue;
            }
            return Ok(UpstreamRef(index));
        }
        Ok(self.add(Named {
            side,
            name: url.host.clone(),
            block: None,
            port: url.port,
            has_port: url.has_port,
            addresses: url.addresses.clone(),
            place,
            checks: Vec::new(),
        }))
    }

    /// Adds a health check of the servers of an upstream, and returns its number there.
    ///
    /// # Errors
    /// There are [`MAX_CHECKS`] already.
    pub fn check(&mut self, of: UpstreamRef, check: CheckConfig) -> Result<usize, Fault> {
        let Named { name, checks, .. } = &mut self.entries[of.0];
        if checks.len() == MAX_CHECKS {
            return Err(Fault::new(format!(
                "upstream \"{name}\" has more than {MAX_CHECKS} health checks"
            )));
        }
        checks.push(check);
        Ok(checks.len() - 1)
    }

    fn add(&mut self, entry: Named) -> UpstreamRef {
        let at = self.entries.len();
        let key = (entry.side, entry.name.to_ascii_lowercase());
        self.by_name.entry(key).or_default().push(at);
        self.entries.push(entry);
        UpstreamRef(at)
    }

    /// The indices of the upstreams of one name.
    fn of_name(&self, side: Side, name: &str) -> &[usize] {
        self.by_name.get(&(side, name.to_ascii_lowercase())).map_or(&[], Vec::as_slice)
    }

    /// The declared upstream of a name that is known only at run time.
    pub fn find(&self, side: Side, name: &str) -> Option<UpstreamRef> {
        let declared = |&&at: &&usize| self.entries[at].block.is_some();
        self.of_name(side, name).iter().find(declared).map(|&at| UpstreamRef(at))
    }

    /// The upstreams of one side, by name in lower case and port; declared ones have port 0.
    pub fn names(&self, side: Side) -> HashMap<(String, u16), UpstreamRef> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| entry.side == side);
        entries
            .map(|(at, entry)| ((entry.name.to_ascii_lowercase(), entry.port), UpstreamRef(at)))
            .collect()
    }

    /// Finishes the upstreams of one side: a plan for each, at its index, and `None` for those of
    /// the other side. `resolver` is that of the `http` or `stream` block, with its timeout in
    /// milliseconds.
    pub fn plans(
        &self,
        side: Side,
        assembly: &Assembly,
        resolver: Option<(&ResolverConfig, u64)>,
        env: &dyn Environment,
    ) -> Vec<Option<Result<UpstreamPlan, Fault>>> {
        let blocks: HashMap<BlockId, &Block> =
            assembly.root.walk().into_iter().map(|block| (block.id, block)).collect();
        let plan = |entry: &Named| {
            if entry.side != side {
                return None;
            }
            let block = entry.block.and_then(|id| blocks.get(&id));
            Some(match block {
                Some(block) => {
                    let upstream = block.settings.get(&UPSTREAM);
                    declared(entry, upstream, resolver, &assembly.sources)
                }
                None => implicit(entry, env, &assembly.sources)
                    .map_err(|fault| self.meant(entry, fault)),
            })
        };
        self.entries.iter().map(plan).collect()
    }
}

impl Upstreams {
    /// Adds a hint with a similar upstream to a fault about an unknown name.
    fn meant(&self, wrong: &Named, fault: Fault) -> Fault {
        let declared = self.entries.iter().filter(|e| e.block.is_some() && e.side == wrong.side);
        let names = declared.map(|entry| entry.name.as_str());
        match weir_conf::nearest(&wrong.name, names) {
            Some(name) => fault.hint(format!("did you mean the upstream \"{name}\"?")),
            None => fault,
        }
    }
}

impl Named {
    /// The group key in the registry.
    fn key(&self) -> String {
        let port = if self.block.is_some() { String::new() } else { format!(":{}", self.port) };
        self.side.key(&self.name) + &port
    }

    /// The fault of an upstream without a `zone`, for what needs one.
    fn needs_zone(&self, what: &str, sources: &SourceMap) -> Fault {
        let (name, place) = (&self.name, sources.place(self.place));
        Fault::new(format!("{what} upstream \"{name}\"{place} to be in shared memory")).nowhere()
    }

    fn fault(&self, message: &str) -> Fault {
        at_block(format!("{message} in upstream \"{}\"", self.name), self.place)
    }
}

fn declared(
    entry: &Named,
    upstream: &Upstream,
    above: Option<(&ResolverConfig, u64)>,
    sources: &SourceMap,
) -> Result<UpstreamPlan, Fault> {
    let timeout = upstream.resolver_timeout.as_ref().map(|time| time.0.as_millis() as u64);
    let timeout = timeout.or(above.map(|(_, timeout)| timeout)).unwrap_or(RESOLVER_TIMEOUT);
    let resolver = upstream.resolver.as_ref().or(above.map(|(resolver, _)| resolver));
    let resolver = resolver.map(|resolver| (resolver.clone(), timeout));
    if upstream.servers.iter().any(|server| server.resolve.is_some()) {
        if upstream.zone.is_none() {
            return Err(entry.needs_zone("resolving names at run time requires", sources));
        }
        if resolver.as_ref().is_none_or(|(resolver, _)| resolver.servers.is_empty()) {
            return Err(entry.fault("no resolver defined to resolve names at run time"));
        }
    }
    if upstream.zone.is_none() && !entry.checks.is_empty() {
        return Err(entry.needs_zone(CHECKS_REQUIRE, sources));
    }
    if let Some(agent) = &upstream.agent {
        if upstream.zone.is_none() {
            return Err(entry.needs_zone("agent checks require", sources));
        }
        if let Some(fault) = unasked(agent, &upstream.servers) {
            return Err(entry.fault(&fault));
        }
    }
    if upstream.report.is_some() && upstream.zone.is_none() {
        return Err(entry.needs_zone("load reports require", sources));
    }
    if upstream.state.is_some() && upstream.zone.is_none() {
        return Err(entry.fault("\"state\" requires \"zone\""));
    }
    if upstream.discover.is_some() && upstream.zone.is_none() {
        return Err(entry.fault("\"discover\" requires \"zone\""));
    }
    check_servers(entry, upstream)?;
    let (connections, local) = upstream.keepalive.unwrap_or((32, true));
    let chosen = upstream.method.clone();
    Ok(UpstreamPlan {
        group: GroupConfig {
            key: entry.key(),
            name: entry.name.clone(),
            zone: upstream.zone.clone(),
            state: upstream.state.clone(),
            servers: upstream.servers.clone(),
            discover: upstream.discover.clone(),
            method: chosen.as_ref().map_or_else(MethodHandle::default, |it| it.method.clone()),
            checks: entry.checks.clone(),
            agent: upstream.agent.clone(),
            report: upstream.report.clone(),
            locality: upstream.locality.as_ref().map(|preferred| preferred.config.clone()),
            queue: upstream.queue,
            outliers: upstream.outliers.clone(),
            sessions: upstream.sessions.clone(),
            resolver,
        },
        keepalive: KeepaliveConfig {
            connections,
            local,
            requests: upstream.keepalive_requests,
            time: upstream.keepalive_time.0.as_millis() as u64,
            timeout: upstream.keepalive_timeout.0.as_millis() as u64,
        },
        key: chosen.and_then(|chosen| chosen.key),
        localities: upstream.locality.iter().flat_map(|it| it.names.clone()).collect(),
        sticky: upstream.sticky_config.clone(),
    })
}

/// The fault of a server whose agent has no address.
fn unasked(agent: &AgentConfig, servers: &[Server]) -> Option<String> {
    let lacks = |server: &&Server| {
        let own = server.limits.agent;
        let has_ip = own.ip.is_some() || !server.addresses.iter().any(Addr::is_unix);
        !has_ip || own.port.or(agent.port).is_none()
    };
    let server = &servers.iter().find(lacks)?.text;
    Some(match agent.port {
        None => format!("\"agent_check\" has no \"port\", nor \"{server}\" an \"agent_port\""),
        Some(_) => format!("\"agent_check\" needs an \"agent_addr\" of \"{server}\""),
    })
}

fn check_servers(entry: &Named, upstream: &Upstream) -> Result<(), Fault> {
    let has_others = upstream.state.is_some() || upstream.discover.is_some();
    if !has_others && upstream.servers.iter().all(|server| server.backup) {
        return Err(entry.fault("no servers"));
    }
    let method = upstream.method.as_ref().map(|chosen| &chosen.method.0);
    let is_slow = |server: &Server| server.limits.slow_start != SlowStart::Off;
    if method.is_some_and(|method| !method.knows_slow_start())
        && upstream.servers.iter().any(is_slow)
    {
        return Err(entry.fault("balancing method does not support parameter \"slow_start\""));
    }
    Ok(())
}

const CHECKS_REQUIRE: &str = "health checks require";

fn implicit(
    entry: &Named,
    env: &dyn Environment,
    sources: &SourceMap,
) -> Result<UpstreamPlan, Fault> {
    if !entry.checks.is_empty() {
        return Err(entry.needs_zone(CHECKS_REQUIRE, sources));
    }
    let addresses = match &entry.addresses[..] {
        [] | [Addr::Inet(_)] if entry.port == 0 => return Err(entry.fault("no port")),
        [] => look_up(env, &entry.name, entry.port).map_err(|fault| entry.fault(fault))?,
        known => known.to_vec(),
    };
    Ok(UpstreamPlan {
        group: GroupConfig::implicit(entry.key(), &entry.name, addresses),
        keepalive: KeepaliveConfig::IMPLICIT,
        key: None,
        localities: Vec::new(),
        sticky: None,
    })
}
