//! A file as the source.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{
    Load, SERVERS, conf, drain, lines, listed, setup, shown, time_to_first, wait_listed, worker,
};
use crate::harness::{Backend, Reply, Server, Signal, children, send_signal, until, until_some};

const DISCOVER: &str = "discover file servers.txt;";

/// Replaces the file by a rename, as editors and tools for configurations do.
fn replace(server: &Server, text: impl AsRef<str>) {
    let new = server.directory().write("servers.new", text.as_ref());
    fs::rename(new, server.directory().join("servers.txt")).unwrap();
}

/// The example of docs/howto/adding-a-server.md.
#[test]
fn a_line_more_is_a_server_more() {
    let (one, two) = (Backend::text("one"), Backend::text("two"));
    let (first, second) = (one.address(), two.address());
    let server = setup(DISCOVER).file("servers.txt", format!("{first}\n")).start();
    assert_eq!(server.text("/"), "one", "the first request finds the list read");
    let load = Load::start(&server);
    load.go_on();
    let since = Instant::now();
    replace(&server, format!("# the second is new\n{first}\n{second} weight=2;\n"));
    let time = time_to_first(&two, since);
    println!("the new server had its first request after {time:?}");
    assert_eq!(shown(&server, &second)["weight"], 2);
    load.go_on();
    // Away again, by drain and then from the list.
    drain(&server, &second);
    load.go_on();
    let before = two.count();
    load.go_on();
    assert!(two.count() <= before + 1, "a request may have been under way");
    replace(&server, format!("{first}\n"));
    wait_listed(&server, &[&first]);
    load.go_on();
    load.end();
    server.wait_log(&format!("of upstream \"app\": added {second}"));
    server.wait_log(&format!("of upstream \"app\": removed {second}"));
}

