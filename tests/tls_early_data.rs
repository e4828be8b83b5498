//! Early data with TLS 1.3 (`ssl_early_data`), with openssl as the client.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Backend, Certificate, Frame, Server, Setup, until};

/// A server of TLS that passes requests on to `backend`.
fn setup(conf: &str, backend: &Backend) -> Setup {
    let setup = Server::http(&format!(
        r#"server {{ listen 127.0.0.1:%port% ssl; server_name a.test;
             ssl_certificate a.crt; ssl_certificate_key a.key; {conf}
             location / {{
                proxy_set_header Early-Data $ssl_early_data;
                proxy_pass http://%backend%;
             }}
             location /own {{ return 200 "[$ssl_early_data] $ssl_session_reused"; }} }}"#
    ));
    Certificate::self_signed(setup.directory(), "a", "a.test");
    setup.set("backend", backend.address())
}

/// What openssl says and receives, with `early` as early data if there is a session, and a request
/// for the end of the connection afterwards.
fn s_client(server: &Server, address: &str, early: Option<&str>, arguments: &[&str]) -> String {
    let early = early.map(|target| format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    let last = "GET /own HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    talk(server, address, early.as_deref().map(str::as_bytes), last.as_bytes(), arguments)
}

/// The same with these bytes, after which the server ends the connection.
fn talk(
    server: &Server,
    address: &str,
    early: Option<&[u8]>,
    last: &[u8],
    arguments: &[&str],
) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address, "-servername", "a.test", "-tls1_3"]);
    command.args(["-ign_eof"]).args(arguments).current_dir(server.directory().path());
    if let Some(early) = early {
        server.directory().write("early", early);
        command.args(["-early_data", "early"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(last).unwrap();
    let output = process.wait_with_output().unwrap();
    let bytes = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A session in the file `session`.
fn get_session(server: &Server, address: &str) {
    let text = s_client(server, address, None, &["-sess_out", "session"]);
    assert!(text.contains("[] ."), "{text}");
    assert!(server.directory().join("session").exists(), "{text}");
}

#[test]
fn requests_come_before_the_end_of_the_handshake() {
    for cache in ["", "ssl_session_cache shared:tls:1m;"] {
        let backend = Backend::text("answered");
        let server = setup(&format!("ssl_early_data on; {cache}"), &backend).start();
        let address = server.address("port");
        get_session(&server, &address);
        let text = s_client(&server, &address, Some("/early"), &["-sess_in", "session"]);
        assert!(text.contains("Early data was accepted"), "{text}");
        assert!(text.contains("answered"), "{text}");
        assert!(text.contains("[] r"), "the second request comes afterwards: {text}");
        let seen = backend.last();
        assert_eq!((seen.target(), seen.header("Early-Data")), ("/early", Some("1")));
        assert_eq!(backend.count(), 1);
    }
}

/// The frames of a request of HTTP/2.
fn frames(stream: u32, target: &str) -> Vec<u8> {
    const WHOLE: u8 = 5;
    let mut block = vec![0x82, 0x87];
    for (name, value) in [(1, "a.test"), (4, target)] {
        block.extend_from_slice(&[name, value.len() as u8]);
        block.extend_from_slice(value.as_bytes());
    }
    Frame::new(1, WHOLE, stream, block).bytes()
}

#[test]
fn requests_of_http2_come_before_the_end_of_the_handshake() {
    let backend = Backend::text("answered");
    let conf = "http2 on; ssl_early_data on; keepalive_requests 2;";
    let server = setup(conf, &backend).start();
    let address = server.address("port");
    let first = |target: &str| {
        let start = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &Frame::settings(&[]).bytes()[..]];
        [&start.concat()[..], &frames(1, target)].concat()
    };
    let own = frames(3, "/own");
    let arguments = ["-alpn", "h2", "-sess_out", "session"];
    let both = [first("/own"), own.clone()].concat();
    let text = talk(&server, &address, None, &both, &arguments);
    assert!(text.contains("[] .") && server.directory().join("session").exists(), "{text}");
    let arguments = ["-alpn", "h2", "-sess_in", "session"];
    let text = talk(&server, &address, Some(&first("/early")), &own, &arguments);
    assert!(text.contains("Early data was accepted"), "{text}");
    assert!(text.contains("answered"), "{text}");
    assert!(text.contains("[] r"), "the second request comes afterwards: {text}");
    let seen = backend.last();
    assert_eq!((seen.target(), seen.header("Early-Data")), ("/early", Some("1")));
    assert_eq!(backend.count(), 1);
}

#[test]
fn a_session_takes_early_data_once() {
    let backend = Backend::text("answered");
    let server = setup("ssl_early_data on;", &backend).start();
    let address = server.address("port");
    get_session(&server, &address);
    let again = || s_client(&server, &address, Some("/early"), &["-sess_in", "session"]);
    assert!(again().contains("Early data was accepted"));
    let text = again();
    assert!(text.contains("Early data was rejected"), "{text}");
    assert!(text.contains("[] ."), "a new session: {text}");
    assert_eq!(backend.count(), 1);
}

#[test]
fn without_the_directive_there_is_no_early_data() {
    let backend = Backend::text("answered");
    let server = setup("ssl_session_cache shared:tls:1m;", &backend).start();
    let address = server.address("port");
    get_session(&server, &address);
    let text = s_client(&server, &address, Some("/early"), &["-sess_in", "session"]);
    assert!(text.contains("[] r") && !text.contains("Early data was accepted"), "{text}");
    assert_eq!(backend.count(), 0);
}

/// A relay to the server that keeps what the client of one connection has sent.
fn relay(server: &str) -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut there = TcpStream::connect(server).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut here, _) = listener.accept().unwrap();
        let (mut back, mut to) = (there.try_clone().unwrap(), here.try_clone().unwrap());
        let answers = std::thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut sent, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = here.read(&mut bytes) {
            sent.extend_from_slice(&bytes[..count]);
            let _ = there.write_all(&bytes[..count]);
        }
        let _ = there.shutdown(Shutdown::Write);
        answers.join().unwrap();
        sent
    });
    (address, thread)
}

/// An attacker sends again what it has recorded, to another thread of the server as well.
#[test]
fn a_recorded_request_is_not_served_again() {
    let backend = Backend::text("answered");
    let server = setup("ssl_early_data on; client_header_timeout 2s;", &backend)
        .main("worker_processes 4;")
        .start();
    let address = server.address("port");
    get_session(&server, &address);
    let (through, recorded) = relay(&address);
    let text = s_client(&server, &through, Some("/early"), &["-sess_in", "session"]);
    assert!(text.contains("Early data was accepted"), "{text}");
    let recorded = recorded.join().unwrap();
    assert_eq!(backend.count(), 1);
    for _ in 0..16 {
        let mut again = TcpStream::connect(&address).unwrap();
        again.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        again.write_all(&recorded).unwrap();
        again.shutdown(Shutdown::Write).unwrap();
        // The server has refused all of it when it closes the connection.
        let _ = again.read_to_end(&mut Vec::new());
    }
    assert_eq!(backend.count(), 1);
    until("requests of others", || s_client(&server, &address, None, &[]).contains("[] ."));
}
