//! The status of certificates by OCSP, with responders that `openssl ocsp` answers for: stapled to
//! the server's own certificates, and asked about clients.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{Backend, Directory, KeptTls, Reply, Server, Setup, Signal, run, until};

/// Runs the openssl tool in a folder.
fn openssl(folder: &std::path::Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a key and a certificate: `serial`, the authority that signs it, the kind of key, and
/// lines of extensions.
fn certificate(
    directory: &Directory,
    (label, serial): (&str, &str),
    authority: Option<&str>,
    rsa: bool,
    extensions: &str,
) {
    let conf = format!("{label}.cnf");
    directory.write(
        &conf,
        format!(
            "[req]\ndistinguished_name = name\nprompt = no\nx509_extensions = more\n\
             [name]\nCN = {label}\n[more]\n{extensions}\n"
        ),
    );
    let (key, own) = (format!("{label}.key"), format!("{label}.crt"));
    let mut all = vec!["req", "-x509", "-nodes", "-days", "30", "-set_serial", serial];
    match rsa {
        true => all.extend(["-newkey", "rsa:2048"]),
        false => all.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]),
    }
    all.extend(["-config", &conf, "-keyout", &key, "-out", &own]);
    let by = authority.map(|by| (format!("{by}.crt"), format!("{by}.key")));
    if let Some((certificate, key)) = &by {
        all.extend(["-CA", certificate, "-CAkey", key]);
    }
    openssl(directory.path(), &all);
}

const AUTHORITY: &str = "basicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign,cRLSign";

/// The extension that names a responder.
fn responder_at(address: &str) -> String {
    format!("authorityInfoAccess = OCSP;URI:http://{address}/ocsp")
}

/// A responder of the authority `ca` in a folder. Its file `index` has the status of certificates.
struct Responder {
    backend: Backend,
    folder: Arc<std::sync::OnceLock<PathBuf>>,
    /// Requests are answered with a 500.
    broken: Arc<AtomicBool>,
    /// Requests are not answered.
    silent: Arc<AtomicBool>,
}

impl Responder {
    fn new() -> Self {
        let folder = Arc::new(std::sync::OnceLock::new());
        let [broken, silent] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (at, is_broken, is_silent) =
            (Arc::clone(&folder), Arc::clone(&broken), Arc::clone(&silent));
        let next = AtomicUsize::new(0);
        let backend = Backend::new(move |seen| {
            let folder: &PathBuf = at.get().unwrap();
            if is_silent.load(Ordering::SeqCst) {
                return Reply::hold();
            }
            if is_broken.load(Ordering::SeqCst) {
                return closing("500 Internal Server Error", "", &[]);
            }
            let number = next.fetch_add(1, Ordering::SeqCst);
            let [text, request, response] =
                ["txt", "req", "res"].map(|kind| format!("ocsp{number}.{kind}"));
            let question = seen.target().strip_prefix("/ocsp/").expect("the path of the question");
            let question = question.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
            std::fs::write(folder.join(&text), question).unwrap();
            openssl(folder, &["base64", "-d", "-A", "-in", &text, "-out", &request]);
            let mut all = vec!["ocsp", "-index", "index", "-CA", "ca.crt", "-rsigner", "ca.crt"];
            all.extend(["-rkey", "ca.key", "-reqin", &request, "-respout", &response]);
            openssl(folder, &[&all[..], &["-nmin", "60"]].concat());
            let body = std::fs::read(folder.join(&response)).unwrap();
            closing("200 OK", "Content-Type: application/ocsp-response\r\n", &body)
        });
        Self { backend, folder, broken, silent }
    }

    /// Answers by the files of this folder.
    fn serve(&self, directory: &Directory) {
        self.folder.set(directory.path().to_owned()).unwrap();
    }

    fn address(&self) -> String {
        self.backend.address()
    }
}

/// A response that ends with the connection, for which nginx waits.
fn closing(status: &str, fields: &str, body: &[u8]) -> Reply {
    Reply::Last([format!("HTTP/1.1 {status}\r\n{fields}\r\n").as_bytes(), body].concat())
}

