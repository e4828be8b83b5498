//! The owners of what nodes have in common about groups: learned sessions.

use std::sync::Arc;

use crate::{
    registry::Registry,
    shared_records::{self, Owner, Theme},
    sticky::{SessionKey, Sessions, read_key},
};

/// Begins to share what nodes have in common about the groups of a registry: once in a process.
pub fn share(registry: &Arc<Registry>) {
    let sessions = LearnedSessions(registry.clone());
    shared_records::set_owner(Theme::Sticky, Box::leak(Box::new(sessions)));
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
