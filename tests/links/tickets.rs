//! Session tickets: a client that has one of a node resumes at the others.

use std::fs;
use std::process::Command;

use super::node::{Node, ha};
use super::*;
use crate::harness::{Certificate, Port, Signal, is_nginx, send_signal, until, until_some};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// A pair with servers by TLS, of which "b.test" asks for certificates.
fn pair_by_tls(port: &Port, more: &str) -> (Node, Node) {
    let (a, b) = pair(port);
    let files = ["own.crt", "own.key", "client.crt", "client.key"];
    Certificate::self_signed(a.server.directory(), "own", "a.test");
    Certificate::self_signed(a.server.directory(), "client", "client.test");
    for file in files {
        let there = b.server.directory().join(file);
        fs::copy(a.server.directory().join(file), there).unwrap();
    }
    for node in [&a, &b] {
        reload(node, port, more);
    }
    (a, b)
}

fn conf(more: &str) -> String {
    let server = |name: &str, more: &str| {
        format!(
            "server {{ listen %port% ssl; server_name {name}; ssl_certificate own.crt;
               ssl_certificate_key own.key; {more}
               return 200 \"$ssl_session_reused $ssl_client_verify;\"; }}"
        )
    };
    let verify = "ssl_verify_client optional; ssl_client_certificate client.crt;";
    server("a.test", more) + &server("b.test", &format!("{verify} {more}"))
}

fn reload(node: &Node, port: &Port, more: &str) {
    let before = node.lines("exited with code 0");
    node.server.rewrite_with(&conf(more), &ha(port));
    node.server.signal(Signal::HUP);
    node.wait_lines("exited with code 0", before + 1);
}

/// A request by TLS; the body of the answer. Empty while the node does not answer.
fn ask(node: &Node, host: &str, arguments: &[&str]) -> String {
    let mut script = format!(
        "printf 'GET / HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n' | openssl s_client -quiet \
         -servername {host} -connect {}",
        node.server.address("port")
    );
    for argument in arguments {
        script += &format!(" '{argument}'");
    }
    let mut command = Command::new("sh");
    let output = command.args(["-c", &script]).current_dir(node.server.directory().path());
    let text = String::from_utf8_lossy(&output.output().unwrap().stdout).into_owned();
    text.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
}

/// A new session of a node, in a file.
fn session(node: &Node, host: &str, arguments: &[&str]) -> String {
    let file = node.server.directory().join("session");
    let file = file.to_str().unwrap();
    let all = [arguments, &["-sess_out", file]].concat();
    until_some("a session", || {
        let _ = fs::remove_file(file);
        let answer = ask(node, host, &all);
        // TLS 1.3 sends it after the handshake.
        (answer.starts_with(". ") && fs::metadata(file).is_ok()).then_some(())
    });
    file.to_owned()
}

