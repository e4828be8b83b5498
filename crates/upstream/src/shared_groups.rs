//! The owners of what nodes have in common about groups: what they have found about servers, and
//! learned sessions.

use std::sync::Arc;

use weir_engine::{Level, error_log::Seldom};

use crate::{
    clock::Now,
    findings::{Findings, text},
    group::Group,
    registry::Registry,
    shared_records::{self, Owner, Theme},
    sticky::{SessionKey, Sessions, read_key},
};

/// Begins to share what nodes have in common about the groups of a registry: once in a process.
pub fn share(registry: &Arc<Registry>) {
    let (health, sessions) = (FoundHealth(registry.clone()), LearnedSessions(registry.clone()));
    shared_records::set_owner(Theme::Health, Box::leak(Box::new(health)));
    shared_records::set_owner(Theme::Sticky, Box::leak(Box::new(sessions)));
}

/// What nodes have found about the groups of a registry.
pub(crate) struct FoundHealth(pub(crate) Arc<Registry>);

impl Owner for FoundHealth {
    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let groups = self.0.newest().into_iter();
        let record = |group: Arc<Group>| {
            Some((group.config.key.clone().into_bytes(), group.found_text()?.into_bytes()))
        };
        groups.filter_map(record).collect()
    }

    fn keeps(&self, key: &[u8]) -> bool {
        std::str::from_utf8(key).is_ok_and(|key| !self.0.of_key(key).is_empty())
    }

    fn apply(&self, key: &[u8], value: Option<&[u8]>) {
        let names = std::str::from_utf8(key).ok().and_then(|key| key.split_once('\0'));
        let Some((node, key)) = names else { return };
        if let Some(group) = self.0.of_key(key).pop() {
            group.hear_findings(node, value, Now::current());
        }
    }

    fn leave(&self, node: &str) {
        self.0.newest().iter().for_each(|group| group.others.leave(node));
    }
}

/// The learned sessions of a registry.
pub(crate) struct LearnedSessions(pub(crate) Arc<Registry>);

impl LearnedSessions {
    /// The sessions of a shared key, and the session.
    fn find(&self, key: &[u8]) -> Option<(Arc<Sessions>, SessionKey)> {
        let (group, session) = read_key(key)?;
        let group = self.0.of_key(group).pop()?;
        Some((Arc::clone(group.sessions()?), session))
    }
}

impl Owner for LearnedSessions {
    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let groups = self.0.newest();
        let sessions = groups.iter().filter_map(|group| group.sessions());
        sessions.flat_map(|sessions| sessions.tell_all()).collect()
    }

    /// A full zone may have left sessions of other nodes out.
    fn keeps(&self, key: &[u8]) -> bool {
        self.find(key).is_some_and(|(sessions, _)| sessions.has_room())
    }

    fn apply(&self, key: &[u8], value: Option<&[u8]>) {
        if let Some((sessions, session)) = self.find(key) {
            sessions.apply(session, value);
        }
    }
}

/// The line about findings that cannot be read.
static UNREADABLE: Seldom = Seldom::new();

impl Group {
    /// What this node has found about the servers; `None` if nothing of it is told.
    fn found_text(&self) -> Option<String> {
        let config = &self.config;
        let is_told = !config.checks.is_empty() || config.agent.is_some();
        is_told.then(|| text(&config.checks, self.peers().iter().map(|peer| &**peer)))
    }

    /// Tells the other nodes what this one has found.
    pub(crate) fn tell_findings(&self) {
        if shared_records::has_mirror() {
            let text = self.found_text();
            let value = text.as_ref().map(String::as_bytes);
            shared_records::note(Theme::Health, self.config.key.as_bytes(), value);
        }
    }

    /// Takes over what another node has found; `None` if it tells nothing any longer.
    fn hear_findings(&self, node: &str, text: Option<&[u8]>, now: Now) {
        let findings = text.and_then(Findings::read);
        if findings.is_none() && text.is_some() {
            let name = self.name();
            UNREADABLE.log(
                Level::Warn,
                format_args!("what node \"{node}\" has found in upstream \"{name}\" is unreadable"),
            );
        }
        self.others.set(node, findings);
        if self.others.teach(self.name(), &self.config.checks, &self.peers(), now) {
            self.tell_health_change();
        }
    }
}
