//! `brotli` and `zstd`: the choice of the coding, bodies, streams and precompressed files.

use std::io::{Read, Write};
use std::sync::{Arc, Barrier};

use crate::harness::{Backend, Reply, Response, Server};

/// The body of a response, decoded as its `Content-Encoding` says.
fn decoded(response: &Response) -> Vec<u8> {
    decode(response.header("Content-Encoding"), &response.body)
}

fn decode(coding: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    match coding {
        Some("br") => brotli::BrotliDecompress(&mut &body[..], &mut output).unwrap(),
        Some("gzip") => {
            flate2::read::GzDecoder::new(body).read_to_end(&mut output).map(drop).unwrap();
        }
        Some("zstd") => output = unzstd(body),
        _ => output = body.to_vec(),
    }
    output
}

fn unzstd(body: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(1 << 22);
    let (mut context, mut input) = (zstd_safe::DCtx::create(), zstd_safe::InBuffer::around(body));
    let mut out = zstd_safe::OutBuffer::around(&mut output);
    context.decompress_stream(&mut out, &mut input).unwrap();
    assert_eq!(input.pos(), body.len());
    output
}

const ALL: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

#[test]
fn the_first_coding_that_the_client_accepts_is_used() {
    let text = "0123456789abcdef".repeat(20_000);
    let server = Server::http(
        "log_format r '$brotli_ratio $zstd_ratio $gzip_ratio';
         server { listen 127.0.0.1:%port%;
         root %dir%/html; types { text/html html; text/plain txt; } gzip_vary on;
         default_type a/b; brotli on; zstd on; gzip on; gzip_types text/plain; brotli_types text/plain;
         zstd_types text/plain; access_log %dir%/log r;
         location /br/ { zstd off; gzip off; alias %dir%/html/; brotli_comp_level 11;
             brotli_window 1k; brotli_min_length 100; }
         location /zstd/ { brotli off; gzip off; alias %dir%/html/; zstd_comp_level 22;
             zstd_buffers 4 1k; zstd_min_length 100; }
         location /if/ { brotli off; zstd off; gzip off; alias %dir%/html/;
             if ($arg_br) { brotli on; } if ($arg_zstd) { zstd on; } }
         location /status { return 201 \"a text of more than twenty bytes\"; } }",
    )
    .file("html/x.txt", &text)
    .file("html/short.txt", "short")
    .file("html/x.bin", &text)
    .start();
    let coding = |target: &str, lines: &str| {
        let response = server.get_with(target, lines);
        if response.header("Content-Encoding").is_some() {
            let fields = ["Content-Length", "Accept-Ranges"].map(|name| response.header(name));
            assert_eq!(fields, [None, None]);
            assert!(response.header("ETag").is_none_or(|etag| etag.starts_with("W/")));
            assert!(response.body.len() < text.len() / 50, "{target} {lines}");
        }
        if !target.contains("short") {
            assert_eq!(decoded(&response), text.as_bytes(), "{target} {lines}");
        }
        response.header("Content-Encoding").unwrap_or("none").to_owned()
    };
    for (accepts, used) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("gzip, br;q=0, zstd;q=0.0", "gzip"),
        ("br;q=0.001", "br"),
        ("gzip;q=0, ZSTD", "zstd"),
        ("gzip, br;q=0.9, zstd;q=0.8", "gzip"),
        ("gzip;q=0.5, br;q=0.1, zstd;q=0.7", "zstd"),
        ("gzip;q=0.5, br;q=0.5, zstd;q=0.5", "br"),
        ("gzip;q=0.701, zstd;q=0.7", "gzip"),
        ("zstd;q=0.001, br;q=1.5", "zstd"),
        ("abr, brotli, zst", "none"),
        ("identity", "none"),
    ] {
        assert_eq!(coding("/x.txt", &format!("Accept-Encoding: {accepts}\r\n")), used, "{accepts}");
    }
    assert_eq!(coding("/br/x.txt", ALL), "br");
    assert_eq!(coding("/zstd/x.txt", ALL), "zstd");
    assert_eq!(coding("/br/short.txt", ALL), "none");
    assert_eq!(coding("/zstd/short.txt", ALL), "none");
    assert_eq!(coding("/x.bin", ALL), "none");
    assert_eq!(coding("/if/x.txt", ALL), "none");
    assert_eq!(coding("/if/x.txt?br=1", ALL), "br");
    assert_eq!(coding("/if/x.txt?zstd=1", ALL), "zstd");
    assert_eq!(server.get_with("/status", ALL).header("Content-Encoding"), None);
    // A response varies even if this client gets it as it is.
    assert_eq!(server.get("/x.txt").header("Vary"), Some("Accept-Encoding"));
    assert_eq!(server.get_with("/br/x.txt", ALL).header("Vary"), Some("Accept-Encoding"));
    assert_eq!(server.get("/x.bin").header("Vary"), None);
    let ratios = server.wait_lines("log", 3);
    let columns = |line: &str| line.split(' ').map(|word| word != "-").collect::<Vec<_>>();
    assert_eq!(columns(&ratios[0]), [true, false, false], "{}", ratios[0]);
    assert_eq!(columns(&ratios[1]), [false, true, false], "{}", ratios[1]);
    assert_eq!(columns(&ratios[2]), [false, false, true], "{}", ratios[2]);
    let mut client = server.client();
    client.send(format!("HEAD /x.txt HTTP/1.1\r\nHost: x\r\n{ALL}\r\n"));
    assert_eq!(client.head_response().header("Content-Encoding"), Some("br"));
}

/// The server waits with the second part until the client has the first.
#[test]
fn a_stream_does_not_wait_in_the_compressor() {
    for coding in ["br", "zstd"] {
        let seen = Arc::new(Barrier::new(2));
        let waits = Arc::clone(&seen);
        let backend = Backend::new(move |_| {
            let waits = Arc::clone(&waits);
            Reply::Custom(Box::new(move |stream| {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nfirst")
                    .unwrap();
                waits.wait();
                stream.write_all(b"second").unwrap();
            }))
        });
        let server = Server::server(
            "location / { proxy_pass http://%a%; brotli on; brotli_types *; zstd on; zstd_types *; }",
        )
        .set("a", backend.address())
        .start();
        let mut client = server.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n"));
        assert_eq!(client.head().header("Content-Encoding"), Some(coding));
        let mut body = Vec::new();
        let readable = |body: &[u8]| match coding {
            "br" => {
                let mut output = vec![0; 64];
                let mut reader = brotli::Decompressor::new(body, 64);
                let count = reader.read(&mut output).unwrap_or(0);
                output.truncate(count);
                output
            }
            _ => unzstd(body),
        };
        while readable(&body) != b"first" {
            body.extend(client.take_chunk());
        }
        seen.wait();
        loop {
            let chunk = client.take_chunk();
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        assert_eq!(decode(Some(coding), &body), b"firstsecond");
    }
}

#[test]
fn a_compressed_response_that_breaks_off_has_what_came_before() {
    let backend = Backend::new(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n";
        Reply::Last(format!("{head}before the break").into_bytes())
    });
    let server = Server::server("location / { proxy_pass http://%a%; gzip on; }")
        .set("a", backend.address())
        .start();
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(client.head().header("Content-Encoding"), Some("gzip"));
    let mut body = Vec::new();
    while so_far("gzip", &body) != b"before the break" {
        body.extend(client.take_chunk());
    }
    server.wait_log("upstream prematurely closed connection while");
}

/// The one of the larger weight has limits of its own, and the length of the plain response counts.
#[test]
fn the_settings_of_each_coding_count() {
    let text = "0123456789abcdef".repeat(1000);
    let server = Server::server(
        "root %dir%/html; default_type text/html;
         brotli on; zstd on; gzip on; brotli_types text/css; zstd_types text/css; gzip_types text/css;
         location /large/ { gzip_min_length 20k; alias %dir%/html/; }
         location /small/ { brotli_min_length 20k; alias %dir%/html/; }
         location /types/ { brotli_types a/b; zstd_types a/b; default_type text/css;
             alias %dir%/html/; }",
    )
    .file("html/x", &text)
    .start();
    let accepts = "Accept-Encoding: gzip, br;q=0.5, zstd;q=0.2\r\n";
    for (target, used) in
        [("/x", "gzip"), ("/large/x", "br"), ("/small/x", "gzip"), ("/types/x", "gzip")]
    {
        let response = server.get_with(target, accepts);
        assert_eq!(response.header("Content-Encoding"), Some(used), "{target}");
        assert_eq!(response.all("Content-Encoding").len(), 1);
        assert_eq!(decoded(&response), text.as_bytes(), "{target}");
    }
    let accepts = "Accept-Encoding: gzip;q=0.1, br;q=0.5, zstd\r\n";
    assert_eq!(server.get_with("/small/x", accepts).header("Content-Encoding"), Some("zstd"));
}

#[test]
fn a_dictionary_is_used_for_zstandard() {
    let dictionary: Vec<u8> = (0..8000_u32).map(|n| (n * n / 977) as u8).collect();
    let conf = "zstd_dict_file %dir%/dictionary; zstd on; zstd_types *; zstd_comp_level 3;
         server { listen 127.0.0.1:%port%; root %dir%/html; }";
    let server = Server::http(conf)
        .file("dictionary", &dictionary)
        .file("html/x", &dictionary[2000..6000])
        .start();
    let response = server.get_with("/x", "Accept-Encoding: zstd\r\n");
    assert_eq!(response.header("Content-Encoding"), Some("zstd"));
    assert!(response.body.len() < 200, "{}", response.body.len());
    let mut output = Vec::with_capacity(8192);
    let mut context = zstd_safe::DCtx::create();
    context.load_dictionary(&dictionary).unwrap();
    let mut input = zstd_safe::InBuffer::around(&response.body);
    context.decompress_stream(&mut zstd_safe::OutBuffer::around(&mut output), &mut input).unwrap();
    assert_eq!(output, &dictionary[2000..6000]);
    let missing = Server::http(conf).check();
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && text.contains("dictionary\" failed"), "{text}");
}

