//! What is noted of a request on its way: steps and attempts, in memory of a fixed limit.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_conf::Span;
use weir_engine::clock::{self, Instant};

use super::attempt_note::{AttemptNote, RivalNote};
use super::under_way::{self, Subject};

/// The maximum number of steps of a request. With ten internal redirects, the most there can be,
/// a request through several modules has about 80.
pub(crate) const MOST_STEPS: usize = 96;

/// The maximum number of attempts that are noted.
pub(crate) const MOST_ATTEMPTS: usize = 16;

/// The maximum number of rivals that are noted, over all attempts.
pub(super) const MOST_RIVALS: usize = 64;

/// The maximum number of subrequests whose steps are noted.
const MOST_SUBREQUESTS: u16 = 32;

/// The maximum length of all texts, in bytes: ranges of them are 16 bits.
const MOST_TEXT: usize = 16 * 1024;

/// The maximum length of one text, in bytes: long enough for what people read.
const LONGEST_TEXT: usize = 1024;

/// The number of spare notes that a thread keeps.
const MOST_SPARE: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Arc<Mutex<Notes>>>> = const { RefCell::new(Vec::new()) };
}

/// Notes that a thread writes and the API reads, which copies them.
pub(super) fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A phase with handlers begins.
    #[default]
    Phase,
    /// A location is entered.
    Location,
    /// A directive of the rewrite module took effect.
    Rewrite,
    /// An internal redirect, or one to a named location.
    Redirect,
    /// A handler decided.
    Decision,
    /// The request waited.
    Wait,
    /// A subrequest begins.
    Subrequest,
    /// A subrequest has ended.
    SubrequestEnd,
    /// The cache was asked.
    Cache,
    /// An error is answered.
    Error,
    /// The head of the response is ready.
    Head,
    /// A line of the error log.
    Log,
}

impl Kind {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::Location => "location",
            Self::Rewrite => "rewrite",
            Self::Redirect => "redirect",
            Self::Decision => "decision",
            Self::Wait => "wait",
            Self::Subrequest => "subrequest",
            Self::SubrequestEnd => "subrequest_end",
            Self::Cache => "cache",
            Self::Error => "error",
            Self::Head => "head",
            Self::Log => "log",
        }
    }
}

/// A range of [`Texts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    start: u16,
    length: u16,
}

/// The texts of a request's notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts(Vec<u8>);

impl Texts {
    /// Adds a text, cut off at the limits.
    pub(crate) fn add(&mut self, text: &[u8]) -> Text {
        let start = self.0.len();
        let length = text.len().min(LONGEST_TEXT).min(MOST_TEXT - start);
        self.0.extend_from_slice(&text[..length]);
        Text { start: start as u16, length: length as u16 }
    }

    /// A text.
    pub(crate) fn get(&self, text: Text) -> &[u8] {
        let start = usize::from(text.start);
        self.0.get(start..start + usize::from(text.length)).unwrap_or_default()
    }

    pub(super) fn shrunk(&self) -> Self {
        Self(self.0.as_slice().to_vec())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A step. Which fields have a meaning follows from its kind; the others are empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Microseconds since the start of the request.
    pub(crate) at: u64,
    /// The microseconds that it took; 0 for a moment.
    pub(crate) took: u64,
    /// Whether it is a wait that has not ended.
    pub(crate) is_open: bool,
    /// The number of the subrequest that it belongs to; 0 for the request itself.
    pub(crate) of: u16,
    /// The directive, handler, phase or reason of a wait.
    pub(crate) name: &'static str,
    /// The place in the configuration.
    pub(crate) span: Option<Span>,
    /// The URI before.
    pub(crate) from: Text,
    /// The URI afterwards, the name of the location, or the line.
    pub(crate) to: Text,
    /// The status, if there is one.
    pub(crate) status: u16,
}

/// The notes of a request and its subrequests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// The start of the request.
    pub(super) start: Instant,
    /// What else is known of it from the begin.
    pub(super) subject: Subject,
    pub(crate) steps: Vec<Step>,
    pub(crate) attempts: Vec<AttemptNote>,
    pub(crate) rivals: Vec<RivalNote>,
    pub(crate) texts: Texts,
    /// The number of subrequests so far.
    subrequests: u16,
    /// The steps beyond the limit.
    pub(crate) dropped: u32,
    /// The directive that the next redirect follows.
    cause: Option<(&'static str, Option<Span>, u16)>,
    /// No request is under way with these notes: the record has been made, and what detached
    /// subrequests do from now on is not noted.
    pub(super) ended: bool,
}

impl Notes {
    fn reset(&mut self, start: Instant) {
        let Self {
            start: began,
            subject: _,
            steps,
            attempts,
            rivals,
            texts,
            subrequests,
            dropped,
            cause,
            ended,
        } = self;
        *began = start;
        steps.clear();
        attempts.clear();
        rivals.clear();
        texts.0.clear();
        (*subrequests, *dropped, *cause, *ended) = (0, 0, None, false);
    }

