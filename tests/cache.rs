//! `proxy_cache`: responses that are kept, how long, and for whom.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use crate::harness::{Backend, Reply, Response, Server, Setup, until};

/// A server with a cache whose locations are in `conf`.
pub(crate) fn caching(backend: &Backend, conf: &str) -> Setup {
    caching_at(backend, "levels=1:2 keys_zone=one:1m", conf)
}

/// The text inside `http { }`, with these parameters of `proxy_cache_path`.
pub(crate) fn http(parameters: &str, conf: &str) -> String {
    format!(
        "proxy_cache_path %dir%/cache {parameters};
         server {{ listen 127.0.0.1:%port%; proxy_cache one;
             add_header X-Cache $upstream_cache_status;
             {conf} }}"
    )
}

/// A server with a cache that has these parameters.
pub(crate) fn caching_at(backend: &Backend, parameters: &str, conf: &str) -> Setup {
    Server::http(&http(parameters, conf)).set("backend", backend.address())
}

/// All files of responses in the cache.
pub(crate) fn files(server: &Server) -> Vec<PathBuf> {
    responses(&server.directory().join("cache"))
}

/// All files in the folder of a cache but Weir's own.
pub(crate) fn responses(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let each = entries.flat_map(|entry| match entry.path() {
        path if path.ends_with("weir") => Vec::new(),
        path if path.is_dir() => responses(&path),
        path => vec![path],
    });
    each.collect()
}

/// How the cache was used, and the body.
#[track_caller]
pub(crate) fn used(response: &Response) -> (String, String) {
    (response.header("X-Cache").unwrap_or("-").to_owned(), response.text())
}

/// Asserts how the cache is used for a target, and the body.
#[track_caller]
pub(crate) fn expect(server: &Server, target: &str, status: &str, body: &str) {
    assert_eq!(used(&server.get(target)), (status.to_owned(), body.to_owned()), "{target}");
}

/// A backend that counts in its bodies, with these fields.
pub(crate) fn counting(fields: &'static str) -> Backend {
    let count = AtomicUsize::new(0);
    Backend::new(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Reply::with("200 OK", fields, format!("body {number}"))
    })
}

