//! `proxy_cache` under fire: processes are killed under a load of every kind of use. Each body is a
//! function of what it answers, so a wrong or mixed byte shows at once.
//!
//! `WEIR_TEST_FIRE=10` makes these trials, and those with damaged files, ten times as long.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cache::{files, http};
use crate::harness::{Backend, Client, Reply, Response, Seen, Server, Signal, binary};
use crate::harness::{children, send_signal, until, until_some};

/// The body of a version of a response.
pub(crate) fn body(identity: &str, version: usize, length: usize) -> Vec<u8> {
    let bytes = identity.bytes().chain(version.to_le_bytes());
    let seed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let mut body = vec![0; length.next_multiple_of(8)];
    for (at, word) in (0_u64..).zip(body.chunks_exact_mut(8)) {
        let mixed = (seed ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(23);
        word.copy_from_slice(&mixed.to_le_bytes());
    }
    body.truncate(length);
    body
}

/// The factor by which trials are longer than usual.
pub(crate) fn times_as_long() -> usize {
    std::env::var("WEIR_TEST_FIRE").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// A sequence of numbers that looks random.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn roll(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// The path without arguments, `/KIND/NUMBER/LENGTH`, and the length.
fn parts(target: &str) -> (&str, usize) {
    let path = target.split('?').next().unwrap_or_default();
    (path, path.rsplit('/').next().and_then(|length| length.parse().ok()).unwrap_or(10))
}

/// A backend whose bodies tell apart path, variant and version. The fields name the last two.
fn telling() -> Backend {
    let versions: Mutex<BTreeMap<String, usize>> = Mutex::default();
    Backend::new(move |seen: &Seen| {
        let (path, length) = parts(seen.target());
        let kind = path.split('/').nth(1).unwrap_or_default();
        // The parts of a slice are of one version.
        let is_constant = matches!(kind, "slice" | "same");
        let version = match is_constant {
            true => 1,
            false => {
                let mut versions = versions.lock().unwrap();
                let version = versions.entry(path.to_owned()).or_default();
                *version += 1;
                *version
            }
        };
        let variant = seen.header("X-A").unwrap_or("none");
        let identity = if kind == "vary" { format!("{path} {variant}") } else { path.to_owned() };
        let body = body(&identity, version, length);
        let expires = if matches!(kind, "short" | "same") { "@1" } else { "600" };
        let mut fields = format!(
            "X-Accel-Expires: {expires}\r\nX-Version: {version}\r\nX-Identity: {identity}\r\n\
             ETag: \"{version}\"\r\nAccept-Ranges: bytes\r\n"
        );
        if kind == "vary" {
            fields.push_str("Vary: X-A\r\n");
        }
        if is_constant && seen.header("If-None-Match") == Some("\"1\"") {
            return Reply::Bytes(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n").into_bytes());
        }
        if let Some((start, end)) = seen.header("Range").and_then(|range| asked(range, length)) {
            fields.push_str(&format!("Content-Range: bytes {start}-{}/{length}\r\n", end - 1));
            return Reply::with("206 Partial Content", &fields, &body[start..end]);
        }
        if kind == "chunked" {
            let mut text = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n")
                .into_bytes();
            for part in body.chunks(30_000) {
                text.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            return Reply::Bytes(text);
        }
        Reply::with("200 OK", &fields, body)
    })
}

/// The bytes that `Range: bytes=A-B` means.
fn asked(range: &str, length: usize) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let start: usize = start.parse().ok()?;
    let end = end.parse().map_or(length, |end: usize| (end + 1).min(length));
    (start < end).then_some((start, end))
}

/// Asserts that a response is what the backend has sent for this target, once.
fn check(target: &str, variant: &str, range: Option<(usize, usize)>, response: &Response) {
    let (path, length) = parts(target);
    let why = || format!("{target} {variant} {range:?}: {}", response.head);
    let version = response.header("X-Version").and_then(|version| version.parse().ok());
    let Some(version) = version else { panic!("{}", why()) };
    let identity = match path.starts_with("/vary/") {
        true => format!("{path} {variant}"),
        false => path.to_owned(),
    };
    assert_eq!(response.header("X-Identity"), Some(identity.as_str()), "{}", why());
    let whole = body(&identity, version, length);
    match response.status {
        200 => assert!(response.body == whole, "{} bytes, {}", response.body.len(), why()),
        206 => {
            let (start, end) = range.expect("only a request for a range is answered with one");
            assert!(response.body == whole[start..end], "{}", why());
        }
        _ => panic!("{}", why()),
    }
}

const LOCATIONS: &str = "
    set $purge 0;
    if ($request_method = PURGE) { set $purge 1; }
    proxy_cache_purge $purge; proxy_cache_key $uri; proxy_cache_bypass $arg_new;
    location / { proxy_pass http://%backend%; }
    location /short/ { proxy_pass http://%backend%; proxy_cache_use_stale updating error timeout;
        proxy_cache_background_update on; }
    location /same/ { proxy_pass http://%backend%; proxy_cache_revalidate on;
        proxy_cache_lock on; }
    location /locked/ { proxy_pass http://%backend%; proxy_cache_lock on; }
    location /slice/ { slice 16k; proxy_cache_key $uri$slice_range; proxy_pass http://%backend%;
        proxy_set_header Range $slice_range; }";

const KINDS: [&str; 7] = ["plain", "short", "same", "locked", "vary", "slice", "chunked"];
const LENGTHS: [usize; 5] = [10, 5000, 20_000, 70_000, 140_000];

/// The number of paths of a kind, each with two lengths.
const NUMBERS: usize = 12;

/// Makes requests of every kind until `stop`, over the ends of processes.
fn use_it(address: &str, seed: u64, stop: &AtomicBool, done: &AtomicUsize) {
    let mut dice = Dice::new(seed);
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        let number = dice.roll(NUMBERS);
        let length = LENGTHS[(number + seed as usize % 2) % LENGTHS.len()];
        let target = format!("/{}/{number}/{length}", KINDS[dice.roll(KINDS.len())]);
        let variant = ["1", "2", "3"][dice.roll(3)];
        let (mut method, mut query, mut lines) = ("GET", "", format!("X-A: {variant}\r\n"));
        let mut range = None;
        match dice.roll(16) {
            0 => method = "PURGE",
            1 | 2 => query = "?new=1",
            3 | 4 => {
                let start = dice.roll(length);
                let end = start + 1 + dice.roll(length - start);
                lines.push_str(&format!("Range: bytes={start}-{}\r\n", end - 1));
                range = Some((start, end));
            }
            _ => {}
        }
        let ask = format!("{method} {target}{query} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        // Two of three are the first of their connections.
        let mut asked = match client.take().filter(|_| dice.roll(3) == 0) {
            Some(client) => client,
            None => match Client::try_connect(address) {
                Ok(client) => client,
                Err(_) => continue,
            },
        };
        if asked.send_if_wanted(ask)
            && let Ok(response) = asked.try_response(false)
        {
            match method {
                "PURGE" => assert!(matches!(response.status, 204 | 404), "{}", response.head),
                _ => check(&target, variant, range, &response),
            }
            done.fetch_add(1, Ordering::Relaxed);
            client = Some(asked);
        }
    }
}

/// The worker of a server.
fn worker(server: &Server) -> Option<u32> {
    let title = |pid: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.trim_end_matches('\0').ends_with(": worker process")
    };
    children(server.pid()).into_iter().find(title)
}

#[test]
fn fifty_kills_under_load_leave_nothing_that_is_not_whole() {
    let kills = 50 * times_as_long();
    let backend = telling();
    let zone = "levels=1 keys_zone=one:1m max_size=20m";
    let setup = Server::http(&http(&format!("{zone} use_temp_path=off"), LOCATIONS));
    let setup = setup.set("backend", backend.address()).main("worker_processes 2;");
    let mut server = setup.alerts_expected().start();
    let address = server.address("port");
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let users: Vec<_> = (1..=3)
            .map(|seed| {
                scope.spawn({
                    let (address, stop, done) = (&address, &stop, &done);
                    move || use_it(address, seed, stop, done)
                })
            })
            .collect();
        let mut dice = Dice::new(7);
        for kill in 1..=kills {
            let aim = done.load(Ordering::Relaxed) + 4 + dice.roll(8);
            until("requests", || {
                assert!(!users.iter().any(|user| user.is_finished()), "a user has failed");
                done.load(Ordering::Relaxed) >= aim
            });
            if kill % 5 == 0 {
                server.kill();
                server.resume();
                continue;
            }
            let killed = until_some("a worker", || worker(&server));
            send_signal(killed, Signal::KILL);
            until("another worker", || worker(&server).is_some_and(|other| other != killed));
        }
        stop.store(true, Ordering::Relaxed);
    });
    // What is found at last is whole, too: each file answers its request, or is none.
    server.pause();
    server.resume();
    server.wait_log(" responses, ");
    for kind in KINDS {
        for number in 0..NUMBERS {
            for length in [LENGTHS[number % 5], LENGTHS[(number + 1) % 5]] {
                let target = format!("/{kind}/{number}/{length}");
                check(&target, "2", None, &server.get_with(&target, "X-A: 2\r\n"));
            }
        }
    }
    let log = server.error_log();
    for line in log.lines().filter(|line| line.contains(" files dropped")) {
        assert!(line.contains(" 0 files dropped"), "{line}");
    }
    assert!(!log.contains("cache file \"") && !log.contains("[crit]"), "{log}");
    let is_response = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 32);
    let others: Vec<_> = files(&server).into_iter().filter(|path| !is_response(path)).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Names that a process had when it was killed go with the next start, whatever the clock says.
#[test]
fn files_of_the_dead_are_removed() {
    let backend = Backend::text("body");
    let conf = http("levels=1:2 keys_zone=one:1m", "location / { proxy_pass http://%backend%; }");
    let mut server = Server::http(&conf).set("backend", backend.address()).start();
    server.pause();
    let mut dead = std::process::Command::new(binary()).arg("-v").spawn().unwrap();
    dead.wait().unwrap();
    let (dead, alive) = (dead.id(), std::process::id());
    // Ended, but its parent has not asked for its status.
    let mut zombie = std::process::Command::new(binary()).arg("-v").spawn().unwrap();
    let stat = format!("/proc/{}/stat", zombie.id());
    until("a zombie", || std::fs::read_to_string(&stat).unwrap().contains(") Z "));
    let now = std::time::SystemTime::now();
    let day = Duration::from_secs(86_400);
    let write = |name: String, modified| {
        let path = server.directory().write(&format!("cache/a/bc/{name}"), "half of a resp");
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        path
    };
    let gone = [
        write(format!("0000000001.{dead}"), now),
        write(format!("0000000002.{dead}"), now + day),
        write(format!("0000000003.{alive}"), now - day),
        write(format!("0000000004.{alive}"), now + day),
        write(format!("0000000006.{}", zombie.id()), now),
    ];
    let kept = [write(format!("0000000005.{alive}"), now), write("1.2".to_owned(), now - day)];
    for folder in ["cache", "cache/a", "cache/a/bc"] {
        use std::os::unix::fs::PermissionsExt;
        let open = PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(server.directory().join(folder), open).unwrap();
    }
    server.resume();
    server.wait_log(" responses, 0 files dropped");
    until("the files to go", || !gone.iter().any(|path| path.exists()));
    zombie.wait().unwrap();
    assert!(kept.iter().all(|path| path.exists()));
}

/// Two processes on one path: what one of them replaces is not what the other one knows.
#[test]
fn another_process_replaces_a_variant() {
    let backend = telling();
    let one = Server::http(&http("keys_zone=one:1m", LOCATIONS)).set("backend", backend.address());
    let one = one.start();
    let place = one.directory().join("cache").display().to_string();
    let conf = http("keys_zone=one:1m", LOCATIONS).replace("%dir%/cache", &place);
    let two = Server::http(&conf).set("backend", backend.address()).start();
    for server in [&one, &two] {
        server.wait_log(" responses, ");
    }
    for length in LENGTHS {
        for round in 0..8 {
            let target = format!("/vary/{}/{length}", round % 3);
            let mut dice = Dice::new(round);
            for server in [&one, &two] {
                for new in ["", "?new=1", ""] {
                    let variant = ["1", "2", "3"][dice.roll(3)];
                    let ask = format!("{target}{new}");
                    let response = server.get_with(&ask, &format!("X-A: {variant}\r\n"));
                    check(&target, variant, None, &response);
                }
            }
        }
    }
}

/// A version that another process has stored is used for as long as that one is valid.
#[test]
fn another_process_sets_another_time() {
    let lasts = std::sync::Arc::new(AtomicBool::new(true));
    let for_long = std::sync::Arc::clone(&lasts);
    let backend = Backend::new(move |_| {
        let expires = if for_long.load(Ordering::Relaxed) { "600" } else { "@1" };
        Reply::with("200 OK", &format!("X-Accel-Expires: {expires}\r\n"), "body")
    });
    let locations = "proxy_cache_key $uri; proxy_cache_bypass $arg_new;
        location / { proxy_pass http://%backend%; }";
    let one = Server::http(&http("keys_zone=one:1m", locations)).set("backend", backend.address());
    let one = one.start();
    let place = one.directory().join("cache").display().to_string();
    let conf = http("keys_zone=one:1m", locations).replace("%dir%/cache", &place);
    let two = Server::http(&conf).set("backend", backend.address()).start();
    let status = |server: &Server, target: &str| {
        server.get(target).header("X-Cache").unwrap_or_default().to_owned()
    };
    assert_eq!(status(&one, "/a"), "MISS");
    assert_eq!(status(&one, "/a"), "HIT");
    lasts.store(false, Ordering::Relaxed);
    assert_eq!(status(&two, "/a?new=1"), "BYPASS");
    assert_eq!(status(&one, "/a"), "EXPIRED");
}
