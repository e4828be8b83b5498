//! The configuration as requests see it.
//!
//! A [`SnapshotPlan`](plan::SnapshotPlan) is the result of an assembly. The [`Configuration`] is
//! built from it once, off the loops, and shared by all threads. Each thread has a [`Snapshot`],
//! which is one pointer to it: a request holds parts of it by counting that snapshot ([`Held`]),
//! which costs no atomic operation, and another configuration comes into force when the pointer to
//! the snapshot is replaced.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use weir_conf::{BlockId, LogFile as Handle, Places};
use weir_edge::shared::{Shared, Upstream};
use weir_engine::duty::Duty;
use weir_engine::log_files::LogFile;
use weir_engine::thread_pool::directive::Named;
use weir_script::VarId;
use weir_upstream::{Group, Registry, Resolver, ResolverConfig, Side, UpstreamRef};

use crate::module::Modules;
use crate::request::connection_info::ConnectionInfo;
use crate::route::{Endpoint, Location, Routes, Server};
use crate::variables::Source;

pub mod plan;

/// A configuration ready to serve: immutable, and shared by all threads.
pub struct Configuration {
    modules: Modules,
    routes: Routes,
    /// Upstreams, log files and pools of threads.
    shared: Shared,
    /// The resolvers for the configured name servers, held while the configuration serves.
    resolvers: Vec<Resolver>,
    sources: Arc<[Source]>,
    variable_names: Arc<[Box<str>]>,
    variable_ids: Arc<HashMap<Box<str>, VarId>>,
    hostname: Box<str>,
    prefix: Box<std::path::Path>,
    /// Where its settings were written, if requests are recorded.
    places: Arc<Places>,
}

impl Configuration {
    /// The work beside requests while this configuration is in force: the names and the health of
    /// groups, and what the modules add.
    pub fn duties(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        generation: &Generation,
    ) -> Vec<Duty> {
        let groups = self.shared.upstreams().map(|upstream| &upstream.group);
        let mut duties: Vec<_> = groups.flat_map(|group| group.duties(registry)).collect();
        for find in self.modules.iter().filter_map(|module| module.duties) {
            duties.extend(find(self, registry, generation));
        }
        duties
    }

    /// Every location, nested ones included, with the index of its server.
    pub(crate) fn locations(&self) -> impl Iterator<Item = (usize, &Location)> {
        let servers = self.routes.servers.iter().enumerate();
        servers.flat_map(|(at, server)| {
            let all = server.locations.iter().flat_map(Location::with_nested);
            all.map(move |location| (at, location))
        })
    }

    /// Every server.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Server> {
        self.routes.servers.iter().map(|server| &**server)
    }

    /// The groups of a side's `upstream` blocks, in order.
    pub(crate) fn declared_groups(&self, side: Side) -> Vec<Arc<Group>> {
        let declared = self.shared.upstreams().filter(|upstream| upstream.group.is_declared(side));
        declared.map(|upstream| Arc::clone(&upstream.group)).collect()
    }

    /// The resolver for the name servers of a `resolver` directive.
    pub(crate) fn resolver(&self, config: &ResolverConfig) -> Option<&Resolver> {
        self.resolvers.iter().find(|resolver| resolver.config() == config)
    }

    /// An upstream.
    pub(crate) fn upstream(&self, which: UpstreamRef) -> &Upstream {
        self.shared.upstream(which)
    }

    /// Whether names of upstreams have not been asked for yet.
    pub fn awaits_names(&self) -> bool {
        self.shared.upstreams().any(|upstream| upstream.group.awaits_names())
    }
}

/// The guard of a configuration, dropped with its last user.
pub type Generation = Arc<dyn Any + Send + Sync>;

/// A part of a configuration, such as a server, a location or an upstream, held through the
/// thread's snapshot, which keeps the configuration alive.
pub type Held<T> = weir_engine::Part<Snapshot, T>;

/// One thread's reference to a configuration.
pub struct Snapshot {
    configuration: Arc<Configuration>,
    draining: Cell<bool>,
    /// Dropped after the configuration, with the last request that it serves.
    _generation: Generation,
}

impl Snapshot {
    /// A reference to a configuration. `generation` is dropped with the last one.
    pub fn new(configuration: Arc<Configuration>, generation: Generation) -> Rc<Self> {
        Rc::new(Self { configuration, draining: Cell::new(false), _generation: generation })
    }

