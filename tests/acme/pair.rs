//! One order for the nodes of a pair.

use std::sync::atomic::Ordering;

use super::authority::Authority;
use super::{kept, serial, shown, wait_for};
use crate::harness::{Pebble, Port, Signal, children, is_nginx, send_signal, until};
use crate::links::node::{Node, ha, pair};

const SERVER: &str = "
    server { listen 127.0.0.1:%port% ssl; server_name a.test; return 200 secure;
        acme_certificate ca;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }";

/// Gives a node another text inside `http { }`.
fn reload(node: &Node, port: &Port, http: &str) {
    let done = node.lines("exited with code 0");
    node.server.rewrite_with(http, &ha(port));
    node.server.signal(Signal::HUP);
    node.wait_lines("exited with code 0", done + 1);
}

fn serial_at(node: &Node) -> Option<String> {
    shown(&node.server, node.server.port("port"), "a.test").map(|text| serial(&text))
}

/// Waits until both nodes show a certificate, which is the same.
fn wait_for_both(a: &Node, b: &Node) -> String {
    let first = serial(&wait_for(&a.server, a.server.port("port"), "a.test"));
    until("the certificate on the other node", || serial_at(b).as_ref() == Some(&first));
    first
}

/// The first node orders; the authority's question reaches the other one, which answers.
#[test]
fn nodes_share_one_order() {
    if is_nginx() {
        return;
    }
    for (challenge, listens) in [("http", "%http%"), ("tls-alpn", "%tls% ssl")] {
        let Some(pebble) = Pebble::start(&[]) else { return };
        let port = Port::reserve();
        let (a, b) = pair(&port);
        let issuer = format!("acme_issuer ca {{ {} challenge {challenge}; }}", pebble.lines());
        let own = format!("{issuer} {SERVER}");
        let listens = listens
            .replace("%http%", &pebble.http.number().to_string())
            .replace("%tls%", &pebble.tls.number().to_string());
        let asked = format!(
            "server {{ listen 127.0.0.1:{listens}; server_name asked.test; return 444;
                ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }}"
        );
        reload(&b, &port, &format!("{own} {asked}"));
        reload(&a, &port, &own);
        let first = wait_for_both(&a, &b);
        assert_eq!(pebble.issued(), 1);
        assert_eq!((a.lines("ordering;"), b.lines("ordering;")), (1, 0));
        b.wait_lines("a.test: a certificate of another node", 1);
        until("the files", || [&a, &b].iter().all(|node| kept(&node.server, "ca").len() == 1));
        let account = |node: &Node| node.server.directory().read("acme_ca/account.key");
        until("the account", || account(&a) == account(&b));
        // A reload and a killed worker change nothing.
        reload(&b, &port, &own);
        let worker = children(b.server.pid())[0];
        send_signal(worker, Signal::KILL);
        until("another worker", || {
            let now = children(b.server.pid());
            now.first().is_some_and(|new| *new != worker) && serial_at(&b).is_some()
        });
        assert_eq!((serial_at(&b), pebble.issued()), (Some(first), 1));
    }
}

/// The other node renews with the account and the certificate of the one that is gone.
#[test]
fn the_other_node_renews_when_the_first_is_gone() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    let port = Port::reserve();
    let (mut a, b) = pair(&port);
    let own = format!("acme_issuer ca {{ {} }} {SERVER}", authority.lines());
    reload(&a, &port, &own);
    reload(&b, &port, &own);
    let first = wait_for_both(&a, &b);
    assert_eq!((authority.issued(), authority.accounts()), (1, 1));
    *authority.state.window.lock().unwrap() = Some((-7200, -3600));
    a.server.kill();
    until("another certificate", || serial_at(&b).is_some_and(|serial| serial != first));
    assert_eq!((authority.issued(), authority.accounts()), (2, 1));
    // The one that comes back takes it over. It has an older one in its file.
    a.server.resume();
    until("the same certificate", || serial_at(&a) == serial_at(&b));
    assert_eq!(authority.issued(), 2);
}

/// An order goes on at the other node.
#[test]
fn an_order_goes_on_when_its_node_is_gone() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    authority.state.is_processing.store(true, Ordering::SeqCst);
    let port = Port::reserve();
    let (mut a, b) = pair(&port);
    let own = format!("acme_issuer ca {{ {} state_path off; }} {SERVER}", authority.lines());
    reload(&a, &port, &own);
    reload(&b, &port, &own);
    until("the order", || authority.issued() == 1);
    // A question about it comes after the other node was told.
    let polls = authority.polls();
    until("a question", || authority.polls() > polls + 1);
    assert_eq!(serial_at(&a), None);
    a.server.kill();
    b.wait_lines("a.test: the order http://", 1);
    authority.state.is_processing.store(false, Ordering::SeqCst);
    until("the certificate", || serial_at(&b).is_some());
    assert_eq!((authority.orders(), authority.accounts(), authority.issued()), (1, 1, 1));
}
