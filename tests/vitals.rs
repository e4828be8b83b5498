//! Figures of the whole process in the API: each moves when something happens.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{
    Certificate, Client, Server, Setup, Signal, children, run, send_signal, until,
};

/// A server with TLS, whose certificate is for `a.test`, and the API beside it.
fn secure(http: &str, lines: &str) -> Setup {
    let setup = Server::http(&format!(
        "{http} server {{ listen 127.0.0.1:%port%; location /api {{ api write=on; }} {lines} }}
         server {{ listen 127.0.0.1:%port2% ssl; server_name a.test; status_zone secure;
           ssl_certificate a.crt; ssl_certificate_key a.key; ssl_session_cache shared:a:1m;
           return 200 ok; }}"
    ));
    Certificate::self_signed(setup.directory(), "a", "a.test");
    setup
}

/// A handshake by `openssl s_client`.
fn s_client(server: &Server, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address("port2")]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
}

/// Waits until the value below a path of the API is as wanted.
#[track_caller]
fn await_value(server: &Server, path: &str, pointer: &str, wanted: &Value) {
    until(&format!("{wanted} at {pointer} of {path}"), || {
        server.api_get(path).pointer(pointer) == Some(wanted)
    });
}

#[test]
fn handshakes_of_clients_are_counted() {
    let server = secure("", "").start();
    assert_eq!(server.api_get("ssl")["clients"]["handshakes"], 0);
    assert_eq!(server.api_get("http/server_zones/secure").get("ssl"), None);
    s_client(&server, &["-tls1_3"]);
    await_value(&server, "ssl", "/clients/protocols/TLSv1.3", &1.into());
    let session = server.directory().join("session");
    let session = session.to_str().unwrap();
    s_client(&server, &["-tls1_2", "-sess_out", session]);
    s_client(&server, &["-tls1_2", "-sess_in", session]);
    await_value(&server, "ssl", "/clients/session_reuses", &1.into());
    s_client(&server, &["-tls1_2", "-cipher", "DHE-RSA-AES128-SHA"]);
    await_value(&server, "ssl", "/clients/failures/no_common_cipher", &1.into());
    // It checks the certificate in the handshake, and says what it thinks of it.
    s_client(&server, &["-verify", "1", "-verify_return_error"]);
    await_value(&server, "ssl", "/clients/peer_rejected_cert", &1.into());
    Client::connect(server.address("port2")).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
    await_value(&server, "ssl", "/clients/failures/not_tls", &1.into());
    let ssl = server.api_get("ssl");
    assert_eq!(ssl["clients"]["handshakes"], 3, "{ssl}");
    assert_eq!((&ssl["handshakes"], &ssl["handshakes_failed"]), (&3.into(), &3.into()), "{ssl}");
    let ciphers = ssl["clients"]["ciphers"].as_object().unwrap();
    assert_eq!(ciphers.values().filter_map(Value::as_u64).sum::<u64>(), 3, "{ssl}");
    let zone = server.api_get("http/server_zones/secure");
    assert_eq!(zone["ssl"]["handshakes"], 3, "{zone}");
    assert_eq!(server.api("DELETE", "ssl", "").status, 204);
    assert_eq!(server.api_get("ssl")["clients"]["handshakes"], 0);
}

