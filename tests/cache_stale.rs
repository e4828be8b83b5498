//! `proxy_cache`: responses whose time is over, and what is used when none can be fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cache::{caching, expect, files, used};
use crate::cache_waiting::held;
use crate::harness::{Backend, Reply, until};

/// A backend whose responses are stale at once, with these additional fields.
fn stale_at_once(fields: &'static str) -> (Backend, Arc<AtomicUsize>) {
    let status = Arc::new(AtomicUsize::new(200));
    let (with, count) = (Arc::clone(&status), AtomicUsize::new(0));
    let backend = Backend::new(move |seen| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let fields = format!("X-Accel-Expires: @1\r\n{fields}");
        match with.load(Ordering::Relaxed) {
            0 => Reply::Last(Vec::new()),
            200 if seen.header("If-None-Match") == Some("\"e\"") => {
                Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\nX-Accel-Expires: 600\r\n\r\n".to_vec())
            }
            200 => Reply::with("200 OK", &fields, format!("body {number}")),
            status => Reply::with(&format!("{status} No"), "", "refused"),
        }
    });
    (backend, status)
}

#[test]
fn a_stale_response_helps_out() {
    let (backend, status) = stale_at_once("");
    let server = caching(
        &backend,
        "proxy_cache_use_stale error http_503;
         location / { proxy_pass http://%backend%; }
         location /strict/ { proxy_pass http://%backend%; proxy_cache_use_stale off; }",
    )
    .start();
    expect(&server, "/a", "MISS", "body 0");
    expect(&server, "/a", "EXPIRED", "body 1");
    expect(&server, "/strict/a", "MISS", "body 2");
    for (answer, code) in [(503, 200), (500, 500), (0, 200)] {
        status.store(answer, Ordering::Relaxed);
        let response = server.get("/a");
        assert_eq!(response.status, code, "{answer}");
        if code == 200 {
            assert_eq!(used(&response), ("STALE".to_owned(), "body 1".to_owned()));
        }
        assert_ne!(server.get("/strict/a").status, 200);
    }
    status.store(200, Ordering::Relaxed);
    assert_eq!(used(&server.get("/a")).0, "EXPIRED");
}

#[test]
fn a_response_that_has_not_changed_is_used_again() {
    let (backend, _) = stale_at_once("ETag: \"e\"\r\n");
    let conf = "location / { proxy_pass http://%backend%; proxy_cache_revalidate on; }";
    let mut server = caching(&backend, conf).start();
    expect(&server, "/a", "MISS", "body 0");
    expect(&server, "/a", "REVALIDATED", "body 0");
    expect(&server, "/a", "HIT", "body 0");
    assert_eq!(backend.count(), 2);
    // The file has the new time, too.
    server.pause();
    server.resume();
    expect(&server, "/a", "HIT", "body 0");
    // The client's own condition is judged here.
    let unchanged = server.get_with("/a", "If-None-Match: \"e\"\r\n");
    assert_eq!((unchanged.status, backend.count()), (304, 2));
}

#[test]
fn an_update_happens_beside_the_request() {
    let (backend, go) =
        held("X-Accel-Expires: @1\r\nCache-Control: stale-while-revalidate=99999999999\r\n");
    let server = caching(
        &backend,
        "proxy_cache_key $uri; location / { proxy_pass http://%backend%;
             proxy_cache_background_update on; }",
    )
    .start();
    go.send(()).unwrap();
    expect(&server, "/a", "MISS", "/a");
    // The client has its answer before the backend has been allowed to give one.
    expect(&server, "/a?2", "STALE", "/a");
    backend.wait(1);
    expect(&server, "/a?3", "UPDATING", "/a");
    go.send(()).unwrap();
    until("the update", || {
        // A file may be renamed between the two looks.
        let found = files(&server).iter().find_map(|path| std::fs::read(path).ok());
        found.is_some_and(|found| found.windows(4).any(|bytes| bytes == b"/a?2"))
    });
    assert_eq!(backend.count(), 2);
}

#[test]
fn errors_of_our_own_are_remembered() {
    let backend = Backend::new(|_| Reply::Last(Vec::new()));
    let server =
        caching(&backend, "proxy_cache_valid 502 600; location / { proxy_pass http://%backend%; }")
            .start();
    for _ in 0..3 {
        assert_eq!(server.get("/a").status, 502);
    }
    assert_eq!(backend.count(), 1);
}
