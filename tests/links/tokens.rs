//! Join tokens: each lets one node in, once, for a while.

use std::time::Duration;

use super::node::{refusal, token, weir};
use super::*;
use crate::harness::{Port, Signal, is_nginx, send_signal};

#[test]
fn a_token_works_once() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, first) = Node::first(&port);
    let b = Node::second(&port, &first);
    let thief = Node::bare(&port);
    let text = refusal(&thief, &["join", &first, "b"]);
    assert!(text.contains("the token was used by node \"b\""), "{text}");
    a.server.wait_log("node \"b\" at 127.0.0.1 may not join: the token was used by node \"b\"");
    assert!(!thief.directory().join("state/ha/node").exists());
    b.wait_status("link to a: up");
}

#[test]
fn wrong_and_expired_tokens_are_refused_and_guesses_are_limited() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, old) = Node::first(&port);
    let newer = token(&a.says(&["init"]));
    let host = Node::bare(&port);
    let invitation = a.server.directory().join("state/ha/invitation");
    let text = refusal(&host, &["join", &old, "b"]);
    assert!(text.contains("the secret of the token is wrong"), "{text}");
    let open = std::fs::read_to_string(&invitation).unwrap();
    let expired: Vec<&str> = open.lines().take(1).chain(["expires 1000000000"]).collect();
    // Long ago: not even a reason is told.
    std::fs::write(&invitation, expired.join("\n") + "\n").unwrap();
    let refused = || refusal(&host, &["join", &newer, "b"]);
    crate::harness::until("the end of the invitation", || {
        refused().contains("closed the connection") || refused().contains("does not speak")
    });
    a.server.wait_log("127.0.0.1 wants to join, and no invitation is open");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let just = format!("expires {}", now.as_secs() - 1);
    let expired: Vec<&str> = open.lines().take(1).chain([just.as_str()]).collect();
    std::fs::write(&invitation, expired.join("\n") + "\n").unwrap();
    crate::harness::until("the reason", || refused().contains("the token has expired"));
    std::fs::write(&invitation, &open).unwrap();
    crate::harness::until("too many guesses", || {
        let text = refusal(&host, &["join", &old, "b"]);
        text.contains("10 wrong secrets have closed the invitation")
    });
    assert!(refused().contains("10 wrong secrets"), "not even the right secret opens it");
    let fresh = token(&a.says(&["init"]));
    let b = Node::second(&port, &fresh);
    b.wait_status("link to a: up");
}

#[test]
fn a_join_that_cannot_be_is_explained() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, good) = Node::first(&port);
    let host = Node::bare(&port);
    for (words, reason) in [
        (["join", &good, "c"], "has no node \"c\"; its nodes are \"a\", \"b\""),
        (["join", &good, "a"], "the name \"a\" is that of the inviting node"),
        (["join", &good, "../b"], "is no name for a node"),
        (["join", &good[..good.len() - 3], "b"], "not complete: copy it whole"),
        (["join", "secret", "b"], "which begins with \"weir-join-\""),
    ] {
        let text = refusal(&host, &words);
        assert!(text.contains(reason), "{text}");
    }
    // Another server at the address has another certificate.
    a.says(&["leave"]);
    a.says(&["init", "a"]);
    crate::harness::until("the new identity", || {
        refusal(&host, &["join", &good, "b"]).contains("has another certificate than expected")
    });
    assert!(refusal(&host, &["peers"]).contains("this node has no identity"));
    drop(a);
    let text = refusal(&host, &["join", &good, "b"]);
    assert!(text.contains("cannot connect to 127.0.0.1:"), "{text}");
}

/// The running server knows a token when it is printed.
#[test]
fn a_printed_token_lets_a_node_in_at_once() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, _) = Node::first(&port);
    // The master, which hands invitations to the worker, has its turn later.
    let master = a.server.pid();
    for _ in 0..3 {
        send_signal(master, Signal::STOP);
        let resumed = std::thread::spawn(move || {
            std::thread::park_timeout(Duration::from_millis(300));
            send_signal(master, Signal::CONT);
        });
        let token = token(&a.says(&["init"]));
        let host = Node::bare(&port);
        let joined = weir(host.directory().path(), &["join", &token, "b"]);
        resumed.join().unwrap();
        let said = String::from_utf8_lossy(&joined.stderr).into_owned();
        assert!(joined.status.success(), "{said}");
    }
}
