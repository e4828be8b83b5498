//! The configuration of a group.

use std::{fmt, sync::Arc};

use weir_engine::Addr;

use crate::{
    balance::{method::Method, round_robin::RoundRobin},
    resolver::ResolverConfig,
    server::Server,
    sticky::SessionsConfig,
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
    /// The servers, in order.
    pub servers: Vec<Server>,
    /// The balancing method.
    pub method: MethodHandle,
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
            servers: vec![server],
            method: MethodHandle::default(),
            sessions: None,
            resolver: None,
        }
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
