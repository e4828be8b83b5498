//! Client certificates: their verification and the variables with their fields.

use std::process::Command;

use crate::harness::{
    Backend, Certificate, Directory, KeptTls, Server, Setup, Signal, is_nginx, run, until,
};

/// Runs the openssl tool inside a directory.
fn openssl(directory: &Directory, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(directory.path()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Replaces a file by a new one. nginx would not notice a file rewritten within the same second.
fn replace(directory: &Directory, name: &str) {
    std::fs::rename(directory.join("new"), directory.join(name)).unwrap();
}

/// Creates a key and a certificate signed by `authority`, or self-signed. `name` and `extensions`
/// are lines of a configuration file; `label` names the files.
fn certificate(
    directory: &Directory,
    label: &str,
    authority: Option<&str>,
    name: &str,
    extensions: &str,
) {
    let conf = format!(
        "[req]\ndistinguished_name = name\nprompt = no\nx509_extensions = more\n\
         string_mask = nombstr\n[name]\n{name}\n[more]\n{extensions}\n"
    );
    directory.write(&format!("{label}.cnf"), conf);
    let (key, own) = (format!("{label}.key"), format!("{label}.crt"));
    let conf = format!("{label}.cnf");
    let mut all = vec!["req", "-x509", "-nodes", "-days", "30", "-set_serial", "2"];
    all.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    all.extend(["-config", &conf, "-keyout", &key, "-out", "new"]);
    let by = authority.map(|by| (format!("{by}.crt"), format!("{by}.key")));
    if let Some((certificate, key)) = &by {
        all.extend(["-CA", certificate, "-CAkey", key]);
    }
    openssl(directory, &all);
    replace(directory, &own);
}

const AUTHORITY: &str = "basicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign,cRLSign";
const NOBODY: &str = "basicConstraints = CA:FALSE";

/// Writes `ca.crl`, with or without the certificate number 2.
fn list(directory: &Directory, revoked: bool) {
    let entry = "R\t491231235959Z\t250101000000Z\t02\tunknown\t/CN=client\n";
    directory.write("index", if revoked { entry } else { "" });
    directory.write("number", if revoked { "02\n" } else { "01\n" });
    directory.write(
        "ca.cnf",
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index\ncrlnumber = number\n\
         default_md = sha256\ndefault_crl_days = 30\n",
    );
    let all = ["ca", "-config", "ca.cnf", "-gencrl", "-cert", "ca.crt", "-keyfile", "ca.key"];
    openssl(directory, &[&all[..], &["-out", "new"]].concat());
    replace(directory, "ca.crl");
}

/// A server that responds with its verdict on the client.
fn judging(conf: &str) -> Setup {
    let setup = Server::http(&format!(
        r#"server {{ listen 127.0.0.1:%port% ssl; server_name a.test;
             ssl_certificate a.crt; ssl_certificate_key a.key;
             ssl_verify_client on; ssl_client_certificate ca.crt;
             error_page 495 =200 /; {conf}
             location / {{ return 200 "$ssl_client_verify $ssl_session_reused"; }} }}
           server {{ listen 127.0.0.1:%port% ssl; server_name b.test;
             return 200 "$ssl_client_verify $ssl_session_reused"; }}"#
    ));
    let directory = setup.directory();
    Certificate::self_signed(directory, "a", "a.test");
    certificate(directory, "ca", None, "CN = ca", AUTHORITY);
    certificate(directory, "client", Some("ca"), "CN = client", NOBODY);
    setup
}

