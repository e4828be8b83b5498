//! The index file of `proxy_cache`, `cache/weir/index`: a start that needs no look at files, and
//! what becomes of it when it is old, damaged, shared or deleted.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::cache::{caching_at, files, http, numbers, used};
use crate::harness::{
    Backend, Client, Daemon, Port, Reply, Server, Setup, Signal, children, send_signal, until,
    until_some,
};

const PASS: &str = "location / { proxy_pass http://%backend%; }";

/// A loader that takes an hour for its first pause, so that all that is known comes from the index.
const NO_WALK: &str = "loader_files=1 loader_sleep=1h";

/// A backend whose bodies have the length at the end of their target.
fn sized() -> Backend {
    Backend::new(|seen| {
        let length = seen.target().rsplit('/').next().unwrap().parse().unwrap_or(10);
        Reply::with("200 OK", "X-Accel-Expires: 600\r\n", numbers(length))
    })
}

fn setup(backend: &Backend, parameters: &str) -> Setup {
    caching_at(backend, &format!("keys_zone=one:1m {parameters}"), PASS)
}

fn index(server: &Server) -> PathBuf {
    server.directory().join("cache/weir/index")
}

/// Waits until the index file has changed once more, and returns its length.
fn until_written(server: &Server, before: u64) -> u64 {
    let length = || std::fs::metadata(index(server)).map_or(0, |found| found.len());
    until("the index file", || length() > before);
    length()
}

fn start_over(server: &mut Server) {
    server.pause();
    server.resume();
}

/// The number of messages about entries from the index, and the last number in them.
fn restored(server: &Server) -> (usize, u64) {
    let log = server.error_log();
    let lines: Vec<_> =
        log.lines().filter_map(|line| line.split_once(" responses from the index")).collect();
    let count = lines.last().and_then(|(line, _)| line.rsplit(' ').next()?.parse().ok());
    (lines.len(), count.unwrap_or(0))
}

#[track_caller]
fn until_restored(server: &Server, times: usize, count: u64) {
    until("the index to be read", || restored(server).0 >= times);
    assert_eq!(restored(server), (times, count));
}

#[test]
fn a_start_knows_what_was_kept() {
    let backend = sized();
    let conf = format!("max_size=100k inactive=1h {NO_WALK}");
    let mut server = setup(&backend, &conf).start();
    for number in 0..12 {
        assert_eq!(used(&server.get(&format!("/{number}/5000"))).0, "MISS");
    }
    start_over(&mut server);
    until_restored(&server, 1, 12);
    // The limit counts what was there before: of its 25 blocks, each takes two.
    let before = files(&server);
    let keys: Vec<_> = before.iter().map(|path| std::fs::read(path).unwrap()).collect();
    server.get("/12/5000");
    until("the one used least recently to go", || files(&server).len() == 12);
    let after = files(&server);
    let gone = before.iter().position(|path| !after.contains(path)).unwrap();
    let is_early = |number: u32| {
        let key = format!("/{number}/5000\n").into_bytes();
        keys[gone].windows(key.len()).any(|part| part == key)
    };
    // Those stored in the same millisecond have no order.
    assert!((0..4).any(is_early), "{}", after.len());
    assert_eq!(used(&server.get("/11/5000")).0, "HIT");
}

/// Killed without a warning, a worker leaves what it knew a second before.
#[test]
fn a_killed_worker_leaves_its_journal() {
    let backend = sized();
    let server = setup(&backend, NO_WALK).alerts_expected().start();
    let length = until_written(&server, 0);
    server.get("/a/10");
    server.get("/b/10");
    let length = until_written(&server, length);
    let worker = || {
        children(server.pid()).into_iter().find(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.trim_end_matches('\0').ends_with(": worker process")
        })
    };
    let killed = worker().unwrap();
    send_signal(killed, Signal::KILL);
    until_restored(&server, 1, 2);
    assert_eq!(used(&server.get("/a/10")).0, "HIT");
    assert_eq!(backend.count(), 2);
    // The successor writes, too.
    until_written(&server, 0);
    server.get("/c/10");
    until("the journal", || until_written(&server, 0) > length.min(32));
}

