//! `gzip` (<https://nginx.org/en/docs/http/ngx_http_gzip_module.html>).

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress, Status};
use weir_conf::value::{Bufs, Size, parse_number, parse_size};
use weir_conf::{Arity, Cx, Fault, Node, Settings, Slot, Value, directives};
use weir_engine::buffer::{self, Buf};
use weir_wire::header::Known;

use crate::core::MediaTypes;
use crate::filter::BodyFilter;
use crate::module::Module;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::{Request, State};
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "gzip",
    tables: &[&Gzip::table(&GZIP)],
    variables: &[VariableRow::new("gzip_ratio", ratio)],
    header_filter: Some((enabled, filter)),
    ..Module::NONE
};

static GZIP: Slot<Gzip> = Slot::new();

directives! {
    /// Compression of responses with gzip.
    pub(crate) struct Gzip in [http, server, location] {
        /// Compresses responses with gzip.
        "gzip" in [http, server, location, location_if] => enable: bool = false,
        /// The number and size of the output buffers. Only the size is used.
        "gzip_buffers" => buffers: Bufs = Bufs::new(32, 4096),
        /// The media types that are compressed, besides `text/html`.
        "gzip_types" => types: MediaTypes,
        /// The compression level, 1 (fastest) to 9 (smallest).
        "gzip_comp_level" => level: Level = Level(1),
        /// The size of the compression window.
        "gzip_window" => window: Window = Window(15),
        /// The memory for the compressor's hash table. Has no effect: the library chooses.
        "gzip_hash" => hash: Hash = Hash(8),
        /// Delays compression until the response has this many bytes.
        "postpone_gzipping" => postpone: Size,
        /// Sends compressed data at once instead of when a buffer is full.
        "gzip_no_buffer" => no_buffer: bool = false,
        /// The minimum length of a compressed response, if its `Content-Length` is known.
        "gzip_min_length" => min_length: Size = Size::bytes(20),
    }
}

/// A compression level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level(u32);

impl Value for Level {
    const SYNTAX: &'static str = "level";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        match parse_number(&word.value) {
            Some(level @ 1..=9) => Ok(Self(level as u32)),
            Some(_) => Err(Fault::new("value must be between 1 and 9").at(word)),
            None => Err(Fault::directive("invalid number").at(word)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The binary logarithm of the window size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window(u8);

/// zlib's `memLevel`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u8);

/// The exponent of a size, which must be a power of two.
fn exponent(node: &Node, sizes: std::ops::RangeInclusive<u8>, rule: &str) -> Result<u8, Fault> {
    let word = &node.args[0];
    let size = parse_size(&word.value).ok_or_else(|| Fault::bad_value().at(word))?;
    let found = sizes.into_iter().find(|&bits| 1 << bits == size);
    found.ok_or_else(|| Fault::directive(rule).at(word))
}

impl Value for Window {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        exponent(node, 9..=15, "must be 512, 1k, 2k, 4k, 8k, 16k, or 32k").map(Self)
    }

    fn show(&self) -> Option<String> {
        Some(format!("{}k", (1_u32 << self.0) >> 10))
    }
}

impl Value for Hash {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let rule = "must be 512, 1k, 2k, 4k, 8k, 16k, 32k, 64k, or 128k";
        exponent(node, 9..=17, rule).map(|bits| Self(bits - 8))
    }

    fn show(&self) -> Option<String> {
        Some(format!("{}k", (1_u32 << (self.0 + 8)) >> 10))
    }
}

fn enabled(settings: &Settings) -> bool {
    settings.get(&GZIP).enable
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let location = request.location.clone();
    let settings = location.settings.get(&GZIP);
    let response = &request.response;
    let encoded = response.headers.get(Known::ContentEncoding).is_some_and(|v| !v.is_empty());
    if !matches!(response.status, 200 | 403 | 404)
        || encoded
        || response.content_length.is_some_and(|length| length < settings.min_length.0)
        || !settings.types.contains(&response.content_type)
        || response.header_only
    {
        return Ok(());
    }
    // The response varies even if this client gets it uncompressed.
    request.varies_by_encoding();
    if !request.takes_gzip() {
        return Ok(());
    }
    let response = &mut request.response;
    let window = window_for(settings.window.0, response.content_length);
    response.headers.remove(Known::ContentEncoding);
    response.headers.push_known(Known::ContentEncoding, b"Content-Encoding", b"gzip");
    response.clear_length();
    response.clear_ranges();
    response.weaken_etag();
    request.chain.add(Box::new(Compressor {
        stream: None,
        level: settings.level.0,
        window,
        held: Vec::new(),
        held_bytes: 0,
        postpone: settings.postpone.0,
        eager: settings.no_buffer,
        buffer_size: settings.buffers.size as usize,
        out: Buf::empty(),
    }));
    Ok(())
}

