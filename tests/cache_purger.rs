//! `purger=on`: purges of all keys with a prefix, whose files are deleted afterwards.

use std::os::unix::fs::PermissionsExt;

use crate::cache::{caching_at, files, numbers, used};
use crate::harness::{
    Backend, Reply, Server, Signal, children, is_root, send_signal, skipped, until,
};

const PASS: &str = "location / { proxy_pass http://%backend%; proxy_cache_key $uri;
    proxy_cache_purge $arg_purge; }";

fn backend() -> Backend {
    Backend::new(|_| Reply::with("200 OK", "X-Accel-Expires: 600\r\n", numbers(10)))
}

fn start(backend: &Backend, parameters: &str) -> Server {
    let conf = format!("levels=1:2 keys_zone=one:1m inactive=1h {parameters}");
    caching_at(backend, &conf, PASS).alerts_expected().start()
}

fn pending(server: &Server) -> usize {
    let entries = std::fs::read_dir(server.directory().join("cache/weir")).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".purge")).count()
}

fn fill(server: &Server) {
    for folder in ["a", "b"] {
        for number in 0..10 {
            assert_eq!(used(&server.get(&format!("/{folder}/{number}"))).0, "MISS");
        }
    }
}

#[test]
fn what_is_purged_is_not_used_while_it_is_there() {
    let backend = backend();
    // A purger that never gets beyond its first file.
    let mut server = start(&backend, "purger=on purger_files=1 purger_sleep=1h");
    fill(&server);
    assert_eq!(server.get("/a/*?purge=1").status, 204);
    assert!(files(&server).len() >= 19);
    assert_eq!(used(&server.get("/a/0")).0, "MISS");
    assert_eq!(used(&server.get("/a/0")).0, "HIT");
    assert_eq!(used(&server.get("/b/0")).0, "HIT");
    // Nor after a restart, nor by the successor of a killed worker.
    server.pause();
    server.resume();
    assert_eq!(used(&server.get("/a/1")).0, "MISS");
    assert_eq!(used(&server.get("/a/1")).0, "HIT");
    assert_eq!(used(&server.get("/b/1")).0, "HIT");
    server.wait_log(" responses, 0 files dropped");
    assert_eq!(used(&server.get("/a/2")).0, "MISS", "found by the loader");
    let worker = children(server.pid())[0];
    send_signal(worker, Signal::KILL);
    until("another worker", || children(server.pid()).first().is_some_and(|pid| *pid != worker));
    assert_eq!(used(&server.get("/a/3")).0, "MISS");
    assert_eq!(used(&server.get("/b/3")).0, "HIT");
    assert_eq!(pending(&server), 1);
    // A purge of one key works as ever.
    assert_eq!(server.get("/b/3?purge=1").status, 204);
    assert_eq!(server.get("/b/3?purge=1").status, 404);
}

#[test]
fn the_purger_deletes_what_is_purged() {
    let backend = backend();
    let server = start(&backend, "purger=on purger_files=3 purger_sleep=1ms purger_threshold=1s");
    fill(&server);
    for prefix in ["/a/1", "/a/", "/nothing/"] {
        assert_eq!(server.get(&format!("{prefix}*?purge=1")).status, 204);
    }
    until("the files to go", || files(&server).len() == 10 && pending(&server) == 0);
    for number in 0..10 {
        assert_eq!(used(&server.get(&format!("/b/{number}"))).0, "HIT");
        assert_eq!(used(&server.get(&format!("/a/{number}"))).0, "MISS");
    }
    // What is stored after a purge stays.
    assert_eq!(server.get("/a/*?purge=1").status, 204);
    assert_eq!(used(&server.get("/a/0")).0, "MISS");
    until("the files to go", || files(&server).len() == 11 && pending(&server) == 0);
    assert_eq!(used(&server.get("/a/0")).0, "HIT");
}

/// A purge is pending until the disk has let all its files go.
#[test]
fn what_cannot_be_deleted_stays_purged() {
    if !is_root() {
        return skipped("workers must not have the rights of root");
    }
    let backend = backend();
    let server = start(&backend, "purger=on purger_sleep=1ms");
    fill(&server);
    let all = files(&server);
    let set_mode = |mode| {
        for path in &all {
            let folder = path.parent().unwrap();
            std::fs::set_permissions(folder, PermissionsExt::from_mode(mode)).unwrap();
        }
    };
    set_mode(0o555);
    assert_eq!(server.get("/a/*?purge=1").status, 204);
    server.wait_log("unlink() \"");
    assert_eq!(used(&server.get("/a/0")).0, "MISS");
    assert_eq!(used(&server.get("/b/0")).0, "HIT");
    assert_eq!(files(&server).len(), 20);
    set_mode(0o700);
    until("the files to go", || files(&server).len() == 10 && pending(&server) == 0);
}

/// Without a purger, everything is gone when the answer comes.
#[test]
fn without_a_purger_nothing_is_left() {
    let backend = backend();
    let server = start(&backend, "purger=off purger_files=1 purger_sleep=1h");
    fill(&server);
    assert_eq!(server.get("/a/*?purge=1").status, 204);
    assert_eq!(files(&server).len(), 10);
    assert_eq!(server.get("/a/*?purge=1").status, 404);
}

#[test]
fn all_protocols_have_the_parameters() {
    for protocol in ["proxy", "fastcgi", "scgi", "uwsgi"] {
        let conf = |parameters: &str| {
            format!("{protocol}_cache_path %dir%/c keys_zone=one:1m {parameters}; server {{ }}")
        };
        let good = conf("purger=on purger_files=5 purger_sleep=10ms purger_threshold=1s");
        Server::http(&good).check();
        for (wrong, message) in [
            ("purger=yes", "invalid purger value \"purger=yes\""),
            ("purger_files=x", "invalid purger_files value \"purger_files=x\""),
            ("purger_sleep=x", "invalid purger_sleep value \"purger_sleep=x\""),
            ("purger_threshold=x", "invalid purger_threshold value \"purger_threshold=x\""),
        ] {
            let output = Server::http(&conf(wrong)).check();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.contains(message), "{text}");
        }
    }
}
