//! A fixture for unit tests of whole requests: a configuration from a text.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use weir_conf::environment::Memory;
use weir_conf::{Assembly, assemble_with};
use weir_edge::shared::SharedPlan;
use weir_engine::{Addr, clock};
use weir_upstream::{Registry, Side};

use crate::request::connection_info::ConnectionInfo;
use crate::snapshot::Configuration;
#[cfg(test)]
use crate::snapshot::Snapshot;
use crate::snapshot::plan::{SnapshotPlan, resolver};

/// The name of the listener of [`server`].
pub(crate) const LISTENER: &str = "tcp 0.0.0.0:80";

/// A server with the content `conf`, which listens at [`LISTENER`].
#[cfg(test)]
pub(crate) fn server(conf: &str) -> String {
    format!("server {{ listen 80; {conf} }}")
}

/// Assembles the content of an `http` block with the tables and variables of all modules.
#[cfg(test)]
pub(crate) fn assembly(http: &str) -> Assembly {
    read(http).0
}

/// One thread's snapshot of a valid configuration.
#[cfg(test)]
pub(crate) fn snapshot(http: &str, registry: &Registry) -> Rc<Snapshot> {
    Snapshot::new(configuration(http, registry), Arc::new(()))
}

/// A valid configuration, for any number of snapshots.
pub(crate) fn configuration(http: &str, registry: &Registry) -> Arc<Configuration> {
    let (mut assembly, env) = read(&format!("access_log off; {http}"));
    let mut shared = SharedPlan::new(&mut assembly, &env, resolver);
    let plan = SnapshotPlan::build(&mut assembly, &env, "/srv".into());
    shared.finish(&mut assembly);
    assert!(assembly.ok(), "{:?}", assembly.diagnostics);
    let shared = shared.make(&[Side::Http], &[], registry);
    Arc::new(plan.expect("it is valid").configuration(&shared, registry))
}

fn read(http: &str) -> (Assembly, Memory) {
    let env = Memory::default().with("/etc/nginx.conf", format!("http {{ {http} }}"));
    let mut tables = crate::modules::tables();
    tables.push(&weir_engine::error_log::directive::TABLE);
    let known = crate::modules::registries();
    let (path, prefix) = (Path::new("/etc/nginx.conf"), Path::new("/srv"));
    (assemble_with(known, &tables, path, prefix, None, &env), env)
}

/// A plain connection to that server.
pub(crate) fn connection() -> Rc<ConnectionInfo> {
    let address = Addr::Inet(([127, 0, 0, 1], 80).into());
    Rc::new(ConnectionInfo {
        id: 1,
        peer: address.clone(),
        local: address,
        proxy_protocol: None,
        ssl: false,
        tls: None,
        negotiated: None,
        start: clock::now(),
        messages: None,
    })
}
