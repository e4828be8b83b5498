//! Compression of response bodies: the parts that `gzip`, `brotli` and `zstd` share.

use std::io::{self, Write};

use weir_engine::buffer::{self, Buf};
use weir_wire::header::Known;

use crate::filter::BodyFilter;
use crate::piece::Piece;
use crate::request::{Request, State};
use crate::response::{ChosenCoding, Response};

pub(crate) mod settings;

use settings::Coding;

/// Compresses a response if it is suitable and the client accepts the coding, with a larger weight
/// than those of the modules before. `plan` gets the length of the plain response.
pub(crate) fn encode<C: Coder + 'static>(
    request: &mut Request,
    name: &'static str,
    settings: &Coding,
    plan: impl FnOnce(Option<u64>) -> Plan<C>,
) {
    let chosen = request.response.chosen_coding;
    if !is_suitable(&request.response, settings, chosen) {
        return;
    }
    // The response varies even if this client gets it uncompressed.
    request.varies_by_encoding();
    let weight = request.weight_of_coding(name.as_bytes());
    if weight <= chosen.map_or(0, |chosen| chosen.weight) {
        return;
    }
    let length = chosen.map_or(request.response.content_length, |chosen| chosen.length);
    announce(&mut request.response, name);
    request.response.chosen_coding = Some(ChosenCoding { weight, length });
    let compressor = Compressor::new(name, settings.buffers.size as usize, plan(length));
    match chosen {
        Some(_) => request.chain.replace_last(Box::new(compressor)),
        None => request.chain.add(Box::new(compressor)),
    }
}

/// Whether a response may be compressed: by its status, type and length, and because it is not yet.
fn is_suitable(response: &Response, settings: &Coding, chosen: Option<ChosenCoding>) -> bool {
    let (plain, length) = match chosen {
        Some(chosen) => (true, chosen.length),
        None => {
            let coding = response.headers.get(Known::ContentEncoding);
            (coding.is_none_or(<[u8]>::is_empty), response.content_length)
        }
    };
    plain
        && matches!(response.status, 200 | 403 | 404)
        && length.is_none_or(|length| length >= settings.min_length.0)
        && settings.types.contains(&response.content_type)
        && !response.header_only
}

/// Describes a response in a content coding in place of the plain one.
fn announce(response: &mut Response, coding: &str) {
    response.headers.remove(Known::ContentEncoding);
    let (name, value) = (b"Content-Encoding", coding.as_bytes());
    response.headers.push_known(Known::ContentEncoding, name, value);
    response.clear_length();
    response.clear_ranges();
    response.weaken_etag();
}

/// What a coder is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Compressing; it may hold bytes back.
    Process,
    /// Compressing, so that everything up to here can be decompressed.
    Flush,
    /// Ending the stream.
    Finish,
}

/// The progress of a coder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of bytes that it has taken.
    pub(crate) taken: usize,
    /// Whether the operation is complete; otherwise it needs more room.
    pub(crate) done: bool,
}

/// A compressor of a content coding.
pub(crate) trait Coder {
    /// Compresses `input`, and appends to `out` no more than its spare capacity.
    ///
    /// # Errors
    /// The library has failed.
    fn code(
        &mut self,
        input: &[u8],
        operation: Operation,
        out: &mut Vec<u8>,
    ) -> io::Result<Progress>;
}

/// The settings of a [`Compressor`].
pub(crate) struct Plan<C> {
    /// Makes the coder, when it is first needed.
    pub(crate) begin: Box<dyn FnOnce() -> io::Result<C>>,
    /// Compression begins when more than this many bytes have come.
    pub(crate) postpone: u64,
    /// Whether partly filled buffers are sent.
    pub(crate) eager: bool,
}

/// Compresses a body.
struct Compressor<C> {
    /// The name of the coding, as in `Content-Encoding`.
    coding: &'static str,
    begin: Option<Box<dyn FnOnce() -> io::Result<C>>>,
    /// None until `postpone` bytes have come.
    coder: Option<C>,
    /// The input before compression starts.
    held: Vec<Piece>,
    held_bytes: u64,
    postpone: u64,
    eager: bool,
    buffer_size: usize,
    out: Buf,
    before: u64,
    after: u64,
}

impl<C> Compressor<C> {
    fn new(coding: &'static str, buffer_size: usize, plan: Plan<C>) -> Self {
        let Plan { begin, postpone, eager } = plan;
        Self {
            coding,
            begin: Some(begin),
            coder: None,
            held: Vec::new(),
            held_bytes: 0,
            postpone,
            eager,
            buffer_size,
            out: Buf::empty(),
            before: 0,
            after: 0,
        }
    }
}

