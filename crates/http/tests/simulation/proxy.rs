//! The proxy in the middle: the code that serves, with a configuration from a text.

use std::any::Any;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak as Fading};
use std::sync::{Arc, OnceLock, Weak};

use weir_conf::environment::Memory;
use weir_edge::shared::SharedPlan;
use weir_engine::error_log::{directive, set_process_log};
use weir_engine::listen::{self, Accepting};
use weir_engine::log_files::LogFile;
use weir_engine::{ErrorLog, capacity, sim};
use weir_http::modules::{registries, tables};
use weir_http::serve::Service;
use weir_http::snapshot::Snapshot;
use weir_http::snapshot::plan::{SnapshotPlan, resolver};
use weir_upstream::{Registry, Side};

/// The address of the proxy.
pub(crate) const ADDRESS: ([u8; 4], u16) = ([10, 0, 0, 1], 80);

pub(crate) fn address((ip, port): ([u8; 4], u16)) -> SocketAddr {
    (ip, port).into()
}

/// Drops messages outside of any configuration, because seeds run into limits on purpose.
pub(crate) fn silence_the_process_log() {
    set_process_log(ErrorLog::default());
}

/// The folder of temporary files, one for all seeds.
fn prefix() -> PathBuf {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    let prefix = PREFIX.get_or_init(|| {
        let prefix = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("simulation");
        std::fs::create_dir_all(prefix.join("temp")).expect("a folder for temporary files");
        prefix
    });
    prefix.clone()
}

pub(crate) struct Proxy {
    pub(crate) service: Rc<Service>,
    pub(crate) registry: Registry,
    log: Arc<LogFile>,
    socket: Arc<OwnedFd>,
    accepting: Option<Accepting>,
    generations: Vec<Weak<dyn Any + Send + Sync>>,
}

impl Proxy {
    /// Starts to serve. The error log goes to a file.
    pub(crate) fn start(text: &str, connections: u64, log: Arc<LogFile>) -> Self {
        capacity::set_limit(connections);
        let registry = Registry::default();
        let (snapshot, generation) = snapshot(text, &registry, &log);
        let service = Service::new(snapshot);
        let socket = sim::listener(address(ADDRESS));
        let name = format!("tcp {}", address(ADDRESS));
        let (serving, key) = (Rc::clone(&service), Rc::<str>::from(name));
        let accepting =
            listen::accept(Arc::clone(&socket), false, move |conn| serving.accept(conn, &key));
        let accepting = Some(accepting.expect("a listener"));
        Self { service, registry, log, socket, accepting, generations: vec![generation] }
    }

    /// Puts another configuration in force.
    pub(crate) fn reload(&mut self, text: &str) {
        let (snapshot, generation) = snapshot(text, &self.registry, &self.log);
        self.generations.push(generation);
        self.service.swap(snapshot);
    }

    /// The number of configurations still held, including the one in force.
    pub(crate) fn generations(&self) -> usize {
        self.generations.iter().filter(|generation| generation.strong_count() > 0).count()
    }

    /// The number of requests that count as being at an upstream server.
    pub(crate) fn at_servers(&self) -> u64 {
        use std::sync::atomic::Ordering::Relaxed;
        let groups = self.registry.groups();
        let peers = groups.iter().flat_map(|group| group.peers());
        peers.map(|peer| peer.state.conns.load(Relaxed)).sum()
    }

    /// Accepts no more connections, lets the rest end, and returns the objects that must then be
    /// gone.
    pub(crate) async fn quit(mut self) -> (Fading<Service>, Vec<Weak<dyn Any + Send + Sync>>) {
        listen::end(self.accepting.take().into_iter().collect()).await;
        self.service.quit();
        drop(self.socket);
        (Rc::downgrade(&self.service), self.generations)
    }
}

fn snapshot(
    text: &str,
    registry: &Registry,
    log: &Arc<LogFile>,
) -> (Rc<Snapshot>, Weak<dyn Any + Send + Sync>) {
    let env = Memory::default().with("/weir.conf", text);
    let mut all = tables();
    all.push(&directive::TABLE);
    let prefix = prefix();
    let mut assembly =
        weir_conf::assemble_with(registries(), &all, Path::new("/weir.conf"), &prefix, None, &env);
    let generation: Arc<dyn Any + Send + Sync> = Arc::new(());
    let fading = Arc::downgrade(&generation);
    let files = [Arc::clone(log)];
    let mut shared = SharedPlan::new(&mut assembly, &env, resolver);
    let plan = SnapshotPlan::build(&mut assembly, &env, prefix);
    shared.finish(&mut assembly);
    let said = assembly.one_lines();
    let plan = plan.unwrap_or_else(|| panic!("{said:?}"));
    let shared = shared.make(&[Side::Http], &files, registry);
    (Snapshot::new(Arc::new(plan.configuration(&shared, registry)), generation), fading)
}
