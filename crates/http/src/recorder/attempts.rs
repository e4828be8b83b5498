//! What is noted of attempts at upstreams.

use weir_upstream::{Now, Pick};

use super::attempt_note::{AttemptNote, Figures, Next, RivalNote};
use super::notes::{Kind, MOST_ATTEMPTS, MOST_RIVALS, Notes, Noting, lock};
use crate::pass::state::{Asked, Attempts};
use crate::request::Request;

impl Request {
    /// Notes an attempt that has begun, with its choice.
    #[inline]
    pub(crate) fn note_attempt(&self, pick: &Pick<'_>) {
        if let Some(noting) = &self.noting {
            noting.attempt(&self.attempts, pick);
        }
    }

    /// Changes the note of the current attempt; `change` also gets the time.
    #[inline]
    pub(crate) fn note_of_attempt(&self, change: impl FnOnce(&mut AttemptNote, u64)) {
        if let Some(noting) = &self.noting {
            noting.change_attempt(change);
        }
    }
}

impl Noting {
    #[cold]
    fn attempt(&self, attempts: &Attempts, pick: &Pick<'_>) {
        let mut notes = lock(&self.notes);
        let Some((_, attempt)) = attempts.list.last() else { return };
        self.attempt.set(None);
        if notes.ended || notes.attempts.len() >= MOST_ATTEMPTS {
            notes.dropped = notes.dropped.saturating_add(1);
            return;
        }
        self.attempt.set(Some(notes.attempts.len()));
        let mut note = AttemptNote {
            of: self.of,
            place: (attempts.list.len() - 1) as u16,
            at: notes.now(),
            ..AttemptNote::default()
        };
        note.name = notes.texts.add(attempt.asked.name().as_bytes());
        note.group = notes.texts.add(pick.group().name().as_bytes());
        note.nobody = matches!(attempt.asked, Asked::Group(_));
        note.rivals.0 = notes.rivals.len() as u16;
        let choice = pick.explain(Now::current(), |rival| {
            let Notes { rivals, texts, .. } = &mut *notes;
            if rivals.len() < MOST_RIVALS {
                rivals.push(RivalNote {
                    name: texts.add(rival.peer.name.as_bytes()),
                    weight: rival.peer.limits.weight,
                    active: rival.active,
                    score: rival.score,
                    excluded: rival.excluded,
                    chosen: rival.chosen,
                });
            }
        });
        note.rivals.1 = notes.rivals.len() as u16;
        (note.method, note.compared) = (choice.method, choice.score.unwrap_or_default());
        (note.backup, note.servers) = (choice.backup, choice.servers as u32);
        note.looked_at = choice.looked_at as u32;
        notes.attempts.push(note);
    }

    #[cold]
    fn change_attempt(&self, change: impl FnOnce(&mut AttemptNote, u64)) {
        let mut notes = lock(&self.notes);
        let now = notes.now();
        if let Some(place) = self.attempt.get()
            && !notes.ended
            && let Some(note) = notes.attempts.get_mut(place)
        {
            change(note, now);
        }
    }

    /// Notes the end of an attempt that has failed: its error is the last line of the log since it
    /// began.
    #[cold]
    pub(super) fn fail_attempt(&self, next: Next) {
        let mut notes = lock(&self.notes);
        let now = notes.now();
        let Some(note) = self.attempt.get().and_then(|place| notes.attempts.get(place)) else {
            return;
        };
        let (began, of) = (note.at, self.of);
        let mut lines = notes.steps.iter().rev();
        let line = lines.find(|step| step.kind == Kind::Log && step.of == of && step.at >= began);
        let error = line.map(|step| step.to).unwrap_or_default();
        self.change_in(&mut notes, |note| {
            (note.ended, note.next, note.error) = (now, next, error);
        });
    }

    fn change_in(&self, notes: &mut Notes, change: impl FnOnce(&mut AttemptNote)) {
        if let Some(note) = self.attempt.get().and_then(|place| notes.attempts.get_mut(place))
            && !notes.ended
        {
            change(note);
        }
    }

    /// Takes the figures of the attempts from the state of a request that has ended.
    pub(super) fn fill(&self, attempts: &Attempts) {
        let mut notes = lock(&self.notes);
        if notes.ended {
            return;
        }
        for note in notes.attempts.iter_mut().filter(|note| note.of == self.of) {
            let Some((_, attempt)) = attempts.list.get(usize::from(note.place)) else { continue };
            note.figures = Figures {
                status: attempt.status,
                queue: attempt.queue,
                sent: attempt.sent,
                received: attempt.received,
                body: attempt.body,
            };
        }
    }
}

impl Request {
    /// Notes the end of a failed attempt, and what follows.
    #[inline]
    pub(crate) fn note_failure(&self, next: impl FnOnce() -> Next) {
        if let Some(noting) = &self.noting {
            noting.fail_attempt(next());
        }
    }

    /// Notes the end of a subrequest.
    #[inline]
    pub(crate) fn note_subrequest_end(&self) {
        if let Some(noting) = self.noting.as_ref().filter(|noting| noting.of != 0) {
            noting.fill(&self.attempts);
            let status = self.response.status;
            noting.step(Kind::SubrequestEnd, |step, _| step.status = status);
        }
    }
}