/// Whatever happens to the index file, responses are right, and found in the end.
#[test]
fn a_damaged_index_is_dropped() {
    let backend = sized();
    let mut server = setup(&backend, "").start();
    server.wait_log(" 0 responses, 0 files dropped");
    server.get("/a/1000");
    type Damage<'a> = &'a dyn Fn(&PathBuf, u64);
    let set_length = |path: &PathBuf, length: u64| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(length).unwrap();
    };
    let flip = |path: &PathBuf, at: u64| {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    let damages: &[(&str, Damage<'_>)] = &[
        ("is no index", &|path, _| flip(path, 0)),
        ("has another version", &|path, _| flip(path, 8)),
        ("has a wrong checksum", &|path, _| flip(path, 20)),
        ("has a wrong checksum", &|path, length| flip(path, length - 1)),
        ("has a wrong checksum", &|path, _| flip(path, 40)),
        ("is too short", &|path, length| set_length(path, length - 1)),
        ("is too short", &|path, _| set_length(path, 10)),
        ("is too short", &|path, _| set_length(path, 0)),
    ];
    for (number, (why, damage)) in damages.iter().enumerate() {
        server.pause();
        damage(&index(&server), std::fs::metadata(index(&server)).unwrap().len());
        server.resume();
        let response = server.get("/a/1000");
        assert!(used(&response).0 == "HIT" && response.body == numbers(1000), "{why}");
        let dropped = || server.error_log().matches("cache index \"").count();
        until(why, || dropped() == number + 1);
        let log = server.error_log();
        let line = log.lines().rfind(|line| line.contains("cache index \"")).unwrap();
        assert!(line.contains(why) && line.ends_with(", ignored"), "{line}");
        until("the walk", || {
            server.error_log().matches(" 1 responses, 0 files dropped").count() == number + 1
        });
    }
    // A part of a block at the end, as a killed writer leaves it, costs only that.
    server.pause();
    let mut bytes = std::fs::read(index(&server)).unwrap();
    bytes.extend_from_slice(&[100, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    std::fs::write(index(&server), bytes).unwrap();
    server.resume();
    until_restored(&server, 1, 1);
    assert_eq!(backend.count(), 1);
}

/// The index says what was there; the files say what is.
#[test]
fn files_are_right_where_the_index_is_not() {
    let backend = sized();
    let mut server = setup(&backend, "").start();
    for target in ["/a/10", "/b/20", "/c/30"] {
        server.get(target);
    }
    server.pause();
    let old = std::fs::read(index(&server)).unwrap();
    let path = |server: &Server, key: &str| {
        let found = files(server).into_iter().find(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(key.len()).any(|part| part == key.as_bytes())
        });
        found.unwrap()
    };
    let (one, two) = (path(&server, "/a/10\n"), path(&server, "/b/20\n"));
    std::fs::remove_file(one).unwrap();
    server.resume();
    assert_eq!(used(&server.get("/a/10")).0, "MISS");
    server.get("/d/40");
    server.pause();
    // An index that is older than what is there, and a file in the place of another.
    std::fs::write(index(&server), old).unwrap();
    std::fs::copy(path(&server, "/c/30\n"), two).unwrap();
    server.resume();
    for (target, status) in
        [("/a/10", "HIT"), ("/b/20", "MISS"), ("/c/30", "HIT"), ("/d/40", "HIT")]
    {
        let response = server.get(target);
        let length = target[3..].parse().unwrap();
        assert_eq!(
            (used(&response).0.as_str(), response.body),
            (status, numbers(length)),
            "{target}"
        );
    }
}

/// `rm -rf cache/*`, while the server runs and while it does not.
#[test]
fn a_folder_may_be_emptied() {
    let backend = sized();
    let mut server = setup(&backend, "").start();
    let empty = |server: &Server| {
        for entry in std::fs::read_dir(server.directory().join("cache")).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => std::fs::remove_dir_all(path).unwrap(),
                false => std::fs::remove_file(path).unwrap(),
            }
        }
    };
    until_written(&server, 0);
    server.get("/a/10");
    empty(&server);
    assert_eq!(used(&server.get("/a/10")).0, "MISS");
    // Written anew with the next change.
    until_written(&server, 0);
    start_over(&mut server);
    until_restored(&server, 1, 1);
    server.pause();
    empty(&server);
    server.resume();
    assert_eq!(used(&server.get("/a/10")).0, "MISS");
    until_written(&server, 0);
    assert!(!server.error_log().contains("[crit]"), "{}", server.error_log());
}

/// Of two servers with one folder, one writes the index. The other takes it over.
#[test]
fn two_servers_share_an_index() {
    let backend = sized();
    let mut one = setup(&backend, NO_WALK).start();
    until_written(&one, 0);
    let place = one.directory().join("cache").display().to_string();
    let conf = http(&format!("keys_zone=one:1m {NO_WALK}"), PASS).replace("%dir%/cache", &place);
    let two = Server::http(&conf).set("backend", backend.address()).start();
    one.get("/a/10");
    two.get("/b/10");
    one.pause();
    // What the first one has kept comes with it.
    until("the index to be taken over", || restored(&two).0 == 2);
    let count = backend.count();
    assert_eq!(used(&two.get("/a/10")).0, "HIT");
    assert_eq!(backend.count(), count);
    one.resume();
    assert_eq!(used(&one.get("/b/10")).0, "HIT");
}

