//! `fastcgi_cache`, `scgi_cache` and `uwsgi_cache`: what differs from `proxy_cache`, and that each
//! is the same cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cache::{expect, files, used};
use crate::harness::{Application, Called, Response, Server, Setup, until};
use crate::{fastcgi, scgi, uwsgi};

type Output = Box<dyn Fn(&Called) -> String + Send + Sync>;

/// A protocol: the prefix of its directives, and an application that sends a text.
struct Protocol {
    prefix: &'static str,
    application: fn(Output) -> Application,
}

const PROTOCOLS: [Protocol; 3] = [
    Protocol { prefix: "fastcgi_", application: |output| fastcgi::records::output(output) },
    Protocol { prefix: "scgi_", application: |output| scgi::application(output) },
    Protocol { prefix: "uwsgi_", application: |output| uwsgi::application(output) },
];

impl Protocol {
    /// A server with a cache that has these parameters, with `@` in place of the prefix.
    fn server(&self, application: &Application, parameters: &str, conf: &str) -> Setup {
        let text = format!(
            "@cache_path %dir%/cache {parameters};
             server {{ listen 127.0.0.1:%port%; underscores_in_headers on;
                 @cache one; @param URI $uri; @param METHOD $request_method;
                 add_header X-Cache $upstream_cache_status;
                 {conf} }}"
        );
        Server::http(&text.replace('@', self.prefix)).set("a", application.address())
    }

    /// An application that counts in its bodies, with these fields.
    fn counting(&self, fields: &'static str) -> Application {
        let count = AtomicUsize::new(0);
        (self.application)(Box::new(move |_| {
            format!("{fields}\r\nbody {}", count.fetch_add(1, Ordering::Relaxed))
        }))
    }
}

/// The names of the client's fields in a request, without `Connection`, which each has.
fn names(called: &Called) -> Vec<&str> {
    let names = called.params.iter().map(|(name, _)| name.as_str());
    names.filter(|name| name.starts_with("HTTP_") && *name != "HTTP_CONNECTION").collect()
}

fn head(server: &Server, target: &str) -> Response {
    let mut client = server.client();
    client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.head_response()
}

const ZONE: &str = "levels=1:2 keys_zone=one:1m";

#[test]
fn responses_are_kept() {
    for protocol in PROTOCOLS {
        let application = protocol.counting("X-Accel-Expires: 600\r\nX-Own: kept\r\n");
        let conf = "@cache_key $uri; location / { @pass %a%; }
                    location /named/ { @pass %a%; @cache $arg_zone; }
                    location /off/ { @pass %a%; @cache off; }
                    location /bypass/ { @pass %a%; @cache_bypass $arg_b; @no_cache $arg_n; }
                    location /unbuffered/ { @pass %a%; @buffering off; }";
        let mut server = protocol.server(&application, ZONE, conf).start();
        expect(&server, "/kb", "MISS", "body 0");
        expect(&server, "/kb", "HIT", "body 0");
        let hit = server.get("/kb");
        assert_eq!((hit.header("X-Own"), hit.header("X-Accel-Expires")), (Some("kept"), None));
        let text =
            String::from_utf8_lossy(&std::fs::read(&files(&server)[0]).unwrap()).into_owned();
        assert!(text.contains("\nKEY: /kb\n"), "{text}");
        expect(&server, "/named/", "-", "body 1");
        expect(&server, "/named/?zone=one", "MISS", "body 2");
        expect(&server, "/named/?zone=one", "HIT", "body 2");
        assert_eq!(server.get("/named/?zone=none").status, 500);
        expect(&server, "/off/", "-", "body 3");
        expect(&server, "/bypass/?n=1", "MISS", "body 4");
        expect(&server, "/bypass/", "MISS", "body 5");
        expect(&server, "/bypass/?b=1", "BYPASS", "body 6");
        expect(&server, "/bypass/", "HIT", "body 6");
        expect(&server, "/unbuffered/", "MISS", "body 7");
        expect(&server, "/unbuffered/", "MISS", "body 8");
        // Restarts and reloads find the files again.
        server.pause();
        server.resume();
        expect(&server, "/kb", "HIT", "body 0");
        assert_eq!(application.seen().len(), 9);
    }
}

