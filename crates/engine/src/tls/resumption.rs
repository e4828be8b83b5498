//! Sessions with upstreams, kept for resumption (`proxy_ssl_session_reuse`).
//!
//! Each set of settings has its own store, so a session is resumed only with the settings it was
//! made with. rustls resumes none with another client certificate.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// The maximum number of names with sessions. A session holds the server's certificates, of up to
/// 64 KiB, and names may come from requests.
const NAMES: usize = 128;

/// The maximum number of TLS 1.3 tickets per name; each is used once.
const TICKETS: usize = 4;

/// The sessions of one set of settings, shared by all threads.
#[derive(Default)]
pub(super) struct Sessions(Mutex<KeptSessions>);

#[derive(Default)]
struct KeptSessions {
    names: HashMap<ServerName<'static>, UpstreamSession>,
    /// The names in order of insertion, oldest first.
    order: VecDeque<ServerName<'static>>,
}

#[derive(Default)]
struct UpstreamSession {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl KeptSessions {
    /// The entry of a name; the oldest name is evicted when full.
    fn place(&mut self, name: ServerName<'static>) -> &mut UpstreamSession {
        if !self.names.contains_key(&name) {
            if self.order.len() >= NAMES
                && let Some(oldest) = self.order.pop_front()
            {
                self.names.remove(&oldest);
            }
            self.order.push_back(name.clone());
        }
        self.names.entry(name).or_default()
    }
}

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, KeptSessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.kept().place(name).group = Some(group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().names.get(name)?.group
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept().place(name).tls12 = Some(value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept().names.get(name)?.tls12.clone()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(session) = self.kept().names.get_mut(name) {
            session.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        let tickets = &mut kept.place(name).tickets;
        if tickets.len() >= TICKETS {
            tickets.pop_front();
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept().names.get_mut(name)?.tickets.pop_back()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_name_is_evicted() {
        let sessions = Sessions::default();
        let name = |at: usize| ServerName::try_from(format!("n{at}.test")).unwrap();
        for at in 0..=NAMES {
            sessions.set_kx_hint(name(at), NamedGroup::X25519);
            sessions.set_kx_hint(name(at), NamedGroup::secp256r1);
        }
        assert_eq!(sessions.kx_hint(&name(0)), None);
        assert_eq!(sessions.kx_hint(&name(1)), Some(NamedGroup::secp256r1));
        assert_eq!(sessions.kept().names.len(), NAMES);
        assert_eq!(sessions.kept().order.len(), NAMES);
    }
}
