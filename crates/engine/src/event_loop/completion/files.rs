//! File reads by the ring.
//!
//! ```text
//!   start ──▶ in progress ──▶ completed ──▶ the task is woken, and takes it
//!                  └ dropped: the ring keeps the memory until it completes
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};

use super::{Completions, FILE, Recipient, data};
use crate::chunked::Chunked;

/// The result of a read: its descriptor, and the memory with the data.
pub(in crate::event_loop) type ReadResult = (Option<OwnedFd>, io::Result<Vec<u8>>);

/// Reads in progress or completed, by number.
#[derive(Default)]
pub(super) struct Reads(Chunked<ReadState>);

enum ReadState {
    /// In progress; with the waker of the waiting task, if it has been polled.
    UnderWay(Option<Waker>),
    /// In progress, with its handle dropped.
    Dropped,
    Done(ReadResult),
}

impl Completions {
    pub(in crate::event_loop) fn read_file(
        &mut self,
        file: OwnedFd,
        memory: Vec<u8>,
        at: u64,
        count: usize,
    ) -> Result<u32, (OwnedFd, Vec<u8>)> {
        let number = self.reads.0.insert(ReadState::UnderWay(None));
        let asked = data(number, 0, FILE);
        if !self.ring.read_file(number, file, memory, (at, count), asked)
            && let Some((file, Ok(memory))) = self.ring.file_read(number, 0)
        {
            self.reads.0.remove(number);
            return Err((file, memory));
        }
        Ok(number)
    }

    /// Handles the completion of a read.
    pub(super) fn file_read(&mut self, number: u32, result: i32) -> Recipient {
        let Some((file, read)) = self.ring.file_read(number, result) else {
            return Recipient::Nobody;
        };
        let read = if result == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { read };
        let Some(state) = self.reads.0.get_mut(number) else { return Recipient::Nobody };
        match std::mem::replace(state, ReadState::Done((Some(file), read))) {
            ReadState::UnderWay(Some(waker)) => Recipient::Task(waker),
            ReadState::UnderWay(None) | ReadState::Done(_) => Recipient::Nobody,
            ReadState::Dropped => {
                drop(self.reads.0.remove(number));
                Recipient::Nobody
            }
        }
    }

    pub(in crate::event_loop) fn take_read(
        &mut self,
        number: u32,
        cx: &Context<'_>,
    ) -> Poll<ReadResult> {
        match self.reads.0.get_mut(number) {
            Some(ReadState::UnderWay(waker)) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(match self.reads.0.remove(number) {
                Some(ReadState::Done(done)) => done,
                // The read was lost with the loop that it was started on.
                _ => (None, Err(io::ErrorKind::NotConnected.into())),
            }),
        }
    }

    pub(in crate::event_loop) fn drop_read(&mut self, number: u32) {
        match self.reads.0.get_mut(number) {
            Some(state @ ReadState::UnderWay(_)) => *state = ReadState::Dropped,
            Some(_) => drop(self.reads.0.remove(number)),
            None => {}
        }
    }
}