/// The window for a body: no larger than a short body needs.
fn window_for(bits: u8, length: Option<u64>) -> u8 {
    /// The part of the window that deflate reserves (`MIN_LOOKAHEAD`).
    const RESERVED: u64 = 262;
    /// The smallest window of the format.
    const SMALLEST: u8 = 9;
    let Some(length) = length.filter(|&length| length > 0) else { return bits };
    let mut bits = bits;
    while bits > SMALLEST && length + RESERVED < 1 << (bits - 1) {
        bits -= 1;
    }
    bits
}

/// Compresses a body.
struct Compressor {
    /// None until `postpone` bytes have come.
    stream: Option<Compress>,
    level: u32,
    window: u8,
    /// The input before compression starts.
    held: Vec<Piece>,
    held_bytes: u64,
    postpone: u64,
    /// Whether partly filled buffers are sent.
    eager: bool,
    buffer_size: usize,
    out: Buf,
}

impl BodyFilter for Compressor {
    fn push(&mut self, _: &mut Request, piece: Piece, out: &mut Vec<Piece>) -> io::Result<()> {
        if self.stream.is_some() {
            return self.take(piece, out);
        }
        self.held_bytes += piece.len();
        self.held.push(piece);
        if self.held_bytes > self.postpone { self.begin(out) } else { Ok(()) }
    }

    fn flush(&mut self, _: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.begin(out)?;
        self.deflate(&[], FlushCompress::Sync, out)?;
        self.give(out);
        Ok(())
    }

    fn finish(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        self.begin(out)?;
        self.deflate(&[], FlushCompress::Finish, out)?;
        self.give(out);
        if let Some(stream) = &self.stream {
            *request.state(&TOTALS) = Some((stream.total_in(), stream.total_out()));
        }
        Ok(())
    }
}

impl Compressor {
    fn begin(&mut self, out: &mut Vec<Piece>) -> io::Result<()> {
        if self.stream.is_none() {
            let level = Compression::new(self.level);
            self.stream = Some(Compress::new_gzip(level, self.window));
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
            self.deflate(memory.bytes().unwrap_or_default(), FlushCompress::None, out)?;
            rest = more;
        }
        if self.eager {
            self.give(out);
        }
        Ok(())
    }

    /// Compresses `input`; passes on each buffer as it fills.
    fn deflate(
        &mut self,
        mut input: &[u8],
        flush: FlushCompress,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        loop {
            if self.out.room() == 0 {
                let full = std::mem::replace(&mut self.out, buffer::take(self.buffer_size));
                out.push(Piece::from(full));
            }
            let before = stream.total_in();
            let status =
                stream.compress_vec(input, &mut self.out, flush).map_err(io::Error::other)?;
            input = &input[(stream.total_in() - before) as usize..];
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => input.is_empty() && self.out.room() > 0,
            };
            if done {
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

/// The body's length before and after compression, in bytes.
static TOTALS: State<Option<(u64, u64)>> = State::new(|| None);

/// `$gzip_ratio`: the compression ratio, with two decimals.
fn ratio(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    match request.state_if(&TOTALS) {
        Some(Some((before, after @ 1..))) => {
            let hundredths = (before * 1000 / after + 5) / 10;
            write!(out, "{}.{:02}", hundredths / 100, hundredths % 100).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::window_for;

    #[test]
    fn short_bodies_get_small_windows() {
        assert_eq!(window_for(15, None), 15);
        assert_eq!(window_for(15, Some(0)), 15);
        assert_eq!(window_for(15, Some(1)), 9);
        assert_eq!(window_for(15, Some(250)), 10);
        assert_eq!(window_for(15, Some(20_000)), 15);
        assert_eq!(window_for(12, Some(20_000)), 12);
    }
}
