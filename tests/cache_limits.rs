//! The limits of `proxy_cache` under load, and what changes in the middle of fetches: descriptors,
//! configurations, clocks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use crate::cache::{files, http, numbers, used};
use crate::harness::{Backend, Client, Reply, Seen, Server, Setup, until};

const PASS: &str = "location / { proxy_pass http://%backend%; }";

/// A gate that holds responses of a backend until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn set(&self, open: bool) {
        *self.0.0.lock().unwrap() = open;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }

    /// A backend behind the gate whose bodies have the length at the end of their target.
    fn backend(&self) -> Backend {
        let (gate, all) = (self.clone(), numbers(200_000));
        Backend::new(move |seen: &Seen| {
            gate.pass();
            let length: usize = seen.target().rsplit('/').next().unwrap().parse().unwrap();
            Reply::with("200 OK", "X-Accel-Expires: 600\r\n", &all[..length])
        })
    }
}

/// A server with room for many connections.
fn roomy(conf: &str, main: &str, backend: &Backend) -> Setup {
    let text = format!(
        "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log info; {main}
         events {{ worker_connections 4096; }}
         http {{ access_log off; client_body_temp_path %dir%/client_body_temp;
             proxy_temp_path %dir%/proxy_temp; {conf} }}"
    );
    Server::conf(&text).set("backend", backend.address())
}

/// Sends a request for each target, on connections of their own.
fn ask_all(server: &Server, targets: impl Iterator<Item = String>) -> Vec<(String, Client)> {
    let ask = |target: String| {
        let mut client = server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        (target, client)
    };
    targets.map(ask).collect()
}

/// Reads the responses, which must be right.
#[track_caller]
fn take_all(asked: Vec<(String, Client)>) {
    for (target, mut client) in asked {
        let length: usize = target.rsplit('/').next().unwrap().parse().unwrap();
        let response = client.response();
        assert!(response.status == 200 && response.body == numbers(length), "{target}");
    }
}

#[test]
fn limits_are_kept_under_a_thousand_fetches() {
    let gate = Gate::default();
    let backend = gate.backend();
    let conf = http("levels=1 keys_zone=one:8k max_size=200k use_temp_path=off", PASS);
    let server = roomy(&conf, "worker_processes 4;", &backend).start();
    let asked = ask_all(&server, (0..1000).map(|number| format!("/{number}/9000")));
    until("all requests", || backend.count() == 1000);
    gate.set(true);
    take_all(asked);
    // A zone of 8k has 32 entries; 200k are the room for 16 files.
    until("the limits to hold", || {
        let files = files(&server);
        let size: u64 = files.iter().map(|path| path.metadata().map_or(0, |meta| meta.len())).sum();
        files.len() <= 16 && size <= 200 * 1024
    });
    // What stays is right, and counted: none is left behind that nobody removes.
    take_all(ask_all(&server, (0..1000).step_by(50).map(|number| format!("/{number}/9000"))));
    server.reload_http(&http("levels=1 keys_zone=one:8k inactive=0s use_temp_path=off", PASS));
    until("all to go", || files(&server).is_empty());
}

/// All clients of one key wait for one request to the upstream.
#[test]
fn a_thousand_clients_of_one_key_cost_one_fetch() {
    let gate = Gate::default();
    let backend = gate.backend();
    let locks = "proxy_cache_lock on; proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h;";
    let conf =
        http("keys_zone=one:1m", &format!("{locks} {PASS} location = /status {{ stub_status; }}"));
    let server = roomy(&conf, "worker_processes 4;", &backend).start();
    let asked = ask_all(&server, (0..1000).map(|_| "/20000".to_owned()));
    backend.wait(0);
    until("all to wait", || {
        let status = server.text("/status");
        status.split("Writing: ").nth(1).is_some_and(|rest| rest.starts_with("1001 "))
    });
    gate.set(true);
    take_all(asked);
    assert_eq!(backend.count(), 1);
}

