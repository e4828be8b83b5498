//! `proxy_cache_lock`: requests that wait while another one fetches their response.

use std::sync::{Mutex, mpsc};

use crate::cache::{caching, used};
use crate::harness::{Backend, Client, Reply, Seen, Server, until};

/// A backend that answers when it is told to, with these fields.
pub(crate) fn held(fields: &'static str) -> (Backend, mpsc::Sender<()>) {
    let (go, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let backend = Backend::new(move |seen: &Seen| {
        let _ = goes.lock().unwrap().recv();
        Reply::with("200 OK", fields, seen.target())
    });
    (backend, go)
}

/// Sends the same request on several connections, which are shared by the threads.
pub(crate) fn crowd(server: &Server, target: &str, count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn one_request_fetches_for_all() {
    let (backend, go) = held("X-Accel-Expires: 600\r\n");
    let server = caching(
        &backend,
        "proxy_cache_lock on; proxy_cache_lock_timeout 1h;
        proxy_cache_lock_age 1h; location / { proxy_pass http://%backend%; }",
    )
    .main("worker_processes 3;")
    .start();
    let crowd = crowd(&server, "/a", 20);
    backend.wait(0);
    go.send(()).unwrap();
    let all: Vec<_> = crowd.into_iter().map(|mut client| used(&client.response())).collect();
    let hits = all.iter().filter(|(status, body)| status == "HIT" && body == "/a").count();
    assert_eq!((hits, backend.count()), (19, 1), "{all:?}");
}

/// If the response is not kept, those who waited do not wait for each other.
#[test]
fn what_is_not_kept_holds_nobody_up() {
    let (backend, go) = held("Cache-Control: no-store\r\n");
    let server = caching(
        &backend,
        "proxy_cache_lock on; proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h;
         location / { proxy_pass http://%backend%; }
         location = /status { stub_status; }",
    )
    .main("worker_processes 1;")
    .start();
    let mut first = crowd(&server, "/a", 1);
    backend.wait(0);
    let others = crowd(&server, "/a", 5);
    // The one thread has taken all of them up, and this one.
    until("five to wait", || server.text("/status").contains("Writing: 7 "));
    go.send(()).unwrap();
    first.iter_mut().for_each(|client| assert_eq!(used(&client.response()).0, "MISS"));
    // All five are at the backend before it answers any.
    backend.wait(5);
    (0..5).for_each(|_| go.send(()).unwrap());
    for mut client in others {
        assert_eq!(used(&client.response()), ("MISS".to_owned(), "/a".to_owned()));
    }
}

#[test]
fn waiting_ends_and_turns_are_taken_over() {
    let (backend, go) = held("X-Accel-Expires: 600\r\n");
    let server = caching(
        &backend,
        "proxy_cache_lock on;
         location / { proxy_pass http://%backend%; proxy_cache_lock_timeout 10ms; }
         location /age/ { proxy_pass http://%backend%; proxy_cache_lock_age 10ms;
             proxy_cache_lock_timeout 1h; }",
    )
    .start();
    for target in ["/a", "/age/a"] {
        backend.forget();
        let mut both = crowd(&server, target, 2);
        backend.wait(1);
        (0..2).for_each(|_| go.send(()).unwrap());
        both.iter_mut().for_each(|client| assert_eq!(client.response().text(), target));
    }
    assert_eq!(server.error_log().matches("cache lock timeout").count(), 1);
}

#[test]
fn a_client_that_leaves_while_it_waits_is_noticed() {
    let (backend, go) = held("X-Accel-Expires: 600\r\n");
    let server = caching(
        &backend,
        "proxy_cache_lock on; proxy_cache_lock_timeout 1h;
        access_log %dir%/access.log combined; location / { proxy_pass http://%backend%; }",
    )
    .start();
    let mut first = crowd(&server, "/a", 1);
    backend.wait(0);
    drop(crowd(&server, "/a", 1));
    let lines = server.wait_lines("access.log", 1);
    assert!(lines[0].contains(" 499 "), "{lines:?}");
    go.send(()).unwrap();
    assert_eq!(used(&first[0].response()).0, "MISS");
}
