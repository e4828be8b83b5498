//! Changes of groups that outlive processes: state files, reloads, killed workers.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{
    Backend, Client, Load, Reply, Server, Setup, Signal, api_call, send_signal, until, until_some,
};

/// A folder that the worker's user can write to.
fn state_folder(setup: Setup) -> Setup {
    let folder = setup.directory().join("state");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    setup
}

const LIST: &str = "http/upstreams/u/servers";

fn setup(upstream: &str) -> Setup {
    Server::http(&format!(
        "upstream u {{ zone u 64k; {upstream} }}
         server {{ listen 127.0.0.1:%port%; location /api {{ api write=on; }}
            location / {{ proxy_pass http://u; }} }}"
    ))
}

/// The servers' addresses, with whether they are down and draining.
fn servers(server: &Server) -> Vec<(String, bool, bool)> {
    let list = server.api_get(LIST);
    let shown = list.as_array().unwrap().iter().map(|it| {
        let text = it["server"].as_str().unwrap().to_owned();
        (text, it["down"] == true, it["drain"] == true)
    });
    shown.collect()
}

fn worker(server: &Server) -> u32 {
    server.api_get("nginx")["pid"].as_u64().unwrap() as u32
}

/// Kills the worker, and waits for its successor.
fn kill_worker(server: &Server) {
    let pid = worker(server);
    send_signal(pid, Signal::KILL);
    until("a successor", || {
        let address = server.address("port");
        let client = Client::try_connect(&address).ok();
        client.is_some_and(|mut client| {
            client.send_if_wanted(api_call("GET", "nginx", ""));
            let answer = client.try_response(false);
            answer.is_ok_and(|answer| answer.status == 200 && worker(server) != pid)
        })
    });
}

#[test]
fn a_state_file_has_the_servers_over_reloads_and_restarts() {
    let server = state_folder(setup("state %dir%/state/u.state;")).start();
    assert_eq!(servers(&server), []);
    server.api_json("POST", LIST, &json!({"server": "127.0.0.1:1", "weight": 2}), 201);
    server.api_json("POST", LIST, &json!({"server": "127.0.0.1:2"}), 201);
    server.api_json("POST", LIST, &json!({"server": "127.0.0.1:3"}), 201);
    server.api_json("PATCH", &format!("{LIST}/0"), &json!({"drain": true}), 200);
    server.api_json("DELETE", &format!("{LIST}/1"), &Value::Null, 200);
    let text = server.directory().read("state/u.state");
    assert_eq!(text, "server 127.0.0.1:1 weight=2 drain;\nserver 127.0.0.1:3;\n");
    let expected =
        [("127.0.0.1:1".to_owned(), false, true), ("127.0.0.1:3".to_owned(), false, false)];
    assert_eq!(servers(&server), expected);

    server.signal(Signal::HUP);
    until("the reload", || server.api_get("nginx")["generation"] == 2);
    assert_eq!(servers(&server), expected);
    drop(server);
    let next = setup("state %dir%/u.state;").file("u.state", text).start();
    assert_eq!(servers(&next), expected);
}

#[test]
fn a_state_file_is_checked() {
    for (file, fault) in [
        ("server 127.0.0.1:1;\nlisten 80;", "a line other than \"server ...;\" in state file"),
        ("server 127.0.0.1:1;\n\nserver 127.0.0.1:x;", "u.state\":3"),
        ("server 127.0.0.1:1", "invalid syntax in state file"),
        ("server 127.0.0.1:1 weight=0;", "invalid parameter \"weight=0\" in state file"),
    ] {
        let output = setup("state %dir%/u.state;").file("u.state", file).check();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(fault), "{told}");
    }
    for both in ["state a; server 127.0.0.1:1;", "server 127.0.0.1:1; state a;"] {
        let told = String::from_utf8_lossy(&setup(both).check().stderr).into_owned();
        assert!(told.contains("cannot be used along with"), "{told}");
    }
}

#[test]
fn a_state_that_cannot_be_written_is_told() {
    let server = setup("state %dir%/none/u.state;").alerts_expected().start();
    let told = server.api_json("POST", LIST, &json!({"server": "127.0.0.1:1"}), 500);
    assert_eq!(told["error"]["code"], "UpstreamStateError");
    assert_eq!(servers(&server).len(), 1, "the change is in force");
    server.wait_log("was not written (2: No such file or directory)");
}

/// A server of a group: its number, its address, and whether it is down or draining.
type Known = (u64, String, bool, bool);

fn known(server: &Server) -> Vec<Known> {
    let list = server.api_get(LIST);
    let shown = list.as_array().unwrap().iter().map(|it| {
        let address = it["server"].as_str().unwrap().to_owned();
        (it["id"].as_u64().unwrap(), address, it["down"] == true, it["drain"] == true)
    });
    shown.collect()
}

/// A change of a group.
enum Change {
    Add(String),
    Mark(u64, &'static str, bool),
    Remove(u64),
}

impl Change {
    /// A change of servers that take no requests: those after the first two.
    fn any(servers: &[Known], random: &mut Random) -> Self {
        let others = &servers[2..];
        if others.len() < 3 || others.len() < 8 && random.below(3) == 0 {
            return Self::Add(unused_address(servers, random));
        }
        let (id, _, down, drain) = &others[random.below(others.len() as u64) as usize];
        match random.below(3) {
            0 => Self::Remove(*id),
            1 => Self::Mark(*id, "down", !down),
            _ => Self::Mark(*id, "drain", !drain),
        }
    }

    fn call(&self) -> String {
        match self {
            Self::Add(address) => {
                api_call("POST", LIST, &json!({"server": address, "down": true}).to_string())
            }
            Self::Mark(id, mark, on) => {
                // A server that is neither would get requests.
                let other = if *mark == "down" { "drain" } else { "down" };
                let marks = if *on { json!({*mark: true}) } else { json!({other: true}) };
                api_call("PATCH", &format!("{LIST}/{id}"), &marks.to_string())
            }
            Self::Remove(id) => api_call("DELETE", &format!("{LIST}/{id}"), ""),
        }
    }
}

/// A random address that no server has: the API refuses a second server with an address.
fn unused_address(servers: &[Known], random: &mut Random) -> String {
    loop {
        let address = format!("127.1.{}.{}:1", random.below(250), random.below(250));
        if servers.iter().all(|server| server.1 != address) {
            return address;
        }
    }
}

/// A small generator of random numbers, which a failing test shows.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        println!("seed {}", now.as_nanos() as u64);
        Self(now.as_nanos() as u64 | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Makes random changes until the worker is killed, at a random moment. Returns the servers by the
/// answers that clients have, and what a change without an answer would make of them.
fn change_until_killed(
    server: &Server,
    pid: u32,
    random: &mut Random,
) -> (Vec<Known>, Option<Change>) {
    let mut servers = known(server);
    let moment = std::time::Duration::from_micros(random.below(30_000));
    let killer = std::thread::spawn(move || {
        let start = std::time::Instant::now();
        while start.elapsed() < moment {
            std::thread::park_timeout(moment.saturating_sub(start.elapsed()));
        }
        send_signal(pid, Signal::KILL);
    });
    let mut lost = None;
    while !killer.is_finished() && lost.is_none() {
        let change = Change::any(&servers, random);
        let mut client = Client::connect(server.address("port"));
        client.send_if_wanted(change.call());
        match client.try_response(false) {
            Err(_) => lost = Some(change),
            Ok(response) => {
                assert!((200..300).contains(&response.status), "{}", response.text());
                let answer = serde_json::from_slice(&response.body).unwrap();
                apply(&mut servers, &change, &answer);
            }
        }
    }
    killer.join().unwrap();
    (servers, lost)
}

/// What a change that was carried out makes of the servers.
fn apply(servers: &mut Vec<Known>, change: &Change, answer: &Value) {
    match change {
        Change::Add(address) => {
            servers.push((answer["id"].as_u64().unwrap(), address.clone(), true, false));
        }
        Change::Remove(id) => servers.retain(|it| it.0 != *id),
        Change::Mark(id, ..) => {
            let it = servers.iter_mut().find(|it| it.0 == *id).unwrap();
            (it.2, it.3) = (answer["down"] == true, answer["drain"] == true);
        }
    }
}

/// Whether `after` is `before`, or that with the change that was under way.
fn is_successor(before: &[Known], lost: Option<&Change>, after: &[Known]) -> bool {
    let mut with = before.to_vec();
    match lost {
        Some(Change::Add(address)) => {
            let id = after.last().map_or(0, |last| last.0);
            with.push((id, address.clone(), true, false));
        }
        Some(Change::Remove(id)) => with.retain(|it| it.0 != *id),
        Some(Change::Mark(id, mark, on)) => {
            let it = with.iter_mut().find(|it| it.0 == *id).unwrap();
            (it.2, it.3) = match (*mark == "down") == *on {
                true => (true, false),
                false => (false, true),
            };
        }
        None => {}
    }
    after == before || after == with
}

/// A server that answers requests, and one that was found unhealthy and says nothing more: whether
/// it gets requests depends on what a worker knows.
fn healthy_and_not() -> [Backend; 2] {
    let good = Backend::text("1");
    let asked = AtomicBool::new(false);
    let bad = Backend::new(move |seen| match seen.target() {
        "/health" if !asked.swap(true, Ordering::Relaxed) => Reply::with("500 No", "", ""),
        _ => Reply::hold(),
    });
    [good, bad]
}

/// Kills of the worker at random moments, while clients ask and servers change, lose no change whose
/// answer a client has, and no verdict about health. Only requests under way fail.
#[test]
fn a_killed_worker_leaves_its_servers() {
    const KILLS: usize = 25;
    const RATE: u32 = 2000;
    let mut random = Random::seeded();
    for upstream in ["server %good%; server %bad%;", "state %dir%/state/u.state;"] {
        let [good, bad] = healthy_and_not();
        let setup = Server::http(&format!(
            "upstream u {{ zone u 64k; {upstream} }}
             server {{ listen 127.0.0.1:%port%; location /api {{ api write=on; }}
                location / {{ proxy_pass http://u; }}
                location /check {{ proxy_read_timeout 1h; proxy_pass http://u;
                    health_check uri=/health interval=20ms mandatory; }} }}"
        ));
        let setup = setup.set("good", good.address()).set("bad", bad.address());
        let server = state_folder(setup).alerts_expected().start();
        if known(&server).is_empty() {
            for backend in [&good, &bad] {
                server.api_json("POST", LIST, &json!({"server": backend.address()}), 201);
            }
        }
        let states = || {
            let group = server.api_get("http/upstreams/u");
            let peers = group["peers"].as_array().unwrap();
            [0, 1].map(|place: usize| peers[place]["state"].as_str().unwrap().to_owned())
        };
        until("the verdicts", || states() == ["up", "unhealthy"]);
        let load = Load::start(&server.address("port"), "/", "", RATE);
        for kill in 0..KILLS {
            let pid = worker(&server);
            let (before, lost) = change_until_killed(&server, pid, &mut random);
            let after = until_some("a successor", || {
                let mut client = Client::try_connect(&server.address("port")).ok()?;
                client.send_if_wanted(api_call("GET", "nginx", ""));
                let answer = client.try_response(false).ok()?;
                let nginx: Value = serde_json::from_slice(&answer.body).ok()?;
                (nginx["pid"] != pid).then(|| known(&server))
            });
            assert!(
                is_successor(&before, lost.as_ref(), &after),
                "kill {kill}: {before:?} {after:?}"
            );
            assert_eq!(states(), ["up", "unhealthy"], "kill {kill}");
        }
        let all = load.finish();
        println!("{} requests, {} lost with their worker", all.requests, all.errors.len());
        let is_lost = |error: &&String| !error.contains("HTTP") && !error.contains("connecting");
        assert_eq!(all.errors.iter().find(|error| !is_lost(error)), None);
        assert!(all.share('1') == 1.0 && bad.seen().iter().all(|seen| seen.target() == "/health"));
        let processes = server.api_get("processes");
        assert_eq!(processes["respawned"], KILLS);
        if upstream.starts_with("state") {
            let servers = known(&server);
            let text = server.directory().read("state/u.state");
            assert_eq!(text.lines().count(), servers.len());
            for (line, (_, address, down, drain)) in text.lines().zip(servers) {
                assert!(line.starts_with(&format!("server {address}")), "{text}");
                assert_eq!((line.contains(" down"), line.contains(" drain")), (down, drain));
            }
        }
    }
}

#[test]
fn pairs_outlive_kills_and_restarts() {
    let conf = "keyval_zone zone=one:64k state=%dir%/state/one.keyval;
        keyval_zone zone=two:64k; keyval $arg_key $found zone=two;
        server { listen 127.0.0.1:%port%; location /api { api write=on; }
            location / { return 200 $found; } }";
    let server = state_folder(Server::http(conf)).alerts_expected().start();
    for zone in ["one", "two"] {
        let path = format!("http/keyvals/{zone}");
        assert_eq!(server.api("POST", &path, &json!({"a": "1", "b": "2"}).to_string()).status, 201);
        assert_eq!(server.api("PATCH", &path, &json!({"a": null}).to_string()).status, 204);
        assert_eq!(server.api("POST", &path, &json!({"c": "3"}).to_string()).status, 201);
    }
    let expected = json!({"one": {"b": "2", "c": "3"}, "two": {"b": "2", "c": "3"}});
    for _ in 0..3 {
        kill_worker(&server);
        assert_eq!(server.api_get("http/keyvals"), expected);
        assert_eq!(server.text("/?key=c"), "3");
    }
    assert_eq!(server.directory().read("state/one.keyval"), r#"{"b":"2","c":"3"}"#);
    let next = Server::http(&conf.replace("state/", "")).file("one.keyval", r#"{"b":"2"}"#).start();
    assert_eq!(next.api_get("http/keyvals/one"), json!({"b": "2"}));
}

/// Edits and pairs that a reload dropped stay dropped, also when a later configuration is the first
/// one again and its worker is killed.
#[test]
fn what_reloads_dropped_does_not_come_back_with_a_successor() {
    let conf = "%zone% %upstream%
        server { listen 127.0.0.1:%port%; location /api { api write=on; } }";
    let zone = "keyval_zone zone=one:64k; keyval $arg_key $found zone=one;";
    let upstream = "upstream u { zone u 64k; server 127.0.0.1:1; }";
    let other = "upstream u { zone u 64k; server 127.0.0.1:2; }";
    let http =
        |zone: &str, upstream: &str| conf.replace("%zone%", zone).replace("%upstream%", upstream);
    let server = Server::http(&http(zone, upstream)).alerts_expected().start();
    let change = |server: &Server| {
        server.api_json("POST", LIST, &json!({"server": "127.0.0.1:9"}), 201);
        let pair = json!({"a": "1"}).to_string();
        assert_eq!(server.api("POST", "http/keyvals/one", &pair).status, 201);
    };
    for between in [http("", other), http("", "")] {
        change(&server);
        // The second reload finds the earlier configuration freed.
        for next in [&between, &between, &http(zone, upstream)] {
            server.reload_http(next);
        }
        let first = [("127.0.0.1:1".to_owned(), false, false)];
        assert_eq!(servers(&server), first);
        kill_worker(&server);
        assert_eq!(servers(&server), first, "{between}");
        assert_eq!(server.api_get("http/keyvals/one"), json!({}));
    }
}

#[test]
fn localities_are_shown_changed_and_kept() {
    let backends = ["one", "two", "three"].map(Backend::text);
    let [one, two, three] = backends.each_ref().map(Backend::address);
    let server = state_folder(setup("prefer_locality a b; state %dir%/state/u.state;"));
    let server = server.alerts_expected().start();
    for (address, locality) in [(&one, ""), (&two, "b"), (&three, "a")] {
        let added = json!({"server": address, "locality": locality});
        server.api_json("POST", LIST, &added, 201);
    }
    let list = server.api_get(LIST);
    let shown = [0, 1, 2].map(|at| list[at].get("locality").cloned());
    assert_eq!(shown, [None, Some(json!("b")), Some(json!("a"))]);
    let texts = || (0..4).map(|_| server.text("/")).collect::<Vec<_>>().join(" ");
    assert_eq!(texts(), "three three three three");
    server.api_json("PATCH", &format!("{LIST}/2"), &json!({"drain": true}), 200);
    assert_eq!(texts(), "two two two two");
    let file = std::fs::read_to_string(server.directory().join("state/u.state")).unwrap();
    let written =
        format!("server {one};\nserver {two} locality=b;\nserver {three} locality=a drain;\n");
    assert_eq!(file, written);
    kill_worker(&server);
    assert_eq!(texts(), "two two two two");
    let long =
        server.api_json("PATCH", &format!("{LIST}/0"), &json!({"locality": "x".repeat(65)}), 400);
    assert_eq!(long["error"]["code"], "UpstreamBadLocality");
    server.api_json("PATCH", &format!("{LIST}/0"), &json!({"locality": "a"}), 200);
    server.api_json("PATCH", &format!("{LIST}/2"), &json!({"locality": ""}), 200);
    assert_eq!(texts(), "one one one one");
}
