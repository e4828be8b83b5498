//! The files of `proxy_cache`: what ends processes, damages files or fills disks changes no byte of
//! a response.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cache::{caching, caching_at, files, http, numbers, used};
use crate::harness::{Backend, Reply, Server, Signal, children, send_signal, until, until_some};

/// A backend whose bodies have the length at the end of their target.
fn sized() -> Backend {
    Backend::new(|seen| {
        let length = seen.target().rsplit('/').next().unwrap().parse().unwrap_or(10);
        Reply::with("200 OK", "X-Accel-Expires: 600\r\n", numbers(length))
    })
}

const PASS: &str = "location / { proxy_pass http://%backend%; }";

/// The worker of a server.
fn worker(server: &Server) -> u32 {
    until_some("the worker", || {
        let title = |pid: &u32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.trim_end_matches('\0').ends_with(": worker process")
        };
        children(server.pid()).into_iter().find(title)
    })
}

#[test]
fn what_is_kept_outlasts_reloads_restarts_and_workers() {
    let backend = sized();
    let mut server = caching(&backend, PASS).alerts_expected().start();
    for target in ["/a", "/b"] {
        assert_eq!(used(&server.get(target)).0, "MISS");
    }
    let all_hit = |server: &Server| {
        for target in ["/a", "/b"] {
            assert_eq!(used(&server.get(target)).0, "HIT", "{target}");
        }
    };
    server.reload_http(&http("levels=1:2 keys_zone=one:1m max_size=10m inactive=1h", PASS));
    all_hit(&server);
    server.pause();
    server.resume();
    all_hit(&server);
    server.wait_log(" responses, 0 files dropped");
    all_hit(&server);
    let killed = worker(&server);
    send_signal(killed, Signal::KILL);
    until("another worker", || worker(&server) != killed);
    all_hit(&server);
    assert_eq!(backend.count(), 2);
}

/// Changes one byte of every file.
fn flip(paths: &[PathBuf], at: impl Fn(u64) -> u64) {
    for path in paths {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let at = at(file.metadata().unwrap().len());
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    }
}

#[test]
fn damaged_files_are_not_sent() {
    let backend = sized();
    let mut server = caching(&backend, PASS).start();
    let length = 50_000;
    let (target, body) = (format!("/{length}"), numbers(length));
    let fetched = |server: &Server, status: &str, why: &str| {
        let response = server.get(&target);
        assert_eq!(used(&response).0, status, "{why}");
        assert!(response.body == body, "{why}");
    };
    fetched(&server, "MISS", "first");
    let set_length = |paths: &[PathBuf], less: u64| {
        let file = std::fs::OpenOptions::new().write(true).open(&paths[0]).unwrap();
        file.set_len(file.metadata().unwrap().len() - less).unwrap();
    };
    type Damage<'a> = &'a dyn Fn(&[PathBuf]);
    let damages: &[(&str, Damage<'_>)] = &[
        ("magic", &|paths| flip(paths, |_| 0)),
        ("version", &|paths| flip(paths, |_| 8)),
        ("times", &|paths| flip(paths, |_| 24)),
        ("key", &|paths| flip(paths, |_| 140)),
        ("body", &|paths| flip(paths, |length| length - 10_000)),
        ("sum", &|paths| flip(paths, |length| length - 2)),
        ("one byte less", &|paths| set_length(paths, 1)),
        ("half", &|paths| set_length(paths, 25_000)),
        ("nothing", &|paths| std::fs::write(&paths[0], "").unwrap()),
        ("another file", &|paths| std::fs::write(&paths[0], [b'x'; 60_000]).unwrap()),
        ("no file", &|paths| std::fs::remove_file(&paths[0]).unwrap()),
    ];
    for (why, damage) in damages {
        // While it is open, after a hit, and after a restart.
        for restarts in [false, true] {
            fetched(&server, "HIT", why);
            damage(&files(&server));
            if restarts {
                server.pause();
                server.resume();
            }
            fetched(&server, "MISS", why);
        }
    }
    fetched(&server, "HIT", "last");
}

/// Damage beyond the first block is found on the way; the client sees that the response is cut.
#[test]
fn damage_in_a_long_body_cuts_it_short() {
    let backend = sized();
    let server = caching(&backend, PASS).start();
    let body = numbers(1_000_000);
    let whole = server.get("/1000000").body == body;
    assert!(whole);
    flip(&files(&server), |length| length - 200_000);
    let mut client = server.client();
    client.send("GET /1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!(head.header("Content-Length"), Some("1000000"));
    let rest = client.try_rest().unwrap_or_default();
    assert!(rest.len() < 1_000_000 && body.starts_with(&rest), "{}", rest.len());
    server.wait_log("is damaged, cut short");
    // It is not used again.
    let again = server.get("/1000000");
    assert!(used(&again).0 == "MISS" && again.body == body);
}

#[test]
fn files_that_are_no_responses_are_dropped_and_others_left() {
    let backend = sized();
    let mut server = caching_at(&backend, "levels=1 keys_zone=one:1m", PASS).start();
    server.get("/a");
    server.pause();
    let write = |name: &str| server.directory().write(&format!("cache/{name}"), "not a response");
    let wrong = write("f/0123456789abcdef0123456789abcdef");
    let others = ["f/readme", "readme", "f/0123456789abcdef0123456789abcdeg", "0123"].map(write);
    let folder = server.directory().join("cache/f");
    let open = |path: &PathBuf| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    };
    open(&folder);
    server.resume();
    server.wait_log("1 responses, 1 files dropped");
    assert!(!wrong.exists());
    others.iter().for_each(|path| assert!(path.exists(), "{}", path.display()));
    assert_eq!(used(&server.get("/a")).0, "HIT");
}

#[test]
fn responses_beyond_the_limits_are_removed() {
    let backend = sized();
    let server = caching_at(&backend, "keys_zone=one:1m max_size=100k", PASS).start();
    for number in 0..20 {
        assert_eq!(used(&server.get(&format!("/{number}/10000"))).0, "MISS");
    }
    let size = || -> u64 {
        let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |found| found.len());
        files(&server).iter().map(length).sum()
    };
    until("the limit to hold", || size() < 100 * 1024);
    assert!(files(&server).len() >= 5);
    assert_eq!(used(&server.get("/19/10000")).0, "HIT");
    // What nobody asks for goes, too, as soon as a reload says so.
    server.reload_http(&http("keys_zone=one:1m inactive=0s", PASS));
    until("all to go", || files(&server).is_empty());
    assert_eq!(used(&server.get("/19/10000")).0, "MISS");
}

