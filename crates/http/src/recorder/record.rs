//! A record: what is kept of a request. It refers to nothing of its configuration but the names and
//! lines of files, so it outlives a reload.

use std::sync::Arc;

use weir_conf::{Places, Span};

use super::attempt_note::{AttemptNote, RivalNote};
use super::notes::{Step, Texts};

/// Why a request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Its status is 500 or above.
    Error,
    /// It took long.
    Slow,
    /// By chance.
    Sample,
}

/// The number of classes.
pub(crate) const CLASSES: usize = 3;

impl Class {
    /// All classes, in the order of their numbers.
    pub(crate) const ALL: [Self; CLASSES] = [Self::Error, Self::Slow, Self::Sample];

    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Sample => "sample",
        }
    }
}

/// Who ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The response was sent in full.
    Complete,
    /// The client closed its connection, or reset its stream.
    Client,
    /// The client took or sent nothing for too long.
    ClientTimeout,
    /// The server closed the connection without a response (`return 444`, a broken request).
    Closed,
    /// The response broke off.
    Broken,
}

impl End {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Client => "client",
            Self::ClientTimeout => "client_timeout",
            Self::Closed => "closed",
            Self::Broken => "broken",
        }
    }
}

/// A part of the configuration, with its name and place.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: Box<[u8]>,
    /// Its place.
    pub(crate) span: Span,
}

/// The name and the value of a field.
pub(crate) type Field = (Box<str>, Box<[u8]>);

/// A record.
#[derive(Debug)]
pub(crate) struct Record {
    /// Why it is kept.
    pub(crate) class: Class,
    /// `$request_id`.
    pub(crate) id: Box<str>,
    /// The id of its W3C trace; empty if it has none.
    pub(crate) trace: Box<str>,
    /// The end of the request, in milliseconds since 1970.
    pub(crate) ended: u64,
    /// The microseconds that it took.
    pub(crate) took: u64,
    /// Whether it was slow.
    pub(crate) slow: bool,
    /// The number of the connection, and of the request on it.
    pub(crate) connection: u64,
    pub(crate) number: u64,
    /// The client's address.
    pub(crate) client: Box<str>,
    /// The address that it asked.
    pub(crate) address: Box<str>,
    /// The protocol (`$server_protocol`).
    pub(crate) protocol: Box<[u8]>,
    /// The version of TLS and the cipher; empty without TLS.
    pub(crate) tls: Box<str>,
    pub(crate) cipher: Box<str>,
    /// The request line.
    pub(crate) line: Box<[u8]>,
    /// The host.
    pub(crate) host: Box<[u8]>,
    /// The recorded fields, with masked secrets.
    pub(crate) fields: Box<[Field]>,
    /// The server block.
    pub(crate) server: Part,
    /// The location that the request ended in; None if there was none.
    pub(crate) location: Option<Part>,
    /// The URI in the end.
    pub(crate) uri: Box<[u8]>,
    /// The status (`$status`).
    pub(crate) status: u16,
    /// The status that the client got, which an error page may have changed.
    pub(crate) sent_status: u16,
    /// Bytes of the request and the response.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Who ended it.
    pub(crate) end: End,
    /// Whether the connection was upgraded.
    pub(crate) upgraded: bool,
    /// How the cache was used, and the key; empty if it was not.
    pub(crate) cache: &'static str,
    pub(crate) cache_key: Box<[u8]>,
    /// The notes.
    pub(crate) steps: Box<[Step]>,
    pub(crate) attempts: Box<[AttemptNote]>,
    pub(crate) rivals: Box<[RivalNote]>,
    pub(crate) texts: Texts,
    /// The notes beyond the limits.
    pub(crate) dropped: u32,
    /// The places of its configuration.
    pub(crate) places: Arc<Places>,
}

impl Record {
    /// Its size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        let texts = [self.id.len(), self.trace.len(), self.client.len(), self.address.len()];
        let bytes = [
            self.line.len(),
            self.host.len(),
            self.uri.len(),
            self.protocol.len(),
            self.cache_key.len(),
            self.server.name.len(),
            self.location.as_ref().map_or(0, |part| part.name.len()),
        ];
        let fields = self.fields.iter().map(|(name, value)| 32 + name.len() + value.len());
        size_of::<Self>()
            + texts.into_iter().chain(bytes).chain(fields).sum::<usize>()
            + size_of_val(&*self.steps)
            + size_of_val(&*self.attempts)
            + size_of_val(&*self.rivals)
            + self.texts.len()
    }
}
