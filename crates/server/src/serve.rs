//! The one place where the process meets what it serves. Everything that the server knows of HTTP
//! goes through here: the tables of its directives, the plan that a configuration comes to, the
//! sockets that the plan wants, and each thread's service.

use std::any::Any;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use weir_conf::{Assembly, Environment, Table, TypeMap};
use weir_engine::duty::Duty;
use weir_engine::listen::{Keepalive, ListenOptions, Transport};
use weir_engine::log_files::LogFile;
use weir_engine::{Addr, Conn};
use weir_http::core::address::Address;
use weir_http::core::listen::{Keepalive as Probes, SocketOptions};
use weir_http::route::ListenSpec;
use weir_http::snapshot::Snapshot;
use weir_upstream::Registry;

use crate::sockets::Wanted;

/// How often a thread that is about to end looks whether its last connection has gone.
const LAST_LOOKS: Duration = Duration::from_millis(10);

/// Peers with their health and their counters: what outlives every configuration of the process.
static UPSTREAMS: LazyLock<Arc<Registry>> = LazyLock::new(Arc::default);

/// The tables of all directives that are not the process's own.
pub(crate) fn tables() -> Vec<&'static Table> {
    weir_http::modules::tables()
}

/// What their setters begin with.
pub(crate) fn registries() -> TypeMap {
    weir_http::modules::registries()
}

/// Whether the configuration needs the right to raw sockets, for addresses that are not ours.
pub(crate) fn needs_raw_sockets(assembly: &Assembly) -> bool {
    use weir_http::pass::transfer::RawSockets;
    assembly.registries.get::<RawSockets>().is_some_and(|needed| needed.0)
}

/// A configuration that has been read and is good.
pub(crate) struct Plan(weir_http::snapshot::plan::Plan);

impl Plan {
    /// Finishes an assembly. What is wrong is added to its diagnostics, and then there is no plan.
    pub(crate) fn build(
        assembly: &mut Assembly,
        env: &dyn Environment,
        prefix: PathBuf,
    ) -> Option<Self> {
        weir_http::snapshot::plan::Plan::build(assembly, env, prefix).map(Self)
    }

    /// Makes what all threads share, which takes the longer the more there is. `files` are the open
    /// log files in the order of their handles.
    pub(crate) fn configuration(self, files: &[Arc<LogFile>]) -> Configuration {
        Configuration(Arc::new(self.0.configuration(files, &UPSTREAMS)))
    }

    /// The sockets that it wants.
    pub(crate) fn listens(&self) -> Vec<Wanted> {
        self.0.listeners().iter().map(wanted).collect()
    }
}

/// A configuration ready to serve, shared by all threads.
#[derive(Clone)]
pub(crate) struct Configuration(Arc<weir_http::snapshot::Configuration>);

impl Configuration {
    /// What the caretaker does while it is in force.
    pub(crate) fn duties(&self) -> Vec<Duty> {
        self.0.duties(&UPSTREAMS)
    }

    /// Whether nothing serves by it any more, and nobody else holds it.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A configuration with what is dropped behind the last that serves by it.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) configuration: Configuration,
    pub(crate) generation: Arc<dyn Any + Send + Sync>,
}

impl Serving {
    /// A thread's hold on it.
    fn snapshot(&self) -> Rc<Snapshot> {
        Snapshot::new(Arc::clone(&self.configuration.0), Arc::clone(&self.generation))
    }
}

fn wanted(spec: &ListenSpec) -> Wanted {
    let addr = match &spec.address {
        Address::Inet(address) => Addr::Inet(*address),
        Address::Unix(path) => Addr::unix(path),
    };
    let options = options(&spec.options, spec.address.is_wildcard());
    Wanted { name: spec.key(), addr, options }
}

fn options(socket: &SocketOptions, wildcard: bool) -> ListenOptions {
    let size = |bytes: Option<u64>| bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    ListenOptions {
        transport: Transport::Stream,
        backlog: count(socket.backlog),
        rcvbuf: size(socket.rcvbuf),
        sndbuf: size(socket.sndbuf),
        deferred: socket.deferred,
        fastopen: socket.fastopen.map(count),
        reuseport: socket.reuseport,
        keepalive: socket.keepalive.as_ref().map(keepalive),
        ipv6only: socket.ipv6only,
        wildcard,
    }
}

fn keepalive(probes: &Probes) -> Keepalive {
    match *probes {
        Probes::Off => Keepalive::default(),
        Probes::On { idle, interval, count } => Keepalive { on: true, idle, interval, count },
    }
}

/// What one thread serves with.
pub(crate) struct Service(Rc<weir_http::serve::Service>);

impl Service {
    /// A service that begins with this configuration.
    pub(crate) fn new(serving: &Serving) -> Self {
        Self(weir_http::serve::Service::new(serving.snapshot()))
    }

    /// Serves new requests by another configuration.
    pub(crate) fn swap(&self, serving: &Serving) {
        self.0.swap(serving.snapshot());
    }

    /// What to do with each connection that comes in at the socket of that name.
    pub(crate) fn acceptor(&self, socket: &str) -> impl Fn(Conn) + 'static {
        let (service, socket) = (Rc::clone(&self.0), Rc::<str>::from(socket));
        move |conn| service.accept(conn, &socket)
    }

    /// Writes out what log files have in memory.
    pub(crate) fn flush_logs(&self) {
        weir_http::modules::flush_logs();
    }

    /// Closes what is idle, and lets every other connection end after its current request.
    pub(crate) fn quit(&self) {
        self.0.quit();
    }

    /// Waits until the last connection has gone, and the last request that needs none.
    pub(crate) async fn done(&self) {
        let running = weir_http::subrequest::running_here;
        while weir_engine::stats::connections_here() > 0 || running() > 0 {
            weir_engine::timer::sleep(LAST_LOOKS).await;
        }
    }
}
