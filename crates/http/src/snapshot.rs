//! The configuration as requests see it.
//!
//! A [`Plan`](plan::Plan) is what an assembly comes to. The [`Configuration`] is made of it once,
//! beside the loops, and all threads share it. Each thread has a [`Snapshot`], which is one pointer
//! to it: a request holds what it needs by counting that snapshot ([`Held`]), so that it costs no
//! atomic operation, and another configuration is in force when the pointer to the snapshot is
//! another.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use weir_conf::LogFile as Handle;
use weir_engine::duty::Duty;
use weir_engine::log_files::LogFile;
use weir_engine::thread_pool::directive::Named;
use weir_script::VarId;
use weir_upstream::{Group, PoolId, Registry, Resolver, ResolverConfig, UpstreamRef};

use crate::module::Modules;
use crate::request::connection_info::ConnectionInfo;
use crate::route::{Endpoint, Routes};
use crate::variables::Source;

pub mod plan;

/// An upstream of the configuration, ready for requests.
pub struct Upstream {
    /// What the configuration says.
    pub plan: weir_upstream::UpstreamPlan,
    /// The group, with its state.
    pub group: Arc<Group>,
    /// Where each thread keeps its connections.
    pub pool: PoolId,
}

/// A configuration ready to serve: it never changes, and all threads share it.
pub struct Configuration {
    modules: Modules,
    routes: Routes,
    upstreams: Box<[Option<Upstream>]>,
    named: HashMap<(String, u16), UpstreamRef>,
    /// What asks the name servers that the configuration names; held while it serves.
    resolvers: Vec<Resolver>,
    sources: Arc<[Source]>,
    variable_names: Arc<[Box<str>]>,
    variable_ids: Arc<HashMap<Box<str>, VarId>>,
    hostname: Box<str>,
    prefix: Box<std::path::Path>,
    files: Box<[Arc<LogFile>]>,
    thread_pools: Arc<[Arc<Named>]>,
}

impl Configuration {
    /// What is to be done beside requests while this configuration is in force.
    pub fn duties(&self, registry: &Arc<Registry>) -> Vec<Duty> {
        let groups = self.upstreams.iter().flatten().map(|upstream| &upstream.group);
        groups.filter_map(|group| group.duty(registry)).collect()
    }
}

/// A part of a configuration that a thread holds: a server, a location, an upstream. It keeps the
/// thread's snapshot, and through it the configuration.
pub type Held<T> = weir_engine::Part<Snapshot, T>;

/// One thread's hold on a configuration.
pub struct Snapshot {
    configuration: Arc<Configuration>,
    draining: Cell<bool>,
    /// Dropped behind the configuration, with the last request that is served by it.
    _generation: Arc<dyn Any + Send + Sync>,
}

impl Snapshot {
    /// A hold on a configuration. `generation` is dropped with the last that serves by it.
    pub fn new(
        configuration: Arc<Configuration>,
        generation: Arc<dyn Any + Send + Sync>,
    ) -> Rc<Self> {
        Rc::new(Self { configuration, draining: Cell::new(false), _generation: generation })
    }

    /// The address that a connection came to; None when this configuration no longer has it. Where
    /// it has another listener for that address, the connection goes on with that one.
    pub fn endpoint(
        self: &Rc<Self>,
        listener: &str,
        info: &ConnectionInfo,
    ) -> Option<Held<Endpoint>> {
        Held::within(Rc::clone(self), |snapshot| {
            snapshot.configuration.routes.endpoint(listener, &info.local)
        })
    }

    /// The address that any connection to the listener comes to, if there is one only.
    pub fn only_endpoint(&self, listener: &str) -> Option<&Endpoint> {
        let listener = self.configuration.routes.listener(listener)?;
        if listener.needs_local() { None } else { Some(listener.endpoint(None)) }
    }

    /// Whether connections to that listener may go on: it is still there, or another one is at its
    /// port.
    pub fn listens_on(&self, listener: &str) -> bool {
        self.configuration.routes.listens_on(listener)
    }

    /// An upstream of the configuration.
    pub fn upstream(self: &Rc<Self>, which: UpstreamRef) -> Held<Upstream> {
        Held::of(Rc::clone(self), |snapshot| {
            let upstream = snapshot.configuration.upstreams[which.index()].as_ref();
            upstream.expect("a reference of http is an upstream of http")
        })
    }

    /// The upstream of that name: a declared one when no port is written, or one that stands for
    /// the same address elsewhere in the configuration.
    pub fn upstream_named(
        self: &Rc<Self>,
        name: &str,
        port: u16,
        has_port: bool,
    ) -> Option<Held<Upstream>> {
        let name = name.to_ascii_lowercase();
        let mut key = (name, 0);
        let declared = if has_port { None } else { self.configuration.named.get(&key) };
        let found = declared.or_else(|| {
            key.1 = port;
            self.configuration.named.get(&key)
        });
        found.map(|&which| self.upstream(which))
    }

    /// What asks the name servers of a `resolver` directive.
    pub fn resolver(&self, config: &ResolverConfig) -> Option<&Resolver> {
        self.configuration.resolvers.iter().find(|resolver| resolver.config() == config)
    }

    /// How a variable is computed.
    pub fn source(&self, id: VarId) -> &Source {
        &self.configuration.sources[id.index()]
    }

    /// The name of a variable, without the dollar.
    pub fn variable_name(&self, id: VarId) -> &str {
        self.configuration.variable_names.get(id.index()).map_or("", |name| name)
    }

    /// The variable of that name in lower case, if the configuration mentions it.
    pub fn variable_id(&self, name: &str) -> Option<VarId> {
        self.configuration.variable_ids.get(name).copied()
    }

    /// The modules that serve by it.
    pub fn modules(&self) -> Modules {
        self.configuration.modules
    }

    /// How many variables there are.
    pub fn variable_count(&self) -> usize {
        self.configuration.sources.len()
    }

    /// The machine's name, for `$hostname`.
    pub fn hostname(&self) -> &str {
        &self.configuration.hostname
    }

    /// The prefix that relative paths stand under.
    pub fn prefix(&self) -> &std::path::Path {
        &self.configuration.prefix
    }

    /// The open file of a log; None while a configuration is only read.
    pub fn log_file(&self, handle: Handle) -> Option<&Arc<LogFile>> {
        self.configuration.files.get(handle.0 as usize)
    }

    /// The pool of threads of that name.
    pub fn thread_pool(&self, name: &str) -> Option<&Named> {
        self.configuration.thread_pools.iter().find(|pool| pool.name() == name).map(|pool| &**pool)
    }

    /// Whether responses must say that their connection will be closed.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// From now on every response ends its connection.
    pub fn drain(&self) {
        self.draining.set(true);
    }
}
