//! `gzip` (<https://nginx.org/en/docs/http/ngx_http_gzip_module.html>).

use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};
use weir_conf::value::Size;
use weir_conf::{Arity, Cx, Fault, Node, Settings, Slot, Value, directives};

use crate::compress::settings::{Coding, Level, exponent, show_power};
use crate::compress::{self, Coder, Operation, Plan, Progress};
use crate::module::Module;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "gzip",
    tables: &[&Gzip::table(&GZIP), &Coding::table(&CODING).prefix("gzip_")],
    variables: &[VariableRow::new(
        "gzip_ratio",
        "How many times smaller gzip made the response.",
        |request, _, out| compress::ratio(request, NAME, out),
    )],
    header_filter: Some((|settings: &Settings| settings.get(&GZIP).enable, filter)),
    ..Module::NONE
};

/// The name of the coding (RFC 1952).
const NAME: &str = "gzip";

static GZIP: Slot<Gzip> = Slot::new();
static CODING: Slot<Coding> = Slot::new();

directives! {
    /// Compression of responses with gzip.
    pub(crate) struct Gzip in [http, server, location] {
        /// Compresses responses with gzip.
        "gzip" in [http, server, location, location_if] => enable: bool = false,
        /// The compression level, 1 (fastest) to 9 (smallest).
        "gzip_comp_level" => level: Level<1, 9> = Level(1),
        /// The size of the compression window.
        "gzip_window" => window: Window = Window(15),
        /// The memory for the compressor's hash table. Has no effect: the library chooses.
        "gzip_hash" => hash: Hash = Hash(8),
        /// Delays compression until the response has this many bytes.
        "postpone_gzipping" => postpone: Size,
        /// Sends compressed data at once instead of when a buffer is full.
        "gzip_no_buffer" => no_buffer: bool = false,
    }
}

/// The binary logarithm of the window size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window(u8);

/// zlib's `memLevel`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u8);

impl Value for Window {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        exponent(node, 9..=15, "must be 512, 1k, 2k, 4k, 8k, 16k, or 32k").map(Self)
    }

    fn show(&self) -> Option<String> {
        Some(show_power(self.0))
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
        Some(show_power(self.0 + 8))
    }
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let location = request.location.clone();
    let settings = location.settings.get(&GZIP);
    compress::encode(request, NAME, location.settings.get(&CODING), |length| {
        let level = Compression::new(settings.level.0);
        let window = window_for(settings.window.0, length);
        Plan {
            begin: Box::new(move || Ok(Deflate(Compress::new_gzip(level, window)))),
            postpone: settings.postpone.0,
            eager: settings.no_buffer,
        }
    });
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

/// The encoder of one body.
struct Deflate(Compress);

impl Coder for Deflate {
    fn code(
        &mut self,
        input: &[u8],
        operation: Operation,
        out: &mut Vec<u8>,
    ) -> io::Result<Progress> {
        let what = match operation {
            Operation::Process => FlushCompress::None,
            Operation::Flush => FlushCompress::Sync,
            Operation::Finish => FlushCompress::Finish,
        };
        let before = self.0.total_in();
        let status = self.0.compress_vec(input, out, what).map_err(io::Error::other)?;
        let taken = (self.0.total_in() - before) as usize;
        let done = match operation {
            Operation::Finish => status == Status::StreamEnd,
            _ => taken == input.len() && out.len() < out.capacity(),
        };
        Ok(Progress { taken, done })
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