/// The included response is held back until the client has the part before it.
#[test]
fn a_page_does_not_wait_in_the_compressor_for_what_it_includes() {
    for (coding, conf) in [
        ("gzip", "gzip on; gzip_types *;"),
        ("br", "brotli on; brotli_types *;"),
        ("zstd", "zstd on; zstd_types *;"),
    ] {
        let seen = Arc::new(Barrier::new(2));
        let waits = Arc::clone(&seen);
        let backend = Backend::new(move |_| {
            waits.wait();
            Reply::ok("included")
        });
        let before: String = (0..4000).map(|n| format!("{n} ")).collect();
        let page = format!("{before}<!--#include virtual=\"/slow\" -->after");
        let server = Server::server(&format!(
            "root %dir%/html; ssi on; ssi_types *; {conf} location /slow {{ proxy_pass http://%a%; }}"
        ))
        .set("a", backend.address())
        .file("html/page", page)
        .start();
        let mut client = server.client();
        client.send(format!("GET /page HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n"));
        assert_eq!(client.head().header("Content-Encoding"), Some(coding));
        let mut body = Vec::new();
        while so_far(coding, &body) != before.as_bytes() {
            body.extend(client.take_chunk());
        }
        seen.wait();
        loop {
            let chunk = client.take_chunk();
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        let whole = format!("{before}includedafter");
        assert_eq!(decode(Some(coding), &body), whole.as_bytes(), "{coding}");
    }
}

/// What the first bytes of a compressed body already say.
fn so_far(coding: &str, body: &[u8]) -> Vec<u8> {
    if coding == "zstd" {
        return unzstd(body);
    }
    let mut reader: Box<dyn Read> = match coding {
        "br" => Box::new(brotli::Decompressor::new(body, 4096)),
        _ => Box::new(flate2::read::GzDecoder::new(body)),
    };
    let (mut output, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = reader.read(&mut part) {
        output.extend_from_slice(&part[..count]);
    }
    output
}

#[test]
fn precompressed_files_are_sent() {
    let server = Server::server(
        "root %dir%/html; types { text/plain txt; } gzip_vary on;
         brotli_static on; zstd_static on; gzip_static on;
         location /always/ { alias %dir%/html/; brotli_static always; }
         location /zstd/ { alias %dir%/html/; brotli_static off; zstd_static always; }",
    )
    .file("html/x.txt", "plain")
    .file("html/x.txt.br", "brotli")
    .file("html/x.txt.zst", "zstandard")
    .file("html/x.txt.gz", "gzip")
    .file("html/y.txt", "plain")
    .file("html/y.txt.zst", "zstandard")
    .start();
    let get = |target: &str, accepts: &str| {
        let response = server.get_with(target, &format!("Accept-Encoding: {accepts}\r\n"));
        assert_eq!(response.header("Content-Type"), Some("text/plain"));
        let length = response.body.len().to_string();
        assert_eq!(response.header("Content-Length"), Some(&*length));
        let coding = response.header("Content-Encoding").unwrap_or("none").to_owned();
        (coding, response.text())
    };
    let is = |coding: &str, text: &str| (coding.to_owned(), text.to_owned());
    assert_eq!(get("/x.txt", "gzip, br, zstd"), is("br", "brotli"));
    assert_eq!(get("/x.txt", "gzip, zstd"), is("zstd", "zstandard"));
    assert_eq!(get("/x.txt", "gzip, zstd;q=0"), is("gzip", "gzip"));
    assert_eq!(get("/x.txt", "x"), is("none", "plain"));
    assert_eq!(get("/y.txt", "gzip, br, zstd"), is("zstd", "zstandard"));
    assert_eq!(get("/always/x.txt", "x"), is("br", "brotli"));
    assert_eq!(get("/zstd/x.txt", "x"), is("zstd", "zstandard"));
    assert_eq!(server.get("/x.txt").header("Vary"), Some("Accept-Encoding"));
}
