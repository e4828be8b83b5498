//! Server names in handshakes that are not valid host names, and the choice of the server.

use std::process::{Command, Stdio};

use crate::harness::{Certificate, Server, run};

/// A TLS server for `localhost` after the default one, each with its own certificate.
fn server(settings: &str) -> Server {
    let setup = Server::http(&format!(
        r#"
        {settings}
        server {{ listen 127.0.0.1:%port% ssl default_server; server_name a.test;
            ssl_certificate a.crt; ssl_certificate_key a.key;
            return 200 "$ssl_server_name|$ssl_client_s_dn"; }}
        server {{ listen 127.0.0.1:%port% ssl; server_name localhost a_b *.star;
            ssl_certificate b.crt; ssl_certificate_key b.key; return 200 none; }}"#
    ));
    Certificate::self_signed(setup.directory(), "a", "a.test");
    Certificate::self_signed(setup.directory(), "b", "b.test");
    setup.start()
}

/// Sends a request without `Host`, which goes to the default server, with this SNI. Returns the
/// name of the shown certificate and the response body.
fn ask(server: &Server, name: &str, arguments: &[&str]) -> String {
    use std::io::Write;
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address("port"), "-quiet"]);
    command.args(["-servername", name]).args(arguments).current_dir(server.directory().path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    // The response ends the connection.
    let _ = input.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let output = client.wait_with_output().unwrap();
    drop(input);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let Some((_, body)) = text.split_once("\r\n\r\n") else { return format!("no answer: {told}") };
    let shown = ["a", "b"].iter().find(|label| told.contains(&format!("CN = {label}.test")));
    format!("{}|{body}", shown.unwrap_or_else(|| panic!("{told}")))
}

/// Names and the expected results.
const NAMES: [(&str, &str); 12] = [
    ("localhost", "b|localhost|"),
    ("LOCALHOST", "b|LOCALHOST|"),
    ("localhost.", "b|localhost.|"),
    ("localhost:8443", "b|localhost:8443|"),
    ("a_b", "b|a_b|"),
    ("*.star", "b|*.star|"),
    ("123", "a|123|"),
    ("127.0.0.1", "a|127.0.0.1|"),
    ("*.x", "a|*.x|"),
    ("foo..bar", "a|foo..bar|"),
    ("b\u{fc}cher.test", "a|b\u{fc}cher.test|"),
    ("-", "a|-|"),
];

#[test]
fn invalid_names_are_served() {
    let server = server("");
    let long = format!("{}.test", "a".repeat(100));
    let expected = format!("a|{long}|");
    let names = NAMES.into_iter().chain([(long.as_str(), expected.as_str())]);
    for (name, expected) in names {
        for protocol in ["-tls1_2", "-tls1_3"] {
            assert_eq!(ask(&server, name, &[protocol]), expected, "{name} {protocol}");
        }
    }
}

#[test]
fn invalid_names_work_with_a_second_hello() {
    // The client first offers a group that the server lacks.
    let server = server("ssl_ecdh_curve secp384r1;");
    for (name, expected) in [("x..y", "a|x..y|"), ("localhost:1", "b|localhost:1|")] {
        let groups = ["-tls1_3", "-groups", "X25519:secp384r1"];
        assert_eq!(ask(&server, name, &groups), expected);
    }
}

#[test]
fn invalid_names_work_with_client_certificates() {
    let server = server("ssl_verify_client optional_no_ca;");
    for protocol in ["-tls1_2", "-tls1_3"] {
        let own = [protocol, "-cert", "a.crt", "-key", "a.key"];
        assert_eq!(ask(&server, "x..y", &own), "a|x..y|CN=a.test", "{protocol}");
    }
}

#[test]
fn sessions_of_invalid_names_are_resumed() {
    let server = server("");
    for protocol in ["-tls1_2", "-tls1_3"] {
        let shown = |arguments: &[&str]| {
            let address = server.address("port");
            let mut all = vec!["s_client", "-connect", &address, protocol, "-ign_eof"];
            all.extend_from_slice(&["-servername", "x..y"]);
            all.extend_from_slice(arguments);
            let script = format!(
                "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl {}",
                all.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
            );
            String::from_utf8_lossy(&run("sh", &["-c", &script]).stdout).into_owned()
        };
        let file = server.directory().join("session");
        let file = file.to_str().unwrap();
        assert!(shown(&["-sess_out", file]).contains("New, TLSv1."));
        let second = shown(&["-sess_in", file]);
        assert!(second.contains("Reused, TLSv1."), "{second}");
    }
}

#[test]
fn invalid_names_can_be_rejected() {
    let setup = Server::http(
        "server { listen 127.0.0.1:%port% ssl default_server; ssl_reject_handshake on; }",
    );
    let server = setup.start();
    for name in ["x..y", "localhost"] {
        let answer = ask(&server, name, &[]);
        assert!(answer.contains("unrecognized name"), "{answer}");
    }
    server.wait_log("handshake rejected while SSL handshaking");
}