/// Without descriptors nothing new is kept, and what is kept is not forgotten.
#[test]
fn a_shortage_of_descriptors_forgets_nothing() {
    let gate = Gate::default();
    gate.set(true);
    let backend = gate.backend();
    let conf = http("keys_zone=one:1m", PASS);
    let main = "worker_processes 1; worker_rlimit_nofile 60;";
    let server = roomy(&conf, main, &backend).alerts_expected().start();
    take_all(ask_all(&server, ["/big/100000", "/small/10"].map(str::to_owned).into_iter()));
    for target in ["/big/100000", "/small/10"] {
        assert_eq!(used(&server.get(target)).0, "HIT");
    }
    let mut kept = server.client();
    kept.get("/small/10");
    gate.set(false);
    let count = backend.count();
    let asked = ask_all(&server, (0..5).map(|number| format!("/{number}/100000")));
    until("the fetches", || backend.count() == count + 5);
    // Requests under way, which no other connection may push out.
    let mut idle = Vec::new();
    until("the shortage", || {
        let mut client = server.client();
        client.send("GET /half HTTP/1.1\r\n");
        idle.push(client);
        server.error_log().contains("(24: Too many open files)")
    });
    let mut hit = server_hit(&mut kept);
    gate.set(true);
    take_all(asked);
    drop(idle);
    // The response is right if there is one: the upstream needs a descriptor, too.
    if hit.status == 200 {
        assert!(std::mem::take(&mut hit.body) == numbers(100_000));
    }
    until("an end of the shortage", || {
        let count = backend.count();
        let response = server.get("/big/100000");
        response.status == 200 && used(&response).0 == "HIT" && backend.count() == count
    });
    assert_eq!(server.get("/big/100000").body, numbers(100_000));
    assert_eq!(used(&server.get("/small/10")).0, "HIT");
}

/// A request for the larger response, on a connection that is open.
fn server_hit(client: &mut Client) -> crate::harness::Response {
    client.send("GET /big/100000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.response()
}

/// The zone changes its size, its levels, its folder, or goes while responses are fetched for it.
#[test]
fn reloads_in_the_middle_of_fetches() {
    let gate = Gate::default();
    let backend = gate.backend();
    let none = "server { listen 127.0.0.1:%port%; location / { proxy_pass http://%backend%; } }";
    let confs = [
        http("levels=1:2 keys_zone=one:1m", PASS),
        http("levels=1:2 keys_zone=one:8k", PASS),
        http("levels=1:2 keys_zone=one:2m use_temp_path=off", PASS),
        http("levels=2 keys_zone=one:2m", PASS),
        http("levels=2 keys_zone=one:2m", PASS).replace("%dir%/cache", "%dir%/other"),
        none.to_owned(),
        http("levels=1:2 keys_zone=two:1m", PASS).replace("cache one", "cache two"),
    ];
    let server = Server::http(&confs[0]).set("backend", backend.address()).start();
    for (round, conf) in confs.iter().cycle().skip(1).take(confs.len()).enumerate() {
        gate.set(false);
        let count = backend.count();
        let targets = |round| (0..6).map(move |number| format!("/{round}/{number}/30000"));
        let asked = ask_all(&server, targets(round));
        until("the fetches", || backend.count() == count + 6);
        server.rewrite_http(conf);
        server.signal(crate::harness::Signal::HUP);
        until("the reload", || server.error_log().matches("reconfiguring").count() > round);
        gate.set(true);
        take_all(asked);
        for _ in 0..2 {
            take_all(ask_all(&server, targets(round)));
        }
    }
}

/// A zone that becomes smaller or larger keeps what it has room for.
#[test]
fn a_zone_changes_its_size() {
    let gate = Gate::default();
    gate.set(true);
    let backend = gate.backend();
    let server = Server::http(&http("keys_zone=one:1m", PASS)).set("backend", backend.address());
    let server = server.start();
    let targets = || (0..200).map(|number| format!("/{number}/10"));
    take_all(ask_all(&server, targets()));
    assert_eq!(files(&server).len(), 200);
    server.reload_http(&http("keys_zone=one:2m", PASS));
    assert!(targets().all(|target| used(&server.get(&target)).0 == "HIT"));
    server.reload_http(&http("keys_zone=one:8k", PASS));
    until("the rest to go", || files(&server).len() <= 32);
    assert!(files(&server).len() >= 20, "{} files", files(&server).len());
    let count = backend.count();
    take_all(ask_all(&server, targets()));
    assert!(backend.count() > count);
    until("the limit to hold", || files(&server).len() <= 32);
}

/// Files whose times are in the past or to come are what they are.
#[test]
fn times_of_files_do_not_matter() {
    let gate = Gate::default();
    gate.set(true);
    let backend = gate.backend();
    let conf = http("levels=1:2 keys_zone=one:1m", PASS);
    let mut server = Server::http(&conf).set("backend", backend.address()).start();
    let targets = ["/10", "/20000", "/100000"];
    take_all(ask_all(&server, targets.map(str::to_owned).into_iter()));
    let years = Duration::from_secs(10 * 365 * 86_400);
    let now = SystemTime::now();
    for (round, time) in [now - years, now + years, SystemTime::UNIX_EPOCH].into_iter().enumerate()
    {
        for restarts in [false, true] {
            for path in files(&server) {
                std::fs::File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_modified(time)
                    .unwrap();
            }
            if restarts {
                server.pause();
                server.resume();
                let loaded = " responses, 0 files dropped";
                until("the loader", || server.error_log().matches(loaded).count() > round + 1);
            }
            for target in targets {
                assert_eq!(used(&server.get(target)).0, "HIT", "{target}");
            }
        }
    }
    assert_eq!(backend.count(), 3);
}

/// The upstream breaks the fetch off for which others wait: one of them fetches.
#[test]
fn a_fetch_that_fails_is_followed_by_one() {
    let (gate, count) = (Gate::default(), AtomicUsize::new(0));
    let held = gate.clone();
    let backend = Backend::new(move |_| {
        held.pass();
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::Last(
                b"HTTP/1.1 200 OK\r\nX-Accel-Expires: 600\r\n\
                Content-Length: 100\r\n\r\nhalf"
                    .to_vec(),
            ),
            1 => Reply::Last(Vec::new()),
            _ => Reply::with("200 OK", "X-Accel-Expires: 600\r\n", numbers(100)),
        }
    });
    let locks = "proxy_cache_lock on; proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h;";
    let conf = http("keys_zone=one:1m", &format!("{locks} {PASS}"));
    let server = roomy(&conf, "worker_processes 4;", &backend).start();
    let asked = ask_all(&server, (0..50).map(|_| "/100".to_owned()));
    backend.wait(0);
    gate.set(true);
    let (mut right, mut broken) = (0, 0);
    for (_, mut client) in asked {
        match client.try_response(false) {
            Ok(response) if response.status == 200 => {
                assert_eq!(response.body, numbers(100));
                right += 1;
            }
            _ => broken += 1,
        }
    }
    assert_eq!((right, broken, backend.count()), (48, 2, 3));
}

