//! `brotli`: the directives of ngx_brotli (<https://github.com/google/ngx_brotli>).

use std::io;

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct,
};
use weir_conf::{Arity, Cx, Fault, Node, Settings, Slot, Value, directives};

use crate::compress::settings::{Coding, Level, exponent, show_power};
use crate::compress::{self, Coder, Operation, Plan, Progress};
use crate::module::Module;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "brotli",
    tables: &[&Brotli::table(&BROTLI), &Coding::table(&CODING).prefix("brotli_")],
    variables: &[VariableRow::new(
        "brotli_ratio",
        "How many times smaller Brotli made the response.",
        |request, _, out| compress::ratio(request, NAME, out),
    )],
    header_filter: Some((|settings: &Settings| settings.get(&BROTLI).enable, filter)),
    ..Module::NONE
};

/// The name of the coding (RFC 7932).
const NAME: &str = "br";

static BROTLI: Slot<Brotli> = Slot::new();
static CODING: Slot<Coding> = Slot::new();

directives! {
    /// Compression of responses with Brotli.
    pub(crate) struct Brotli in [http, server, location] {
        /// Compresses responses with Brotli, for clients that accept it.
        "brotli" in [http, server, location, location_if] => enable: bool = false,
        /// The compression level, 0 (fastest) to 11 (smallest).
        "brotli_comp_level" => level: Level<0, 11> = Level(6),
        /// The size of the compression window. A larger one costs each response more memory.
        "brotli_window" => window: Window = Window(19),
    }
}

/// The binary logarithm of the window size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window(u32);

/// The smallest window of the format, as a logarithm.
const SMALLEST: u32 = 10;

impl Value for Window {
    const SYNTAX: &'static str = "size";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let rule = "must be 1k, 2k, 4k, 8k, 16k, 32k, 64k, 128k, 256k, 512k, 1m, 2m, 4m, 8m or 16m";
        exponent(node, 10..=24, rule).map(|bits| Self(bits.into()))
    }

    fn show(&self) -> Option<String> {
        Some(show_power(self.0 as u8))
    }
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let location = request.location.clone();
    let settings = location.settings.get(&BROTLI);
    compress::encode(request, NAME, location.settings.get(&CODING), |length| {
        let level = settings.level.0;
        let window = window_for(level, settings.window.0, length);
        let begin = Box::new(move || Ok(Encoder::new(level, window)));
        Plan { begin, postpone: 0, eager: false }
    });
    Ok(())
}

/// The window for a body: no larger than a short body needs, nor so small that the library would
/// take more memory instead of less.
fn window_for(level: u32, bits: u32, length: Option<u64>) -> u32 {
    /// For smaller windows, these levels use a hash table of 34 MiB.
    const GREEDY: std::ops::RangeInclusive<u32> = 5..=9;
    const LEAST: u32 = 17;
    let needed = match length.filter(|&length| length > 0) {
        Some(length) => (SMALLEST..bits).find(|&smaller| length <= 1 << smaller),
        None => None,
    };
    let bits = needed.unwrap_or(bits);
    if GREEDY.contains(&level) { bits.max(LEAST) } else { bits }
}

/// The encoder of one body.
struct Encoder(Box<BrotliEncoderStateStruct<StandardAlloc>>);

impl Encoder {
    fn new(level: u32, window: u32) -> Self {
        let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level);
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window);
        Self(Box::new(state))
    }
}

impl Coder for Encoder {
    fn code(
        &mut self,
        input: &[u8],
        operation: Operation,
        out: &mut Vec<u8>,
    ) -> io::Result<Progress> {
        let state = &mut *self.0;
        let what = match operation {
            Operation::Process => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
            Operation::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
            Operation::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        };
        let (mut left, mut taken) = (input.len(), 0);
        // Its output is taken from its own memory; before that is empty, no operation is complete.
        if !state.has_more_output() && !state.is_finished() {
            let fine = state.compress_stream(
                what,
                &mut left,
                input,
                &mut taken,
                &mut 0,
                &mut [],
                &mut 0,
                &mut None,
                &mut |_, _, _, _| (),
            );
            if !fine {
                return Err(io::Error::other("brotli failed"));
            }
        }
        let mut length = out.capacity() - out.len();
        let output = state.take_output(&mut length);
        out.extend_from_slice(&output[..length]);
        let ended = operation != Operation::Finish || state.is_finished();
        Ok(Progress { taken, done: left == 0 && !state.has_more_output() && ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::tests::code_all;

    fn decoded(input: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        brotli::BrotliDecompress(&mut &input[..], &mut output).expect("it is whole");
        output
    }

    #[test]
    fn every_level_and_window_gives_the_body_back() {
        let text: Vec<u8> = (0..60_000_u32).map(|n| (n * n / 977) as u8 & 31).collect();
        for level in 0..=11 {
            for window in [SMALLEST, 17, 24] {
                let mut encoder = Encoder::new(level, window);
                let (all, _) = code_all(&mut encoder, &[&text, b"", b"x", &text[..100]]);
                let expected = [&text[..], b"x", &text[..100]].concat();
                assert_eq!(decoded(&all), expected, "{level} {window}");
            }
        }
        assert_eq!(decoded(&code_all(&mut Encoder::new(6, 19), &[]).0), b"");
    }

    #[test]
    fn a_flush_shows_everything_so_far() {
        for level in [0, 1, 2, 6, 11] {
            let mut encoder = Encoder::new(level, 19);
            let (all, flushed) = code_all(&mut encoder, &[b"first", b"second"]);
            let mut shown = vec![0; 64];
            let mut reader = brotli::Decompressor::new(&all[..flushed[0]], 64);
            let count = io::Read::read(&mut reader, &mut shown).expect("it is readable");
            assert_eq!(&shown[..count], b"first", "{level}");
        }
    }

    #[test]
    fn short_bodies_get_small_windows() {
        assert_eq!(window_for(4, 19, None), 19);
        assert_eq!(window_for(4, 19, Some(0)), 19);
        assert_eq!(window_for(4, 19, Some(1)), 10);
        assert_eq!(window_for(11, 19, Some(1025)), 11);
        assert_eq!(window_for(4, 12, Some(20_000)), 12);
        assert_eq!(window_for(6, 19, None), 19);
        assert_eq!(window_for(6, 19, Some(1)), 17);
        assert_eq!(window_for(9, 10, None), 17);
    }
}
