//! TLS on both sides, with curl and openssl as peers.

use std::process::{Command, Output, Stdio};

use crate::harness::{Backend, Certificate, Server, Setup, Signal, run, until};

/// Adds self-signed certificates `a` for `a.test` and `b` for `b.test`.
fn with_certificates(setup: Setup) -> Setup {
    Certificate::self_signed(setup.directory(), "a", "a.test");
    Certificate::self_signed(setup.directory(), "b", "b.test");
    setup
}

fn https(conf: &str) -> Setup {
    with_certificates(Server::http(&format!(
        "server {{ listen 127.0.0.1:%port% ssl; server_name a.test;
           ssl_certificate a.crt; ssl_certificate_key a.key; {conf} }}"
    )))
}

/// Asks for `https://HOST:%port%TARGET`, trusting the certificate of the host.
fn curl(server: &Server, host: &str, target: &str, arguments: &[&str]) -> Output {
    let port = server.port("port");
    let authority = server.directory().join(&format!("{}.crt", &host[..1]));
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}{target}");
    let mut all = vec!["-sS", "--max-time", "15", "--resolve", &resolve, "--cacert"];
    all.push(authority.to_str().unwrap());
    all.extend_from_slice(arguments);
    all.push(&url);
    run("curl", &all)
}

fn text(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A handshake by `openssl s_client`.
fn s_client(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address("port")]).args(arguments);
    let output = command.stdin(Stdio::null()).output().unwrap();
    text(&output)
}

#[test]
fn requests_and_variables() {
    let server = https(
        r#"location / { return 200 
             "$scheme $https $ssl_protocol $ssl_server_name $ssl_session_reused $server_name"; }"#,
    )
    .start();
    let answer = curl(&server, "a.test", "/", &["--http1.1", "--tls-max", "1.2"]);
    assert_eq!(text(&answer), "https on TLSv1.2 a.test . a.test");
    let answer = curl(&server, "a.test", "/", &["--http1.1"]);
    assert_eq!(text(&answer), "https on TLSv1.3 a.test . a.test");
}

#[test]
fn names_choose_the_certificate() {
    let server = with_certificates(Server::http(
        "server { listen 127.0.0.1:%port% ssl; server_name a.test; ssl_certificate a.crt;
            ssl_certificate_key a.key; return 200 a; }
         server { listen 127.0.0.1:%port% ssl; server_name b.test; ssl_certificate b.crt;
             ssl_certificate_key b.key; return 200 b; }",
    ))
    .start();
    assert_eq!(text(&curl(&server, "a.test", "/", &[])), "a");
    assert_eq!(text(&curl(&server, "b.test", "/", &[])), "b");
    let shown = s_client(&server, &["-servername", "b.test"]);
    assert!(shown.contains("CN = b.test"), "{shown}");
    let shown = s_client(&server, &["-noservername"]);
    assert!(shown.contains("CN = a.test"), "the default server's: {shown}");
}

#[test]
fn protocols_are_restricted() {
    let server = https("ssl_protocols TLSv1.2; return 200 ok;").start();
    assert_eq!(text(&curl(&server, "a.test", "/", &[])), "ok");
    let answer = curl(&server, "a.test", "/", &["--tlsv1.3"]);
    assert!(!answer.status.success(), "{}", text(&answer));
    let server = https("ssl_protocols TLSv1.3; return 200 ok;").start();
    assert_eq!(text(&curl(&server, "a.test", "/", &[])), "ok");
    assert!(!curl(&server, "a.test", "/", &["--tls-max", "1.2"]).status.success());
}

#[test]
fn plain_http_on_a_tls_port() {
    let server = https("return 200 ok;").start();
    let response = server.get("/");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("The plain HTTP request was sent to HTTPS port"));
    let server = https("error_page 497 =301 https://$host/; return 200 ok;").start();
    let response = server.get("/");
    assert_eq!((response.status, response.header("Location")), (301, Some("https://localhost/")));
}

#[test]
fn client_certificates() {
    let conf = |mode: &str| {
        format!(
            r#"ssl_verify_client {mode}; ssl_client_certificate b.crt;
               location / {{ return 200 "$ssl_client_verify $ssl_client_s_dn"; }}"#
        )
    };
    let server = https(&conf("on")).start();
    let without = curl(&server, "a.test", "/", &["--http1.1"]);
    assert!(
        text(&without).contains("400 No required SSL certificate was sent"),
        "{}",
        text(&without)
    );
    let directory = server.directory();
    let (certificate, key) = (directory.join("b.crt"), directory.join("b.key"));
    let own = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    assert_eq!(text(&curl(&server, "a.test", "/", &own)), "SUCCESS CN=b.test");

    let server = https(&conf("optional")).start();
    assert_eq!(text(&curl(&server, "a.test", "/", &[])), "NONE ");
}

#[test]
fn handshakes_are_rejected() {
    let server = with_certificates(Server::http(
        "server { listen 127.0.0.1:%port% ssl default_server; ssl_reject_handshake on; }
         server { listen 127.0.0.1:%port% ssl; server_name b.test; ssl_certificate b.crt;
             ssl_certificate_key b.key; return 200 b; }",
    ))
    .start();
    assert_eq!(text(&curl(&server, "b.test", "/", &[])), "b");
    assert!(!curl(&server, "a.test", "/", &[]).status.success());
}

