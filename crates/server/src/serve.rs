//! The interface between the process and HTTP: directive tables, the plan of a configuration, the
//! sockets that the plan needs, and each thread's service.

use std::any::Any;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use weir_conf::{Assembly, Diagnostic, Environment, Severity, Table, TypeMap};
use weir_edge::listen::ListenSpec;
use weir_edge::shared::SharedPlan;
use weir_engine::Conn;
use weir_engine::duty::Duty;
use weir_engine::journal;
use weir_engine::log_files::LogFile;
use weir_ha::carrier::{self, MirrorPlan};
use weir_ha::link::{self, LinkPlan};
use weir_ha::settings::Ha;
use weir_http::certificates::{ServerCertificate, in_force};
use weir_http::snapshot::Snapshot;
use weir_http::snapshot::plan::{self, SnapshotPlan};
use weir_upstream::{Health, Now, Registry, Side, Upstreams};

/// How often an ending thread checks whether its last connection is closed.
const LAST_LOOKS: Duration = Duration::from_millis(10);

/// Peers with their health and counters, which outlive configurations.
static UPSTREAMS: LazyLock<Arc<Registry>> = LazyLock::new(Arc::default);

/// The sides whose upstreams get groups: those that somebody serves.
const SERVED: &[Side] = &[Side::Http];

/// All directive tables except the process's own.
pub(crate) fn tables() -> Vec<&'static Table> {
    weir_http::modules::tables()
}

/// The initial registries of the setters.
pub(crate) fn registries() -> TypeMap {
    weir_http::modules::registries()
}

/// Whether the configuration needs raw sockets, to bind to addresses of other hosts.
pub(crate) fn needs_raw_sockets(assembly: &Assembly) -> bool {
    use weir_http::pass::transfer::RawSockets;
    assembly.registries.get::<RawSockets>().is_some_and(|needed| needed.0)
}

/// Adds a fault for each required upstream that there is no block of.
pub(crate) fn check_required(assembly: &mut Assembly, ha: Option<&Ha>) {
    let Some(ha) = ha.filter(|_| assembly.ok()) else { return };
    for required in &ha.require {
        let known = assembly.registries.get::<Upstreams>();
        let is_known = |known: &Upstreams| known.find(Side::Http, &required.name).is_some();
        if !known.is_some_and(is_known) {
            let name = &required.name;
            let message = format!("\"require {name}\" names no upstream of \"http\"");
            let fault = Diagnostic::new(Severity::Emerg, message, Some(required.span));
            assembly.diagnostics.push(fault);
        }
    }
}

/// Whether an upstream has a server that is healthy, be it busy or not.
pub(crate) fn has_healthy_server(upstream: &str) -> bool {
    let Some(group) = UPSTREAMS.find(Side::Http, upstream) else { return false };
    let now = Now::current();
    let is_healthy = |peer: &Arc<weir_upstream::Peer>| {
        peer.is_available(now)
            || (peer.is_full() && peer.health() == Health::Good && !peer.is_failed(now))
    };
    group.peers().iter().any(is_healthy)
}

/// The plan of a valid configuration.
pub(crate) struct Plan {
    shared: SharedPlan,
    http: SnapshotPlan,
}

impl Plan {
    /// Completes an assembly. Faults are added to its diagnostics and yield no plan.
    pub(crate) fn build(
        assembly: &mut Assembly,
        env: &dyn Environment,
        prefix: PathBuf,
    ) -> Option<Self> {
        if !assembly.ok() {
            return None;
        }
        let mut shared = SharedPlan::new(assembly, env, plan::resolver);
        let http = SnapshotPlan::build(assembly, env, prefix);
        shared.finish(assembly);
        http.filter(|_| assembly.ok()).map(|http| Self { shared, http })
    }

    /// Builds the configuration that all threads share; the cost grows with its size. `files` are
    /// the open log files in the order of their handles.
    pub(crate) fn configuration(&self, files: &[Arc<LogFile>]) -> Configuration {
        let shared = self.shared.make(SERVED, files, &UPSTREAMS);
        Configuration(Arc::new(self.http.configuration(&shared, &UPSTREAMS)))
    }

    /// The certificates of its servers.
    pub(crate) fn certificates(&self) -> Vec<ServerCertificate<'_>> {
        self.http.certificates()
    }

    /// The sockets that the plan needs.
    pub(crate) fn listens(&self) -> Vec<ListenSpec> {
        self.http.listeners()
    }
}

