//! What the resolver knows, and what it is asking for.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::message::Srv;

/// Names that are remembered at most. Beyond that those that hold no longer are dropped, and if
/// all hold, everything is.
const MAX_NAMES: usize = 10_000;

/// Questions that are being asked at once. Each may hold a socket, and names can come from
/// clients.
const MAX_FLYING: usize = 4096;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Addresses of a name.
    Name(String),
    /// Services of a name.
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

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Addresses, IPv4 before IPv6; never empty.
    Addresses(Vec<IpAddr>),
    /// Another name.
    Alias(String),
    /// Services, by priority.
    Services(Vec<Srv>),
}

impl Answer {
    /// A remembered answer begins with another address each time: chance says with which of each
    /// family, and how far the families are shifted against each other.
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

/// An answer and until when it holds, or the code of a failure.
pub(super) type Landing = Result<(Answer, i64), u16>;

/// Waits for the answer to a question.
pub(super) type Flying = watch::Receiver<Option<Landing>>;

/// Whoever holds it asks, and lets the others know.
#[derive(Debug)]
pub(super) struct Ticket(watch::Sender<Option<Landing>>);

impl Ticket {
    /// Does anybody still wait? The cache itself holds one receiver, for those who come.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.receiver_count() > 1
    }
}

/// What there is to do about a question.
pub(super) enum Flight {
    /// Nothing: the answer is known, and holds until then.
    Cached(Answer, i64),
    /// Nothing: too much is being asked already.
    Full,
    /// Wait for whoever asks already.
    Asked(Flying),
    /// Ask, and wait.
    Ask(Ticket, Flying),
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
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
        // One who asked and vanished with its thread leaves a channel without a sender.
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

    /// The question is answered. Failures are not remembered.
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

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for an answer. `None` if the thread that asked has ended.
pub(super) async fn landed(mut flying: Flying) -> Option<Landing> {
    flying.wait_for(Option::is_some).await.ok()?.clone()
}
