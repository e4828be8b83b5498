//! Files that the kernel reads, by the ring.
//!
//! ```text
//!   start ──▶ in progress ──▶ completed ──▶ the task is woken, and takes it
//!                  └ dropped: the ring keeps the memory until it completes
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};

use super::{Completions, FILE, News, data};
use crate::chunked::Chunked;

/// What came of a read: its descriptor, and the memory with what was read.
pub(in crate::event_loop) type Done = (Option<OwnedFd>, io::Result<Vec<u8>>);

/// Reads that are under way or have completed, by their numbers.
#[derive(Default)]
pub(super) struct Reads(Chunked<State>);

enum State {
    /// Somebody waits, once a task has asked.
    UnderWay(Option<Waker>),
    /// Nobody waits any more.
    Dropped,
    Done(Done),
}

impl Completions {
    pub(in crate::event_loop) fn read_file(
        &mut self,
        file: OwnedFd,
        memory: Vec<u8>,
        at: u64,
        count: usize,
    ) -> Result<u32, (OwnedFd, Vec<u8>)> {
        let number = self.reads.0.insert(State::UnderWay(None));
        let asked = data(number, 0, FILE);
        if !self.ring.read_file(number, file, memory, (at, count), asked)
            && let Some((file, Ok(memory))) = self.ring.file_read(number, 0)
        {
            self.reads.0.remove(number);
            return Err((file, memory));
        }
        Ok(number)
    }

    /// A read has completed.
    pub(super) fn file_read(&mut self, number: u32, result: i32) -> News {
        let Some((file, read)) = self.ring.file_read(number, result) else { return News::Nobody };
        let read = if result == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { read };
        let Some(state) = self.reads.0.get_mut(number) else { return News::Nobody };
        match std::mem::replace(state, State::Done((Some(file), read))) {
            State::UnderWay(Some(waker)) => News::Task(waker),
            State::UnderWay(None) | State::Done(_) => News::Nobody,
            State::Dropped => {
                drop(self.reads.0.remove(number));
                News::Nobody
            }
        }
    }

    pub(in crate::event_loop) fn take_read(&mut self, number: u32, cx: &Context<'_>) -> Poll<Done> {
        match self.reads.0.get_mut(number) {
            Some(State::UnderWay(waker)) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(match self.reads.0.remove(number) {
                Some(State::Done(done)) => done,
                // It went with the loop that it was begun on.
                _ => (None, Err(io::ErrorKind::NotConnected.into())),
            }),
        }
    }

    pub(in crate::event_loop) fn drop_read(&mut self, number: u32) {
        match self.reads.0.get_mut(number) {
            Some(state @ State::UnderWay(_)) => *state = State::Dropped,
            Some(_) => drop(self.reads.0.remove(number)),
            None => {}
        }
    }
}