#[test]
fn sessions_are_resumed() {
    let server =
        https("ssl_protocols TLSv1.2; ssl_session_cache shared:tls:1m; return 200 ok;").start();
    let file = server.directory().join("session");
    let file = file.to_str().unwrap();
    let first = s_client(&server, &["-servername", "a.test", "-sess_out", file]);
    assert!(first.contains("New, TLSv1.2"), "{first}");
    let second = s_client(&server, &["-servername", "a.test", "-sess_in", file]);
    assert!(second.contains("Reused, TLSv1.2"), "{second}");
}

#[test]
fn upstreams_over_tls() {
    let server = with_certificates(Server::http(
        r#"
        server { listen 127.0.0.1:%port_b% ssl; server_name b.test; ssl_certificate b.crt;
            ssl_certificate_key b.key;
            return 200 "b $ssl_server_name"; }
        server {
            listen 127.0.0.1:%port%;
            # A resumed session would carry the outcome of an earlier verification into the next.
            proxy_ssl_session_reuse off;
            location /plain { proxy_pass https://127.0.0.1:%port_b%; }
            location /sni { proxy_ssl_server_name on; proxy_ssl_name b.test;
                proxy_pass https://127.0.0.1:%port_b%; }
            location /verify { proxy_ssl_verify on; proxy_ssl_trusted_certificate b.crt;
                proxy_ssl_name b.test;
                proxy_ssl_server_name on; proxy_pass https://127.0.0.1:%port_b%; }
            location /name { proxy_ssl_verify on; proxy_ssl_trusted_certificate b.crt;
                proxy_ssl_name c.test;
                proxy_pass https://127.0.0.1:%port_b%; }
            location /authority { proxy_ssl_verify on; proxy_ssl_trusted_certificate a.crt;
                proxy_ssl_name b.test;
                proxy_pass https://127.0.0.1:%port_b%; }
        }"#,
    ))
    .start();
    assert_eq!(server.text("/plain"), "b ");
    assert_eq!(server.text("/sni"), "b b.test");
    assert_eq!(server.text("/verify"), "b b.test");
    assert_eq!(server.get("/name").status, 502);
    assert_eq!(server.get("/authority").status, 502);
}

#[test]
fn unreadable_certificates_are_reported() {
    let setup = Server::http(
        "server { listen 127.0.0.1:%port% ssl; ssl_certificate none.crt;
            ssl_certificate_key none.key; }",
    );
    let output = setup.check();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("cannot load certificate \""), "{}", text(&output));
    let setup = with_certificates(Server::http(
        "server { listen 127.0.0.1:%port% ssl; ssl_certificate a.crt; ssl_certificate_key b.key; }",
    ));
    let output = setup.check();
    assert_eq!(output.status.code(), Some(1), "a key of another certificate: {}", text(&output));
    let setup = Server::http("server { listen 127.0.0.1:%port% ssl; }");
    assert!(
        text(&setup.check())
            .contains("no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive")
    );
}

#[test]
fn a_host_other_than_the_sni_does_not_bypass_client_certificates() {
    let server = with_certificates(Server::http(
        "server { listen 127.0.0.1:%port% ssl; server_name a.test; ssl_certificate a.crt;
            ssl_certificate_key a.key; return 200 a; }
         server { listen 127.0.0.1:%port% ssl; server_name b.test; ssl_certificate b.crt;
            ssl_certificate_key b.key; ssl_verify_client optional; ssl_client_certificate b.crt;
            return 200 b; }",
    ))
    .start();
    let answer = curl(&server, "a.test", "/", &["--http1.1", "-H", "Host: b.test"]);
    assert!(text(&answer).contains("421 Misdirected Request"), "{}", text(&answer));
    server.wait_log("client attempted to request the server name different from the one");
    let answer = curl(&server, "b.test", "/", &["--http1.1", "-H", "Host: a.test"]);
    assert_eq!(text(&answer), "a");
}

#[test]
fn certificates_follow_a_reload() {
    let server = https("return 200 ok;").start();
    assert!(s_client(&server, &[]).contains("CN = a.test"));
    for kind in ["crt", "key"] {
        let text = std::fs::read(server.directory().join(&format!("b.{kind}"))).unwrap();
        std::fs::write(server.directory().join(&format!("a.{kind}")), text).unwrap();
    }
    assert!(s_client(&server, &[]).contains("CN = a.test"), "not before the reload");
    server.signal(Signal::HUP);
    until("the new certificate", || s_client(&server, &[]).contains("CN = b.test"));
}

#[test]
fn large_bodies_in_both_directions() {
    let backend = Backend::echo();
    let server = https("client_max_body_size 0; location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .start();
    let body: String = (0..300_000).map(|n| format!("{n} ")).collect();
    let file = server.directory().write("body", &body);
    let data = format!("@{}", file.display());
    let answer =
        curl(&server, "a.test", "/", &["--http1.1", "-H", "Expect:", "--data-binary", &data]);
    assert!(backend.last().body == body.as_bytes());
    assert!(answer.stdout.ends_with(body.as_bytes()));
}
