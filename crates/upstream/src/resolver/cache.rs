//! The resolver's cache, and its pending questions.
//!
//! The first asker of a question gets a [`Ticket`] and publishes the answer; later ones wait for
//! it. If the asker's thread ends, the ticket is dropped, which closes the waiters' channel, and
//! one of them asks again.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Reason, message::Srv};

/// The limit of cached names. Beyond it expired ones are dropped, or all if none has expired.
const MAX_NAMES: usize = 10_000;

/// The limit of pending questions. Each may hold a socket, and names can come from clients.
const MAX_FLYING: usize = 4096;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The addresses of a name.
    Name(String),
    /// The services of a name.
    Service(String),
}

impl Key {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Name(name) | Self::Service(name) => name,
        }
    }

    /// The same question about another name.
    pub(super) fn alias(&self, name: String) -> Self {
        match self {
            Self::Name(_) => Self::Name(name),
            Self::Service(_) => Self::Service(name),
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Addresses, IPv4 before IPv6; never empty.
    Addresses(Vec<IpAddr>),
    /// The canonical name of an alias.
    Alias(String),
    /// Services, by priority.
    Services(Vec<Srv>),
}

impl Answer {
    /// Rotates a cached answer at random: the first address of each family varies, and so does the
    /// offset of one family from the other.
    pub(super) fn rotated(self, random: &mut fastrand::Rng) -> Self {
        let Self::Addresses(mut addresses) = self else { return self };
        let v4 = addresses.iter().take_while(|address| address.is_ipv4()).count();
        for family in [0..v4, v4..addresses.len()] {
            let length = family.len();
            if length > 1 {
                addresses[family].rotate_left(random.usize(0..length));
            }
        }
        let length = addresses.len();
        if length > 1 {
            addresses.rotate_right(random.usize(0..length));
        }
        Self::Addresses(addresses)
    }
}

/// An answer with the end of its validity, or the reason for a failure.
pub(super) type Landing = Result<(Answer, i64), Reason>;

/// A receiver of the answer to a pending question.
pub(super) type Flying = watch::Receiver<Option<Landing>>;

/// The duty to ask a question and to publish its answer.
#[derive(Debug)]
pub(super) struct Ticket(watch::Sender<Option<Landing>>);

impl Ticket {
    /// Whether anyone still waits. The cache itself holds one receiver, for later ones.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.receiver_count() > 1
    }
}

/// The next step for a question.
pub(super) enum Flight {
    /// The answer is cached, and valid until this second.
    Cached(Answer, i64),
    /// Too many questions are pending.
    Full,
    /// Wait for the pending question.
    Asked(Flying),
    /// Ask the question, and wait.
    Ask(Ticket, Flying),
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    table: Mutex<CacheTable>,
}

#[derive(Debug, Default)]
struct CacheTable {
    known: HashMap<Key, (Answer, i64)>,
    flying: HashMap<Key, Flying>,
}

impl Cache {
    pub(super) fn find(&self, key: &Key, now: i64) -> Flight {
        let mut table = self.table();
        if let Some((answer, valid)) = table.known.get(key)
            && *valid >= now
        {
            return Flight::Cached(answer.clone(), *valid);
        }
        // A sender that vanished with its thread leaves a closed channel.
        if let Some(flying) = table.flying.get(key)
            && flying.has_changed().is_ok()
        {
            return Flight::Asked(flying.clone());
        }
        if table.flying.len() >= MAX_FLYING {
            table.flying.retain(|_, flying| flying.has_changed().is_ok());
            if table.flying.len() >= MAX_FLYING {
                return Flight::Full;
            }
        }
        let (sender, receiver) = watch::channel(None);
        table.flying.insert(key.clone(), receiver.clone());
        Flight::Ask(Ticket(sender), receiver)
    }

    /// Publishes an answer and caches it. Failures are not cached.
    pub(super) fn land(&self, key: &Key, ticket: Ticket, landing: Landing, now: i64) {
        let mut table = self.table();
        table.flying.remove(key);
        match &landing {
            Ok((answer, valid)) => {
                if table.known.len() >= MAX_NAMES {
                    table.known.retain(|_, (_, valid)| *valid >= now);
                }
                if table.known.len() >= MAX_NAMES {
                    table.known.clear();
                }
                table.known.insert(key.clone(), (answer.clone(), *valid));
            }
            Err(_) => {
                table.known.remove(key);
            }
        }
        drop(table);
        ticket.0.send_replace(Some(landing));
    }

    fn table(&self) -> MutexGuard<'_, CacheTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for an answer. `None` if the asking thread has ended.
pub(super) async fn landed(mut flying: Flying) -> Option<Landing> {
    flying.wait_for(Option::is_some).await.ok()?.clone()
}