/// Writes the status of certificates by their serial numbers: `V` is valid, `R` revoked; all others
/// are unknown.
fn index(directory: &Directory, all: &[(&str, char)]) {
    let line = |(serial, status): &(&str, char)| match status {
        'R' => format!("R\t491231235959Z\t250101000000Z\t{serial}\tunknown\t/CN={serial}\n"),
        _ => format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN={serial}\n"),
    };
    directory.write("new", all.iter().map(line).collect::<String>());
    std::fs::rename(directory.join("new"), directory.join("index")).unwrap();
}

/// Certificates of `ca`: `rsa` (16) and `ec` (17) for the server, and `client` (18).
fn authority(setup: Setup, responder: &str) -> Setup {
    let directory = setup.directory();
    certificate(directory, ("ca", "1"), None, false, AUTHORITY);
    let extensions = format!("basicConstraints = CA:FALSE\n{}", responder_at(responder));
    for (label, serial, rsa) in [("rsa", "16", true), ("ec", "17", false), ("client", "18", false)]
    {
        certificate(directory, (label, serial), Some("ca"), rsa, &extensions);
    }
    index(directory, &[("10", 'V'), ("11", 'V'), ("12", 'V')]);
    setup
}

/// The status that the server staples to the certificate of a kind of key; `None` without one.
fn stapled(server: &Server, name: &str, signatures: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address("port"), "-status"]);
    command.args(["-servername", name, "-sigalgs", signatures]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Cipher is"), "a handshake: {text}");
    let status = text.lines().find_map(|line| line.trim().strip_prefix("Cert Status: "));
    status.map(str::to_owned)
}

const RSA: &str = "RSA-PSS+SHA256";
const EC: &str = "ECDSA+SHA256";

#[test]
fn responses_are_stapled_to_each_certificate() {
    let responder = Responder::new();
    let setup = Server::http(
        "ssl_stapling on; ssl_stapling_verify on; ssl_trusted_certificate ca.crt;
         ssl_certificate rsa.crt; ssl_certificate_key rsa.key;
         server { listen 127.0.0.1:%port% ssl; server_name both.test;
            ssl_certificate ec.crt; ssl_certificate_key ec.key;
            ssl_certificate rsa.crt; ssl_certificate_key rsa.key; }
         server { listen 127.0.0.1:%port% ssl; server_name one.test; }
         server { listen 127.0.0.1:%port% ssl; server_name off.test; ssl_stapling off; }",
    );
    let setup = authority(setup, &responder.address());
    responder.serve(setup.directory());
    let server = setup.start();
    let good = Some("good".to_owned());
    until("a response for RSA", || stapled(&server, "both.test", RSA) == good);
    until("a response for ECDSA", || stapled(&server, "both.test", EC) == good);
    assert_eq!(stapled(&server, "one.test", RSA), good);
    assert_eq!(stapled(&server, "off.test", RSA), None);
    // Two certificates in three places.
    assert_eq!(responder.backend.count(), 2);
    let asked = responder.backend.last();
    assert!(asked.target().starts_with("/ocsp/") && asked.header("Host") == Some("127.0.0.1"));
}

#[test]
fn staples_are_kept_over_reloads() {
    let responder = Responder::new();
    let conf = "ssl_stapling on; ssl_trusted_certificate ca.crt;
         server { listen 127.0.0.1:%port% ssl; server_name a.test;
            ssl_certificate ec.crt; ssl_certificate_key ec.key; return 200 one; }";
    let setup = authority(Server::http(conf), &responder.address());
    responder.serve(setup.directory());
    let server = setup.start();
    let good = Some("good".to_owned());
    until("a response", || stapled(&server, "a.test", EC) == good);
    responder.broken.store(true, Ordering::SeqCst);
    server.reload_http(&conf.replace("200 one", "200 two"));
    assert_eq!(stapled(&server, "a.test", EC), good);
    assert_eq!(responder.backend.count(), 1);
}

/// A server that staples the status of one certificate.
const STAPLING: &str = "ssl_stapling on; ssl_trusted_certificate ca.crt;
    server { listen 127.0.0.1:%port% ssl; server_name a.test;
        ssl_certificate ec.crt; ssl_certificate_key ec.key; }";

#[test]
fn a_responder_that_fails_is_asked_again() {
    let responder = Responder::new();
    let setup = authority(Server::http(STAPLING), &responder.address());
    responder.serve(setup.directory());
    responder.broken.store(true, Ordering::SeqCst);
    let server = setup.start();
    server.wait_log("OCSP responder sent status 500 while requesting certificate status");
    assert!(server.error_log().contains("ec.crt\""), "the certificate is named");
    assert_eq!(stapled(&server, "a.test", EC), None);
    responder.broken.store(false, Ordering::SeqCst);
    until("a response", || stapled(&server, "a.test", EC) == Some("good".to_owned()));
}