#[test]
fn conditions_and_ranges_are_judged_here() {
    for protocol in PROTOCOLS {
        let application = protocol.counting(
            "X-Accel-Expires: 600\r\nETag: \"e\"\r\nContent-Length: 6\r\n\
             Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n",
        );
        let conf = "@cache_key $uri$arg_b; location / { @pass %a%; }
                    location /off/ { @pass %a%; @cache off; }
                    location /set/ { @pass %a%; @param HTTP_RANGE mine; @param URI $uri; }
                    location /far/ { @pass %a%; @cache_max_range_offset 1; }";
        let server = protocol.server(&application, ZONE, conf).start();
        let lines = "X-A: b\r\nRange: bytes=2-3\r\nIf-Range: \"e\"\r\nIf-None-Match: \"x\"\r\n\
                     If-Match: \"e\"\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                     If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n\
                     If_Match: \"f\"\r\nIf_ranges: c\r\n";
        let first = server.get_with("/a", lines);
        assert_eq!((first.status, first.text()), (206, "dy".to_owned()));
        assert_eq!(names(&application.last()), ["HTTP_HOST", "HTTP_X_A", "HTTP_IF_RANGES"]);
        for (lines, status, body) in [
            ("", 200, "body 0"),
            ("Range: bytes=-1\r\n", 206, "0"),
            ("If-None-Match: W/\"e\"\r\n", 304, ""),
            ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304, ""),
        ] {
            let response = server.get_with("/a", lines);
            assert_eq!(response.status, status, "{lines}");
            assert_eq!(used(&response), ("HIT".to_owned(), body.to_owned()), "{lines}");
        }
        assert_eq!(server.get_with("/a", "If-Match: \"f\"\r\n").status, 412);
        assert_eq!(application.seen().len(), 1);
        // What is set counts, and what is not fetched for the cache has all of them.
        server.get_with("/set/", "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n");
        assert_eq!(application.last().param("HTTP_RANGE"), "mine");
        assert_eq!(names(&application.last()), ["HTTP_RANGE", "HTTP_HOST"]);
        for target in ["/off/", "/far/"] {
            server.get_with(target, "Range: bytes=2-3\r\nIf-Range: \"e\"\r\n");
            let called = application.last();
            assert_eq!(names(&called), ["HTTP_HOST", "HTTP_RANGE", "HTTP_IF_RANGE"], "{target}");
        }
    }
}

#[test]
fn a_response_that_has_not_changed_is_used_again() {
    for protocol in PROTOCOLS {
        let application = (protocol.application)(Box::new(|called| {
            let asks = called.params.iter().any(|(name, _)| name == "HTTP_IF_NONE_MATCH");
            match asks {
                true => "Status: 304 Not Modified\r\nX-Accel-Expires: 600\r\n\r\n".to_owned(),
                false => "X-Accel-Expires: @1\r\nETag: \"e\"\r\n\
                          Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nbody"
                    .to_owned(),
            }
        }));
        let conf = "@cache_key $uri; @cache_revalidate on; location / { @pass %a%; }
                    location /bare/ { @pass %a%; @pass_request_headers off; }
                    location /set/ { @pass %a%; @param HTTP_IF_MODIFIED_SINCE \"\"; }";
        let server = protocol.server(&application, ZONE, conf).start();
        let (host, modified) = ("HTTP_HOST", "HTTP_IF_MODIFIED_SINCE");
        let etag = "HTTP_IF_NONE_MATCH";
        for (target, expected) in [
            ("/a", vec![host, modified, etag, "HTTP_X_A"]),
            ("/bare/", vec![host, modified, etag]),
            ("/set/", vec![host, etag, "HTTP_X_A"]),
        ] {
            expect(&server, target, "MISS", "body");
            let lines = "X-A: b\r\nIf-None-Match: \"other\"\r\n";
            let again = server.get_with(target, lines);
            assert_eq!(used(&again), ("REVALIDATED".to_owned(), "body".to_owned()));
            let called = application.last();
            assert_eq!(names(&called), expected, "{} {target}", protocol.prefix);
            assert_eq!(called.param(etag), "\"e\"");
            expect(&server, target, "HIT", "body");
        }
    }
}

#[test]
fn stale_responses_help_out_and_broken_ones_are_not_kept() {
    for protocol in PROTOCOLS {
        let mode = Arc::new(AtomicUsize::new(0));
        let which = Arc::clone(&mode);
        let application = (protocol.application)(Box::new(move |_| {
            let field = match which.load(Ordering::Relaxed) {
                0 => "Content-Length: 9\r\nX-Accel-Expires: 600",
                1 => "X-Accel-Expires: @1",
                2 => "Status: 503 No",
                _ => return String::new(),
            };
            format!("{field}\r\n\r\nbody")
        }));
        let conf = "@cache_key $uri; @cache_use_stale error invalid_header http_503;
                    location / { @pass %a%; }";
        let server = protocol.server(&application, ZONE, conf).start();
        let mut client = server.client();
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.try_response(false).is_err());
        mode.store(1, Ordering::Relaxed);
        expect(&server, "/a", "MISS", "body");
        for sick in [2, 3] {
            mode.store(sick, Ordering::Relaxed);
            expect(&server, "/a", "STALE", "body");
        }
    }
}

