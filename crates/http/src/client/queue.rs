//! The queue of pieces to send.

use std::collections::VecDeque;

use weir_engine::buffer;
use weir_engine::file_io::Aio;

use crate::piece::Piece;

mod file;

use file::{Front, read_small};

/// The maximum length of a piece that is copied behind another one, in bytes.
const JOINED: usize = 1024;

/// The maximum length of a head and a file that are sent as one piece, in bytes.
const SMALL_RESPONSE: usize = 8 * 1024;

/// Pieces that wait to be sent.
///
/// Invariant: `bytes` is the sum of the pieces' lengths, and no piece is empty.
#[derive(Default)]
pub(crate) struct Queue {
    pieces: VecDeque<Piece>,
    bytes: u64,
    /// How files are read (`aio`).
    aio: Aio,
    front: Front,
}

impl Queue {
    /// The number of queued bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of queued pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether the queue is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The first piece.
    pub(super) fn front(&self) -> Option<&Piece> {
        self.pieces.front()
    }

    /// The last piece.
    pub(super) fn back(&self) -> Option<&Piece> {
        self.pieces.back()
    }

    /// The pieces in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// Removes all pieces, and keeps the memory.
    pub(super) fn clear(&mut self) {
        if !self.pieces.is_empty() {
            self.pieces.clear();
        }
        self.bytes = 0;
    }

    /// Removes the only piece, which has been sent.
    pub(super) fn only_left(&mut self) {
        debug_assert!(self.pieces.len() == 1);
        self.pieces.pop_front();
        self.bytes = 0;
    }

    /// Resets the queue, and keeps the memory.
    pub(super) fn reset(&mut self) {
        self.clear();
        if !self.aio.is_off() {
            self.aio = Aio::Off;
        }
        self.front.reset();
    }

    /// Appends a piece of `length` bytes, at least one.
    #[inline]
    pub(super) fn push(&mut self, piece: Piece, length: u64) {
        self.bytes += length;
        if !self.join(&piece) && !self.join_small(&piece) {
            self.pieces.push_back(piece);
        }
    }

    /// Appends a copy of a few bytes, at least one.
    #[inline]
    pub(super) fn push_copy(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        match self.pieces.back_mut() {
            Some(Piece::Buf(buf, range)) if range.end == buf.len() && bytes.len() <= buf.room() => {
                buf.extend_from_slice(bytes);
                range.end = buf.len();
            }
            _ => self.pieces.push_back(Piece::copy(bytes)),
        }
    }

    /// Copies a small piece into the room behind the last one: sending one piece costs the kernel
    /// less than gathering two. Adjacent ranges of a file become one.
    #[inline]
    fn join(&mut self, piece: &Piece) -> bool {
        let Some(bytes) = piece.bytes() else {
            return self.pieces.back_mut().is_some_and(|last| last.extend(piece));
        };
        match self.pieces.back_mut() {
            Some(Piece::Buf(buf, range)) if bytes.len() <= JOINED => {
                let fits = range.end == buf.len() && bytes.len() <= buf.room();
                if fits {
                    buf.extend_from_slice(bytes);
                    range.end = buf.len();
                }
                fits
            }
            _ => false,
        }
    }

    /// Reads a small file behind the head in front of it, or copies a small body that responses
    /// share. One `send` for both costs less than `sendfile` saves, especially if the head would be
    /// held back for the file, and less than the kernel takes to gather two pieces.
    fn join_small(&mut self, piece: &Piece) -> bool {
        let length = match piece {
            Piece::File(_, stretch) => stretch.end - stretch.start,
            Piece::Shared(_, part) => part.len() as u64,
            _ => return false,
        };
        if self.pieces.len() != 1 || length > SMALL_RESPONSE as u64 {
            return false;
        }
        let Some(Piece::Buf(buf, range)) = self.pieces.front_mut() else { return false };
        let length = length as usize;
        if range.end != buf.len() || range.len() + length > SMALL_RESPONSE {
            return false;
        }
        if buf.room() < length {
            let mut larger = buffer::take(range.len() + length);
            larger.extend_from_slice(&buf[range.clone()]);
            (*buf, *range) = (larger, 0..range.len());
        }
        let joined = match piece {
            Piece::File(file, stretch) => {
                read_small(&self.aio, file, stretch.start, length, buf).is_ok()
            }
            other => other.bytes().map(|bytes| buf.extend_from_slice(bytes)).is_some(),
        };
        if !joined {
            return false;
        }
        range.end = buf.len();
        true
    }

    /// The number of queued bytes in memory.
    pub(super) fn held(&self) -> u64 {
        self.pieces.iter().filter_map(Piece::bytes).map(|bytes| bytes.len() as u64).sum()
    }

    /// Moves the queued bytes in memory, except the first `keep`, to where `store` puts them. What
    /// it returns nothing for stays.
    pub(super) fn spill(&mut self, keep: u64, mut store: impl FnMut(&[u8]) -> Option<Piece>) {
        let mut room = keep;
        for mut piece in std::mem::take(&mut self.pieces) {
            let stays = piece.len().min(room);
            let stored = match piece.bytes() {
                Some(bytes) if stays < bytes.len() as u64 => store(&bytes[stays as usize..]),
                Some(_) => None,
                None => {
                    self.pieces.push_back(piece);
                    continue;
                }
            };
            room -= stays;
            if stored.is_some() {
                piece.truncate(stays);
            }
            if !piece.is_empty() {
                self.pieces.push_back(piece.fitted());
            }
            if let Some(stored) = stored
                && !self.join(&stored)
            {
                self.pieces.push_back(stored);
            }
        }
    }

    /// Removes `sent` bytes from the front of the queue.
    pub(super) fn consume(&mut self, mut sent: u64) {
        self.bytes -= sent;
        while sent > 0 {
            let Some(front) = self.pieces.front_mut() else { return };
            let len = front.len();
            if sent < len {
                front.advance(sent);
                return;
            }
            sent -= len;
            self.pieces.pop_front();
        }
    }
}
