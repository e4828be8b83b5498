//! A server: it works on some requests at a time, and the others wait.

use std::collections::VecDeque;

/// One attempt of a request, over all requests.
pub(crate) type AttemptId = u64;

#[derive(Debug, Default)]
pub(crate) struct Server {
    slots: usize,
    running: Vec<AttemptId>,
    waiting: VecDeque<AttemptId>,
    /// Those that it has accepted and will not answer.
    hanging: Vec<AttemptId>,
}

impl Server {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, ..Self::default() }
    }

    /// Takes an attempt. Returns whether its work begins now.
    pub(crate) fn take(&mut self, attempt: AttemptId) -> bool {
        let begins = self.running.len() < self.slots;
        if begins {
            self.running.push(attempt);
        } else {
            self.waiting.push_back(attempt);
        }
        begins
    }

    /// Takes an attempt that will not be answered.
    pub(crate) fn hang(&mut self, attempt: AttemptId) {
        self.hanging.push(attempt);
    }

    /// An attempt has ended, answered or not. Returns the one whose work begins now.
    pub(crate) fn end(&mut self, attempt: AttemptId) -> Option<AttemptId> {
        self.hanging.retain(|other| *other != attempt);
        self.waiting.retain(|other| *other != attempt);
        let before = self.running.len();
        self.running.retain(|other| *other != attempt);
        if self.running.len() == before {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running.push(next);
        Some(next)
    }

    /// The number of attempts that it has.
    pub(crate) fn count(&self) -> u64 {
        (self.running.len() + self.waiting.len() + self.hanging.len()) as u64
    }
}
