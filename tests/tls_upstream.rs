//! TLS to upstreams: which requests share kept connections and sessions.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Certificate, Server, Setup, Signal, until};

/// A TLS upstream that responds with the client's certificate and the connection's number, and
/// locations that share it.
fn shared(locations: &str) -> Setup {
    let setup = Server::http(&conf(locations));
    for (label, host) in [("a", "a.test"), ("b", "b.test"), ("c", "c.test")] {
        let made = Certificate::self_signed(setup.directory(), label, host);
        // Workers read files named by variables.
        let key = setup.directory().join(&made.key);
        std::fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap();
    }
    setup
}

fn conf(locations: &str) -> String {
    format!(
        r#"
        upstream u {{ server 127.0.0.1:%port_u%; keepalive 4; }}
        server {{ listen 127.0.0.1:%port_u% ssl; server_name _;
            ssl_certificate b.crt; ssl_certificate_key b.key;
            ssl_verify_client optional_no_ca;
            return 200 "$ssl_client_s_dn $ssl_server_name $connection"; }}
        server {{ listen 127.0.0.1:%port%; proxy_set_header Connection "";
            {locations} }}"#
    )
}

const OWN: &str = "location /x/ { proxy_pass https://u/;
    proxy_ssl_certificate a.crt; proxy_ssl_certificate_key a.key; }";

/// The client certificate and the number of the connection.
fn shown(server: &Server, target: &str) -> (String, String) {
    let text = server.text(target);
    let (shown, connection) = text.rsplit_once(' ').unwrap_or_else(|| panic!("{text:?}"));
    (shown.trim_end().to_owned(), connection.to_owned())
}

#[test]
fn kept_connections_are_shared_by_client_certificate() {
    let server = shared(&format!(
        "{OWN} location /y/ {{ proxy_pass https://u/; }}
         location /z/ {{ proxy_pass https://u/; proxy_ssl_certificate c.crt;
             proxy_ssl_certificate_key c.key; }}
         location /w/ {{ proxy_pass https://u/;
             proxy_ssl_certificate %dir%/a.crt; proxy_ssl_certificate_key %dir%/a.key; }}"
    ))
    .start();
    let first = shown(&server, "/x/");
    assert_eq!(first.0, "CN=a.test");
    assert_eq!(shown(&server, "/x/"), first, "the connection is kept");
    assert_eq!(shown(&server, "/y/").0, "");
    assert_eq!(shown(&server, "/z/").0, "CN=c.test");
    assert_eq!(shown(&server, "/w/"), first, "the same certificate from another file");
}

#[test]
fn kept_connections_are_shared_by_trust() {
    let server = shared(
        "proxy_ssl_name b.test;
         location /y/ { proxy_pass https://u/; }
         location /bad/ { proxy_pass https://u/; proxy_ssl_verify on;
             proxy_ssl_trusted_certificate a.crt; }
         location /good/ { proxy_pass https://u/; proxy_ssl_verify on;
             proxy_ssl_trusted_certificate b.crt; }
         location /name/ { proxy_pass https://u/; proxy_ssl_verify on;
             proxy_ssl_trusted_certificate b.crt; proxy_ssl_name $arg_name; }",
    )
    .start();
    assert_eq!(server.get("/y/").status, 200);
    assert_eq!(server.get("/bad/").status, 502);
    assert_eq!(server.get("/good/").status, 200);
    assert_eq!(server.get("/bad/").status, 502);
    assert_eq!(server.get("/name/?name=b.test").status, 200);
    assert_eq!(server.get("/name/?name=c.test").status, 502);
    assert_eq!(server.get("/name/?name=b.test").status, 200);
}

#[test]
fn a_reload_does_not_mix_up_kept_connections() {
    let server = shared(OWN).start();
    let first = shown(&server, "/x/");
    assert_eq!(first.0, "CN=a.test");
    // The blocks of these locations have the same index before and after.
    for (location, expected) in [
        ("location /x/ { proxy_pass https://u/; }", "\"\""),
        (
            "location /x/ { proxy_pass https://u/; proxy_ssl_verify on;
            proxy_ssl_trusted_certificate a.crt; }",
            "502",
        ),
        (OWN, "CN=a.test"),
    ] {
        server
            .rewrite_http(&conf(&format!("{location} location /new {{ return 200 {expected}; }}")));
        server.signal(Signal::HUP);
        let wanted = expected.trim_matches('"');
        until("the new configuration", || {
            let new = server.get("/new");
            new.status == 200 && new.text() == wanted
        });
        match wanted {
            "502" => assert_eq!(server.get("/x/").status, 502),
            wanted => assert_eq!(shown(&server, "/x/").0, wanted),
        }
    }
}

