//! The interface of protocols that can be probed.

use std::{borrow::Cow, fmt, future::Future, net::SocketAddr, pin::Pin, rc::Rc};

use weir_engine::{Addr, Level};
use weir_wire::agent::AgentLine;

use crate::{
    check::{config::CheckConfig, judge},
    clock::Now,
    peer::Peer,
    server::Admission,
};

/// A running probe.
pub type Probing = Pin<Box<dyn Future<Output = Finding>>>;

/// The probes of a group's checks, used by one thread.
pub trait Probe {
    /// Probes a server for the check with this number. The probe ends by itself, within time limits
    /// of its own.
    fn probe(&self, check: usize, address: Addr) -> Probing;

    /// Forgets what it keeps for a server, which is not to be probed any more.
    fn forget(&self, _check: usize, _address: &Addr) {}

    /// Writes to the error log of a check.
    fn log(&self, check: usize, level: Level, message: &str);

    /// Whether a server is to be probed now: not in maintenance.
    fn wants(&self, peer: &Peer) -> bool {
        peer.admission() != Admission::Down
    }

    /// The address to probe: the server's, with the port of the check.
    fn place(&self, check: &CheckConfig, peer: &Peer) -> Addr {
        at_port(&peer.address, check.port)
    }

    /// Draws the consequences of a finding of the check with this number. Returns the lines for the
    /// log, without their subject.
    fn conclude(
        &self,
        number: usize,
        check: &CheckConfig,
        peer: &Peer,
        finding: Finding,
        now: Now,
    ) -> Vec<(Level, String)> {
        judge::conclude(number, check, peer, finding, now)
    }

    /// The subject of messages.
    fn subject(&self, check: &CheckConfig) -> String {
        format!("health check \"{}\"", check.name)
    }
}

/// An address with another port, if one is given. A socket of the file system has none.
fn at_port(address: &Addr, port: Option<u16>) -> Addr {
    match (address, port) {
        (Addr::Inet(address), Some(port)) => Addr::Inet(SocketAddr::new(address.ip(), port)),
        _ => address.clone(),
    }
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The server is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// It did not answer in time.
    TimedOut,
    /// The probe itself failed, by a fault of our own.
    Nothing,
    /// An agent has said this.
    Said(AgentLine),
}

/// A result with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The result.
    pub probed: Probed,
    /// The last step of the probe, as in "while checking status code".
    pub doing: Cow<'static, str>,
    /// Messages for the log, with what was being done.
    pub reasons: Vec<(Level, String)>,
}

impl Finding {
    /// A passed probe with its last step.
    pub fn passed(doing: impl Into<Cow<'static, str>>) -> Self {
        Self { probed: Probed::Passed, doing: doing.into(), reasons: Vec::new() }
    }
}

/// The health checks of a group in one configuration.
pub struct CheckPlan {
    /// The checks, by number.
    pub checks: Vec<CheckConfig>,
    /// Makes their probes, on the thread that will use them.
    pub probe: Box<dyn Fn() -> Rc<dyn Probe> + Send + Sync>,
}

impl fmt::Debug for CheckPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckPlan").field("checks", &self.checks).finish_non_exhaustive()
    }
}
