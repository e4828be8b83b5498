//! What a node has found about the servers of a group, as a text for the others:
//!
//! ```text
//!  hash of the first check │ of the second │ …
//!  checks that have a verdict │ those that find it unhealthy │ agent │ weight │ maxconn │ address
//!  …
//! ```
//!
//! Checks are named by what they ask and expect, so that nodes may ask at other intervals. `agent`
//! is 0 if the agent was not heard, and else twice the bits of its verdicts and 1.

use std::{collections::HashMap, fmt::Write};

use crate::{
    agent::said::Words,
    check::config::CheckConfig,
    health::{Checks, MAX_CHECKS},
    peer::{Peer, hex_md5},
};

/// The longest text, in bytes: about 10,000 servers. Those beyond it are not told.
const MAX_TEXT: usize = 1 << 19;

/// What a node has found about a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The checks that find it good.
    pub(crate) good: Checks,
    /// The checks that find it unhealthy.
    pub(crate) bad: Checks,
    /// What its agent has said, if it was heard.
    pub(crate) words: Option<Words>,
}

impl Found {
    /// What two nodes have found. If one of them reaches it, it lives.
    pub(super) fn or(self, other: Self) -> Self {
        let good = self.good | other.good;
        let bad = (self.bad | other.bad) & !good;
        Self { good, bad, words: self.words.or(other.words) }
    }
}

/// What a node has found about the servers of a group.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The names of its checks.
    checks: Vec<String>,
    by_address: HashMap<String, Found>,
}

impl Findings {
    /// What it has found about a server, by the numbers of these checks.
    pub(super) fn of(&self, address: &str, checks: &[String]) -> Option<Found> {
        let found = self.by_address.get(address)?;
        let here = |theirs: Checks| {
            let is_theirs = |name: &String| {
                let place = self.checks.iter().position(|known| known == name);
                place.is_some_and(|place| theirs >> place & 1 != 0)
            };
            let numbered = checks.iter().enumerate();
            numbered.fold(0, |all, (at, name)| all | Checks::from(is_theirs(name)) << at)
        };
        Some(Found { good: here(found.good), bad: here(found.bad), words: found.words })
    }

    /// Reads the text of another node; `None` if it is none.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        let checks: Vec<_> = lines.next()?.split_ascii_whitespace().map(str::to_owned).collect();
        if checks.len() > MAX_CHECKS {
            return None;
        }
        let by_address = lines.map(read_line).collect::<Option<_>>()?;
        Some(Self { checks, by_address })
    }
}

fn read_line(line: &str) -> Option<(String, Found)> {
    let mut fields = line.splitn(6, ' ');
    let mut number = || fields.next()?.parse::<u64>().ok();
    let all = (1 << MAX_CHECKS) - 1;
    let (proved, bad) = ((number()? & all) as Checks, (number()? & all) as Checks);
    let (agent, said) = (number()?, (number()?, number()?));
    let words = (agent & 1 != 0).then_some(Words { verdicts: agent >> 1, said });
    let found = Found { good: proved & !bad, bad: proved & bad, words };
    Some((fields.next()?.to_owned(), found))
}

/// The names of checks.
pub(super) fn names(checks: &[CheckConfig]) -> Vec<String> {
    let name = |check: &CheckConfig| hex_md5(format!("{:?} {}", check.port, check.what).as_bytes());
    checks.iter().map(name).collect()
}

/// What this node has found about these servers.
pub(crate) fn text<'a>(
    checks: &[CheckConfig],
    peers: impl IntoIterator<Item = &'a Peer>,
) -> String {
    let mut text = names(checks).join(" ") + "\n";
    for peer in peers {
        let Found { good, bad, words } = peer.found();
        if good | bad == 0 && words.is_none() {
            continue;
        }
        let agent = words.map_or(0, |words| words.verdicts << 1 | 1);
        let (weight, max_conns) = words.map(|words| words.said).unwrap_or_default();
        let (proved, end) = (good | bad, text.len());
        let _ = writeln!(text, "{proved} {bad} {agent} {weight} {max_conns} {}", peer.name);
        if text.len() > MAX_TEXT {
            text.truncate(end);
            break;
        }
    }
    text
}

/// Reads bytes as the text of another node.
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Some(findings) = Findings::read(bytes) {
        let found = findings.by_address.keys().map(|name| findings.of(name, &findings.checks));
        assert!(found.flatten().all(|found| found.good & found.bad == 0));
    }
}