#[test]
fn certificates_and_names_may_be_variables() {
    let server = shared(
        "location / { proxy_pass https://u/; proxy_ssl_server_name on; proxy_ssl_name $arg_name;
             proxy_ssl_certificate $arg_file.crt; proxy_ssl_certificate_key $arg_file.key; }",
    )
    .start();
    let ask = |name: &str, file: &str| shown(&server, &format!("/?name={name}&file={file}"));
    let first = ask("n.test", "a");
    assert_eq!(first.0, "CN=a.test n.test");
    assert_eq!(ask("n.test", "a"), first, "the connection is kept");
    assert_eq!(ask("m.test", "a").0, "CN=a.test m.test");
    assert_eq!(ask("n.test", "c").0, "CN=c.test n.test");
    for kind in ["crt", "key"] {
        let text = server.directory().read(&format!("b.{kind}"));
        server.directory().write(&format!("a.{kind}"), text);
    }
    assert_eq!(ask("n.test", "a").0, "CN=b.test n.test", "the file has another certificate now");
}

#[test]
fn kept_connections_are_shared_by_source_address() {
    let server = Server::http(
        r#"
        upstream u { server 127.0.0.1:%port_u%; keepalive 4; }
        server { listen 127.0.0.1:%port_u%; return 200 "$remote_addr $connection"; }
        server { listen 127.0.0.1:%port%; proxy_set_header Connection "";
            location /bind { proxy_bind $arg_from; proxy_pass http://u; }
            location /plain { proxy_pass http://u; } }"#,
    )
    .start();
    let first = shown(&server, "/bind?from=127.0.0.2");
    assert_eq!(first.0, "127.0.0.2");
    assert_eq!(shown(&server, "/bind?from=127.0.0.3").0, "127.0.0.3");
    assert_eq!(shown(&server, "/plain").0, "127.0.0.1");
    assert_eq!(shown(&server, "/bind?from=127.0.0.2"), first);
}

#[test]
fn sessions_are_shared_by_settings() {
    let locations = "location / { proxy_pass https://127.0.0.1:%port_u%; proxy_ssl_name b.test; }
         location /bad { proxy_pass https://127.0.0.1:%port_u%; proxy_ssl_name b.test;
             proxy_ssl_verify on; proxy_ssl_trusted_certificate a.crt; }
         location /own { proxy_pass https://127.0.0.1:%port_u%; proxy_ssl_name $arg_name;
             proxy_ssl_certificate $arg_file.crt; proxy_ssl_certificate_key $arg_file.key; }";
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let server = shared(&format!("proxy_ssl_protocols {protocol}; {locations}")).start();
        for _ in 0..3 {
            assert_eq!(server.get("/").status, 200);
            assert_eq!(server.get("/bad").status, 502);
            assert_eq!(shown(&server, "/own?name=b.test&file=a").0, "CN=a.test");
            assert_eq!(shown(&server, "/own?name=b.test&file=c").0, "CN=c.test");
            assert_eq!(shown(&server, "/own?name=a_b&file=a").0, "CN=a.test");
        }
    }
}
