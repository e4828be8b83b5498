//! The parts of a configuration that http and stream have in common: upstreams, zones and pools of
//! threads. The server plans and makes them once, and hands them to both.

use std::collections::HashMap;
use std::sync::Arc;

use weir_conf::{Assembly, Block, Environment};
use weir_engine::log_files::LogFile;
use weir_engine::thread_pool::directive::{Named, ThreadPools};
use weir_upstream::{
    Group, Place, Registry, ResolverConfig, Side, UpstreamPlan, UpstreamRef, Upstreams, Zones,
};

/// The upstreams of one side by name in lower case and port.
type Names = HashMap<(String, u16), UpstreamRef>;

/// The shared parts of a configuration that has been read.
pub struct SharedPlan {
    /// By reference; `None` for one with a fault.
    upstreams: Vec<Option<(Side, UpstreamPlan)>>,
    http: Arc<Names>,
    stream: Arc<Names>,
    thread_pools: Arc<[Arc<Named>]>,
}

impl SharedPlan {
    /// Plans the upstreams of both sides. `resolver` gives the name servers that a side's block
    /// names, with their timeout in milliseconds. Faults go to the assembly's diagnostics.
    pub fn new(
        assembly: &mut Assembly,
        env: &dyn Environment,
        resolver: impl Fn(Side, &Block) -> Option<(ResolverConfig, u64)>,
    ) -> Self {
        let named = assembly.registries.take::<Upstreams>();
        let mut upstreams = Vec::new();
        for side in [Side::Http, Side::Stream] {
            let above = resolver(side, &assembly.root);
            let above = above.as_ref().map(|(resolver, timeout)| (resolver, *timeout));
            let found = named.plans(side, assembly, above, env);
            upstreams.resize_with(found.len(), || None);
            for (place, found) in upstreams.iter_mut().zip(found) {
                match found {
                    Some(Ok(plan)) => *place = Some((side, plan)),
                    Some(Err(fault)) => assembly.diagnostics.push(fault.diagnose("", None)),
                    None => {}
                }
            }
        }
        let names = |side| Arc::new(named.names(side));
        let (http, stream) = (names(Side::Http), names(Side::Stream));
        Self { upstreams, http, stream, thread_pools: Arc::default() }
    }

    /// Looks, when all modules have seen the configuration, whether each zone has a size and each
    /// pool of threads is defined. Faults go to the assembly's diagnostics.
    pub fn finish(&mut self, assembly: &mut Assembly) {
        match ThreadPools::bind(&mut assembly.registries) {
            Ok(pools) => self.thread_pools = pools,
            Err(fault) => assembly.diagnostics.push(fault.diagnose("", None)),
        }
        let zones = assembly.registries.take::<Zones>();
        assembly.diagnostics.extend(zones.unsized_zones());
    }

    /// Makes the groups of the sides that are served, or finds them again in the registry. `files`
    /// are the open log files in the order of their handles.
    pub fn make(&self, sides: &[Side], files: &[Arc<LogFile>], registry: &Registry) -> Shared {
        let make = |planned: &Option<(Side, UpstreamPlan)>| {
            let (_, plan) = planned.clone().filter(|(side, _)| sides.contains(side))?;
            let (group, place) = (registry.group(&plan.group), registry.place(&plan.group.key));
            Some(Upstream { plan, group, place })
        };
        Shared {
            upstreams: self.upstreams.iter().map(make).collect(),
            http: Arc::clone(&self.http),
            stream: Arc::clone(&self.stream),
            files: files.into(),
            thread_pools: Arc::clone(&self.thread_pools),
        }
    }
}

/// The shared parts of a configuration that serves. A clone shares them.
#[derive(Clone)]
pub struct Shared {
    upstreams: Arc<[Option<Upstream>]>,
    http: Arc<Names>,
    stream: Arc<Names>,
    files: Arc<[Arc<LogFile>]>,
    thread_pools: Arc<[Arc<Named>]>,
}

impl Shared {
    /// An upstream of a side that is served.
    ///
    /// # Panics
    /// When it is the other side's, which only a bug here could ask for.
    pub fn upstream(&self, which: UpstreamRef) -> &Upstream {
        self.upstreams[which.index()].as_ref().expect("an upstream of a side that is served")
    }

    /// Every upstream.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.upstreams.iter().flatten()
    }

    /// The upstream of that name: a declared one when no port is written, or one that stands for
    /// the same address elsewhere in the configuration.
    pub fn named(&self, side: Side, name: &str, port: u16, has_port: bool) -> Option<UpstreamRef> {
        let names = match side {
            Side::Http => &self.http,
            Side::Stream => &self.stream,
        };
        let mut key = (name.to_ascii_lowercase(), 0);
        let declared = if has_port { None } else { names.get(&key) };
        let found = declared.or_else(|| {
            key.1 = port;
            names.get(&key)
        });
        found.copied()
    }

    /// The open log files, in the order of their handles.
    pub fn files(&self) -> &[Arc<LogFile>] {
        &self.files
    }

    /// The pool of threads of that name.
    pub fn thread_pool(&self, name: &str) -> Option<&Named> {
        self.thread_pools.iter().find(|pool| pool.name() == name).map(|pool| &**pool)
    }
}

/// An upstream of the configuration, ready for requests.
pub struct Upstream {
    /// What the configuration says.
    pub plan: UpstreamPlan,
    /// The group, with its state.
    pub group: Arc<Group>,
    /// Where each thread keeps its connections.
    pub place: Arc<Place>,
}