/// Sends a request on a new connection.
fn ask(server: &Server, arguments: &[&str]) -> String {
    let url = format!("https://{}/", server.address("port"));
    let path = |name: &str| server.directory().join(name).display().to_string();
    let (certificate, key) = (path("client.crt"), path("client.key"));
    let mut all = vec!["-sSk", "--max-time", "15", "--http1.1", "-H", "Host: a.test"];
    all.extend(["--cert", &certificate, "--key", &key]);
    all.extend_from_slice(arguments);
    all.push(&url);
    let output = run("curl", &all);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_reload_judges_clients_anew() {
    let setup = judging("ssl_crl ca.crl;");
    list(setup.directory(), false);
    let server = setup.start();
    // The second server has no certificate of its own, shares the trust of the first, and rejects
    // no client.
    let mut kept = ["a.test", "b.test"].map(|host| KeptTls::open(&server, host, &[]));
    let mut ask_both = || kept.each_mut().map(|kept| kept.ask());
    let good = Some("SUCCESS .".to_owned());
    assert_eq!(ask_both(), [good.clone(), good.clone()]);
    list(server.directory(), true);
    assert_eq!(ask_both(), [good.clone(), good], "not before the reload");
    server.signal(Signal::HUP);
    let revoked = "FAILED:certificate revoked .";
    until("the new list", || ask(&server, &[]) == revoked);
    if is_nginx() {
        // The connections belong to the old worker, which closes them soon.
        return until("their end", || ask_both() == [None, None]);
    }
    let revoked = Some(revoked.to_owned());
    assert_eq!(ask_both(), [revoked.clone(), revoked]);
}

#[test]
fn a_resumed_session_is_judged_by_the_current_lists() {
    for version in ["-tls1_2", "-tls1_3"] {
        let setup = judging("ssl_crl ca.crl; ssl_session_ticket_key ticket.key;")
            .file("ticket.key", [7; 80]);
        list(setup.directory(), false);
        let server = setup.start();
        let mut first = KeptTls::open(&server, "a.test", &[version, "-sess_out", "session"]);
        assert_eq!(first.ask().as_deref(), Some("SUCCESS ."));
        // TLS 1.3 tickets follow the handshake.
        until("a session", || server.directory().join("session").exists());
        drop(first);
        let again = || KeptTls::open(&server, "a.test", &[version, "-sess_in", "session"]).ask();
        assert_eq!(again().as_deref(), Some("SUCCESS r"), "{version}");
        list(server.directory(), true);
        server.signal(Signal::HUP);
        until("the new list", || ask(&server, &[]) == "FAILED:certificate revoked .");
        let answer = again();
        // nginx keeps the session's verdict.
        let expected = if is_nginx() { "SUCCESS r" } else { "FAILED:certificate revoked r" };
        assert_eq!(answer.as_deref(), Some(expected), "{version}");
    }
}

#[test]
fn names_in_other_types_of_string_obey_constraints() {
    let server = judging("").start();
    let directory = server.directory();
    assert_eq!(ask(&server, &[]), "SUCCESS .");
    let constraints = format!("{AUTHORITY}\nnameConstraints = critical,permitted;DNS:a.test");
    certificate(directory, "ca", None, "CN = ca", &constraints);
    server.signal(Signal::HUP);
    let judged = |name: &str| {
        certificate(directory, "client", Some("ca"), name, NOBODY);
        ask(&server, &[])
    };
    until("the new authority", || judged("CN = client") == "SUCCESS .");
    assert_eq!(judged("CN = x.a.test"), "SUCCESS .");
    assert_eq!(judged("CN = x.b.test"), "FAILED:permitted subtree violation .");
    // PrintableString has no underscore.
    assert_eq!(judged("CN = x_y.a.test"), "SUCCESS .");
    assert_eq!(judged("CN = x_y.b.test"), "FAILED:permitted subtree violation .");
}

#[test]
fn nothing_in_a_certificate_ends_a_header() {
    let backend = Backend::text("ok");
    let setup = judging(
        "location = /pass { proxy_pass http://%backend%;
            proxy_set_header X-New $ssl_client_s_dn; proxy_set_header X-Issuer $ssl_client_i_dn;
            proxy_set_header X-Old $ssl_client_s_dn_legacy;
            proxy_set_header X-Old-Issuer $ssl_client_i_dn_legacy;
            proxy_set_header X-Serial $ssl_client_serial; }",
    )
    .set("backend", backend.address());
    let nasty = "O = x\\r\\nX-Evil: 1\nOU = \"#a,b+c;<d>\"\nCN = me/CN=root";
    certificate(setup.directory(), "ca", None, nasty, AUTHORITY);
    certificate(setup.directory(), "client", Some("ca"), nasty, NOBODY);
    let server = setup.start();
    assert_eq!(ask(&server, &["--request-target", "/pass"]), "ok");
    let seen = backend.last();
    let new = "CN=me/CN=root,OU=\\#a\\,b\\+c\\;\\<d\\>,O=x\\0D\\0AX-Evil: 1";
    let old = "/O=x\\x0D\\x0AX-Evil: 1/OU=#a,b\\+c;<d>/CN=me\\/CN=root";
    assert_eq!(seen.header("X-Evil"), None);
    assert_eq!((seen.header("X-New"), seen.header("X-Issuer")), (Some(new), Some(new)));
    assert_eq!((seen.header("X-Old"), seen.header("X-Old-Issuer")), (Some(old), Some(old)));
    assert_eq!(seen.header("X-Serial"), Some("02"));
}