#[test]
fn the_status_of_a_revoked_certificate_is_not_stapled() {
    let responder = Responder::new();
    let setup = authority(Server::http(STAPLING), &responder.address());
    index(setup.directory(), &[("11", 'R')]);
    responder.serve(setup.directory());
    let server = setup.start();
    server.wait_log("certificate status \"revoked\" in the OCSP response");
    assert_eq!(stapled(&server, "a.test", EC), None);
}

#[test]
fn a_configured_responder_is_asked_by_its_name() {
    let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = dns.local_addr().unwrap().port();
    std::thread::spawn(move || {
        // 127.0.0.1 for every name, valid for a second. It ends with the tests.
        let mut query = [0; 512];
        while let Ok((length, from)) = dns.recv_from(&mut query) {
            let mut answer = query[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
            let _ = dns.send_to(&answer, from);
        }
    });
    let responder = Responder::new();
    let address = responder.address();
    let (_, own) = address.split_once(':').unwrap();
    // The certificate's own responder does not exist.
    let setup = Server::http(
        "ssl_stapling on; ssl_trusted_certificate ca.crt; resolver 127.0.0.1:%dns% ipv6=off;
         server { listen 127.0.0.1:%port% ssl; server_name a.test;
            ssl_stapling_responder http://localhost:%own%/ocsp/;
            ssl_certificate ec.crt; ssl_certificate_key ec.key; }",
    );
    let setup = authority(setup.set("dns", port).set("own", own), "127.0.0.1:1");
    responder.serve(setup.directory());
    let server = setup.start();
    until("a response", || stapled(&server, "a.test", EC) == Some("good".to_owned()));
    assert_eq!(responder.backend.last().header("Host"), Some("localhost"));
}

/// A server that asks about its clients and responds with the result.
fn asking(conf: &str, responder: &str) -> Setup {
    let setup = Server::http(&format!(
        r#"{conf}
           server {{ listen 127.0.0.1:%port% ssl; server_name a.test;
             ssl_certificate ec.crt; ssl_certificate_key ec.key;
             ssl_verify_client on; ssl_client_certificate ca.crt;
             error_page 495 =200 /;
             location / {{ return 200 "$ssl_client_verify $ssl_session_reused"; }} }}
           server {{ listen 127.0.0.1:%port2%; return 200 plain; }}"#
    ));
    authority(setup, responder)
}

/// Sends a request with the certificate of the client on a new connection.
fn ask(server: &Server, arguments: &[&str]) -> String {
    let url = format!("https://{}/", server.address("port"));
    let path = |name: &str| server.directory().join(name).display().to_string();
    let (certificate, key) = (path("client.crt"), path("client.key"));
    let mut all = vec!["-sSk", "--max-time", "30", "--http1.1", "-H", "Host: a.test"];
    all.extend(["--cert", &certificate, "--key", &key]);
    all.extend_from_slice(arguments);
    all.push(&url);
    let output = run("curl", &all);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn clients_are_checked() {
    let responder = Responder::new();
    let setup = asking("ssl_ocsp on;", &responder.address());
    responder.serve(setup.directory());
    let server = setup.start();
    assert_eq!(ask(&server, &[]), "SUCCESS .");
    index(server.directory(), &[("12", 'R')]);
    assert_eq!(ask(&server, &[]), "FAILED:certificate revoked .");
    server
        .wait_log("client SSL certificate verify error: certificate revoked while reading client");
    index(server.directory(), &[("11", 'V')]);
    assert_eq!(ask(&server, &[]), "FAILED:certificate status unknown .");
    responder.broken.store(true, Ordering::SeqCst);
    assert_eq!(ask(&server, &[]), "FAILED:certificate status request failed .");
    server
        .wait_log("OCSP responder sent status 500 while requesting certificate status, responder");
    assert_eq!(responder.backend.count(), 4);
}

#[test]
fn the_error_is_that_of_a_bad_certificate() {
    let responder = Responder::new();
    let setup = authority(
        Server::http(
            "server { listen 127.0.0.1:%port% ssl; ssl_certificate ec.crt;
                ssl_certificate_key ec.key; ssl_verify_client optional;
                ssl_client_certificate ca.crt; ssl_ocsp leaf; return 200 ok; }",
        ),
        &responder.address(),
    );
    index(setup.directory(), &[("12", 'R')]);
    responder.serve(setup.directory());
    let server = setup.start();
    let refused = ask(&server, &["-i"]);
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    assert!(refused.contains("The SSL certificate error"), "{refused}");
    let url = format!("https://{}/", server.address("port"));
    let without = run("curl", &["-sk", "--max-time", "30", &url]);
    assert_eq!(String::from_utf8_lossy(&without.stdout), "ok", "nobody is asked about");
}

#[test]
fn answers_about_clients_are_cached() {
    let responder = Responder::new();
    let setup = asking("ssl_ocsp on; ssl_ocsp_cache shared:ocsp:64k;", &responder.address());
    responder.serve(setup.directory());
    let server = setup.start();
    assert_eq!(ask(&server, &[]), "SUCCESS .");
    index(server.directory(), &[("12", 'R')]);
    assert_eq!(ask(&server, &[]), "SUCCESS .");
    // The cache outlives a reload.
    server.signal(Signal::HUP);
    server.wait_log("reconfiguring");
    assert_eq!(ask(&server, &[]), "SUCCESS .");
    assert_eq!(responder.backend.count(), 1);
}

#[test]
fn a_resumed_session_is_checked_as_well() {
    let responder = Responder::new();
    let setup = asking("ssl_ocsp on;", &responder.address());
    responder.serve(setup.directory());
    let server = setup.start();
    let mut first = KeptTls::open(&server, "a.test", &["-tls1_2", "-sess_out", "session"]);
    assert_eq!(first.ask().as_deref(), Some("SUCCESS ."));
    until("a session", || server.directory().join("session").exists());
    drop(first);
    index(server.directory(), &[("12", 'R')]);
    let mut second = KeptTls::open(&server, "a.test", &["-tls1_2", "-sess_in", "session"]);
    assert_eq!(second.ask().as_deref(), Some("FAILED:certificate revoked r"));
}

/// A silent responder holds up its client alone, which gives up with the time for its head.
#[test]
fn a_silent_responder_holds_up_nobody_else() {
    let responder = Responder::new();
    let conf = "client_header_timeout 2s; ssl_ocsp on;";
    let setup = asking(conf, &responder.address()).main("worker_processes 1;");
    responder.serve(setup.directory());
    responder.silent.store(true, Ordering::SeqCst);
    let server = setup.start();
    let mut waiting = KeptTls::open(&server, "a.test", &[]);
    responder.backend.wait(0);
    let mut plain = crate::harness::Client::connect(server.address("port2"));
    assert_eq!(plain.get("/").text(), "plain");
    assert_eq!(waiting.ask(), None, "the connection is closed");
    server.wait_log("client timed out (110: Connection timed out) while SSL handshaking");
}

#[test]
fn a_kept_connection_is_checked_after_a_reload() {
    let responder = Responder::new();
    let setup = asking("ssl_ocsp off;", &responder.address());
    index(setup.directory(), &[("12", 'R')]);
    responder.serve(setup.directory());
    let server = setup.start();
    let mut kept = KeptTls::open(&server, "a.test", &[]);
    assert_eq!(kept.ask().as_deref(), Some("SUCCESS ."));
    assert_eq!(responder.backend.count(), 0);
    let conf = server.directory().read("nginx.conf").replace("ssl_ocsp off;", "ssl_ocsp on;");
    server.directory().write("nginx.conf", conf);
    server.signal(Signal::HUP);
    until("the new rules", || ask(&server, &[]) == "FAILED:certificate revoked .");
    if !crate::harness::is_nginx() {
        assert_eq!(kept.ask().as_deref(), Some("FAILED:certificate revoked ."));
    }
}

#[test]
fn a_certificate_without_a_responder_is_refused() {
    let setup = asking("ssl_ocsp leaf;", "127.0.0.1:1");
    certificate(
        setup.directory(),
        ("client", "18"),
        Some("ca"),
        false,
        "basicConstraints=CA:FALSE",
    );
    let server = setup.start();
    assert_eq!(ask(&server, &[]), "FAILED:certificate status request failed .");
    server
        .wait_log("no OCSP responder URL in certificate while SSL handshaking, client: 127.0.0.1");
}