impl<C: Coder> BodyFilter for Compressor<C> {
    fn push(&mut self, _: &mut Request, piece: Piece, out: &mut Vec<Piece>) -> io::Result<()> {
        if self.coder.is_some() {
            return self.take(piece, out);
        }
        self.held_bytes += piece.len();
        self.held.push(piece);
        if self.held_bytes > self.postpone { self.start(out) } else { Ok(()) }
    }

    fn flush(&mut self, _: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.start(out)?;
        self.code(&[], Operation::Flush, out)?;
        self.give(out);
        Ok(())
    }

    fn finish(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.start(out)?;
        self.code(&[], Operation::Finish, out)?;
        self.give(out);
        // Its memory is worth more than the rest of the response.
        self.coder = None;
        let (coding, before, after) = (self.coding, self.before, self.after);
        *request.state(&TOTALS) = Some(Totals { coding, before, after });
        Ok(())
    }
}

impl<C: Coder> Compressor<C> {
    fn start(&mut self, out: &mut Vec<Piece>) -> io::Result<()> {
        if let Some(begin) = self.begin.take() {
            self.coder = Some(begin()?);
        }
        for piece in std::mem::take(&mut self.held) {
            self.take(piece, out)?;
        }
        Ok(())
    }

    fn take(&mut self, piece: Piece, out: &mut Vec<Piece>) -> io::Result<()> {
        let mut rest = Some(piece);
        while let Some(piece) = rest {
            let (memory, more) = piece.load()?;
            self.code(memory.bytes().unwrap_or_default(), Operation::Process, out)?;
            rest = more;
        }
        if self.eager {
            self.give(out);
        }
        Ok(())
    }

    /// Compresses `input`; passes on each buffer as it fills.
    fn code(
        &mut self,
        mut input: &[u8],
        operation: Operation,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        let Some(coder) = &mut self.coder else { return Ok(()) };
        loop {
            if self.out.room() == 0 {
                let full = std::mem::replace(&mut self.out, buffer::take(self.buffer_size));
                if !full.is_empty() {
                    out.push(Piece::from(full));
                }
            }
            let start = self.out.len();
            let Progress { taken, done } = coder.code(input, operation, &mut self.out)?;
            self.before += taken as u64;
            self.after += (self.out.len() - start) as u64;
            input = &input[taken..];
            if done && input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Passes on the output buffer, full or not.
    fn give(&mut self, out: &mut Vec<Piece>) {
        if !self.out.is_empty() {
            out.push(Piece::from(std::mem::take(&mut self.out)));
        }
    }
}

/// The lengths of a compressed body, in bytes.
#[derive(Clone, Copy)]
struct Totals {
    coding: &'static str,
    before: u64,
    after: u64,
}

static TOTALS: State<Option<Totals>> = State::new(|| None);

/// Writes the ratio of a body in this coding, with two decimals: its length before compression to
/// that after it. Returns whether there is one.
pub(crate) fn ratio(request: &mut Request, coding: &str, out: &mut Vec<u8>) -> bool {
    match request.state_if(&TOTALS) {
        Some(&Some(Totals { coding: used, before, after: after @ 1.. })) if used == coding => {
            let hundredths = (before * 1000 / after + 5) / 10;
            write!(out, "{}.{:02}", hundredths / 100, hundredths % 100).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Coder, Operation};

    /// Compresses pieces with a flush after each; returns the output and its length after each.
    pub(crate) fn code_all(coder: &mut impl Coder, pieces: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let (mut all, mut flushed) = (Vec::new(), Vec::new());
        let mut run = |mut input: &[u8], operation, all: &mut Vec<u8>| {
            loop {
                // A small buffer, so that operations take several steps.
                let mut out = Vec::with_capacity(7);
                let progress = coder.code(input, operation, &mut out).expect("it works");
                assert!(out.len() <= 7 && out.capacity() == 7, "no more than there is room for");
                all.append(&mut out);
                input = &input[progress.taken..];
                if progress.done && input.is_empty() {
                    return;
                }
            }
        };
        for piece in pieces {
            run(piece, Operation::Process, &mut all);
            run(b"", Operation::Flush, &mut all);
            flushed.push(all.len());
        }
        run(b"", Operation::Finish, &mut all);
        (all, flushed)
    }
}
