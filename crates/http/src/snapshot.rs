//! The configuration as requests see it.
//!
//! A [`Plan`] is what an assembly comes to. The [`Configuration`] is made of it once, beside the
//! loops, and all threads share it. Each thread has a [`Snapshot`], which is one pointer to it: a
//! request holds what it needs by counting that snapshot ([`Held`]), so that it costs no atomic
//! operation, and another configuration is in force when the pointer to the snapshot is another.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use weir_conf::{
    Assembly, Block, Contexts, Diagnostic, Environment, LogFile as Handle, Severity, SourceMap,
    TypeMap,
};
use weir_engine::duty::Duty;
use weir_engine::log_files::LogFile;
use weir_engine::thread_pool::directive::{Named, ThreadPools};
use weir_script::{VarId, Variables};
use weir_upstream::{Registry, Resolver, ResolverConfig, Side, UpstreamRef, Upstreams, Zones};

use crate::core::RESOLVER;
use crate::module::{Handlers, Modules};
use crate::pass::target::Upstream;
use crate::request::ConnectionInfo;
use crate::route::{self, Builder, Endpoint, ListenSpec, Routes};
use crate::variables::{Definitions, Source};

/// What modules see when the whole configuration has been read.
pub struct Prepare<'a> {
    /// The root of the assembled tree.
    pub root: &'a Block,
    /// What setters left for each other.
    pub registries: &'a mut TypeMap,
    /// Files, names and logs, as while assembling.
    pub env: &'a dyn Environment,
    /// Warnings and further faults, in the order in which they are found.
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

/// A configuration that has been read and is good.
pub struct Plan {
    modules: Modules,
    root: Block,
    sources: Arc<[Source]>,
    /// The names of the variables, in the order of the sources.
    variable_names: Arc<[Box<str>]>,
    variable_ids: Arc<HashMap<Box<str>, VarId>>,
    hostname: String,
    prefix: PathBuf,
    /// What each upstream is, by its reference; None for those of stream.
    plans: Vec<Option<weir_upstream::Plan>>,
    /// The upstreams of the configuration, for names known only at run time.
    named: HashMap<(String, u16), UpstreamRef>,
    thread_pools: Arc<[Arc<Named>]>,
}

impl Plan {
    /// Finishes an assembly: modules see it whole, variables get their definitions. What is wrong
    /// is added to the assembly's diagnostics; a plan comes of it only if nothing is, and has the
    /// assembly's tree.
    pub fn build(assembly: &mut Assembly, env: &dyn Environment, prefix: PathBuf) -> Option<Self> {
        if !assembly.ok() {
            return None;
        }
        route::check(&assembly.root, &mut assembly.diagnostics);
        let modules = assembly.registries.entry::<Definitions>().modules();
        for prepare in modules.iter().filter_map(|module| module.prepare) {
            let Assembly { root, registries, diagnostics, .. } = assembly;
            let mut whole = Prepare { root, registries, env, diagnostics };
            if let Err(fault) = prepare(&mut whole) {
                diagnostics.push(fault.diagnose("", None));
            }
        }
        let upstreams = assembly.registries.take::<Upstreams>();
        let plans = upstream_plans(&upstreams, assembly, env);
        let mut variables = assembly.registries.take::<Variables>();
        let mut pending = Vec::new();
        let definitions = assembly.registries.take::<Definitions>();
        // Pages may name what the configuration only defines.
        for name in definitions.names() {
            variables.reference(name);
        }
        let variable_ids = variables.names().map(|(id, name)| (name.into(), id)).collect();
        let sources = match definitions.resolve(&variables, &mut pending) {
            Ok(sources) => {
                let warn =
                    |name| format!("the \"{name}\" variable is not supported yet and is empty");
                let told = pending.into_iter().map(warn);
                let told = told.map(|text| Diagnostic::new(Severity::Warn, text, None));
                assembly.diagnostics.extend(told);
                sources.into()
            }
            Err(message) => {
                let names = definitions.rows().map(|row| row.name);
                let names: Vec<&str> = names.chain(definitions.names()).collect();
                assembly.diagnostics.push(unknown_variable(message, &names, &assembly.sources));
                return None;
            }
        };
        let thread_pools = ThreadPools::bind(&mut assembly.registries).unwrap_or_else(|fault| {
            assembly.diagnostics.push(fault.diagnose("", None));
            Arc::default()
        });
        let unsized_zones = assembly.registries.take::<Zones>();
        assembly.diagnostics.extend(unsized_zones.unsized_zones());
        let variable_names = variables.names().map(|(_, name)| name.into()).collect();
        if !assembly.ok() {
            return None;
        }
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let root = std::mem::take(&mut assembly.root);
        let named = upstreams.names(Side::Http);
        Some(Self {
            modules,
            root,
            sources,
            variable_names,
            variable_ids: Arc::new(variable_ids),
            hostname,
            prefix,
            plans,
            named,
            thread_pools,
        })
    }