#[test]
fn a_full_zone_forgets_the_least_used() {
    let backend = sized();
    let server = caching_at(&backend, "keys_zone=one:8k", PASS).start();
    for number in 0..200 {
        server.get(&format!("/{number}/10"));
        server.get("/first/10");
    }
    until("the files to go", || files(&server).len() <= 32);
    assert_eq!(used(&server.get("/first/10")).0, "HIT");
    assert_eq!(used(&server.get("/199/10")).0, "HIT");
    assert_eq!(used(&server.get("/0/10")).0, "MISS");
}

/// Two servers share a folder: each finds what the other has kept, or fetches it.
#[test]
fn two_servers_on_one_folder_do_not_harm_each_other() {
    let backend = sized();
    let one = caching_at(&backend, "keys_zone=one:1m", PASS).start();
    one.get("/a/1000");
    let place = one.directory().join("cache").display().to_string();
    let conf = http("keys_zone=one:8k max_size=300k", PASS).replace("%dir%/cache", &place);
    let two = Server::http(&conf).set("backend", backend.address()).start();
    assert_eq!(used(&two.get("/a/1000")).0, "HIT");
    std::thread::scope(|scope| {
        for server in [&one, &two] {
            scope.spawn(move || {
                for round in 0..300_usize {
                    let length = [100, 20_000, 100_000][round % 3];
                    let target = format!("/{}/{length}", round % 70);
                    let response = server.get(&target);
                    assert!(response.body == numbers(length), "{target}");
                }
            });
        }
    });
}

/// A response that is stored while its file is deleted by another hand, and a folder that goes.
#[test]
fn folders_that_go_are_made_again() {
    let backend = sized();
    let server = caching(&backend, PASS).start();
    for _ in 0..3 {
        assert_eq!(used(&server.get("/a")).0, "MISS");
        assert_eq!(used(&server.get("/a")).0, "HIT");
        for entry in std::fs::read_dir(server.directory().join("cache")).unwrap() {
            std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }
}

/// A slow client of a kept response gets it whole, though the response is replaced meanwhile.
#[test]
fn a_response_under_way_is_not_changed() {
    let version = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&version);
    let backend = Backend::new(move |_| {
        let byte = b'a' + counted.fetch_add(1, Ordering::Relaxed) as u8;
        Reply::with("200 OK", "X-Accel-Expires: 600\r\n", vec![byte; 8_000_000])
    });
    let conf = "location / { proxy_pass http://%backend%; proxy_cache_bypass $arg_new;
                    proxy_cache_key $uri; }";
    let server = caching(&backend, conf).start();
    server.get("/a");
    assert_eq!(used(&server.get("/a")).0, "HIT");
    let mut slow = server.client();
    slow.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(slow.head().header("X-Cache"), Some("HIT"));
    assert_eq!(used(&server.get("/a?new=1")).0, "BYPASS");
    assert!(slow.rest().iter().all(|&byte| byte == b'a'));
    assert!(server.get("/a").body.iter().all(|&byte| byte == b'b'));
}
