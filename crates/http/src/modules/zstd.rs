//! `zstd`: the directives of zstd-nginx-module (<https://github.com/tokers/zstd-nginx-module>).

use std::io;
use std::sync::Arc;

use weir_conf::value::parse_number;
use weir_conf::{Arity, Cx, Fault, Inherit, Node, Settings, Slot, Value, directives};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, zstd_sys::ZSTD_EndDirective};

use crate::compress::settings::Coding;
use crate::compress::{self, Coder, Operation, Plan, Progress};
use crate::module::Module;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::variables::VariableRow;

pub(crate) const MODULE: Module = Module {
    name: "zstd",
    tables: &[&Zstd::table(&ZSTD), &Coding::table(&CODING).prefix("zstd_")],
    variables: &[VariableRow::new(
        "zstd_ratio",
        "How many times smaller Zstandard made the response.",
        |request, _, out| compress::ratio(request, NAME, out),
    )],
    header_filter: Some((|settings: &Settings| settings.get(&ZSTD).enable, filter)),
    ..Module::NONE
};

/// The name of the coding (RFC 8878).
const NAME: &str = "zstd";

static ZSTD: Slot<Zstd> = Slot::new();
static CODING: Slot<Coding> = Slot::new();

directives! {
    /// Compression of responses with Zstandard.
    pub(crate) struct Zstd as ZstdWritten in [http, server, location] {
        /// Compresses responses with Zstandard, for clients that accept it.
        "zstd" in [http, server, location, location_if] => enable: bool = false,
        /// The compression level: 1 to 22 (smallest; as 19), or faster ones below zero.
        "zstd_comp_level" => level: Level = Level(1),
        /// A dictionary for all responses. Only clients that have it can read them.
        "zstd_dict_file" in [http] [1]: "file" => set_dictionary,
        field dictionary: Inherit<Option<Arc<[u8]>>>,
    }
}

fn set_dictionary(own: &mut ZstdWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.dictionary.is_some() {
        return Err(Fault::duplicate());
    }
    let (_, dictionary) = weir_edge::tls::values::read_file(node, cx)?;
    own.dictionary = Some(Some(dictionary));
    Ok(())
}

/// A compression level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level(i32);