    /// The sockets that this configuration listens on, in the order in which
    /// [`Snapshot::listener`] numbers them.
    pub fn listeners(&self) -> Vec<ListenSpec> {
        route::listeners(&self.root)
    }

    /// The configuration as requests see it, which is all work that grows with its size: so
    /// somebody asks for it who holds up nothing. `files` are the open log files in the order of
    /// their handles.
    pub fn configuration(&self, files: &[Arc<LogFile>], registry: &Registry) -> Configuration {
        let modules = self.modules;
        let handlers = |settings: &_, _: Contexts| Handlers::collect(modules, settings, files);
        let passes = |settings: &_| modules.iter().any(|m| m.passes.is_some_and(|p| p(settings)));
        let connects =
            |settings: &_| modules.iter().any(|m| m.connects.is_some_and(|p| p(settings)));
        let builder = Builder { handlers: &handlers, passes: &passes, connects: &connects };
        let upstream = |plan: &Option<weir_upstream::Plan>| {
            let plan = plan.clone()?;
            let (group, pool) = (registry.group(&plan.group), registry.pool(&plan.group.key));
            Some(Upstream { plan, group, pool })
        };
        Configuration {
            modules,
            upstreams: self.plans.iter().map(upstream).collect(),
            named: self.named.clone(),
            resolvers: resolvers(&self.root, registry),
            routes: builder.build(&self.root),
            sources: self.sources.clone(),
            variable_names: self.variable_names.clone(),
            variable_ids: self.variable_ids.clone(),
            hostname: self.hostname.as_str().into(),
            prefix: self.prefix.as_path().into(),
            files: files.into(),
            thread_pools: Arc::clone(&self.thread_pools),
        }
    }
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

/// One resolver for each set of name servers that some block names.
fn resolvers(root: &Block, registry: &Registry) -> Vec<Resolver> {
    let mut resolvers: Vec<Resolver> = Vec::new();
    for block in root.walk() {
        if !block.context.intersects(RESOLVING) {
            continue;
        }
        let Some(config) = &block.settings.get(&RESOLVER).resolver else { continue };
        if !resolvers.iter().any(|known| known.config() == config) {
            resolvers.push(registry.resolver(config));
        }
    }
    resolvers
}

/// The blocks that requests can be in.
const RESOLVING: Contexts = Contexts::SERVER
    .union(Contexts::LOCATION)
    .union(Contexts::LOCATION_IF)
    .union(Contexts::LIMIT_EXCEPT);

/// Finishes the upstreams; what is wrong with them goes to the diagnostics.
/// nginx's message about a variable that nothing defines, with its place and what may be meant.
fn unknown_variable(message: String, names: &[&str], sources: &SourceMap) -> Diagnostic {
    let mut fault = Diagnostic::new(Severity::Emerg, message, None);
    if let Some(name) = fault.message.split('"').nth(1) {
        fault.word = sources.variable(name);
        let meant = weir_conf::nearest(name, names.iter().copied());
        fault.hint = meant.map(|meant| format!("did you mean \"${meant}\"?"));
    }
    fault
}

fn upstream_plans(
    upstreams: &Upstreams,
    assembly: &mut Assembly,
    env: &dyn Environment,
) -> Vec<Option<weir_upstream::Plan>> {
    let http = assembly.root.walk().into_iter().find(|block| block.context == Contexts::HTTP);
    let above = http.map(|block| block.settings.get(&RESOLVER));
    let above = above.and_then(|settings| {
        let timeout = settings.timeout.0.as_millis() as u64;
        settings.resolver.as_ref().map(|resolver| (resolver, timeout))
    });
    let found = upstreams.plans(Side::Http, assembly, above, env);
    let stream = crate::pending::stream::resolver(&assembly.root);
    let stream = stream.as_ref().map(|(resolver, timeout)| (resolver, *timeout));
    for plan in upstreams.plans(Side::Stream, assembly, stream, env).into_iter().flatten() {
        assembly.diagnostics.extend(plan.err().map(|fault| fault.diagnose("", None)));
    }
    let mut plans = Vec::with_capacity(found.len());
    for plan in found {
        plans.push(match plan {
            Some(Ok(plan)) => Some(plan),
            Some(Err(fault)) => {
                assembly.diagnostics.push(fault.diagnose("", None));
                None
            }
            None => None,
        });
    }
    plans
}
