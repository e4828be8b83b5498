//! A server of a group, as the configuration or an edit describes it.

use std::fmt;

use weir_engine::Addr;

/// One `server` of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The address as written.
    pub text: String,
    /// Its addresses; empty if it is resolved at run time.
    pub addresses: Vec<Addr>,
    /// `weight=`, `max_conns=`, `max_fails=`, `fail_timeout=`, `down`, `drain`.
    pub limits: Limits,
    /// `backup`: takes requests only when no primary server can.
    pub backup: bool,
    /// `route=`.
    pub route: Option<String>,
    /// `resolve`: the name is resolved repeatedly at run time.
    pub resolve: Option<Name>,
}

/// A name to resolve at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The domain name.
    pub host: String,
    /// The port of its addresses; a service has its own.
    pub port: u16,
    /// `service=`: look up SRV records.
    pub service: Option<String>,
}

impl Server {
    pub(crate) fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }
}

/// The limit of a server's `route=` in bytes: the length of the MD5 text that it replaces.
pub const MAX_ROUTE: usize = 32;

/// The administrative state of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// Takes requests.
    #[default]
    Open,
    /// `drain`: takes only requests bound to it by `sticky`.
    Draining,
    /// `down`: takes no requests.
    Down,
}

/// The parameters of a `server`, shared by all its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `weight=`, at least 1.
    pub weight: u32,
    /// `max_conns=`, 0 is unlimited.
    pub max_conns: u64,
    /// `max_fails=`, 0 never disables the server.
    pub max_fails: u64,
    /// `fail_timeout=` in seconds.
    pub fail_timeout: i64,
    /// `slow_start` in milliseconds, 0 is none.
    pub slow_start: u64,
    /// `down`, `drain`.
    pub admission: Admission,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weight: 1,
            max_conns: 0,
            max_fails: 1,
            fail_timeout: 10,
            slow_start: 0,
            admission: Admission::Open,
        }
    }
}

/// The number of a server in its group, from 0 in the order of the configuration. It is stable, and
/// not reused within the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u32);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The origin of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A `server` line.
    #[default]
    Conf,
    /// A resolved address of this server's name.
    Resolved(ServerId),
    /// Added at run time.
    RunTime,
}
