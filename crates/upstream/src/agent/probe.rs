//! The question to an agent: a connection, what is to be sent, and a line.

use std::{io, net::SocketAddr, time::Duration};

use weir_engine::{
    Addr, Level, clock,
    connection::connect::{ConnectError, ConnectOptions, connect},
    error_log::process_log,
    os_error::Failed,
};
use weir_wire::agent;

use crate::{
    agent::config::{AgentAddress, AgentConfig},
    check::{CheckConfig, Finding, Probe, Probed, Probing},
    clock::Now,
    peer::Peer,
};

/// The limit of a line in bytes.
const MAX_LINE: usize = 4096;

/// The limit of the bytes of an unknown word that are logged.
const MAX_SHOWN: usize = 40;

/// The limit of unknown words that are logged of one line.
const MAX_UNKNOWN: usize = 3;

/// Asks the agents of a group.
pub(super) struct AgentProbe(AgentConfig);

impl AgentProbe {
    pub(super) fn new(config: AgentConfig) -> Self {
        Self(config)
    }
}

impl AgentProbe {
    /// The address of a server's agent; `None` if none is known.
    fn address_of(&self, peer: &Peer) -> Option<Addr> {
        let AgentAddress { ip, port } = peer.limits.agent;
        let ip = ip.or(match &peer.address {
            Addr::Inet(address) => Some(address.ip()),
            _ => None,
        });
        Some(Addr::Inet(SocketAddr::new(ip?, port.or(self.0.port)?)))
    }
}

impl Probe for AgentProbe {
    fn probe(&self, _: usize, address: Addr) -> Probing {
        let config = self.0.clone();
        Box::pin(async move {
            match ask(&config, &address).await {
                Ok(line) => heard(&line),
                Err(Trouble { probed, level, text }) => {
                    let text = format!("{text} at {address}, its last words stay in force");
                    Finding { probed, doing: "asking".into(), reasons: vec![(level, text)] }
                }
            }
        })
    }

    fn log(&self, _: usize, level: Level, message: &str) {
        process_log().log(level, 0, message);
    }

    /// Agents are asked in maintenance, too: they end it.
    fn wants(&self, peer: &Peer) -> bool {
        self.address_of(peer).is_some()
    }

    fn place(&self, _: &CheckConfig, peer: &Peer) -> Addr {
        self.address_of(peer).unwrap_or_else(|| peer.address.clone())
    }

    fn conclude(
        &self,
        _: usize,
        _: &CheckConfig,
        peer: &Peer,
        finding: Finding,
        now: Now,
    ) -> Vec<(Level, String)> {
        let Finding { probed, mut reasons, .. } = finding;
        match probed {
            Probed::Said(line) => {
                let news = peer.hear(&line, now);
                reasons.extend(news);
            }
            Probed::Passed | Probed::Failed | Probed::TimedOut | Probed::Nothing => {
                if !peer.lose_agent() {
                    reasons.iter_mut().for_each(|(level, _)| *level = Level::Info.max(*level));
                }
            }
        }
        reasons
    }

    fn subject(&self, _: &CheckConfig) -> String {
        "agent".to_owned()
    }
}

/// Why there is no line.
struct Trouble {
    probed: Probed,
    level: Level,
    text: String,
}

impl Trouble {
    fn of(error: &io::Error, call: &str) -> Self {
        let is_late = error.kind() == io::ErrorKind::TimedOut;
        Self {
            probed: if is_late { Probed::TimedOut } else { Probed::Failed },
            level: Level::Warn,
            text: match is_late {
                true => "timed out".to_owned(),
                false => Failed(&format!("{call} failed"), error).to_string(),
            },
        }
    }

    fn answer(text: &str) -> Self {
        Self { probed: Probed::Failed, level: Level::Warn, text: text.to_owned() }
    }
}

/// The line of an agent, without what follows it. The limit of time is for the whole exchange, so
/// that dripping bytes do not prolong it.
async fn ask(config: &AgentConfig, address: &Addr) -> Result<Vec<u8>, Trouble> {
    let end = clock::now() + Duration::from_millis(config.timeout);
    let left = || match end.since(clock::now()) {
        left if left.is_zero() => Err(Trouble::of(&io::ErrorKind::TimedOut.into(), "")),
        left => Ok(left),
    };
    let connecting = connect(address, &ConnectOptions::default(), left()?).await;
    let mut conn = connecting.map_err(|error| match error {
        ConnectError::Peer(error) => Trouble::of(&error, "connect()"),
        ConnectError::Own(call, error) => {
            Trouble { probed: Probed::Nothing, ..Trouble::of(&error, &call) }
        }
        ConnectError::Ports(error) => {
            Trouble { probed: Probed::Nothing, ..Trouble::of(&error, "connect()") }
        }
        // It was logged.
        ConnectError::Capacity => {
            let text = "worker_connections are not enough".to_owned();
            Trouble { probed: Probed::Nothing, level: Level::Info, text }
        }
    })?;
    if !config.send.is_empty() {
        let sending = conn.send_all(&[&config.send], left()?).await;
        sending.map_err(|error| Trouble::of(&error, "send()"))?;
    }
    let mut line = Vec::new();
    loop {
        let read = conn.recv(&mut line, MAX_LINE, left()?).await;
        let count = read.map_err(|error| Trouble::of(&error, "recv()"))?;
        if let Some(end) = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            line.truncate(end);
            return Ok(line);
        }
        if count == 0 {
            return Err(Trouble::answer("closed the connection before the end of a line"));
        }
        if line.len() >= MAX_LINE {
            return Err(Trouble::answer("sent a line that is too long"));
        }
    }
}

/// What a line says. Words without a meaning are told to those who want to know everything.
fn heard(line: &[u8]) -> Finding {
    let mut unknown = Vec::new();
    let said = agent::parse(line, |word| {
        if unknown.len() < MAX_UNKNOWN {
            let word = word.get(..MAX_SHOWN).unwrap_or(word).escape_ascii();
            unknown.push((Level::Info, format!("unknown word \"{word}\"")));
        }
    });
    Finding { probed: Probed::Said(said), doing: "asking".into(), reasons: unknown }
}