/// Kubernetes mounts a configuration as a link to a folder that it switches.
#[test]
fn the_file_may_be_written_replaced_or_a_switched_link() {
    let server = setup("discover file mount/list;").start();
    server.wait_log("open() failed (2: No such file or directory), no servers are known");
    let at = |name: &str| server.directory().join(name);
    fs::create_dir(at("mount")).unwrap();
    for (version, address) in [("..1", "127.0.0.1:1"), ("..2", "127.0.0.1:2")] {
        server.directory().write(&format!("mount/{version}/list"), address);
    }
    symlink("..1", at("mount/..data")).unwrap();
    symlink("..data/list", at("mount/list")).unwrap();
    wait_listed(&server, &["127.0.0.1:1"]);
    symlink("..2", at("mount/..tmp")).unwrap();
    fs::rename(at("mount/..tmp"), at("mount/..data")).unwrap();
    wait_listed(&server, &["127.0.0.1:2"]);
    server.directory().write("mount/..2/list", r#"[{"server": "127.0.0.1:3", "down": true}]"#);
    wait_listed(&server, &["127.0.0.1:3"]);
    assert_eq!(shown(&server, "127.0.0.1:3")["down"], true);
}

#[test]
fn a_file_in_trouble_takes_no_server_away() {
    let one = Backend::text("one");
    let address = one.address();
    let server = setup(DISCOVER).file("servers.txt", &address).start();
    let load = Load::start(&server);
    load.go_on();
    let kept = "the last known server goes on serving";
    let file = server.directory().join("servers.txt");
    for (number, (reason, act)) in [
        ("lists no servers", &(|| fs::write(&file, "").unwrap()) as &dyn Fn()),
        ("open() failed (2: No such file or directory)", &|| fs::remove_file(&file).unwrap()),
        ("is no list: ", &|| fs::write(&file, "[{\"server\": \"127.").unwrap()),
        ("lists no servers", &|| fs::write(&file, "[]").unwrap()),
        ("is not a regular file", &|| {
            symlink("html", server.directory().join("link")).unwrap();
            fs::rename(server.directory().join("link"), &file).unwrap();
        }),
        ("is longer than 4 MiB", &|| fs::write(&file, " ".repeat(5 << 20)).unwrap()),
    ]
    .into_iter()
    .enumerate()
    {
        act();
        let reason = format!("\": {reason}");
        until(&reason, || lines(&server, kept) == number + 1);
        assert!(server.error_log().contains(&reason), "{reason}");
        load.go_on();
        replace(&server, format!("{address} weight={}", number + 2));
        until("the list to be back", || shown(&server, &address)["weight"] == number + 2);
        assert_eq!(lines(&server, "lists servers again"), number + 1);
    }
    assert_eq!(lines(&server, kept), 6, "each trouble is told once");
    // Emptiness on purpose.
    load.end();
    replace(&server, "none # all are away");
    wait_listed(&server, &[]);
    assert_eq!(server.get("/").status, 502);
    replace(&server, &address);
    wait_listed(&server, &[&address]);
    assert_eq!(server.text("/"), "one");
}

#[test]
fn a_bad_line_is_named_and_spoils_nothing() {
    let text = "127.0.0.1:1\n127.0.0.1:2 wieght=2\n127.0.0.1:3\n";
    let server = setup(DISCOVER).file("servers.txt", text).start();
    wait_listed(&server, &["127.0.0.1:1", "127.0.0.1:3"]);
    let fault = "line 2: invalid parameter \"wieght=2\", which is ignored";
    server.wait_log(fault);
    replace(&server, format!("{text}127.0.0.1:4\n"));
    wait_listed(&server, &["127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:4"]);
    assert_eq!(lines(&server, fault), 1);
}

/// Edits by the API hold while the file lists the server: over other changes of the file, reloads
/// and a killed worker.
#[test]
fn edits_outlive_changes_reloads_and_workers() {
    let text = "127.0.0.1:1 weight=3\n127.0.0.1:2\n";
    let server = setup(&format!("server 127.0.0.1:9; {DISCOVER}"));
    let server = server.file("servers.txt", text).alerts_expected().start();
    drain(&server, "127.0.0.1:1");
    let id = shown(&server, "127.0.0.1:2")["id"].clone();
    server.api_json("DELETE", &format!("{SERVERS}/{id}"), &Value::Null, 200);
    let added = server.api_json("POST", SERVERS, &json!({"server": "127.0.0.1:8"}), 201);
    let still = |server: &Server| {
        let found = shown(server, "127.0.0.1:1");
        found["drain"] == true && !listed(server).contains(&"127.0.0.1:2".to_owned())
    };
    replace(&server, format!("{text}127.0.0.1:3\n"));
    wait_listed(&server, &["127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:8", "127.0.0.1:9"]);
    assert!(still(&server));
    server.rewrite_http(&conf(&format!("least_conn; server 127.0.0.1:9; {DISCOVER}")));
    server.signal(Signal::HUP);
    until("the reload", || server.api_get("nginx")["generation"] == 2);
    assert!(still(&server));
    for _ in 0..3 {
        let before = worker(&server);
        send_signal(before, Signal::KILL);
        until("the next worker", || children(server.pid()).iter().any(|&it| it != before));
        assert_eq!(shown(&server, "127.0.0.1:8")["id"], added["id"]);
        assert!(still(&server));
        assert_eq!(shown(&server, "127.0.0.1:1")["weight"], 3);
    }
    // Gone while no worker looked, and with the worker's record left.
    replace(&server, "127.0.0.1:3\n");
    wait_listed(&server, &["127.0.0.1:3", "127.0.0.1:8", "127.0.0.1:9"]);
    replace(&server, text);
    wait_listed(&server, &["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:8", "127.0.0.1:9"]);
    assert_eq!(shown(&server, "127.0.0.1:1")["drain"], false, "a server that comes back is new");
}

/// A worker that is killed while the file cannot be read leaves the last known servers.
#[test]
fn a_killed_worker_leaves_the_last_known_servers() {
    let one = Backend::text("one");
    let server = setup(DISCOVER).file("servers.txt", one.address()).alerts_expected().start();
    wait_listed(&server, &[&one.address()]);
    assert_eq!(server.text("/"), "one");
    // A reload drops edits, but not what is listed.
    server.rewrite_http(&conf(&format!("server 127.0.0.1:9 down; {DISCOVER}")));
    server.signal(Signal::HUP);
    wait_listed(&server, &["127.0.0.1:9", &one.address()]);
    fs::write(server.directory().join("servers.txt"), "").unwrap();
    server.wait_log("lists no servers, the last known server goes on serving");
    let before = worker(&server);
    send_signal(before, Signal::KILL);
    until("the next worker", || children(server.pid()).iter().any(|&it| it != before));
    assert_eq!(server.text("/"), "one");
    until("the second line", || lines(&server, "the last known server goes on serving") == 2);
}

/// Requests under way finish at a server that the file lists no more.
#[test]
fn a_removed_server_finishes_its_requests() {
    let (held, free) = std::sync::mpsc::channel::<()>();
    let free = std::sync::Mutex::new(free);
    let slow = Backend::new(move |_| {
        let _ = free.lock().unwrap().recv();
        Reply::ok("slow")
    });
    let server = setup(DISCOVER).file("servers.txt", slow.address()).start();
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.wait(0);
    let other = Backend::text("other");
    replace(&server, other.address());
    wait_listed(&server, &[&other.address()]);
    assert_eq!(server.text("/"), "other");
    held.send(()).unwrap();
    assert_eq!(client.response().text(), "slow");
}

/// A listed server is one like the others: its first check comes before its first request, and
/// `drain` leaves it its sessions.
#[test]
fn listed_servers_are_checked_and_keep_their_sessions() {
    let status = Arc::new(AtomicU16::new(500));
    let told = Arc::clone(&status);
    let one = Backend::text("one");
    let two = Backend::new(move |_| match told.load(Ordering::Relaxed) {
        200 => Reply::ok("two"),
        _ => Reply::with("500 No", "", "bad"),
    });
    let (first, second) = (one.address(), two.address());
    let text = conf(&format!("sticky cookie srv; {DISCOVER}")).replace(
        "proxy_pass http://app;",
        "proxy_pass http://app; health_check mandatory uri=/check interval=20ms;",
    );
    let server = Server::http(&text).file("servers.txt", &first).start();
    until("the first server", || server.get("/").status == 200);
    replace(&server, format!("{first}\n{second} slow_start=1ms\n"));
    let asked = |uri: &str| two.seen().iter().filter(|seen| seen.target() == uri).count();
    until("checks", || asked("/check") > 2);
    for _ in 0..10 {
        assert_eq!(server.text("/"), "one");
    }
    status.store(200, Ordering::Relaxed);
    let bound = until_some("a session at the second server", || {
        let response = server.get("/");
        let cookie = response.header("set-cookie")?.split(';').next()?.to_owned();
        (response.text() == "two").then(|| format!("Cookie: {cookie}\r\n"))
    });
    drain(&server, &second);
    for _ in 0..10 {
        assert_eq!(server.text("/"), "one");
        assert_eq!(server.get_with("/", &bound).text(), "two");
    }
    replace(&server, &first);
    wait_listed(&server, &[&first]);
    assert_eq!(server.get_with("/", &bound).text(), "one");
}

#[test]
fn a_configuration_is_checked() {
    for (upstream, fault) in [
        ("discover file a; discover file b;", "\"discover\" directive is duplicate"),
        ("discover fiel a;", "invalid parameter \"fiel\""),
        ("discover file a b;", "invalid parameter \"b\""),
        ("discover file;", "invalid number of arguments in \"discover\" directive"),
    ] {
        let told = String::from_utf8_lossy(&setup(upstream).check().stderr).into_owned();
        assert!(told.contains(fault), "{told}");
    }
    let bare = Server::http("upstream u { discover file a; } server { listen 127.0.0.1:%port%; }");
    let told = String::from_utf8_lossy(&bare.check().stderr).into_owned();
    assert!(told.contains("\"discover\" requires \"zone\" in upstream \"u\""), "{told}");
    assert!(setup("discover file nothing.txt;").check().status.success());
}

/// Thousands of servers and changes: what comes in a burst is taken together, and nothing stops.
#[test]
fn many_servers_and_many_changes() {
    let one = Backend::text("one");
    let server =
        setup(&format!("server {}; hash $request_uri consistent; {DISCOVER}", one.address()));
    let server = server.file("servers.txt", "none").start();
    let text = |count: usize| -> String {
        let line = |at: usize| format!("127.1.{}.{}:1 down\n", at >> 8, at & 255);
        (0..count).map(line).collect()
    };
    let load = Load::start(&server);
    for count in (0..100).chain([10_000]) {
        replace(&server, text(count) + "none");
    }
    until("10,000 servers", || listed(&server).len() == 10_001);
    load.go_on();
    replace(&server, "none");
    until("no servers", || listed(&server).len() == 1);
    load.end();
    assert!(lines(&server, "added 127.1.") < 100, "a burst is taken together");
}
