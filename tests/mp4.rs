//! `mp4`: parts of movies. The sums of bodies are recorded from nginx 1.31.5.

use std::fmt::Write;

use crate::harness::{HeldDisk, Operation, Server, is_nginx};

fn atom(name: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], name.as_bytes(), &body].concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A header with a timescale of 1000 at `scale`, unless that is 0, and the duration at `duration`.
fn header(length: usize, scale: usize, duration: usize) -> Vec<u8> {
    let mut body = vec![0; length];
    if scale > 0 {
        body[scale..scale + 4].copy_from_slice(&1000_u32.to_be_bytes());
    }
    body[duration..duration + 4].copy_from_slice(&4000_u32.to_be_bytes());
    body
}

/// The number of samples of a track, each of 100 ms.
const SAMPLES: u32 = 40;

/// A track with a key frame every second, seven samples in a chunk, and sizes of 20 to 29 bytes.
fn track(place: u32, wide: bool) -> Vec<u8> {
    let size = |sample: u32| 20 + sample % 10;
    let sizes: Vec<u32> = (0..SAMPLES).map(size).collect();
    let chunks: Vec<u32> = (0..SAMPLES)
        .step_by(7)
        .map(|first| place + sizes[..first as usize].iter().sum::<u32>())
        .flat_map(|at| if wide { vec![0, at] } else { vec![at] })
        .collect();
    let stbl = [
        atom("stsd", &[vec![1; 20]]),
        atom("stts", &[numbers(&[0, 1, SAMPLES, 100])]),
        atom("stss", &[numbers(&[0, 4, 1, 11, 21, 31])]),
        atom("ctts", &[numbers(&[0, 2, 15, 3, 25, 4])]),
        atom("stsc", &[numbers(&[0, 2, 1, 7, 1, 6, 5, 1])]),
        atom("stsz", &[numbers(&[0, 0, SAMPLES]), numbers(&sizes)]),
        atom(if wide { "co64" } else { "stco" }, &[numbers(&[0, 6]), numbers(&chunks)]),
    ];
    let minf = [atom("vmhd", &[vec![0; 12]]), atom("stbl", &stbl)];
    let mdia = [
        atom("mdhd", &[header(24, 12, 16)]),
        atom("hdlr", &[b"handler".to_vec()]),
        atom("minf", &minf),
    ];
    atom("trak", &[atom("tkhd", &[header(84, 0, 20)]), atom("mdia", &mdia)])
}

/// A movie of four seconds with two tracks, whose head is first or last.
fn movie(head_first: bool) -> Vec<u8> {
    let data: Vec<u8> = (0..2 * 980_u32).map(|n| (n * 7 / 3) as u8).collect();
    let ftyp = atom("ftyp", &[b"isomtest".to_vec()]);
    let head = |place: u32| {
        let parts = [
            atom("mvhd", &[header(100, 12, 16)]),
            track(place, false),
            track(place + 980, true),
            atom("udta", &[vec![0; 4]]),
        ];
        atom("moov", &parts)
    };
    let data = atom("mdat", &[data]);
    match head_first {
        true => {
            let place = (ftyp.len() + head(0).len() + 8) as u32;
            [ftyp, head(place), data].concat()
        }
        false => {
            let place = ftyp.len() as u32 + 8;
            [ftyp, data, head(place)].concat()
        }
    }
}

/// FNV-1a.
fn sum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

const CONF: &str = "root %dir%/html; types { video/mp4 mp4; }
    location / { mp4; }
    location /key/ { mp4; mp4_start_key_frame on; alias %dir%/html/; }
    location /small/ { mp4; mp4_buffer_size 700; alias %dir%/html/; }
    location /limited/ { mp4; mp4_buffer_size 100; mp4_max_buffer_size 200; alias %dir%/html/; }
    location /sendfile/ { mp4; sendfile on; alias %dir%/html/; }
    location /threads/ { mp4; aio threads; alias %dir%/html/; }
    location /aio/ { mp4; aio on; directio 512; directio_alignment 512; alias %dir%/html/; }
    location /page { ssi on; ssi_types *; default_type text/html; alias %dir%/html/page; }";

fn start() -> Server {
    Server::server(CONF)
        .file("html/first.mp4", movie(true))
        .file("html/last.mp4", movie(false))
        .file("html/cut.mp4", &movie(true)[..1000])
        .file("html/text.mp4", "no movie at all, but longer than a header")
        .file("html/page", "<!--#include virtual=\"/first.mp4?end=1\" -->!")
        .start()
}

const SUMS: &str = include_str!("mp4/sums.txt");