#[test]
fn handshakes_with_upstreams_are_counted_by_server() {
    let upstreams = "upstream good { zone good 64k; server 127.0.0.1:%port2%; }
         upstream plain { zone plain 64k; server 127.0.0.1:%port%; }";
    let lines = "location /good { proxy_pass https://good; }
        location /other { proxy_pass https://good; proxy_ssl_verify on; proxy_ssl_name b.test;
          proxy_ssl_trusted_certificate a.crt; }
        location /plain { proxy_pass https://plain; }";
    let setup = secure(upstreams, lines);
    let server = setup.start();
    assert_eq!(server.get("/good").text(), "ok");
    assert_eq!(server.get("/other").status, 502);
    assert_eq!(server.get("/plain").status, 502);
    let ssl = server.api_get("ssl");
    let upstreams = &ssl["upstreams"];
    assert_eq!(upstreams["handshakes"], 1, "{ssl}");
    assert_eq!(upstreams["verify_failures"]["hostname_mismatch"], 1, "{ssl}");
    assert_eq!(upstreams["failures"]["unverified"], 1, "{ssl}");
    assert_eq!(upstreams["failures"]["not_tls"], 1, "{ssl}");
    let good = server.api_get("http/upstreams/good");
    assert_eq!(good["peers"][0]["ssl"]["handshakes"], 1, "{good}");
    assert_eq!(good["peers"][0]["ssl"]["handshakes_failed"], 1, "{good}");
}

#[test]
fn certificates_tell_when_they_expire() {
    let server = secure("", "").start();
    let shown = server.api_get("certificates");
    assert_eq!(shown[0]["subject"], "CN=a.test", "{shown}");
    assert_eq!(shown[0]["servers"], serde_json::json!(["a.test"]), "{shown}");
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    // The harness makes them for 30 days.
    let left = shown[0]["expires_in"].as_i64().unwrap();
    assert!((29 * 86_400..=30 * 86_400).contains(&left), "{shown}");
    let file = server.directory().join("a.crt");
    assert_eq!(shown[0]["file"], file.to_str().unwrap());
    assert!(!server.error_log().contains("expires"), "nothing to warn of");
}

#[test]
fn a_certificate_that_ends_soon_is_warned_of() {
    let setup = secure("", "");
    let (certificate, key) = (setup.directory().join("a.crt"), setup.directory().join("a.key"));
    let [certificate, key] = [&certificate, &key].map(|path| path.to_str().unwrap());
    let arguments = ["req", "-x509", "-nodes", "-key", key, "-subj", "/CN=soon", "-days", "3"];
    let made = run("openssl", &[&arguments[..], &["-out", certificate]].concat());
    assert!(made.status.success());
    let server = setup.start();
    server.wait_log("(CN=soon) of server \"a.test\" expires in ");
}

#[test]
fn reloads_are_counted_with_the_last_fault() {
    let server = secure("", "").alerts_expected().start();
    let reloads = server.api_get("reloads");
    assert_eq!((&reloads["good"], &reloads["failed"]), (&0.into(), &0.into()), "{reloads}");
    assert_eq!(reloads.get("fault"), None, "{reloads}");
    server.signal(Signal::HUP);
    await_value(&server, "reloads", "/good", &1.into());
    await_value(&server, "reloads", "/generation", &2.into());
    await_value(&server, "reloads", "/held", &0.into());
    let conf = std::fs::read_to_string(server.directory().join("nginx.conf")).unwrap();
    server.directory().write("nginx.conf", format!("nonsense;\n{conf}"));
    server.signal(Signal::HUP);
    await_value(&server, "reloads", "/failed", &1.into());
    let reloads = server.api_get("reloads");
    let fault = reloads["fault"].as_str().unwrap();
    assert!(fault.contains("unknown directive \"nonsense\" in "), "{reloads}");
    assert!(reloads["last_failed"].as_str() >= reloads["last_good"].as_str(), "{reloads}");
    // A successor of a killed worker knows the same.
    send_signal(children(server.pid())[0], Signal::KILL);
    await_value(&server, "reloads", "/respawned", &1.into());
    let reloads = server.api_get("reloads");
    assert_eq!((&reloads["good"], &reloads["failed"]), (&1.into(), &1.into()), "{reloads}");
}

#[test]
fn loops_and_memory_are_measured() {
    let server = secure("", "").start();
    let turns = |server: &Server| {
        let loops = server.api_get("loops");
        let all = loops.as_array().unwrap();
        let serving = all.iter().find(|one| one["thread"] == "weir-0").unwrap().clone();
        let buckets = serving["turn_time"]["buckets"].as_object().unwrap();
        let sum: u64 = buckets.values().filter_map(Value::as_u64).sum();
        assert_eq!(serving["turns"].as_u64(), Some(sum), "{serving}");
        assert!(serving["busy"].as_u64() <= serving["age"].as_u64(), "{serving}");
        assert!(serving["longest"].as_u64() > Some(0), "{serving}");
        assert!(serving["tasks"].as_u64() > Some(0), "{serving}");
        sum
    };
    let before = turns(&server);
    assert!(turns(&server) > before);
    let memory = server.api_get("memory");
    assert!(memory["resident"].as_u64() > Some(1 << 20), "{memory}");
    assert!(memory["peak"].as_u64() >= memory["resident"].as_u64(), "{memory}");
    assert!(memory["allocator"]["committed"].as_u64() > Some(1 << 16), "{memory}");
}