    /// The endpoint of a connection; None if this configuration has none. If another listener has
    /// the address, the connection continues with that one.
    pub fn endpoint(
        self: &Rc<Self>,
        listener: &str,
        info: &ConnectionInfo,
    ) -> Option<Held<Endpoint>> {
        Held::within(Rc::clone(self), |snapshot| {
            snapshot.configuration.routes.endpoint(listener, &info.local)
        })
    }

    /// The endpoint of all connections to the listener, if there is only one.
    pub fn only_endpoint(&self, listener: &str) -> Option<&Endpoint> {
        let listener = self.configuration.routes.listener(listener)?;
        if listener.needs_local() { None } else { Some(listener.endpoint(None)) }
    }

    /// Whether connections to a listener may continue: it exists, or another one has its port.
    pub fn listens_on(&self, listener: &str) -> bool {
        self.configuration.routes.listens_on(listener)
    }

    /// An upstream of the configuration.
    pub fn upstream(self: &Rc<Self>, which: UpstreamRef) -> Held<Upstream> {
        Held::of(Rc::clone(self), |snapshot| snapshot.configuration.shared.upstream(which))
    }

    /// The upstream with this name: a declared one if no port is written, or an implicit
    /// one for the same address elsewhere in the configuration.
    pub fn upstream_named(
        self: &Rc<Self>,
        name: &str,
        port: u16,
        has_port: bool,
    ) -> Option<Held<Upstream>> {
        let found = self.configuration.shared.named(Side::Http, name, port, has_port);
        found.map(|which| self.upstream(which))
    }

    /// The groups of a side's `upstream` blocks, in order.
    pub fn declared_groups(&self, side: Side) -> Vec<Arc<Group>> {
        self.configuration.declared_groups(side)
    }

    /// A location of the server with this index, and the server.
    pub(crate) fn location(
        self: &Rc<Self>,
        server: usize,
        block: BlockId,
    ) -> Option<(Held<Server>, Held<Location>)> {
        let server = Held::within(Rc::clone(self), |snapshot| {
            snapshot.configuration.routes.servers.get(server).map(|server| &**server)
        })?;
        let location = Held::try_map(&server, |server| {
            let mut all = server.locations.iter().flat_map(Location::with_nested);
            all.find(|location| location.block == block)
        })?;
        Some((server, location))
    }

    /// The resolver for the name servers of a `resolver` directive.
    pub fn resolver(&self, config: &ResolverConfig) -> Option<&Resolver> {
        self.configuration.resolver(config)
    }

    /// The source of a variable.
    pub fn source(&self, id: VarId) -> &Source {
        &self.configuration.sources[id.index()]
    }

    /// The name of a variable, without the dollar.
    pub fn variable_name(&self, id: VarId) -> &str {
        self.configuration.variable_names.get(id.index()).map_or("", |name| name)
    }

    /// The variable with this name in lower case, if the configuration mentions it.
    pub fn variable_id(&self, name: &str) -> Option<VarId> {
        self.configuration.variable_ids.get(name).copied()
    }

    /// The modules of the configuration.
    pub fn modules(&self) -> Modules {
        self.configuration.modules
    }

    /// The number of variables.
    pub fn variable_count(&self) -> usize {
        self.configuration.sources.len()
    }

    /// The machine's name, for `$hostname`.
    pub fn hostname(&self) -> &str {
        &self.configuration.hostname
    }

    /// The prefix of relative paths.
    pub fn prefix(&self) -> &std::path::Path {
        &self.configuration.prefix
    }

    /// Where its settings were written; empty unless requests are recorded.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.configuration.places
    }

    /// The open file of a log; None if the configuration is only checked.
    pub fn log_file(&self, handle: Handle) -> Option<&Arc<LogFile>> {
        self.configuration.shared.files().get(handle.0 as usize)
    }

    /// The pool of threads with this name.
    pub fn thread_pool(&self, name: &str) -> Option<&Named> {
        self.configuration.shared.thread_pool(name)
    }

    /// Whether responses must announce the end of their connection.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Makes every response from now on end its connection.
    pub fn drain(&self) {
        self.draining.set(true);
    }
}
