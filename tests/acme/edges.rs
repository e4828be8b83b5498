//! Orders in unusual surroundings, and authorities and names that are up to something.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::authority::Authority;
use super::faults::{CONF, plain};
use super::{USUAL, server, shown, wait_for};
use crate::harness::{Pebble, Server, is_nginx, run, until};

const SERVER: &str = "
    acme_certificate ca;
    ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key;";

/// Tells Pebble's name server something.
fn tell(pebble: &Pebble, path: &str, body: &str) {
    let url = format!("http://{}/{path}", pebble.records());
    assert!(run("curl", &["-sf", "-d", body, &url]).status.success());
}

/// Whatever the servers on port 80 do with other requests.
#[test]
fn any_server_on_the_port_answers() {
    if is_nginx() {
        return;
    }
    let closed = "server { listen 127.0.0.1:%http% default_server; return 444; }
        server { listen 127.0.0.1:%http%; server_name other.test; }
        server { listen 127.0.0.1:%http%; server_name a.test; deny all;
            location / { return 301 https://a.test/; }
            location /.well-known/ { deny all; }
            location ^~ /.well-known/acme-challenge/ { proxy_pass http://127.0.0.1:1; } }";
    let v6 = "server { listen [::1]:%http%; return 444; }";
    for (listens, is_v6) in [(closed, false), (v6, true)] {
        let Some(pebble) = Pebble::start(&[]) else { return };
        if is_v6 {
            tell(&pebble, "set-default-ipv6", r#"{"ip":"::1"}"#);
            tell(&pebble, "set-default-ipv4", r#"{"ip":""}"#);
        }
        let conf = format!(
            "acme_issuer ca {{ %ca% }} {listens}
            server {{ listen 127.0.0.1:%tls% ssl; server_name a.test; {SERVER} }}"
        );
        let server = server(&pebble, &conf).start();
        wait_for(&server, pebble.tls.number(), "a.test");
        assert_eq!(pebble.issued(), 1);
    }
}

/// A balancer in front says for whom it speaks.
#[test]
fn a_listener_behind_a_proxy_answers() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let conf = format!(
        "acme_issuer ca {{ %ca% }}
        server {{ listen 127.0.0.1:%port% proxy_protocol; return 444; }}
        server {{ listen 127.0.0.1:%tls% ssl; server_name a.test; {SERVER} }}"
    );
    let server = server(&pebble, &conf).start();
    let listener = TcpListener::bind(("127.0.0.1", pebble.http.number())).unwrap();
    let to = server.address("port");
    // Until the end of the process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut head) = (stream.unwrap(), vec![0; 4096]);
            let length = stream.read(&mut head).unwrap_or(0);
            let Ok(mut behind) = TcpStream::connect(&to) else { return };
            let _ = behind.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n");
            let _ = behind.write_all(&head[..length]);
            let mut answer = vec![0; 4096];
            let length = behind.read(&mut answer).unwrap_or(0);
            let _ = stream.write_all(&answer[..length]);
        }
    });
    server.reload_http(&conf.replace("%ca%", "%ca% contact other@a.test;"));
    wait_for(&server, pebble.tls.number(), "a.test");
}

#[test]
fn a_certificate_of_addresses_is_proved_both_ways() {
    if is_nginx() {
        return;
    }
    for challenge in ["http", "tls-alpn"] {
        let Some(pebble) = Pebble::start(&[]) else { return };
        let conf = format!(
            "acme_issuer ca {{ %ca% challenge {challenge}; }}
            server {{ listen 127.0.0.1:%http%; listen [::1]:%http%; return 444; }}
            server {{ listen 127.0.0.1:%tls% ssl; listen [::1]:%tls% ssl;
                server_name 127.0.0.1 0:0::1; {SERVER} }}"
        );
        let server = server(&pebble, &conf).start();
        let text = wait_for(&server, pebble.tls.number(), "any.test");
        assert!(text.contains("IP Address:127.0.0.1"), "{text}");
        assert!(text.contains("IP Address:0:0:0:0:0:0:0:1"), "{text}");
    }
}

#[test]
fn a_certificate_has_a_hundred_names_and_not_more() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[("PEBBLE_WFE_NONCEREJECT", "0")]) else { return };
    let conf = |count: usize| {
        let names: Vec<_> = (1..count).map(|number| format!("n{number}.test")).collect();
        format!(
            "acme_issuer ca {{ %ca% }} server {{ listen 127.0.0.1:%http%; }}
            server {{ listen 127.0.0.1:%tls% ssl; server_name xn--bcher-kva.test {}; {SERVER} }}",
            names.join(" ")
        )
    };
    let output = server(&pebble, &conf(101)).check();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("at most 100 names"), "{told}");
    let server = server(&pebble, &conf(100)).start();
    for step in 1..=10 {
        until(&format!("{step} tenths of the names"), || {
            pebble.log().matches("set VALID by completed challenge").count() >= 10 * step
        });
    }
    let text = wait_for(&server, pebble.tls.number(), "n99.test");
    assert_eq!(text.matches("DNS:").count(), 100);
    assert!(text.contains("DNS:xn--bcher-kva.test"), "{text}");
}

