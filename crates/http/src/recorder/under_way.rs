//! Requests under way whose steps are noted: others find their notes and copy them meanwhile.
//!
//! The list has all notes of the process, in use or spare. So a request that takes spare ones
//! touches no list.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use weir_conf::Places;
use weir_engine::Addr;
use weir_engine::clock::Instant;

use super::notes::{Kind, Notes, Noting, Step, Text, lock};

/// The number of entries from which on the list is cleaned of notes that are gone.
const FEW: usize = 64;

/// All notes, and the length at which those that are gone are dropped.
static ALL: Mutex<(Vec<Weak<Mutex<Notes>>>, usize)> = Mutex::new((Vec::new(), FEW));

/// What is known of a request from its begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// The number of its connection, with the start of that, and its number on it.
    pub(super) connection: u64,
    pub(super) opened: Instant,
    pub(super) number: u64,
    /// The client's address.
    pub(super) client: Option<Addr>,
    /// The request line.
    pub(super) line: Text,
    /// The host.
    pub(super) host: Text,
    /// The name of the server block.
    pub(super) server: Text,
    /// Whether the locations that it has been in say that it is not recorded.
    pub(super) is_hidden: bool,
    /// The places of its configuration. Spare notes keep them, so that the next request counts
    /// them only after a reload.
    places: Option<Arc<Places>>,
}

impl Subject {
    /// Takes the places of the configuration of a request.
    pub(super) fn take_places(&mut self, places: &Arc<Places>) {
        if !self.places.as_ref().is_some_and(|known| Arc::ptr_eq(known, places)) {
            self.places = Some(Arc::clone(places));
        }
    }
}

impl Noting {
    /// Notes what is new with the location that a request has entered: modules may have found
    /// another address of its client behind a proxy.
    pub(super) fn entered(&self, client: &Addr, is_recorded: bool) {
        let mut notes = lock(&self.notes);
        notes.subject.client = Some(client.clone());
        notes.subject.is_hidden = !is_recorded;
    }

    /// Leaves the request out of the list.
    pub(super) fn hide(&self) {
        lock(&self.notes).subject.is_hidden = true;
    }
}

/// New notes, in the list.
#[cold]
pub(super) fn listed() -> Arc<Mutex<Notes>> {
    let notes = Arc::<Mutex<Notes>>::default();
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let (list, limit) = &mut *all;
    if list.len() >= *limit {
        list.retain(|notes| notes.strong_count() > 0);
        *limit = (2 * list.len()).max(FEW);
    }
    list.push(Arc::downgrade(&notes));
    notes
}

/// What a request does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It waits, for this reason.
    Wait(&'static str),
    /// It connects to a server, with the handshake of TLS.
    Connect,
    /// It sends its request to a server, and waits for the head of the response.
    ResponseHead,
    /// A response is taken from a server and sent.
    ResponseBody,
    /// A response of no server is sent.
    Send,
    /// It is in this phase.
    Phase(&'static str),
}

impl Doing {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::Connect => "connect",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Send => "send",
            Self::Phase(_) => "phase",
        }
    }

    /// The reason of a wait, or the name of a phase.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Wait(name) | Self::Phase(name) => name,
            _ => "",
        }
    }
}

/// A copy of a request under way.
#[derive(Debug)]
pub(crate) struct UnderWay {
    /// The time of the copy, in microseconds since the start of the request.
    pub(crate) age: u64,
    pub(crate) notes: Notes,
}

/// All notes that are in use or spare.
fn all() -> Vec<Arc<Mutex<Notes>>> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.0.iter().filter_map(Weak::upgrade).collect()
}

/// The number of requests that [`list`] finds without a limit.
pub(crate) fn number() -> usize {
    all().iter().filter(|notes| lock(notes).is_listed()).count()
}

/// The requests that `is_wanted` takes, the oldest first, at most `limit`. It looks at notes that
/// their thread may want to write, so it must be quick.
pub(crate) fn list(limit: usize, is_wanted: impl Fn(&Notes) -> bool) -> Vec<UnderWay> {
    let held = all();
    let start = |notes: &Arc<Mutex<Notes>>| {
        let notes = lock(notes);
        (notes.is_listed() && is_wanted(&notes)).then_some(notes.start)
    };
    let mut found: Vec<_> = held.iter().filter_map(|notes| Some((start(notes)?, notes))).collect();
    found.sort_by_key(|(start, _)| *start);
    let copy = |(start, notes): (Instant, &Arc<Mutex<Notes>>)| {
        let notes = lock(notes);
        // It may have ended meanwhile, and another one begun with the same notes.
        let is_same = !notes.ended && notes.start == start;
        is_same.then(|| UnderWay { age: notes.now(), notes: notes.clone() })
    };
    found.into_iter().take(limit).filter_map(copy).collect()
}

impl Notes {
    /// Whether they are those of a request under way that others may see.
    fn is_listed(&self) -> bool {
        !self.ended && !self.subject.is_hidden
    }

    /// The start of the connection.
    pub(crate) fn opened(&self) -> Instant {
        self.subject.opened
    }

    /// The number of the connection, and of the request on it.
    pub(crate) fn place(&self) -> (u64, u64) {
        (self.subject.connection, self.subject.number)
    }

    /// The client's address.
    pub(crate) fn client(&self) -> String {
        self.subject.client.as_ref().map(Addr::ip_text).unwrap_or_default()
    }

    /// The request line.
    pub(crate) fn line(&self) -> &[u8] {
        self.texts.get(self.subject.line)
    }

    /// The host.
    pub(crate) fn host(&self) -> &[u8] {
        self.texts.get(self.subject.host)
    }

    /// The name of the server block.
    pub(crate) fn server(&self) -> &[u8] {
        self.texts.get(self.subject.server)
    }

    /// The places of the configuration.
    pub(crate) fn places(&self) -> Option<&Places> {
        self.subject.places.as_deref()
    }

    /// The locations that it has been in.
    pub(crate) fn locations(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.iter().filter(|step| step.kind == Kind::Location && step.of == 0)
    }

    /// What it does, and since when, in microseconds since its start.
    pub(crate) fn doing(&self) -> (Doing, u64) {
        let last = |kind| self.steps.iter().rev().find(move |step| step.kind == kind);
        // A wait for a subrequest says less than what the subrequest does.
        let open = |step: &&Step| step.is_open && step.name != "subrequest";
        if let Some(wait) = self.steps.iter().rev().find(open) {
            return (Doing::Wait(wait.name), wait.at);
        }
        if let Some(attempt) = self.attempts.last().filter(|attempt| attempt.ended == 0) {
            return match (attempt.connected, attempt.headed) {
                (0, _) => (Doing::Connect, attempt.at),
                (connected, 0) => (Doing::ResponseHead, connected),
                (_, headed) => (Doing::ResponseBody, headed),
            };
        }
        if let Some(head) = last(Kind::Head).filter(|step| step.of == 0) {
            return (Doing::Send, head.at);
        }
        last(Kind::Phase).map_or((Doing::Phase(""), 0), |step| (Doing::Phase(step.name), step.at))
    }
}