impl Value for Level {
    const SYNTAX: &'static str = "level";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let (sign, digits) = match &word.value[..] {
            [b'-', digits @ ..] => (-1, digits),
            digits => (1, digits),
        };
        let number =
            parse_number(digits).ok_or_else(|| Fault::directive("invalid number").at(word));
        let level = i32::try_from(number?).unwrap_or(i32::MAX) * sign;
        let (least, most) = (zstd_safe::min_c_level(), zstd_safe::max_c_level());
        match level != 0 && (least..=most).contains(&level) {
            true => Ok(Self(level)),
            false => Err(Fault::new(format!(
                "zstd compress level must between {least} and {most} excluding 0"
            ))
            .at(word)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let location = request.location.clone();
    let settings = location.settings.get(&ZSTD);
    compress::encode(request, NAME, location.settings.get(&CODING), |length| {
        let (level, dictionary) = (settings.level.0, settings.dictionary.clone());
        let begin = Box::new(move || Encoder::new(level, length, dictionary.as_deref()));
        Plan { begin, postpone: 0, eager: false }
    });
    Ok(())
}

/// The encoder of one body.
struct Encoder(CCtx<'static>);

/// The highest level in effect. The window of higher ones is larger than clients must support
/// (8 MiB, RFC 9659), and they take up to 850 MiB.
const HIGHEST: i32 = 19;

/// The smallest window of the format, as a logarithm (RFC 8878, section 3.1.1.1.2).
const SMALLEST: u32 = 10;

/// The smallest window of a level, as a logarithm.
const USUAL: u32 = 18;

impl Encoder {
    fn new(level: i32, length: Option<u64>, dictionary: Option<&[u8]>) -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        let mut set = |parameter| context.set_parameter(parameter).map(drop).map_err(failed);
        set(CParameter::CompressionLevel(level.min(HIGHEST)))?;
        if let Some(dictionary) = dictionary {
            // It is copied, and has its own window.
            context.load_dictionary(dictionary).map_err(failed)?;
        } else if let Some(window) = small_window(length) {
            set(CParameter::WindowLog(window))?;
            // Up to here, tables are small; beyond, the window does not limit them.
            const SMALL_TABLES: i32 = 3;
            if level > SMALL_TABLES {
                set(CParameter::HashLog(window + 1))?;
                set(CParameter::ChainLog(window + 1))?;
            }
        }
        Ok(Self(context))
    }
}

/// The window for a body that needs less than its level's.
fn small_window(length: Option<u64>) -> Option<u32> {
    let length = length?;
    (SMALLEST..USUAL).find(|&bits| length <= 1 << bits)
}

fn failed(code: usize) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

impl Coder for Encoder {
    fn code(
        &mut self,
        input: &[u8],
        operation: Operation,
        out: &mut Vec<u8>,
    ) -> io::Result<Progress> {
        let what = match operation {
            Operation::Process => ZSTD_EndDirective::ZSTD_e_continue,
            Operation::Flush => ZSTD_EndDirective::ZSTD_e_flush,
            Operation::Finish => ZSTD_EndDirective::ZSTD_e_end,
        };
        let mut input = InBuffer::around(input);
        let start = out.len();
        let mut output = OutBuffer::around_pos(out, start);
        let left = self.0.compress_stream2(&mut output, &mut input, what).map_err(failed)?;
        let taken = input.pos();
        let done = operation == Operation::Process || left == 0;
        Ok(Progress { taken, done })
    }
}

#[cfg(test)]
mod tests {
    use zstd_safe::DCtx;

    use super::*;
    use crate::compress::tests::code_all;

    fn decoded(input: &[u8]) -> Vec<u8> {
        let (mut output, mut context) = (Vec::with_capacity(1 << 20), DCtx::create());
        let mut rest = InBuffer::around(input);
        let mut out = OutBuffer::around(&mut output);
        context.decompress_stream(&mut out, &mut rest).expect("it is readable");
        assert_eq!(rest.pos(), input.len());
        output
    }

    #[test]
    fn every_level_gives_the_body_back() {
        let text: Vec<u8> = (0..60_000_u32).map(|n| (n * n / 977) as u8 & 31).collect();
        for level in [-100, -1, 1, 3, 9, 19, 20, 22] {
            for length in [None, Some(1), Some(60_101), Some(1 << 30)] {
                let mut encoder = Encoder::new(level, length, None).expect("it is made");
                let (all, _) = code_all(&mut encoder, &[&text, b"", b"x", &text[..100]]);
                let expected = [&text[..], b"x", &text[..100]].concat();
                assert_eq!(decoded(&all), expected, "{level} {length:?}");
            }
        }
    }

    #[test]
    fn a_flush_shows_everything_so_far() {
        let mut encoder = Encoder::new(1, None, None).expect("it is made");
        let (all, flushed) = code_all(&mut encoder, &[b"first", b"second"]);
        assert_eq!(decoded(&all[..flushed[0]]), b"first");
        assert_eq!(decoded(&all[..flushed[1]]), b"firstsecond");
    }

    #[test]
    fn a_dictionary_is_used() {
        let dictionary: Vec<u8> = (0..4000_u32).map(|n| (n * n / 977) as u8).collect();
        let text = &dictionary[1000..3000];
        let mut plain = Encoder::new(3, Some(2000), None).expect("it is made");
        let mut encoder = Encoder::new(3, Some(2000), Some(&dictionary)).expect("it is made");
        let (all, _) = code_all(&mut encoder, &[text]);
        assert!(all.len() * 10 < code_all(&mut plain, &[text]).0.len(), "{}", all.len());
        let (mut output, mut context) = (Vec::with_capacity(4096), DCtx::create());
        context.load_dictionary(&dictionary).expect("it is one");
        let mut rest = InBuffer::around(&all);
        context.decompress_stream(&mut OutBuffer::around(&mut output), &mut rest).expect("it is");
        assert_eq!(output, text);
    }

    #[test]
    fn short_bodies_take_little_memory() {
        for level in [-1, 1, 3, 6, 9, 19, 22] {
            let mut encoder = Encoder::new(level, Some(5000), None).expect("it is made");
            code_all(&mut encoder, &[&[b'x'; 5000]]);
            let size = encoder.0.sizeof();
            assert!(size < 2 << 20, "{level}: {size}");
        }
    }

    /// A client may refuse a larger window than this (RFC 9659).
    #[test]
    fn no_window_is_too_large_for_clients() {
        for level in [19, 20, 22] {
            let mut encoder = Encoder::new(level, None, None).expect("it is made");
            let (all, _) = code_all(&mut encoder, &[b"x"]);
            // The frame's header: magic number, descriptor, window (RFC 8878, section 3.1.1.1).
            assert_eq!(u32::from(all[5] >> 3) + 10, 23, "{level}");
            assert_eq!(all[5] & 7, 0);
        }
    }
}