#[test]
fn head_and_large_bodies_are_kept_apart_by_the_key() {
    for protocol in PROTOCOLS {
        let large = "0123456789".repeat(50_000);
        let sent = large.clone();
        let application = (protocol.application)(Box::new(move |called| {
            let body = if called.param("METHOD") == "HEAD" { "" } else { &sent };
            format!("X-Accel-Expires: 600\r\nContent-Type: text/plain\r\n\r\n{body}")
        }));
        let conf = "@cache_key $request_method$uri; location / { @pass %a%; }";
        let server = protocol.server(&application, ZONE, conf).start();
        for status in ["MISS", "HIT"] {
            // The method is the client's.
            assert_eq!(used(&head(&server, "/a")).0, status);
            let response = server.get("/a");
            assert!(used(&response) == (status.to_owned(), large.clone()), "{status}");
        }
        let methods: Vec<_> =
            application.seen().iter().map(|called| called.param("METHOD").to_owned()).collect();
        assert_eq!(methods, ["HEAD", "GET"]);
    }
}

/// As in nginx: a GET is answered with what a HEAD has left, if that is whole.
#[test]
fn a_body_in_answer_to_head_is_kept_if_it_is_whole() {
    for protocol in PROTOCOLS {
        let application = (protocol.application)(Box::new(|called| {
            let (length, body) = match called.param("URI") {
                "/matching" => (4, "body"),
                "/extra" => (4, "bodymore"),
                "/short" => (9, "body"),
                "/empty" if called.param("METHOD") == "HEAD" => (4, ""),
                _ => (4, "body"),
            };
            format!("X-Accel-Expires: 600\r\nContent-Length: {length}\r\n\r\n{body}")
        }));
        let conf = "@cache_key $uri; location / { @pass %a%; }";
        let server = protocol.server(&application, ZONE, conf).start();
        // Without records, only the end of the connection tells what a body is.
        let is_framed = protocol.prefix == "fastcgi_";
        let mut files_kept = 0;
        for (target, length, kept) in
            [("/matching", "4", true), ("/extra", "4", is_framed), ("/short", "9", false)]
        {
            let response = head(&server, target);
            assert_eq!(response.header("Content-Length"), Some(length), "{target}");
            assert_eq!(used(&response), ("MISS".to_owned(), String::new()));
            if kept {
                // The client of a HEAD does not wait for the end of the body.
                files_kept += 1;
                until("the file", || files(&server).len() == files_kept);
            }
            if length == "4" {
                expect(&server, target, if kept { "HIT" } else { "MISS" }, "body");
            }
        }
        let mut client = server.client();
        client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
        let short = client.head();
        assert_eq!(short.header("X-Cache"), Some("MISS"));
        assert_eq!(head(&server, "/empty").header("Content-Length"), Some("4"));
        if !is_framed {
            expect(&server, "/empty", "MISS", "body");
        }
    }
}

#[test]
fn without_a_key_all_requests_get_one_response() {
    for protocol in PROTOCOLS {
        let application = protocol.counting("X-Accel-Expires: 600\r\n");
        let conf = "location / { @pass %a%; }";
        let server = protocol.server(&application, ZONE, conf).start();
        expect(&server, "/a", "MISS", "body 0");
        expect(&server, "/b?c", "HIT", "body 0");
        let prefix = protocol.prefix;
        server.wait_log(&format!("no \"{prefix}cache_key\" for \"{prefix}cache\""));
    }
}

#[test]
fn files_that_nobody_asks_for_are_removed() {
    for protocol in PROTOCOLS {
        let application = protocol.counting("X-Accel-Expires: 600\r\n");
        let conf = "@cache_key $uri; location / { @pass %a%; }";
        let server = protocol.server(&application, "keys_zone=one:1m inactive=1s", conf).start();
        expect(&server, "/a", "MISS", "body 0");
        until("the file is removed", || files(&server).is_empty());
    }
}

#[test]
fn rfc9111_is_followed() {
    for protocol in PROTOCOLS {
        let application = (protocol.application)(Box::new(|called: &Called| {
            let has = |name: &str| called.params.iter().any(|(other, _)| other == name);
            match has("HTTP_IF_NONE_MATCH") {
                true => "Status: 304\r\nCache-Control: max-age=600\r\nX-A: 2\r\n\r\n".to_owned(),
                false => "Cache-Control: max-age=1\r\nAge: 30\r\nETag: \"e\"\r\nX-A: 1\r\n\r\nbody"
                    .to_owned(),
            }
        }));
        let conf = "@cache_key $request_method$uri; @cache_rfc9111 on;
                    location / { @pass %a%; }";
        let server = protocol.server(&application, ZONE, conf).start();
        for (status, x_a) in [("MISS", "1"), ("REVALIDATED", "2"), ("HIT", "2")] {
            let response = server.get("/a");
            assert_eq!(used(&response), (status.to_owned(), "body".to_owned()));
            assert_eq!((response.header("X-A"), response.all("Date").len()), (Some(x_a), 1));
        }
        assert!(server.get("/a").header("Age").is_some());
        let unkept = server.get_with("/b", "Cache-Control: only-if-cached\r\n");
        assert_eq!(unkept.status, 504);
        server.ask(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(used(&server.get("/a")).0, "MISS");
    }
}