/// A configuration ready to serve, shared by all threads.
#[derive(Clone)]
pub(crate) struct Configuration(Arc<weir_http::snapshot::Configuration>);

impl Configuration {
    /// Whether names of upstreams have not been asked for yet.
    pub(crate) fn awaits_names(&self) -> bool {
        self.0.awaits_names()
    }

    /// Restores what a killed predecessor has left in its journal.
    ///
    /// # Errors
    /// This worker could leave nothing to a successor.
    fn restore(&self) -> std::io::Result<()> {
        weir_upstream::shared_servers::begin(&UPSTREAMS);
        UPSTREAMS.groups().iter().for_each(|group| group.restore());
        weir_http::keyval::restore();
        weir_http::modules::restore(&self.0);
        weir_upstream::share(&UPSTREAMS);
        journal::complete()
    }

    /// Shows its certificates, now that it is in force.
    pub(crate) fn show_certificates(&self) {
        in_force::note(&self.0);
    }

    /// Whether this is the last reference to the configuration.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// A configuration with its guards.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) configuration: Configuration,
    /// Reports the end of its last request.
    pub(crate) generation: Arc<dyn Any + Send + Sync>,
    /// Held by its duties. A probe of a server that hangs does not delay the report.
    pub(crate) beside: Arc<dyn Any + Send + Sync>,
    /// The links between nodes.
    pub(crate) links: Option<LinkPlan>,
    /// The mirror, which uses them.
    pub(crate) mirror: Option<MirrorPlan>,
}

impl Serving {
    /// Restores what a killed predecessor has left, before anything is served.
    ///
    /// # Errors
    /// This worker could leave nothing to a successor.
    pub(crate) fn restore(&self) -> std::io::Result<()> {
        if self.mirror.is_some() {
            carrier::restore_ticket_keys();
        }
        self.configuration.restore()
    }

    /// The caretaker's duties while the configuration is in force.
    pub(crate) fn duties(&self) -> Vec<Duty> {
        let mut duties = self.duties_without_links();
        duties.extend(self.mirror.clone().map(carrier::duty));
        duties.extend(self.links.clone().map(link::duty));
        duties
    }

    /// The duties of a worker that is ending: its successor has the links.
    pub(crate) fn duties_without_links(&self) -> Vec<Duty> {
        let configuration = &self.configuration.0;
        let mut duties = configuration.duties(&UPSTREAMS, &self.beside);
        duties.extend(in_force::duty(configuration));
        duties
    }

    /// A thread's snapshot of it.
    fn snapshot(&self) -> Rc<Snapshot> {
        Snapshot::new(Arc::clone(&self.configuration.0), Arc::clone(&self.generation))
    }
}

/// The service of one thread.
pub(crate) struct Service(Rc<weir_http::serve::Service>);

impl Service {
    /// A service that starts with this configuration.
    pub(crate) fn new(serving: &Serving) -> Self {
        Self(weir_http::serve::Service::new(serving.snapshot()))
    }

    /// Switches new requests to another configuration.
    pub(crate) fn swap(&self, serving: &Serving) {
        self.0.swap(serving.snapshot());
    }

    /// The handler of connections accepted from the named socket.
    pub(crate) fn acceptor(&self, socket: &str) -> impl Fn(Conn) + 'static {
        let (service, socket) = (Rc::clone(&self.0), Rc::<str>::from(socket));
        move |conn| service.accept(conn, &socket)
    }

    /// Flushes buffered log lines.
    pub(crate) fn flush_logs(&self) {
        weir_http::modules::flush_logs();
    }

    /// Closes idle connections, and others after their current request.
    pub(crate) fn quit(&self) {
        self.0.quit();
    }

    /// Ends the requests that are left, which are logged as they are, with their connections.
    pub(crate) fn cut(&self) {
        weir_engine::event_loop::drop_tasks();
    }

    /// Waits for the last connection, and for the last request without a client.
    pub(crate) async fn done(&self) {
        let running = weir_http::subrequest::running_here;
        while weir_engine::stats::connections_here() > 0 || running() > 0 {
            weir_engine::timer::sleep(LAST_LOOKS).await;
        }
    }
}
