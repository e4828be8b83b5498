//! The mirror: one configuration on all nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::node::{token, weir};
use super::*;
use crate::harness::{Port, Server, Setup, Signal, is_nginx, send_signal, until};

/// A configuration that is the same on both nodes, with a file of each node's own.
pub(super) fn conf(port: &Port, text: &str) -> String {
    let conf = plain(port, text);
    match std::env::var("WEIR_TEST_USE") {
        Ok(method) => conf.replacen("events {", &format!("events {{ use {method};"), 1),
        Err(_) => conf,
    }
}

/// The same without the event method, which the harness adds.
fn plain(port: &Port, text: &str) -> String {
    format!(
        "daemon off; pid nginx.pid; error_log error.log info; events {{}}
         ha {{ node a 127.0.0.1; node b 127.0.0.2; link_port {}; local local.conf; }}
         http {{ access_log off; default_type text/plain;
            client_body_temp_path body; proxy_temp_path proxy; include conf.d/*.conf;
            map $host $text {{ default {text}; }} include local.conf; }}",
        port.number()
    )
}

/// A node that is not running yet.
fn setup(port: &Port) -> Setup {
    let local = Port::reserve();
    let setup = Server::conf(&plain(port, "one")).alerts_expected();
    let server = format!(
        "server {{ listen 127.0.0.1:{}; location / {{ return 200 \"$text$more\"; }} }}",
        local.number()
    );
    let setup = setup.set("port", local.number()).file("local.conf", server);
    fs::create_dir(setup.directory().join("conf.d")).unwrap();
    let more = "map $host $more { default ''; }";
    setup.file("conf.d/more.conf", more).file("nginx.conf", conf(port, "one"))
}

/// A pair that mirrors its configuration.
pub(super) fn mirrored(port: &Port) -> (Node, Node) {
    let one = setup(port);
    let out = weir(one.directory().path(), &["init", "a"]);
    let token = token(&String::from_utf8_lossy(&out.stdout));
    let a = Node { server: one.start() };
    let two = setup(port);
    assert!(weir(two.directory().path(), &["join", &token, "b"]).status.success());
    let b = Node { server: two.start() };
    a.wait_status("link to b: up");
    b.wait_status("link to a: up");
    (a, b)
}

/// The answer of a node.
pub(super) fn answer(node: &Node) -> String {
    ask(node, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// The answer of a node to a request.
pub(super) fn ask(node: &Node, request: &str) -> String {
    let conf = node.server.directory().read("local.conf");
    let port = conf.split([':', ';']).nth(1).unwrap().to_owned();
    let mut client = crate::harness::Client::connect(format!("127.0.0.1:{port}"));
    client.send(request);
    client.response().text()
}

/// Writes a configuration at a node, and reloads it.
pub(super) fn change(node: &Node, conf: &str) {
    node.server.directory().write("nginx.conf", conf);
    node.server.signal(Signal::HUP);
}

#[test]
fn a_reload_on_one_node_takes_effect_on_both() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    let theirs = b.server.directory().join("nginx.conf");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
    // Somebody is editing there meanwhile.
    let edited = b.server.directory().write("conf.d/more.conf", "half of a");
    change(&a, &conf(&port, "two"));
    a.wait_lines("mirror: version 2 of a is in force on all nodes", 1);
    assert_eq!(fs::metadata(&theirs).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&edited).unwrap().starts_with("map "));
    let aside = b.server.directory().join("state/ha/mirror/aside/files");
    let kept = aside.join(edited.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(kept).unwrap(), "half of a");
    assert_eq!((answer(&a), answer(&b)), ("two".to_owned(), "two".to_owned()));
    assert_eq!(b.server.directory().read("nginx.conf"), conf(&port, "two"));
    // From the other side, with a file that a pattern finds and another one gone.
    let folder = b.server.directory().join("conf.d");
    fs::remove_file(folder.join("more.conf")).unwrap();
    fs::write(folder.join("new.conf"), "map $host $more { default !; }").unwrap();
    b.server.signal(Signal::HUP);
    b.wait_lines("mirror: version 3 of b is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("two!".to_owned(), "two!".to_owned()));
    let there = a.server.directory().join("conf.d");
    assert!(there.join("new.conf").exists() && !there.join("more.conf").exists());
    // A reload that changes nothing goes on as ever.
    for node in [&a, &b] {
        let before = node.lines("exited with code 0");
        node.server.signal(Signal::HUP);
        node.wait_lines("exited with code 0", before + 1);
    }
    assert_eq!((a.lines("proposing"), b.lines("proposing")), (2, 1));
    for (node, other) in [(&a, "b"), (&b, "a")] {
        node.wait_status("configuration: version 3 of b is in force here; all nodes have it\n");
        node.wait_status(&format!("\n  {other} has version 3 of b, too\n"));
        node.wait_status(&format!("\n  {other} has been sent all\n"));
        let mirror = &node.status()["links"]["mirror"];
        assert_eq!(
            (&mirror["acknowledged"], &mirror["version"]["counter"]),
            (&true.into(), &3.into())
        );
    }
    // Each node's own files are no difference.
    until("equal digests", || {
        let status = a.status();
        let link = &status["links"]["links"][0];
        link["status"]["configuration"] == status["links"]["status"]["configuration"]
    });
}

#[test]
fn a_configuration_that_one_node_refuses_is_in_force_nowhere() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    // It includes a file that only one node has.
    a.server.directory().write("here.conf", "");
    let with =
        conf(&port, "two").replace("; local local.conf;", "; local local.conf; local here.conf;");
    let with = with.replace("include local.conf;", "include local.conf; include here.conf;");
    change(&a, &with);
    a.wait_lines("mirror: the configuration is not in force: refused by b: open() \"", 1);
    assert_eq!((answer(&a), answer(&b)), ("one".to_owned(), "one".to_owned()));
    assert!(!b.server.directory().read("nginx.conf").contains("here.conf"));
    // A fault that this node sees itself goes no further.
    change(&a, &conf(&port, "two").replace("daemon off", "daemon perhaps"));
    a.wait_lines("[emerg]", 2);
    change(&a, &conf(&port, "three"));
    a.wait_lines("is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("three".to_owned(), "three".to_owned()));
}

#[test]
fn a_node_that_was_away_catches_up() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, mut b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    b.server.pause();
    change(&a, &conf(&port, "two"));
    a.wait_lines("version 2 of a is applied here, but not yet everywhere; b: it is away", 1);
    assert_eq!(answer(&a), "two");
    a.wait_status(
        "configuration: version 2 of a is in force here; not all nodes are known to have it\n",
    );
    a.wait_status("\n  b is away\n");
    b.server.resume();
    until("the newer configuration", || answer(&b) == "two");
    a.wait_status("link to b: up");
    change(&a, &conf(&port, "three"));
    a.wait_lines("version 3 of a is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("three".to_owned(), "three".to_owned()));
    // Killed workers forget nothing.
    for node in [&a, &b] {
        send_signal(node.worker(), Signal::KILL);
    }
    a.wait_lines("link to node \"b\" is up", 3);
    change(&b, &conf(&port, "four"));
    b.wait_lines("version 4 of b is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("four".to_owned(), "four".to_owned()));
}

#[test]
fn of_two_changes_made_apart_one_wins_and_the_other_is_kept() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (mut a, mut b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    b.server.pause();
    change(&a, &conf(&port, "two"));
    a.wait_lines("version 2 of a is applied here, but not yet everywhere", 1);
    a.server.pause();
    b.server.resume();
    change(&b, &conf(&port, "three"));
    b.wait_lines("version 2 of b is applied here, but not yet everywhere", 1);
    a.server.resume();
    a.wait_lines("mirror: version 2 of b has replaced version 2 of a, which is kept in ", 1);
    until("one configuration", || answer(&a) == "three");
    assert_eq!(answer(&b), "three");
    a.wait_status("2-of-a (another configuration, made apart from it, has replaced it)");
    let log = a.server.error_log();
    let folder = log.split("which is kept in ").nth(1).unwrap().lines().next().unwrap();
    let kept = fs::read_to_string(format!("{folder}/prefix/nginx.conf")).unwrap();
    assert_eq!(kept, conf(&port, "two"));
}

#[test]
fn files_that_changed_while_the_server_was_down_are_proposed() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (mut a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    a.server.pause();
    a.server.directory().write("nginx.conf", conf(&port, "two"));
    a.server.resume();
    until("the change", || answer(&b) == "two");
    assert_eq!(answer(&a), "two");
}

#[test]
fn files_that_changed_while_the_server_was_down_and_are_refused_do_not_serve() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (mut a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    // It includes a file that only one node has.
    a.server.directory().write("here.conf", "");
    let with = |text: &str| {
        let with = conf(&port, text);
        let with = with.replace("; local local.conf;", "; local local.conf; local here.conf;");
        with.replace("include local.conf;", "include local.conf; include here.conf;")
    };
    let (mut turn, mut before) = (0, String::new());
    let again = "mirror: the configuration before the changed files is in force again";
    until("a refusal", || {
        turn += 1;
        before = answer(&a);
        let applied = a.lines("is applied here, but not yet everywhere");
        a.server.pause();
        a.server.directory().write("nginx.conf", with(&format!("start{turn}")));
        a.server.resume();
        // A node that is not linked yet is not asked.
        until("an answer", || {
            a.lines(again) > 0 || a.lines("is applied here, but not yet everywhere") > applied
        });
        a.lines(again) > 0
    });
    until("the earlier configuration", || answer(&a) == before);
    let last = format!("start{turn}");
    assert_eq!(a.server.directory().read("nginx.conf"), with(&last), "the changed files stay");
    // They can be proposed again.
    b.server.directory().write("here.conf", "");
    a.wait_status("link to b: up");
    a.server.signal(Signal::HUP);
    until("the change", || answer(&a) == last && answer(&b) == last);
}

#[test]
fn an_address_that_is_taken_on_one_node_is_a_reason_to_refuse() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    // Both nodes are on one host, and the first one that binds has it.
    let other = Port::reserve();
    let server = format!("include local.conf; server {{ listen 127.0.0.1:{}; }}", other.number());
    let taken = conf(&port, "two").replace("include local.conf;", &server);
    let _listener = std::net::TcpListener::bind(("127.0.0.1", other.number()));
    change(&a, &taken);
    a.wait_lines("failed (98: Address already in use)", 1);
    assert_eq!((answer(&a), answer(&b)), ("one".to_owned(), "one".to_owned()));
}

#[test]
fn a_reload_that_waits_for_another_is_not_forgotten() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    // The second one arrives while the other node still has to refuse the first one.
    send_signal(b.worker(), Signal::STOP);
    a.server.directory().write("here.conf", "");
    let with =
        conf(&port, "two").replace("; local local.conf;", "; local local.conf; local here.conf;");
    change(&a, &with.replace("include local.conf;", "include local.conf; include here.conf;"));
    a.wait_lines("mirror: proposing the configuration", 2);
    change(&a, &conf(&port, "three"));
    send_signal(b.worker(), Signal::CONT);
    a.wait_lines("mirror: the configuration is not in force: refused by b", 1);
    a.wait_lines("is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("three".to_owned(), "three".to_owned()));
}

#[test]
fn a_change_that_takes_a_new_worker_takes_effect_on_both() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    let before = [a.worker(), b.worker()];
    change(&a, &format!("worker_rlimit_nofile 1000; {}", conf(&port, "two")));
    // The new worker's links are new, too: the answer waits for them.
    a.wait_lines("mirror: version 2 of a is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("two".to_owned(), "two".to_owned()));
    until("new workers", || a.worker() != before[0] && b.worker() != before[1]);
    a.wait_status("link to b: up");
    b.wait_status("link to a: up");
    change(&b, &format!("worker_rlimit_nofile 1000; {}", conf(&port, "three")));
    b.wait_lines("mirror: version 3 of b is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("three".to_owned(), "three".to_owned()));
}

/// A node that cannot put in force what was agreed upon while it was away: all nodes say why.
#[test]
fn a_node_that_cannot_follow_is_named_with_its_reason() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, mut b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    b.server.pause();
    a.server.directory().write("here.conf", "");
    let with =
        conf(&port, "two").replace("; local local.conf;", "; local local.conf; local here.conf;");
    change(&a, &with.replace("include local.conf;", "include local.conf; include here.conf;"));
    a.wait_lines("version 2 of a is applied here, but not yet everywhere", 1);
    b.server.resume();
    b.wait_status("\n  this node cannot put version 2 of a in force: open() \"");
    a.wait_status("\n  b cannot put version 2 of a in force: open() \"");
    a.wait_status("\n  b has version 1 of a\n");
    assert_eq!((answer(&a), answer(&b)), ("two".to_owned(), "one".to_owned()));
}

/// Changes that take new workers, one right after the other: each is answered as any other.
#[test]
fn changes_that_take_new_workers_are_answered_by_them() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    for (number, directive) in [(2, "worker_rlimit_nofile 2000"), (3, "worker_rlimit_core 1000")] {
        let text = format!("n{number}");
        change(&b, &format!("{directive}; {}", conf(&port, &text)));
        b.wait_lines(&format!("mirror: version {number} of b is in force on all nodes"), 1);
        assert_eq!((answer(&a), answer(&b)), (text.clone(), text));
    }
    assert_eq!(b.lines("mirror: proposing"), 2);
}

#[test]
fn a_mirror_that_is_switched_on_uses_the_links_that_are_up() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    let on = conf(&port, "one");
    let off = on.replace("local local.conf;", "local local.conf; mirror off;");
    // Whether a node takes part is its own matter.
    for (node, conf) in [(&a, &off), (&b, &off), (&a, &on), (&b, &on)] {
        let before = node.lines("exited with code 0");
        change(node, conf);
        node.wait_lines("exited with code 0", before + 1);
    }
    change(&b, &conf(&port, "two"));
    until("the change", || answer(&a) == "two" && answer(&b) == "two");
    assert_eq!(b.lines("it is away"), 0);
}

/// Servers and pairs that are changed at run time are records, and no part of the configuration.
#[test]
fn state_files_are_each_nodes_own() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = mirrored(&port);
    b.wait_lines("mirror: version 1 of a of the configuration is in force", 1);
    for node in [&a, &b] {
        let folder = node.server.directory().join("run");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let local = node.server.directory().read("local.conf");
        let local = local.replacen("location", "location /api { api write=on; } location", 1);
        node.server.directory().write("local.conf", local);
    }
    let more = "upstream u { zone u 64k; state run/u.state; } map $host $text";
    change(&a, &conf(&port, "two").replacen("map $host $text", more, 1));
    a.wait_lines("mirror: version 2 of a is in force on all nodes", 1);
    let call = |node: &Node, request: &str| {
        let conf = node.server.directory().read("local.conf");
        let port = conf.split([':', ';']).nth(1).unwrap().to_owned();
        let mut client = crate::harness::Client::connect(format!("127.0.0.1:{port}"));
        client.send(request);
        client.response()
    };
    let list = "http/upstreams/u/servers";
    let added = crate::harness::api_call("POST", list, r#"{"server": "127.0.0.1:9"}"#);
    assert_eq!(call(&b, &added).status, 201);
    let show = crate::harness::api_call("GET", list, "");
    until("the server", || call(&a, &show).text().contains("127.0.0.1:9"));
    let file = |node: &Node| fs::read_to_string(node.server.directory().join("run/u.state"));
    until("the file", || file(&a).is_ok_and(|text| text.starts_with("server 127.0.0.1:9;")));
    // A reload is no change, and a change leaves the file to the other node.
    let before = a.lines("exited with code 0");
    a.server.signal(Signal::HUP);
    a.wait_lines("exited with code 0", before + 1);
    assert_eq!((a.lines("proposing"), b.lines("proposing")), (2, 0));
    let kept = file(&b).unwrap() + "# kept\n";
    fs::write(b.server.directory().join("run/u.state"), &kept).unwrap();
    change(&a, &conf(&port, "three").replacen("map $host $text", more, 1));
    a.wait_lines("mirror: version 3 of a is in force on all nodes", 1);
    assert_eq!((answer(&a), answer(&b)), ("three".to_owned(), "three".to_owned()));
    assert_eq!(file(&b).unwrap(), kept);
    assert!(call(&b, &show).text().contains("127.0.0.1:9"));
}