/// Every reload has another contact or the same one, from before the order to its end.
#[test]
fn reloads_amid_an_order_cost_no_other() {
    if is_nginx() {
        return;
    }
    let variables = [("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "2")];
    let Some(pebble) = Pebble::start(&variables) else { return };
    let server = server(&pebble, USUAL).start();
    let mut number = 0;
    until("the certificate", || {
        number += 1;
        server.reload_http(&USUAL.replace("admin@", &format!("n{}@", number / 2)));
        shown(&server, pebble.tls.number(), "a.test").is_some()
    });
    server.reload_http(USUAL);
    assert_eq!(pebble.issued(), 1, "after {number} reloads");
}

/// What an authority wants of an account is told, once, with what to do about it.
#[test]
fn accounts_that_are_refused_are_told_once() {
    if is_nginx() {
        return;
    }
    let members = r#", "externalAccountBindingRequired": true, "externalAccountMACKeys":
        {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}"#;
    let key = "external_account_key kid-1 data:c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0; contact";
    for (members, conf, terms, told) in [
        ("", USUAL.to_owned(), "", "\"accept_terms_of_service\" agrees; next try at "),
        (
            members,
            USUAL.replace("contact", key),
            "accept_terms_of_service;",
            "the authority refuses",
        ),
    ] {
        let Some(mut pebble) = Pebble::prepare(&[], members) else { return };
        pebble.launch();
        let lines = pebble.lines().replace("accept_terms_of_service;", terms);
        let server = server(&pebble, &conf).set("ca", lines).start();
        server.wait_log(told);
        // An unchanged reload is no reason to ask again.
        server.reload_http(&conf);
        let log = server.error_log();
        assert_eq!(log.matches("next try at ").count(), 1, "{log}");
    }
}

/// A token becomes a path and the names of records.
#[test]
fn tokens_that_are_none_are_refused() {
    if is_nginx() {
        return;
    }
    let tokens = ["../../etc/passwd", "", "a/b", "a b", "%2e%2e", "a\r\nX: y", &"x".repeat(257)];
    for token in tokens {
        let authority = Authority::start();
        *authority.state.token.lock().unwrap() = Some(token.to_owned());
        let server = Server::http(CONF).set("ca", authority.lines()).set("more", "").start();
        server.wait_log("the authority's token is malformed; next try at ");
        assert_eq!(plain(&server), "plain");
    }
}

#[test]
fn names_that_authorities_do_not_know_are_refused() {
    if is_nginx() {
        return;
    }
    for name in ["bücher.test", "a.test/../b", "a..test", "-a.test", "a\\n.test", "1.2.3"] {
        let conf = format!(
            "acme_issuer ca {{ uri https://ca.test/dir; }}
            server {{ listen 127.0.0.1:%port% ssl; server_name \"{name}\"; {SERVER} }}"
        );
        let output = Server::http(&conf).check();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name} {told}");
        assert!(told.contains("invalid server name"), "{name} {told}");
    }
}