    /// Microseconds since the start of the request.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(clock::precise().since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    fn step(&mut self, of: u16, kind: Kind, make: impl FnOnce(&mut Step, &mut Texts)) {
        if self.ended || self.steps.len() >= MOST_STEPS {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let mut step = Step { kind, at: self.now(), of, ..Step::default() };
        make(&mut step, &mut self.texts);
        self.steps.push(step);
    }
}

/// A wait that has begun: the place of its step.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Wait(usize);

impl Wait {
    /// Not noted.
    pub(crate) const NONE: Self = Self(usize::MAX);
}

/// A request's hold on its notes.
pub(crate) struct Noting {
    pub(super) notes: Arc<Mutex<Notes>>,
    /// The number of the subrequest that notes; 0 for the request itself.
    pub(super) of: u16,
    /// The place of the note of its current attempt.
    pub(super) attempt: Cell<Option<usize>>,
}

impl Noting {
    /// Begins the notes of a request that began at `start`. `tell` tells what is known of it.
    pub(super) fn begin(start: Instant, tell: impl FnOnce(&mut Subject, &mut Texts)) -> Self {
        let notes = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(under_way::listed);
        {
            let mut notes = lock(&notes);
            notes.reset(start);
            let Notes { subject, texts, .. } = &mut *notes;
            tell(subject, texts);
        }
        Self { notes, of: 0, attempt: Cell::new(None) }
    }

    /// The hold of a subrequest, for this URI; None beyond the limit.
    pub(crate) fn fork(&self, uri: &[u8]) -> Option<Self> {
        let mut notes = lock(&self.notes);
        if notes.subrequests >= MOST_SUBREQUESTS {
            notes.dropped = notes.dropped.saturating_add(1);
            return None;
        }
        notes.subrequests += 1;
        let of = notes.subrequests;
        notes.step(of, Kind::Subrequest, |step, texts| step.to = texts.add(uri));
        Some(Self { notes: Arc::clone(&self.notes), of, attempt: Cell::new(None) })
    }

    #[cold]
    pub(super) fn step(&self, kind: Kind, make: impl FnOnce(&mut Step, &mut Texts)) {
        lock(&self.notes).step(self.of, kind, make);
    }

    /// Notes the directive that the next redirect follows, with its place, and the status that it
    /// is for.
    #[cold]
    pub(crate) fn cause(&self, name: &'static str, span: Option<Span>, status: u16) {
        lock(&self.notes).cause = Some((name, span, status));
    }

    /// Notes a redirect by the directive noted last, if there is one.
    #[cold]
    pub(crate) fn redirect(&self, usual: &'static str, from: &[u8], to: &[u8]) {
        let mut notes = lock(&self.notes);
        let (name, span, status) = notes.cause.take().unwrap_or((usual, None, 0));
        notes.step(self.of, Kind::Redirect, |step, texts| {
            (step.name, step.span, step.status) = (name, span, status);
            (step.from, step.to) = (texts.add(from), texts.add(to));
        });
    }

    #[cold]
    pub(super) fn begin_wait(&self, name: &'static str) -> Wait {
        let mut notes = lock(&self.notes);
        let place = notes.steps.len();
        notes.step(self.of, Kind::Wait, |step, _| {
            (step.name, step.is_open) = (name, true);
        });
        if notes.steps.len() > place { Wait(place) } else { Wait::NONE }
    }

    #[cold]
    pub(super) fn end_wait(&self, Wait(place): Wait) {
        let mut notes = lock(&self.notes);
        let now = notes.now();
        if !notes.ended
            && let Some(step) = notes.steps.get_mut(place)
        {
            (step.took, step.is_open) = (now.saturating_sub(step.at), false);
        }
    }

    /// The time until the head of the response was ready.
    pub(super) fn headed(&self) -> Option<Duration> {
        let notes = lock(&self.notes);
        let head = notes.steps.iter().find(|step| step.kind == Kind::Head && step.of == 0)?;
        Some(Duration::from_micros(head.at))
    }

    /// Leaves the memory to another request.
    pub(super) fn leave(self) {
        lock(&self.notes).ended = true;
        // A detached subrequest may hold them, or the API for a moment.
        if Arc::strong_count(&self.notes) == 1 {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < MOST_SPARE {
                    spare.push(self.notes);
                }
            });
        }
    }
}