#[test]
fn a_response_is_kept_under_its_key() {
    let backend = counting("X-Accel-Expires: 600\r\nX-Own: kept\r\nServer: theirs\r\n");
    let server = caching(
        &backend,
        "location / { proxy_pass http://%backend%; }
         location /key/ { proxy_pass http://%backend%; proxy_cache_key k$arg_k;
             add_header X-Key $upstream_cache_key; add_header X-Cache $upstream_cache_status; }
         location /off/ { proxy_pass http://%backend%; proxy_cache off; }
         location /named/ { proxy_pass http://%backend%; proxy_cache $arg_zone; }",
    )
    .start();
    expect(&server, "/a", "MISS", "body 0");
    expect(&server, "/a", "HIT", "body 0");
    expect(&server, "/a?b", "MISS", "body 1");
    let hit = server.get("/a");
    assert_eq!((hit.header("X-Own"), hit.header("Content-Length")), (Some("kept"), Some("6")));
    assert_eq!(hit.header("X-Accel-Expires"), None);
    assert_ne!(hit.header("Server"), Some("theirs"));
    let key = server.get("/key/?k=b");
    assert_eq!(key.header("X-Key"), Some("kb"));
    expect(&server, "/key/other?k=b", "HIT", "body 2");
    // The MD5 digest of "kb", as nginx names it.
    let file = server.directory().join("cache/6/e8/ba34ea40525a4379add785228e37fe86");
    let named = files(&server);
    assert_eq!(named.len(), 3);
    let text = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let of_key: Vec<_> = named.iter().filter(|path| text(path).contains("\nKEY: kb\n")).collect();
    assert_eq!(of_key, [&file], "{named:?}");
    expect(&server, "/off/", "-", "body 3");
    expect(&server, "/named/", "-", "body 4");
    expect(&server, "/named/?zone=off", "-", "body 5");
    expect(&server, "/named/?zone=one", "MISS", "body 6");
    expect(&server, "/named/?zone=one", "HIT", "body 6");
    assert_eq!(server.get("/named/?zone=none").status, 500);
    server.wait_log("cache \"none\" not found");
}

#[test]
fn who_asks_and_who_answers_decide_whether_it_is_kept() {
    let backend = Backend::new(|seen| {
        let field = seen.target().split('?').nth(1).unwrap_or("X-A:b").replace("%20", " ");
        Reply::with("200 OK", &format!("{field}\r\n"), "body")
    });
    let server = caching(
        &backend,
        "proxy_pass_header X-Accel-Expires;
         location / { proxy_pass http://%backend%; }
         location /valid/ { proxy_pass http://%backend%; proxy_cache_valid 600; }
         location /ignores/ { proxy_pass http://%backend%; proxy_cache_valid any 600;
             proxy_ignore_headers Set-Cookie Cache-Control Expires X-Accel-Expires Vary; }
         location /twice/ { proxy_pass http://%backend%; proxy_cache_valid 600;
             proxy_cache_min_uses 3; }
         location /unbuffered/ { proxy_pass http://%backend%; proxy_cache_valid 600;
             proxy_buffering off; }
         location /no/ { proxy_pass http://%backend%; proxy_cache_valid 600;
             proxy_no_cache $http_x_no; proxy_cache_bypass $http_x_bypass; }",
    )
    .start();
    let then = |target: &str| {
        server.get(target);
        used(&server.get(target)).0
    };
    for (target, status) in [
        ("/?X-A:b", "MISS"),
        ("/valid/?X-A:b", "HIT"),
        ("/?Cache-Control:max-age=60", "HIT"),
        ("/?Cache-Control:max-age=0", "MISS"),
        ("/valid/?Cache-Control:no-store", "MISS"),
        ("/valid/?Set-Cookie:a=b", "MISS"),
        ("/valid/?Vary:*", "MISS"),
        ("/valid/?X-Accel-Expires:0", "MISS"),
        ("/ignores/?Set-Cookie:a=b", "HIT"),
        ("/ignores/?Cache-Control:private", "HIT"),
        ("/ignores/?X-Accel-Expires:0", "HIT"),
        ("/ignores/?Vary:*", "HIT"),
        ("/unbuffered/?X-A:b", "MISS"),
        ("/twice/?X-A:b", "MISS"),
        ("/twice/?X-A:b", "HIT"),
    ] {
        assert_eq!(then(target), status, "{target}");
    }
    // A bypassed response replaces the one that is kept.
    server.get("/no/");
    let with = |line: &str| used(&server.get_with("/no/", line)).0;
    assert_eq!(with("X-No: 1\r\n"), "HIT");
    assert_eq!(with("X-Bypass: 1\r\n"), "BYPASS");
    assert_eq!(with("X-Bypass: 0\r\n"), "HIT");
    let before = backend.count();
    for (lines, status) in [("X-No: 1\r\n", "MISS"), ("", "MISS"), ("X-No: 1\r\n", "HIT")] {
        assert_eq!(used(&server.get_with("/no/other", lines)).0, status);
    }
    assert_eq!(backend.count(), before + 2);
    let post = b"POST /valid/?X-A:b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(server.ask(post).header("X-Cache"), None);
}

#[test]
fn conditions_and_ranges_are_judged_here() {
    let fields = "X-Accel-Expires: 600\r\nAccept-Ranges: bytes\r\nETag: \"e\"\r\n\
                  Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let backend = counting(fields);
    let server = caching(&backend, "location / { proxy_pass http://%backend%; }").start();
    // Already the first request, whose response is still coming.
    let first = server.get_with("/a", "Range: bytes=2-3\r\nIf-None-Match: \"x\"\r\n");
    assert_eq!((first.status, first.text()), (206, "dy".to_owned()));
    let seen = backend.last();
    for name in ["Range", "If-None-Match", "If-Modified-Since", "If-Range"] {
        assert_eq!(seen.header(name), None);
    }
    for (lines, status, body) in [
        ("", 200, "body 0"),
        ("Range: bytes=-1\r\n", 206, "0"),
        ("Range: bytes=9-\r\n", 416, ""),
        ("Range: bytes=0-0\r\nIf-Range: \"e\"\r\n", 206, "b"),
        ("Range: bytes=0-0\r\nIf-Range: \"f\"\r\n", 200, "body 0"),
        ("If-None-Match: W/\"e\"\r\n", 304, ""),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304, ""),
        ("If-Match: \"f\"\r\n", 412, ""),
    ] {
        let response = server.get_with("/a", lines);
        assert_eq!(response.status, status, "{lines}");
        if !matches!(status, 412 | 416) {
            assert_eq!(used(&response), ("HIT".to_owned(), body.to_owned()), "{lines}");
        }
    }
    let two = server.get_with("/a", "Range: bytes=0-0,2-2\r\n");
    assert!(two.status == 206 && two.text().contains("Content-Range: bytes 2-2/6"));
    assert_eq!(backend.count(), 1);
}

#[test]
fn head_is_answered_from_a_get() {
    let backend = Backend::new(|seen| {
        let fields = "X-Accel-Expires: 600\r\n";
        match seen.line.starts_with("HEAD") {
            true => Reply::Bytes(
                format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\n").into_bytes(),
            ),
            false => Reply::with("200 OK", fields, "body"),
        }
    });
    let server = caching(
        &backend,
        "location / { proxy_pass http://%backend%; }
         location /as-is/ { proxy_pass http://%backend%; proxy_cache_convert_head off;
             proxy_cache_key $request_method$uri; }
         location /method/ { proxy_pass http://%backend%; proxy_method POST; }",
    )
    .start();
    let head = |target: &str| {
        let mut client = server.client();
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.head_response()
    };
    assert_eq!(used(&head("/a")).0, "MISS");
    assert!(backend.last().line.starts_with("GET "));
    assert_eq!(head("/a").header("Content-Length"), Some("4"));
    expect(&server, "/a", "HIT", "body");
    assert_eq!(used(&head("/as-is/a")).0, "MISS");
    assert!(backend.last().line.starts_with("HEAD "));
    let again = head("/as-is/a");
    assert_eq!((again.header("Content-Length"), used(&again).0.as_str()), (Some("4"), "HIT"));
    expect(&server, "/as-is/a", "MISS", "body");
    expect(&server, "/as-is/a", "HIT", "body");
    assert_eq!(used(&head("/method/a")).0, "MISS");
    assert!(backend.last().line.starts_with("GET "));
    assert_eq!(used(&server.get("/method/b")).0, "MISS");
    assert!(backend.last().line.starts_with("POST "));
}

#[test]
fn conditions_do_not_apply_to_what_must_not_be_kept() {
    let backend = Backend::new(|seen| {
        let fields = match seen.target() {
            "/private" => "Cache-Control: private\r\n",
            "/cookie" => "Set-Cookie: a=b\r\n",
            "/vary" => "Vary: *\r\n",
            "/zero" => "X-Accel-Expires: 0\r\n",
            _ => "",
        };
        Reply::with("200 OK", &format!("{fields}ETag: \"e\"\r\nAccept-Ranges: bytes\r\n"), "body")
    });
    let conf = "location / { proxy_pass http://%backend%; proxy_cache_valid 1h; }";
    let server = caching(&backend, conf).start();
    for target in ["/private", "/cookie", "/vary", "/zero"] {
        for lines in ["If-Match: \"f\"\r\n", "If-None-Match: \"e\"\r\n", "Range: bytes=0-0\r\n"] {
            let response = server.get_with(target, lines);
            assert_eq!(
                (response.status, response.text()),
                (200, "body".into()),
                "{target} {lines}"
            );
        }
    }
    assert_eq!(server.get_with("/other", "If-Match: \"f\"\r\n").status, 412);
}

/// As in nginx: a request is whole before its response is looked for.
#[test]
fn a_broken_body_is_refused_in_spite_of_a_hit() {
    let backend = counting("X-Accel-Expires: 600\r\n");
    let conf = "proxy_cache_methods POST; proxy_cache_key $uri;
                location / { proxy_pass http://%backend%; }";
    let server = caching(&backend, conf).start();
    expect(&server, "/a", "MISS", "body 0");
    let post = |body: &str| {
        let head = "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked";
        server.ask(format!("{head}\r\n\r\n{body}"))
    };
    assert_eq!(used(&post("1\r\na\r\n0\r\n\r\n")), ("HIT".to_owned(), "body 0".to_owned()));
    assert_eq!(post("x\r\n\r\n").status, 400);
}

/// A body whose bytes tell where they are.
pub(crate) fn numbers(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
}

#[test]
fn bodies_of_all_sizes_are_the_same_each_time() {
    let backend = Backend::new(|seen| {
        let length: usize = seen.target().rsplit('/').next().unwrap().parse().unwrap();
        let (fields, body) = ("X-Accel-Expires: 600\r\nAccept-Ranges: bytes\r\n", numbers(length));
        match seen.target().starts_with("/chunked/") {
            true => {
                let mut text =
                    format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n")
                        .into_bytes();
                for part in body.chunks(50_000) {
                    text.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    text.extend_from_slice(part);
                    text.extend_from_slice(b"\r\n");
                }
                text.extend_from_slice(b"0\r\n\r\n");
                Reply::Bytes(text)
            }
            false => Reply::with("200 OK", fields, body),
        }
    });
    for more in ["", "sendfile on;", "aio threads; aio_write on;", "gzip on; gzip_types *;"] {
        let server = caching(
            &backend,
            &format!(
                "{more} location / {{ proxy_pass http://%backend%; }}
                 location /chunked/ {{ proxy_pass http://%backend%; }}"
            ),
        )
        .start();
        for length in [0, 1, 1000, 16_384, 16_385, 65_535, 65_536, 65_537, 131_072, 2_000_000] {
            for target in [format!("/a/{length}"), format!("/chunked/{length}")] {
                let body = numbers(length);
                for (round, status) in ["MISS", "HIT", "HIT", "HIT"].into_iter().enumerate() {
                    let response = server.get(&target);
                    let kept = response.header("X-Cache");
                    assert_eq!((response.status, kept), (200, Some(status)), "{target} {more}");
                    assert!(response.body == body, "{target} {round} {more}");
                }
                let (from, to) = (length / 3, length / 3 * 2);
                if length > 1000 {
                    let range = format!("Range: bytes={from}-{to}\r\n");
                    let response = server.get_with(&target, &range);
                    assert!(response.body == body[from..=to], "{target} {more}");
                }
            }
        }
    }
}

#[test]
fn a_response_that_breaks_off_is_not_kept() {
    let breaks = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&breaks);
    let backend = Backend::new(move |seen| {
        let mut text = b"HTTP/1.1 200 OK\r\nX-Accel-Expires: 600\r\n".to_vec();
        text.extend_from_slice(match seen.target() {
            "/chunked" => b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
            "/closed" => b"\r\nbody",
            _ => b"Content-Length: 8\r\n\r\nbody".as_slice(),
        });
        if broken.load(Ordering::Relaxed) {
            return Reply::Last(text);
        }
        text.extend_from_slice(if seen.target() == "/chunked" { b"0\r\n\r\n" } else { b"body" });
        Reply::Last(text)
    });
    let server = caching(&backend, "location / { proxy_pass http://%backend%; }").start();
    for target in ["/length", "/chunked"] {
        for _ in 0..2 {
            let mut client = server.client();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let text = String::from_utf8_lossy(&client.rest()).into_owned();
            assert!(text.contains("X-Cache: MISS"), "{text}");
        }
    }
    assert_eq!(files(&server), Vec::<PathBuf>::new());
    breaks.store(false, Ordering::Relaxed);
    for target in ["/length", "/chunked", "/closed"] {
        server.get(target);
        assert_eq!(used(&server.get(target)).0, "HIT", "{target}");
    }
}

#[test]
fn a_response_is_kept_though_its_client_leaves() {
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(Some(goes));
    let backend = Backend::new(move |_| {
        let goes = goes.lock().unwrap().take();
        Reply::Custom(Box::new(move |stream| {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nX-Accel-Expires: 600\r\nContent-Length: 8\r\n\r\n");
            let _ = goes.map(|goes| goes.recv());
            let _ = stream.write_all(b"all of it"[..8].as_ref());
        }))
    });
    let server = caching(&backend, "location / { proxy_pass http://%backend%; }").start();
    let mut client = server.client();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").head();
    drop(client);
    go.send(()).unwrap();
    until("the response to be kept", || files(&server).len() == 1);
    expect(&server, "/a", "HIT", "all of i");
    assert_eq!(backend.count(), 1);
}

#[test]
fn variants_are_kept_apart() {
    let backend = Backend::new(|seen| {
        let fields = "X-Accel-Expires: 600\r\nVary: X-A, Accept-Encoding\r\n";
        let value = |name| seen.header(name).unwrap_or("none").to_owned();
        Reply::with("200 OK", fields, format!("{} {}", value("X-A"), value("Accept-Encoding")))
    });
    let mut server = caching(&backend, "location / { proxy_pass http://%backend%; }").start();
    let ask = |server: &Server, lines: &str| used(&server.get_with("/a", lines));
    let cases = [
        ("", "none none"),
        ("X-A: 1\r\n", "1 none"),
        ("X-A: 2\r\n", "2 none"),
        ("X-A: 1\r\nAccept-Encoding: gzip, br\r\n", "1 gzip, br"),
    ];
    for (lines, body) in cases {
        assert_eq!(ask(&server, lines), ("MISS".to_owned(), body.to_owned()));
    }
    for _ in 0..2 {
        for (lines, body) in cases {
            assert_eq!(ask(&server, lines), ("HIT".to_owned(), body.to_owned()));
        }
        let (spaced, body) = ("X-A: 1\r\nAccept-Encoding: gzip,br\r\n", "1 gzip, br");
        assert_eq!(ask(&server, spaced), ("HIT".to_owned(), body.to_owned()));
        server.pause();
        server.resume();
    }
    assert_eq!((backend.count(), files(&server).len()), (4, 4));
}

#[test]
fn far_ranges_are_not_kept() {
    let backend = counting("X-Accel-Expires: 600\r\n");
    let server = caching(
        &backend,
        "proxy_cache_max_range_offset 100; location / { proxy_pass http://%backend%; }",
    )
    .start();
    for (range, sent) in [
        ("bytes=100-", Some("bytes=100-")),
        ("bytes=-5", Some("bytes=-5")),
        ("bytes=99999999999999999999-", Some("bytes=99999999999999999999-")),
        ("bytes=99-", None),
    ] {
        server.get_with("/a", &format!("Range: {range}\r\n"));
        assert_eq!(backend.last().header("Range"), sent, "{range}");
    }
    assert_eq!(files(&server).len(), 1);
}

#[test]
fn responses_are_purged_by_key() {
    let backend =
        Backend::new(|_| Reply::with("200 OK", "X-Accel-Expires: 600\r\nVary: X-A\r\n", "body"));
    let mut server = caching(
        &backend,
        "if ($request_method = PURGE) { set $purge 1; }
         proxy_cache_key $uri; proxy_cache_purge $purge;
         location / { proxy_pass http://%backend%; }",
    )
    .start();
    let fill = |server: &Server| {
        for target in ["/a/1", "/a/2", "/b/1"] {
            for lines in ["", "X-A: 1\r\n"] {
                server.get_with(target, lines);
            }
        }
    };
    let purge = |server: &Server, target: &str| {
        let ask = format!("PURGE {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        server.ask(ask).status
    };
    let kept = |server: &Server| {
        let targets = ["/a/1", "/a/2", "/b/1"].into_iter();
        let paths = files(server);
        let has = |target: &str| {
            let key = format!("\nKEY: {target}\n").into_bytes();
            let count = paths.iter().filter(|path| {
                let found = std::fs::read(path).unwrap();
                found.windows(key.len()).any(|bytes| bytes == key)
            });
            count.count()
        };
        targets.map(has).collect::<Vec<_>>()
    };
    for restarts in [false, true] {
        fill(&server);
        assert_eq!(kept(&server), [2, 2, 2]);
        if restarts {
            server.pause();
            server.resume();
        }
        assert_eq!(purge(&server, "/a/1"), 204);
        assert_eq!(purge(&server, "/a/1"), 404);
        assert_eq!(kept(&server), [0, 2, 2]);
        assert_eq!(used(&server.get("/a/2")).0, "HIT");
        assert_eq!(used(&server.get_with("/a/1", "X-A: 1\r\n")).0, "MISS");
        assert_eq!(purge(&server, "/a/*"), 204);
        assert_eq!(purge(&server, "/c*"), 404);
        assert_eq!(kept(&server), [0, 0, 2]);
        assert_eq!(used(&server.get("/a/2")).0, "MISS");
        assert_eq!(used(&server.get_with("/b/1", "X-A: 1\r\n")).0, "HIT");
        assert_eq!(purge(&server, "/*"), 204);
        assert_eq!(kept(&server), [0, 0, 0]);
    }
}

/// What a request has to do with a cache ends with the location that has it.
#[test]
fn another_location_is_passed_the_conditions_of_the_client() {
    let backend = Backend::new(|seen| match seen.target() {
        "/a" => Reply::with("404 No", "", "none"),
        _ => Reply::ok(seen.header("If-None-Match").unwrap_or("none")),
    });
    let server = caching(
        &backend,
        "location / { proxy_pass http://%backend%; proxy_intercept_errors on;
             error_page 404 = /other; }
         location /other { proxy_pass http://%backend%; proxy_cache off; }",
    )
    .start();
    let response = server.get_with("/a", "If-None-Match: \"e\"\r\n");
    assert_eq!(used(&response), ("-".to_owned(), "\"e\"".to_owned()));
    assert_eq!(backend.seen()[0].header("If-None-Match"), None);
}

/// A page includes kept and fresh parts, twice the same.
#[test]
fn parts_of_a_page_are_kept() {
    let backend = counting("X-Accel-Expires: 600\r\nContent-Type: text/html\r\n");
    let page = "<!--#include virtual=\"/part\" --> <!--#include virtual=\"/part\" --> \
                <!--#include virtual=\"/part?2\" -->";
    let server = caching(
        &backend,
        "proxy_cache_lock on; root %dir%/html; location = /page.html { ssi on; }
         location /part { proxy_pass http://%backend%; }",
    )
    .file("html/page.html", page)
    .start();
    for _ in 0..2 {
        let text = server.text("/page.html");
        let parts: Vec<_> = text.split(' ').collect();
        assert!(parts[1] == parts[3] && parts[1] != parts[5], "{text}");
    }
    assert_eq!(backend.count(), 2);
}

/// `proxy_pass_header Server` concerns the upstream's response, and not the 412 in place of it.
#[test]
fn a_failed_condition_has_a_server_of_its_own() {
    let backend = Backend::new(|_| Reply::with("200 OK", "ETag: \"a\"\r\nX-Own: 1\r\n", "body"));
    let locations = "proxy_cache_valid 1m; proxy_pass_header Server; proxy_pass_header Date;
        location / { proxy_pass http://%backend%; }";
    let server = Server::http(&http("keys_zone=one:1m", locations));
    let server = server.set("backend", backend.address()).start();
    for path in ["/a", "/a", "/b"] {
        let response = server.get_with(path, "If-Match: \"b\"\r\n");
        assert_eq!(response.status, 412, "{}", response.head);
        assert!(response.header("Server").is_some_and(|server| server.starts_with("nginx/")));
        assert!(response.header("Date").is_some() && response.header("X-Own").is_none());
    }
    assert_eq!(server.get("/a").header("Server"), None);
}
