//! A server of a group, as the configuration or an edit describes it.

use std::{fmt, sync::Arc};

use weir_conf::value::parse_msec;
use weir_engine::Addr;

use crate::agent::config::AgentAddress;

/// One `server` of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The address as written.
    pub text: String,
    /// Its addresses; empty if it is resolved at run time.
    pub addresses: Vec<Addr>,
    /// `weight=`, `max_conns=`, `max_fails=`, `fail_timeout=`, `slow_start=`, `down`, `drain`,
    /// `agent_addr=`, `agent_port=`, `locality=`.
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
    /// `slow_start=`.
    pub slow_start: SlowStart,
    /// `down`, `drain`.
    pub admission: Admission,
    /// `agent_addr=`, `agent_port=`.
    pub agent: AgentAddress,
    /// `locality=`.
    pub locality: Option<Arc<str>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weight: 1,
            max_conns: 0,
            max_fails: 1,
            fail_timeout: 10,
            slow_start: SlowStart::Off,
            admission: Admission::Open,
            agent: AgentAddress::default(),
            locality: None,
        }
    }
}

/// How a server that takes requests again comes to its full share of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowStart {
    /// At once.
    #[default]
    Off,
    /// Evenly within this many milliseconds, at least 1.
    Within(u64),
    /// As its latency and errors allow.
    Auto,
}

impl SlowStart {
    /// An even growth within that time; 0 is none.
    pub fn within(millis: u64) -> Self {
        if millis == 0 { Self::Off } else { Self::Within(millis) }
    }

    /// A time as in the configuration, or `auto`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text == b"auto" {
            return Some(Self::Auto);
        }
        u64::try_from(parse_msec(text)?.as_millis()).ok().map(Self::within)
    }
}

impl fmt::Display for SlowStart {
    /// As in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("0s"),
            Self::Within(millis) if millis.is_multiple_of(1000) => write!(f, "{}s", millis / 1000),
            Self::Within(millis) => write!(f, "{millis}ms"),
            Self::Auto => f.write_str("auto"),
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
    /// Listed by the group's `discover`.
    Listed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_starts_are_written_as_they_are_read() {
        let within = SlowStart::Within;
        let rows = [
            (SlowStart::Off, "0s"),
            (within(10_000), "10s"),
            (within(1500), "1500ms"),
            (SlowStart::Auto, "auto"),
        ];
        for (start, text) in rows {
            assert_eq!(start.to_string(), text);
            assert_eq!(SlowStart::parse(text.as_bytes()), Some(start));
        }
        assert_eq!(SlowStart::parse(b"-1"), None);
    }
}