/// A reload with another size, other levels or another folder.
#[test]
fn a_reload_may_change_the_cache() {
    let backend = sized();
    let mut server = setup(&backend, NO_WALK).start();
    for number in 0..50 {
        server.get(&format!("/{number}/10"));
    }
    // A smaller zone: what was used last stays.
    server.reload_http(&http(&format!("keys_zone=one:8k {NO_WALK}"), PASS));
    until("the rest to go", || files(&server).len() <= 32);
    assert_eq!(used(&server.get("/49/10")).0, "HIT");
    // Other levels: the index of the old ones says nothing.
    server.reload_http(&http("levels=1:2 keys_zone=one:1m", PASS));
    assert_eq!(used(&server.get("/49/10")).0, "MISS");
    assert_eq!(used(&server.get("/49/10")).0, "HIT");
    start_over(&mut server);
    assert_eq!(used(&server.get("/49/10")).0, "HIT");
    // Another folder.
    let other = http("keys_zone=one:1m", PASS).replace("%dir%/cache", "%dir%/other");
    server.reload_http(&other);
    assert_eq!(used(&server.get("/49/10")).0, "MISS");
    until("the other index", || server.directory().join("other/weir/index").exists());
}

/// A variant whose place another one has taken is not sent for it.
#[test]
fn variants_are_those_of_the_files() {
    let backend = Backend::new(|seen| {
        let body = seen.header("Accept-Encoding").unwrap_or("none").to_owned();
        Reply::with("200 OK", "X-Accel-Expires: 600\r\nVary: Accept-Encoding\r\n", body)
    });
    let conf = "location / { proxy_pass http://%backend%; proxy_cache_key $uri; \
                    proxy_cache_purge $arg_purge; }";
    let mut server = caching_at(&backend, "keys_zone=one:1m", conf).start();
    let get = |server: &Server, coding: &str| {
        let response = server.get_with("/a", &format!("Accept-Encoding: {coding}\r\n"));
        (used(&response).0, response.text())
    };
    assert_eq!(get(&server, "one").0, "MISS");
    server.pause();
    let old = std::fs::read(index(&server)).unwrap();
    server.resume();
    assert_eq!(server.get("/a?purge=1").status, 204);
    assert_eq!(get(&server, "two").0, "MISS");
    server.pause();
    std::fs::write(index(&server), old).unwrap();
    server.resume();
    until("the old index to be read", || restored(&server).0 == 2);
    assert_eq!(get(&server, "one"), ("MISS".to_owned(), "one".to_owned()));
    for coding in ["one", "two"] {
        assert_eq!(get(&server, coding), ("HIT".to_owned(), coding.to_owned()));
    }
}

/// An upgrade of the binary: the new process knows what the old one keeps until its end.
#[test]
fn an_upgrade_hands_the_index_over() {
    let backend = sized();
    let port = Port::reserve();
    let conf = format!(
        "pid %dir%/nginx.pid; error_log %dir%/error.log info; events {{ }}
         http {{ access_log off; {} }}",
        http(&format!("keys_zone=one:1m {NO_WALK}"), PASS).replace("%port%", "%number%")
    );
    let setup = Server::conf(&conf).set("backend", backend.address()).set("number", port.number());
    assert!(setup.run(&[]).status.success());
    let directory = setup.directory();
    let old = Daemon::of(directory, "nginx.pid");
    let get = |target: &str| {
        let response = Client::connect(format!("127.0.0.1:{}", port.number())).get(target);
        assert_eq!(response.body, numbers(10));
        used(&response).0
    };
    let read = || directory.read("error.log").matches(" responses from the index").count();
    assert_eq!(get("/a/10"), "MISS");
    let index = directory.join("cache/weir/index");
    until("the index file", || std::fs::metadata(&index).is_ok_and(|found| found.len() > 32));
    send_signal(old.pid, Signal::USR2);
    let new = until_some("the new master", || {
        let daemon = Daemon::try_of(directory, "nginx.pid")?;
        (daemon.pid != old.pid && children(daemon.pid).len() == 1).then_some(daemon)
    });
    until("the new process to read the index", || read() == 1);
    assert_eq!(get("/b/10"), "MISS");
    send_signal(old.pid, Signal::QUIT);
    old.wait();
    until("the new process to take the index over", || read() == 2);
    assert_eq!((get("/a/10"), get("/b/10")), ("HIT".to_owned(), "HIT".to_owned()));
    assert_eq!(backend.count(), 2);
    send_signal(new.pid, Signal::QUIT);
    new.wait();
}
