//! The pieces of a body on their way: in memory, in a file, in the client's queue.

use std::task::{Context, Poll};

use weir_engine::clock::Instant;

use super::super::End;
use super::Relay;
use crate::filter::HELD_AT_MOST;
use crate::pass::temp_file::failed;
use crate::piece::{FILE_READ, Piece};
use crate::request::Request;

impl Relay<'_> {
    /// The number of bytes that may be read and then have to wait.
    pub(super) fn room(&self, request: &Request) -> u64 {
        if let Some(kept) = &self.kept {
            // Everything goes into the file anyway.
            return if kept.is_behind() { 0 } else { u64::MAX };
        }
        self.memory.saturating_sub(self.held(request)).saturating_add(self.spill.room())
    }

    /// The number of bytes that wait in memory.
    fn held(&self, request: &Request) -> u64 {
        match self.direct {
            true => request.client.held(),
            false => self.waiting_memory + request.queued(),
        }
    }

    /// Puts a piece in line, and stores it if the response is stored.
    pub(super) fn hold(&mut self, request: &mut Request, piece: Piece) -> Result<(), End> {
        let piece = self.store(request, piece);
        if !self.unheard {
            let lined_up = self.line_up(request, piece);
            return self.goes_on(request, lined_up);
        }
        match self.kept {
            Some(_) => Ok(()),
            // Neither the client nor a file wants it.
            None => Err(End::ClientGone),
        }
    }

    /// Stores a piece. If memory is used up, the returned piece is in the file.
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

    /// Puts a piece in line, or in a file if memory is used up.
    fn line_up(&mut self, request: &mut Request, piece: Piece) -> Result<(), End> {
        if self.direct {
            let piece = if request.queued() > 0 { piece.fitted() } else { piece };
            return request.push(piece).map_err(|_| End::Stuck);
        }
        let spilled = match piece.bytes() {
            Some(bytes) if self.spills(request) => self.spill.put(request, bytes),
            _ => None,
        };
        let piece = match spilled {
            Some(spilled) => spilled,
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

    /// Pushes a piece to the filters, which may hold it back for a while.
    fn push(&mut self, request: &mut Request, piece: Piece) -> Result<(), End> {
        if self.held_until.at() == Instant::NEVER && !request.chain.is_empty() {
            self.held_until.after(HELD_AT_MOST);
        }
        request.push(piece).map_err(|_| End::Stuck)
    }

    /// Whether the next piece must not wait in memory.
    fn spills(&self, request: &Request) -> bool {
        self.buffering && self.held(request) >= self.memory && self.spill.room() > 0
    }

    /// Passes pieces to the client's queue while there is room.
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

    /// The piece that has waited longest. With `aio`, a piece in a file is read here, in part if it
    /// is long, because filters would read it on the loop.
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

    /// Polls the writes to files. If storing fails, the response continues without it. An error of
    /// spilling has been logged.
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

    /// Continues a response that is being stored if it cannot be sent to the client.
    fn goes_on(&mut self, request: &mut Request, result: Result<(), End>) -> Result<(), End> {
        match result {
            Err(_) if self.kept.is_some() => self.client_gone(request),
            other => other,
        }
    }
}
