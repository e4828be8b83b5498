//! The cost of heads in HTTP/2, alone: to decode a request's block and build its head, to write a
//! response's, and to read an upstream's.
//!
//!     cargo bench -p weir-wire --bench heads -- NAME TIMES
//!
//! runs a row so many times, for callgrind: the difference between two numbers of times is the cost
//! in instructions. Without arguments it names the rows.
#![allow(clippy::unwrap_used, reason = "a failure of a measurement is a panic")]
#![allow(clippy::print_stdout, reason = "it prints the names of its rows")]

use std::hint::black_box;

use weir_wire::field_block::{BlockLimits, FieldBlock};
use weir_wire::h2::hpack::{Decoder, Encoder};
use weir_wire::header::{Headers, Known};
use weir_wire::request::{Limits, RequestFields, RequestHead, Version};

const LIMITS: BlockLimits = BlockLimits { bytes: 32 * 1024, fields: 1000 };

/// The request of a browser, ten fields besides the pseudo-fields.
const REQUEST: [(&str, &str); 14] = [
    (":method", "GET"),
    (":authority", "www.example.com"),
    (":scheme", "https"),
    (":path", "/assets/pictures/0123456789.webp?width=640"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
        Chrome/140.0.0.0 Safari/537.36",
    ),
    ("accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "no-cors"),
    ("sec-fetch-dest", "image"),
    ("referer", "https://www.example.com/"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("cookie", "session=4b1d6f0e8c2a4f7f9d3e1c5b"),
    ("priority", "i"),
];

/// A usual response, ten fields.
const RESPONSE: [(Known, &str); 10] = [
    (Known::Server, "weir"),
    (Known::Date, "Wed, 05 Aug 2026 10:00:01 GMT"),
    (Known::ContentType, "text/html; charset=utf-8"),
    (Known::ContentLength, "18833"),
    (Known::LastModified, "Tue, 04 Aug 2026 08:12:30 GMT"),
    (Known::ETag, "\"66a0-4991\""),
    (Known::CacheControl, "public, max-age=31536000, immutable"),
    (Known::Vary, "Accept-Encoding"),
    (Known::StrictTransportSecurity, "max-age=63072000; includeSubDomains"),
    (Known::AcceptRanges, "bytes"),
];

/// A connection that decodes one block again and again.
struct Reading {
    decoder: Decoder,
    fields: FieldBlock,
    builder: RequestFields,
    text: Vec<u8>,
    head: RequestHead,
    block: Vec<u8>,
}

impl Reading {
    /// A block as it is on a connection where the same was sent `before` times.
    fn new(before: u32) -> Self {
        let mut encoder = Encoder::new(4096);
        let mut reading = Self {
            decoder: Decoder::new(4096),
            fields: FieldBlock::default(),
            builder: RequestFields::new(Version::HTTP_2),
            text: Vec::new(),
            head: RequestHead::default(),
            block: Vec::new(),
        };
        for _ in 0..=before {
            reading.block.clear();
            let mut writer = encoder.block(&mut reading.block);
            for (name, value) in REQUEST {
                writer.field(name.as_bytes(), value.as_bytes());
            }
            reading.decode();
        }
        reading
    }

    fn decode(&mut self) {
        self.fields.clear();
        self.decoder.decode(black_box(&self.block), &LIMITS, &mut self.fields).unwrap();
    }

    fn build(&mut self) {
        let (builder, limits) = (&mut self.builder, Limits::default());
        self.text.clear();
        builder.build(&mut self.fields, &mut self.text, &limits, true, |_| None).unwrap();
        builder.swap_head(&mut self.head);
        black_box(&self.head);
    }
}

/// A row: its name, and a function that runs it so many times.
type Row = (&'static str, fn(u32));

const ROWS: &[Row] = &[
    ("decode-usual", |times| {
        let mut reading = Reading::new(3);
        (0..times).for_each(|_| reading.decode());
    }),
    ("request-usual", |times| {
        let mut reading = Reading::new(3);
        for _ in 0..times {
            reading.decode();
            reading.build();
        }
    }),
    // All literals; they are decoded into the table of a later moment, which costs the same.
    ("request-first", |times| {
        let mut reading = Reading::new(0);
        for _ in 0..times {
            reading.decode();
            reading.build();
        }
    }),
    ("response-usual", |times| respond(4096, times, |_, value| value)),
    ("response-no-table", |times| respond(0, times, |_, value| value)),
    // What belongs to the file changes with each response.
    ("response-changing", |times| {
        let mut text = [b'0'; 16];
        respond(4096, times, move |at, value| {
            if !(3..6).contains(&at) {
                return value;
            }
            // A counter in place.
            let last = text.iter_mut().rev().find(|digit| **digit < b'z').unwrap();
            *last += 1;
            if text.iter().all(|digit| *digit == b'z') {
                text = [b'0'; 16];
            }
            Box::leak(text.to_vec().into_boxed_slice())
        });
    }),
    ("upstream-head", |times| {
        let mut encoder = Encoder::new(4096);
        let mut decoder = Decoder::new(4096);
        let (mut block, mut fields, mut headers) =
            (Vec::new(), FieldBlock::default(), Headers::new());
        for round in 0..times + 3 {
            if round < 3 {
                block.clear();
                let mut writer = encoder.block(&mut block);
                writer.status(200);
                RESPONSE.iter().for_each(|(known, value)| writer.known(*known, value.as_bytes()));
            }
            fields.clear();
            decoder.decode(black_box(&block), &LIMITS, &mut fields).unwrap();
            black_box(weir_wire::h2::response::read_head(&mut fields, &mut headers).unwrap());
        }
    }),
];

fn respond(table: u32, times: u32, mut change: impl FnMut(usize, &'static [u8]) -> &'static [u8]) {
    let (mut encoder, mut block) = (Encoder::new(table), Vec::new());
    let mut bytes = 0;
    for _ in 0..times {
        block.clear();
        let mut writer = encoder.block(&mut block);
        writer.status(200);
        for (at, (known, value)) in RESPONSE.iter().enumerate() {
            writer.known(*known, black_box(change(at, value.as_bytes())));
        }
        bytes += block.len();
    }
    black_box(bytes);
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match &arguments[..] {
        [name, times] => {
            let (_, run) = ROWS.iter().find(|(row, _)| row == name).unwrap();
            run(times.parse().unwrap());
        }
        _ => ROWS.iter().for_each(|(name, _)| println!("{name}")),
    }
}