/// When the time of a response is over, one request updates it, and the others get it as it is.
#[test]
fn an_expired_response_causes_no_herd() {
    let gate = Gate::default();
    gate.set(true);
    let (held, count) = (gate.clone(), AtomicUsize::new(0));
    let backend = Backend::new(move |_| {
        held.pass();
        let expires = if count.fetch_add(1, Ordering::Relaxed) == 0 { "@1" } else { "600" };
        let fields = format!("X-Accel-Expires: {expires}\r\n");
        Reply::with("200 OK", &fields, numbers(20_000))
    });
    let conf = http("keys_zone=one:1m", &format!("proxy_cache_use_stale updating; {PASS}"));
    let server = roomy(&conf, "worker_processes 4;", &backend).start();
    server.get("/20000");
    gate.set(false);
    let asked = ask_all(&server, (0..300).map(|_| "/20000".to_owned()));
    backend.wait(1);
    let mut updating = 0;
    let mut waiting = Vec::new();
    for (target, client) in asked {
        let mut client = client.patience(Duration::from_millis(1));
        // The one that updates is not answered yet.
        match client.try_response(false) {
            Ok(response) => {
                assert!(response.body == numbers(20_000));
                updating += usize::from(used(&response).0 == "UPDATING");
            }
            Err(_) => waiting.push((target, client.patience(crate::harness::PATIENCE))),
        }
    }
    // Those that a busy machine has not answered yet.
    gate.set(true);
    for (_, mut client) in waiting {
        let response = client.response();
        assert!(response.body == numbers(20_000), "{}", response.head);
        updating += usize::from(matches!(used(&response).0.as_str(), "UPDATING" | "HIT"));
    }
    assert_eq!((updating, backend.count()), (299, 2));
}

/// A background update that fails leaves the response as it is, for all who ask.
#[test]
fn a_dead_upstream_is_asked_again_and_again() {
    let dead = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (is_dead, count) = (Arc::clone(&dead), AtomicUsize::new(0));
    let backend = Backend::new(move |_| match is_dead.load(Ordering::Relaxed) {
        true => Reply::Last(Vec::new()),
        false => {
            let number = count.fetch_add(1, Ordering::Relaxed);
            Reply::with("200 OK", "X-Accel-Expires: @1\r\n", format!("body {number}"))
        }
    });
    let conf = "proxy_cache_use_stale updating error; proxy_cache_background_update on;";
    let conf = http("keys_zone=one:1m", &format!("{conf} {PASS}"));
    let server = Server::http(&conf).set("backend", backend.address()).start();
    assert_eq!(server.text("/a"), "body 0");
    dead.store(true, Ordering::Relaxed);
    for round in 1..=5 {
        let response = server.get("/a");
        assert_eq!(response.text(), "body 0");
        assert!(matches!(used(&response).0.as_str(), "STALE" | "UPDATING"));
        backend.wait(round);
    }
    dead.store(false, Ordering::Relaxed);
    until("the update", || server.text("/a") != "body 0");
}
