//! Records of single requests (`request_records`): what happened to a request, where the
//! configuration says so, and when.
//!
//! Whether a request is kept is known only at its end. What can be told then from its state is
//! taken then. What would be lost meanwhile, the steps, is noted on the way, only where records are
//! on: elsewhere [`Request::note`] is a test of a field.
//!
//! ```text
//!  begin ─▶ note, note, … (Notes, in the request) ─▶ end ─┬─▶ Record ─▶ the thread's ring ─▶ API
//!                                                         └─▶ dropped, the memory is used again
//! ```
//!
//! Meanwhile the notes can be read by the API (`under_way.rs`): what hangs is seen before it ends.

pub(crate) mod attempt_note;
mod attempts;
mod ending;
pub(crate) mod notes;
pub(crate) mod record;
pub(crate) mod settings;
pub(crate) mod store;
pub(crate) mod under_way;

pub(crate) use ending::end;

use weir_conf::Settings;

use notes::{Kind, Noting, Step, Texts, Wait};

use crate::module::{Modules, Phase, Verdict};
use crate::request::Request;
use crate::route::Location;

impl Request {
    /// Begins to note the steps of a request, if it does not do so already.
    #[cold]
    pub(crate) fn begin_notes(&mut self) {
        if self.noting.is_none() && !self.is_subrequest() {
            self.noting = Some(Noting::begin(self.start, |subject, texts| {
                let info = &self.info;
                (subject.connection, subject.opened) = (info.id, info.start);
                (subject.number, subject.is_hidden) = (self.number, false);
                subject.client = Some(self.remote.clone());
                subject.line = texts.add(self.head.request_line());
                subject.host = texts.add(self.host());
                subject.server = texts.add(&self.server.name);
                subject.take_places(self.snapshot.places());
            }));
        }
    }

    /// Leaves the request out of those under way: it is only a question about them.
    pub(crate) fn hide_notes(&self) {
        if let Some(noting) = &self.noting {
            noting.hide();
        }
    }

    /// Whether steps are noted.
    #[inline]
    pub(crate) fn is_noted(&self) -> bool {
        self.noting.is_some()
    }

    /// Notes a step, if steps are noted. `make` gets an empty step of this kind, and the memory for
    /// its texts.
    #[inline]
    pub(crate) fn note(&self, kind: Kind, make: impl FnOnce(&mut Step, &mut Texts)) {
        if let Some(noting) = &self.noting {
            noting.step(kind, make);
        }
    }

    /// Notes the begin of a wait.
    #[inline]
    pub(crate) fn begin_wait(&self, name: &'static str) -> Wait {
        self.noting.as_ref().map_or(Wait::NONE, |noting| noting.begin_wait(name))
    }

    /// Notes the end of a wait.
    #[inline]
    pub(crate) fn end_wait(&self, wait: Wait) {
        if let Some(noting) = &self.noting {
            noting.end_wait(wait);
        }
    }

    /// Notes the location that a request has entered. This begins the notes if only the location
    /// says that requests are recorded.
    #[cold]
    pub(crate) fn note_location(&mut self) {
        let records = self.location.usual.records;
        if records {
            self.begin_notes();
        }
        if records && !self.is_subrequest() {
            self.recorded_by = Some(self.location.clone());
        }
        let is_recorded = self.recorded_by.is_some();
        if let Some(noting) = self.noting.as_ref().filter(|_| !self.is_subrequest()) {
            noting.entered(&self.remote, is_recorded);
        }
        let location = &self.location;
        self.note(Kind::Location, |step, texts| {
            step.name = location.kind.name();
            step.span = Some(location.span);
            step.to = texts.add(&location.name);
        });
    }

    /// Notes the decision of a handler of `location`, if it made one: the handler at a place among
    /// those of a phase.
    #[inline]
    pub(crate) fn note_decision(
        &self,
        location: &Location,
        phase: Phase,
        place: usize,
        verdict: Verdict,
    ) {
        if verdict != Verdict::Next
            && let Some(noting) = &self.noting
        {
            let name = handler(self.snapshot.modules(), &location.settings, phase, place);
            noting.step(Kind::Decision, |step, texts| {
                step.name = name;
                let (what, status) = match verdict {
                    Verdict::Next | Verdict::Granted => ("granted", 0),
                    Verdict::Done => ("done", 0),
                    Verdict::Status(status) => ("status", status),
                    Verdict::Restart(_) => ("restart", 0),
                    Verdict::Abort => ("abort", 0),
                };
                (step.to, step.status) = (texts.add(what.as_bytes()), status);
            });
        }
    }
}

/// The module of a handler. It is not kept beside the handlers, as few are asked for.
#[cold]
fn handler(modules: Modules, settings: &Settings, phase: Phase, place: usize) -> &'static str {
    let rows =
        modules.iter().flat_map(|module| module.handlers.iter().map(move |row| (module, row)));
    let enabled = rows.filter(|(_, row)| row.phase == phase && (row.enabled)(settings));
    enabled.map(|(module, _)| module.name).nth(place).unwrap_or_default()
}
