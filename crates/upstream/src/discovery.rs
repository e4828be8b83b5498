//! Discovery: servers that a source lists, such as a file or etcd. A group has them besides the
//! lines of its configuration, and follows the source while it serves.
//!
//! A group's source is one duty of the process, whatever the number of its threads:
//!
//! ```text
//!  source (what is listed?) ─▶ keeper (is it to be believed?) ─▶ group (who comes, who goes?)
//! ```
//!
//! `keeper` gets the time as an argument. Names are no source: a listed server may have one, and is
//! then resolved as those of the configuration are (`resolve.rs`).

pub(crate) mod config;
mod duty;
mod entry;
pub(crate) mod etcd;
mod file;
mod keeper;
pub(crate) mod list;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use crate::server::Server;
use config::DiscoverConfig;
use entry::Reader;

/// The limit of servers in one list.
pub(crate) const MAX_LISTED: usize = 10_000;

/// The limit of a list in bytes.
pub(crate) const MAX_SIZE: usize = 4 << 20;

/// A source of servers.
pub(crate) trait Source {
    /// Waits until there is something new, and tells it. The first time it does not wait.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Report> + '_>>;
}

/// What a source tells.
#[derive(Debug)]
pub(crate) enum Report {
    /// The whole list.
    List(Listing),
    /// Why there is none.
    Lost(SourceError),
}

/// Why a source, or an entry of its list, cannot be read: the fault of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceError(String);

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for SourceError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SourceError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A list of servers.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The servers, each once.
    pub(crate) servers: Vec<Server>,
    /// Whether it says that it may have none.
    pub(crate) may_be_empty: bool,
    /// For sources to which servers register one by one: whether this one has lost its memory since
    /// the last list.
    pub(crate) is_new: Option<bool>,
    /// A line for the error log, of the level `info`.
    pub(crate) note: Option<String>,
    /// What could not be read, with the reasons.
    pub(crate) faults: Vec<String>,
}

impl DiscoverConfig {
    fn source(&self, reader: Reader) -> Box<dyn Source> {
        match self {
            Self::File(path) => Box::new(file::Watched::new(Arc::clone(path), reader)),
            Self::Etcd(etcd) => Box::new(etcd::Etcd::new(Arc::clone(etcd), reader)),
        }
    }
}