/// The name of the key of a session's ticket.
fn key_of(session: &str) -> String {
    let mut command = Command::new("openssl");
    let output = command.args(["sess_id", "-noout", "-text", "-in", session]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().skip_while(|line| !line.contains("session ticket:"));
    lines.nth(1).expect(&text).trim().split("   ").next().unwrap().to_owned()
}

fn key(node: &Node) -> String {
    key_of(&session(node, "a.test", &["-tls1_3"]))
}

/// Waits until both nodes encrypt with one key.
fn wait_shared(a: &Node, b: &Node) -> String {
    until_some("a shared key", || {
        let key = key(a);
        (key == self::key(b)).then_some(key)
    })
}

#[track_caller]
fn resumes(node: &Node, host: &str, session: &str, version: &str) {
    let answer = ask(node, host, &[version, "-sess_in", session]);
    assert!(answer.starts_with("r "), "{version}: {answer}");
}

#[test]
fn a_session_of_one_node_is_resumed_by_the_other() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (mut a, mut b) = pair_by_tls(&port, "");
    wait_shared(&a, &b);
    let folder = a.server.directory().path().to_owned();
    let keep = |session: &str, name: &str| {
        let kept = folder.join(name).display().to_string();
        fs::copy(session, &kept).unwrap();
        kept
    };
    let mut sessions = Vec::new();
    for version in VERSIONS {
        let of_a = keep(&session(&a, "a.test", &[version]), &format!("of_a{version}"));
        let of_b = keep(&session(&b, "a.test", &[version]), &format!("of_b{version}"));
        resumes(&b, "a.test", &of_a, version);
        resumes(&a, "a.test", &of_b, version);
        sessions.push((version, [of_a, of_b]));
    }
    let all_resume = |node: &Node| {
        for (version, sessions) in &sessions {
            sessions.iter().for_each(|session| resumes(node, "a.test", session, version));
        }
    };
    let kill = |node: &Node| {
        let old = node.worker();
        send_signal(old, Signal::KILL);
        until("another worker", || node.worker() != old);
    };
    // A reload, and a worker that was killed: its successor has the keys before it serves.
    reload(&b, &port, "keepalive_timeout 9s;");
    all_resume(&b);
    kill(&b);
    all_resume(&b);
    // A node that starts again gets the keys of the other.
    b.server.pause();
    b.server.resume();
    wait_shared(&a, &b);
    all_resume(&b);
    // It goes on when the other one is gone, after a kill, too.
    a.server.pause();
    b.wait_lines("link to node \"a\" is down", 1);
    all_resume(&b);
    kill(&b);
    all_resume(&b);
    a.server.resume();
    wait_shared(&a, &b);
    all_resume(&a);
}

#[test]
fn a_session_is_judged_by_the_node_that_resumes_it() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_by_tls(&port, "");
    wait_shared(&a, &b);
    for version in VERSIONS {
        let mine = ["-cert", "client.crt", "-key", "client.key", version];
        let of_client = session(&a, "b.test", &mine);
        let at_b = |host: &str| ask(&b, host, &[version, "-sess_in", &of_client]);
        assert_eq!(at_b("b.test"), "r SUCCESS;");
        // Neither another name nor another requirement is met by it.
        assert_eq!(at_b("a.test"), ". NONE;");
        let of_nobody = session(&a, "a.test", &[version]);
        let answer = ask(&b, "b.test", &[version, "-sess_in", &of_nobody]);
        assert_eq!(answer, ". NONE;");
    }
    // Another authority at "b": its clients have to prove themselves.
    let of_client =
        session(&a, "b.test", &["-cert", "client.crt", "-key", "client.key", "-tls1_3"]);
    fs::copy(b.server.directory().join("own.crt"), b.server.directory().join("client.crt"))
        .unwrap();
    reload(&b, &port, "");
    let answer = ask(&b, "b.test", &["-tls1_3", "-sess_in", &of_client]);
    assert_eq!(answer, ". NONE;");
}

#[test]
fn another_key_ends_no_session() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    // The shortest life of a key. A session that lives longer lets the machine be slow.
    let (a, b) = pair_by_tls(&port, "ssl_session_timeout 12s;");
    wait_shared(&a, &b);
    let copy = a.server.directory().join("last").display().to_string();
    let last = || {
        let file = session(&a, "a.test", &["-tls1_2"]);
        (std::time::Instant::now(), key_of(&file), fs::read(&file).unwrap())
    };
    let mut answers = None;
    for _ in 0..5 {
        let mut old = last();
        // The last session of a key, when the next one encrypts.
        let old = until_some("another key", || {
            let new = last();
            let is_other = new.1 != old.1;
            let before = std::mem::replace(&mut old, new);
            is_other.then_some(before)
        });
        fs::write(&copy, &old.2).unwrap();
        answers = Some([&a, &b].map(|node| ask(node, "a.test", &["-tls1_2", "-sess_in", &copy])));
        // The next key has its turn if the machine was too slow for this one.
        if old.0.elapsed().as_secs() < 10 {
            break;
        }
    }
    assert!(answers.iter().flatten().all(|answer| answer.starts_with("r ")), "{answers:?}");
    // All encrypt with it.
    wait_shared(&a, &b);
}