#[test]
fn parts_of_movies_are_nginxs_to_the_byte() {
    let server = start();
    let mut table = String::new();
    for name in ["first", "last"] {
        for arguments in [
            "",
            "?start=0",
            "?start=1",
            "?start=1.25",
            "?end=1",
            "?end=2.05&start=0.71",
            "?start=0.7&end=1.4",
            "?start=0.75&end=1.35",
            "?start=3.99",
            "?start=4",
            "?start=5",
            "?start=2&end=1",
            "?end=100",
            "?start=x",
            "?start=x&end=2",
            "?start=-1",
            "?END=0.05",
            "?start=1.2345678901234567890123&end=3.5",
            "?start=0&end=0.1",
            "?start=2.1&end=2.8",
        ] {
            for folder in ["", "key/", "small/", "sendfile/", "threads/", "aio/"] {
                let answer = server.get(&format!("/{folder}{name}.mp4{arguments}"));
                let what = match answer.status {
                    200 => format!("{} {:016x}", answer.body.len(), sum(&answer.body)),
                    status => status.to_string(),
                };
                assert!(answer.status != 200 || answer.header("Accept-Ranges") == Some("bytes"));
                writeln!(table, "{folder}{name}{arguments} {what}").unwrap();
            }
        }
    }
    if let Ok(path) = std::env::var("WEIR_TEST_RECORD") {
        std::fs::write(path, &table).unwrap();
    }
    for (ours, recorded) in table.lines().zip(SUMS.lines()) {
        assert_eq!(ours, recorded);
    }
    assert_eq!(table.lines().count(), SUMS.lines().count());
}

#[test]
fn a_part_has_a_length_and_a_single_range() {
    let server = start();
    let whole = server.get("/first.mp4?start=1&end=3");
    let mut client = server.client();
    client.send("HEAD /first.mp4?start=1&end=3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head_response();
    assert_eq!(head.header("Content-Length"), Some(&*whole.body.len().to_string()));
    assert_eq!(head.header("ETag"), whole.header("ETag"));
    let file = server.get("/first.mp4");
    assert_ne!(head.header("ETag"), file.header("ETag"));
    assert_eq!(head.header("Last-Modified"), file.header("Last-Modified"));
    let part = server.get_with("/first.mp4?start=1&end=3", "Range: bytes=100-1999\r\n");
    assert_eq!((part.status, part.body == whole.body[100..2000]), (206, true));
    let two = server.get_with("/first.mp4?start=1", "Range: bytes=0-1,5-6\r\n");
    assert_eq!(two.status, 200);
    let two = server.get_with("/first.mp4", "Range: bytes=0-1,5-6\r\n");
    assert_eq!(two.status, 206);
    for (request, status) in [("POST /first.mp4", 405), ("GET /none.mp4", 404), ("GET /", 403)] {
        let answer =
            server.ask(format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(answer.status, status, "{request}");
    }
    let page = server.get("/page");
    let included = server.get("/first.mp4?end=1");
    assert!(page.body == [&included.body[..], b"!"].concat());
}

#[test]
fn broken_movies_are_a_500() {
    let server = start();
    for (target, message) in [
        ("/cut.mp4?start=1", "cut.mp4\" mp4 atom too large:"),
        ("/text.mp4?start=1", "text.mp4\" mp4 atom too large:"),
        ("/first.mp4?start=4.001", "first.mp4\" mp4 start time exceeds file duration"),
        ("/limited/first.mp4?start=1", "you may want to increase mp4_max_buffer_size"),
    ] {
        assert_eq!(server.get(target).status, 500, "{target}");
        server.wait_log(message);
    }
    // They are sent if no part is wanted.
    assert_eq!(server.get("/text.mp4").status, 200);
}

#[test]
fn the_head_of_a_movie_is_read_beside_the_loop() {
    // nginx reads it on the loop.
    if is_nginx() {
        return;
    }
    let movie = movie(true);
    let Some(disk) = HeldDisk::mount(&[("a.mp4", &movie), ("b.mp4", &movie)]) else { return };
    for (conf, name) in [("aio threads;", "a"), ("aio on;", "b")] {
        let server = Server::server(&format!(
            "{conf} location /slow/ {{ mp4; alias %disk%/; }} location = / {{ return 200 fast; }}"
        ))
        .main("worker_processes 1;")
        .set("disk", disk.path().display())
        .start();
        disk.hold(Operation::Read);
        let mut client = server.client();
        let target = format!("/slow/{name}.mp4?start=1&end=2");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        disk.wait_held(1);
        assert_eq!(server.text("/"), "fast");
        disk.release();
        let answer = client.response();
        assert_eq!((answer.status, &answer.body[20..24]), (200, &b"moov"[..]));
    }
}
