//! Where pieces of a body wait on their way: in memory, in a file, in the client's queue.

use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::Instant;

use super::super::End;
use super::Relay;
use crate::pass::temp_file::failed;
use crate::piece::{FILE_READ, Piece};
use crate::request::Request;

/// How long filters may hold back what could be sent on, when the upstream pauses.
const HELD_AT_MOST: Duration = Duration::from_millis(20);

impl Relay<'_> {
    /// How much may be read and then has to wait.
    pub(super) fn room(&self, request: &Request) -> u64 {
        if let Some(kept) = &self.kept {
            // All of it goes into the file anyway.
            return if kept.is_behind() { 0 } else { u64::MAX };
        }
        self.memory.saturating_sub(self.held(request)).saturating_add(self.spill.room())
    }

    /// How much waits in memory.
    fn held(&self, request: &Request) -> u64 {
        match self.direct {
            true => request.client.held(),
            false => self.waiting_memory + request.queued(),
        }
    }

    /// Puts a piece in line, and into the file that is kept if there is one.
    pub(super) fn hold(&mut self, request: &mut Request, piece: Piece) -> Result<(), End> {
        let piece = self.store(request, piece);
        if !self.unheard {
            let lined_up = self.line_up(request, piece);
            return self.goes_on(request, lined_up);
        }
        match self.kept {
            Some(_) => Ok(()),
            // There is nobody left to do it for.
            None => Err(End::ClientGone),
        }
    }

    /// Writes a piece to the file that is kept. What comes back waits there if memory is used up.
    fn store(&mut self, request: &Request, piece: Piece) -> Piece {
        let Some(kept) = &mut self.kept else { return piece };
        match kept.put(request, piece.bytes().unwrap_or_default()) {
            Some(written) if self.held(request) >= self.memory => written,
            Some(_) => piece,
            None => {
                self.kept = None;
                piece
            }
        }
    }

    /// Puts a piece in line, in a file if memory is used up.
    fn line_up(&mut self, request: &mut Request, piece: Piece) -> Result<(), End> {
        if self.direct {
            let piece = if request.queued() > 0 { piece.fitted() } else { piece };
            return request.push(piece).map_err(|_| End::Stuck);
        }
        let spilled = match piece.bytes() {
            Some(bytes) if self.spills(request) => Some(self.spill.put(bytes)),
            _ => None,
        };
        let piece = match spilled {
            Some(Ok(spilled)) => {
                self.spill.tell(request);
                spilled
            }
            Some(Err(error)) => {
                failed(request, &error);
                return Err(End::Stuck);
            }
            None if self.waiting.is_empty() && request.queued() <= self.busy => {
                return self.push(request, piece);
            }
            None => piece.fitted(),
        };
        if !self.waiting.back_mut().is_some_and(|last| last.extend(&piece)) {
            self.waiting_memory += piece.bytes().map_or(0, |bytes| bytes.len() as u64);
            self.waiting.push_back(piece);
        }
        Ok(())
    }

    /// Gives a piece to the filters, which may hold it back for a while.
    fn push(&mut self, request: &mut Request, piece: Piece) -> Result<(), End> {
        if self.held_until.at() == Instant::NEVER && !request.chain.is_empty() {
            self.held_until.after(HELD_AT_MOST);
        }
        request.push(piece).map_err(|_| End::Stuck)
    }

    /// Whether what comes next must not wait in memory.
    fn spills(&self, request: &Request) -> bool {
        self.buffering && self.held(request) >= self.memory && self.spill.room() > 0
    }

    /// Hands pieces to the client's queue while there is room.
    pub(super) async fn hand_on(&mut self, request: &mut Request) -> Result<(), End> {
        while let Some(piece) = self.next_waiting(request).await? {
            let pushed = self.push(request, piece);
            self.goes_on(request, pushed)?;
            if request.queued() > self.busy {
                break;
            }
        }
        if !self.buffering {
            self.held_until.clear();
            request.push_flush().map_err(|_| End::Stuck)?;
        }
        Ok(())
    }

    /// The piece that has waited longest. Filters would read one that lies in a file on the loop,
    /// so with `aio` it is read before, in part if it is long.
    pub(super) async fn next_waiting(
        &mut self,
        request: &mut Request,
    ) -> Result<Option<Piece>, End> {
        let Some(mut piece) = self.waiting.pop_front() else { return Ok(None) };
        if let Piece::File(file, stretch) = &piece
            && !request.client.aio().is_off()
        {
            let count = (stretch.end - stretch.start).min(FILE_READ) as usize;
            let read = request.read_file(file, stretch.start, count).await;
            let read = read.map_err(|_| End::Stuck)?;
            piece.advance(read.len());
            if !piece.is_empty() {
                self.waiting.push_front(piece);
            }
            return Ok(Some(read));
        }
        if piece.bytes().is_some() {
            self.waiting_memory -= piece.len();
        }
        Ok(Some(piece))
    }

    /// Looks after what is on its way into files. A response that cannot be kept goes on without;
    /// the error of one that cannot wait has been logged.
    pub(super) fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request,
    ) -> Poll<Result<(), ()>> {
        if let Some(kept) = &self.kept
            && let Poll::Ready(Err(error)) = kept.poll_written(cx)
        {
            failed(request, &error);
            self.kept = None;
        }
        self.spill.poll_written(cx).map_err(|error| failed(request, &error))
    }

    /// A response that cannot go to the client may still be one to be kept.
    fn goes_on(&mut self, request: &mut Request, result: Result<(), End>) -> Result<(), End> {
        match result {
            Err(_) if self.kept.is_some() => self.client_gone(request),
            other => other,
        }
    }
}
