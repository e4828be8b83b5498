//! Certificates that are ordered by ACME, from Pebble (a strict authority for tests) and from
//! authorities with faults ([`authority`]).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::{Pebble, Server, Setup, Signal, children, is_nginx, run, until, until_some};

mod authority;
mod edges;
mod faults;
mod hook;
mod many;
mod pair;
mod pebble;
mod state;

/// The certificate that a server shows under a name: its text by the openssl tool. `None` if the
/// handshake fails.
fn shown(server: &Server, port: u16, name: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    let address = format!("127.0.0.1:{port}");
    command.args(["s_client", "-connect", &address, "-servername", name]);
    command.current_dir(server.directory().path());
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let start = text.find("-----BEGIN CERTIFICATE")?;
    let end = text.find("-----END CERTIFICATE-----")?;
    let path = server.directory().write(&format!("shown-{name}.pem"), &text[start..end + 26]);
    let what = ["x509", "-noout", "-text", "-in", path.to_str().unwrap()];
    Some(String::from_utf8(run("openssl", &what).stdout).unwrap())
}

/// The serial number in such a text.
fn serial(text: &str) -> String {
    let rest = text.split("Serial Number:").nth(1).unwrap();
    rest.split("Signature").next().unwrap().trim().to_owned()
}

/// A server with Pebble's ports in its configuration: `%http%`, `%tls%` and `%ca%`.
fn server(pebble: &Pebble, conf: &str) -> Setup {
    Server::http(conf)
        .set("http", pebble.http.number())
        .set("tls", pebble.tls.number())
        .set("ca", pebble.lines())
}

/// Waits for a certificate under a name.
fn wait_for(server: &Server, port: u16, name: &str) -> String {
    until_some(&format!("a certificate of {name}"), || shown(server, port, name))
}

/// The files with certificates in the directory of an issuer.
fn kept(server: &Server, issuer: &str) -> BTreeSet<PathBuf> {
    let folder = server.directory().join(&format!("acme_{issuer}"));
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|ending| ending == "pem")).collect()
}

/// The configuration of nginx's documentation, with a redirect and a password on port 80.
const USUAL: &str = "
    acme_issuer ca { %ca% contact admin@example.test; }
    acme_shared_zone zone=ngx_acme_shared:1M;
    server { listen 127.0.0.1:%tls% ssl; server_name .a.test;
        acme_certificate ca;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key;
        return 200 ok; }
    server { listen 127.0.0.1:%http%; auth_basic x; auth_basic_user_file /dev/null;
        rewrite ^ https://$host$request_uri permanent; }";

#[test]
fn a_certificate_is_ordered_kept_and_used() {
    if is_nginx() {
        return;
    }
    let Some(mut pebble) = Pebble::start(&[]) else { return };
    let mut server = server(&pebble, USUAL).alerts_expected().start();
    let tls = pebble.tls.number();
    let first = wait_for(&server, tls, "a.test");
    assert!(first.contains("Issuer: CN = Pebble Intermediate"), "{first}");
    assert!(first.contains("DNS:www.a.test, DNS:a.test"), "{first}");
    // In all threads, without a reload.
    assert_eq!(shown(&server, tls, "www.a.test").map(|text| serial(&text)), Some(serial(&first)));
    server.wait_log("www.a.test, a.test: a new certificate; next try at ");
    until("the file", || kept(&server, "ca").len() == 1);
    let folder = server.directory().join("acme_ca");
    for entry in std::fs::read_dir(folder).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
    assert!(server.error_log().matches("handshakes fail").count() == 1);
    // Started again without the authority, it has the certificate from the first connection on.
    assert_eq!(pebble.issued(), 1);
    pebble.stop();
    server.pause();
    server.resume();
    assert_eq!(shown(&server, tls, "a.test").map(|text| serial(&text)), Some(serial(&first)));
    // So does a worker that takes the place of a killed one.
    let worker = children(server.pid())[0];
    crate::harness::send_signal(worker, Signal::KILL);
    until("another worker", || {
        let now = children(server.pid());
        now.first().is_some_and(|new| *new != worker) && shown(&server, tls, "a.test").is_some()
    });
    // A request for no known token takes the usual way.
    let address = format!("127.0.0.1:{}", pebble.http.number());
    let mut client = crate::harness::Client::connect(address);
    assert_eq!(client.get("/.well-known/acme-challenge/x").status, 301);
}

/// Handshakes for other purposes find the server as it is meanwhile.
#[test]
fn names_are_proved_in_handshakes() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let conf = "
        acme_issuer ca { %ca% challenge tls-alpn; account_key rsa:2048; }
        server { listen 127.0.0.1:%tls% ssl; server_name rsa.test; return 200 rsa;
            acme_certificate ca key=rsa:2048;
            ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
        server { listen 127.0.0.1:%tls% ssl; server_name ec.test; return 200 ec;
            acme_certificate ca key=ecdsa:384;
            ssl_certificate ${acme_certificate}; ssl_certificate_key ${acme_certificate_key}; }";
    let server = server(&pebble, conf).start();
    let tls = pebble.tls.number();
    assert!(wait_for(&server, tls, "rsa.test").contains("Public-Key: (2048 bit)"));
    assert!(wait_for(&server, tls, "ec.test").contains("Public-Key: (384 bit)"));
    // Nobody asks any more.
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{tls}"), "-alpn", "acme-tls/1"]);
    command.args(["-servername", "rsa.test"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(!output.status.success());
}

/// A wildcard, by a program that sets records and removes them.
#[test]
fn wildcards_are_proved_by_dns() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let conf = "
        acme_issuer ca { %ca% challenge dns; account_key ecdsa:384;
            dns_hook /bin/sh %dir%/hook.sh %records% %dir%/calls; }
        server { listen 127.0.0.1:%port% ssl; server_name *.w.test w.test;
            acme_certificate ca;
            ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }";
    let hook = "records=$1 calls=$2 act=$3 domain=$4 name=$5 value=$6\n\
        case $act in present) path=set-txt;; *) path=clear-txt;; esac\n\
        curl -sf http://$records/$path -d \"{\\\"host\\\":\\\"$name.\\\",\\\"value\\\":\\\"$value\\\"}\" || exit 1\n\
        echo $act $domain >> $calls\n";
    let setup = server(&pebble, conf).set("records", pebble.records()).file("hook.sh", hook);
    setup.directory().write("calls", "");
    let calls = setup.directory().join("calls");
    std::fs::set_permissions(&calls, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let server = setup.start();
    let text = wait_for(&server, server.port("port"), "x.w.test");
    assert!(text.contains("DNS:*.w.test") && text.contains("DNS:w.test"), "{text}");
    // Both records have the same name, so the last one set is there for both.
    until("the records' end", || server.directory().read("calls").matches("cleanup").count() >= 2);
    assert!(server.directory().read("calls").matches("present w.test").count() >= 2);
}

#[test]
fn an_account_from_elsewhere_is_named() {
    if is_nginx() {
        return;
    }
    let members = r#", "externalAccountBindingRequired": true, "externalAccountMACKeys":
        {"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}"#;
    let Some(mut pebble) = Pebble::prepare(&[], members) else { return };
    pebble.launch();
    let conf = USUAL.replace("contact", "%eab% contact");
    let setup = server(&pebble, &conf).set("eab", "");
    let server = setup.start();
    server.wait_log("\"external_account_key\" names it; next try at ");
    // A change of the configuration is a reason to try at once.
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    server.directory().write("eab.key", format!("{key}\n"));
    server.reload_http(&conf.replace("%eab%", "external_account_key kid-1 %dir%/eab.key;"));
    wait_for(&server, pebble.tls.number(), "a.test");
}

/// An authority that refuses most nonces, and is slow to check: as Pebble does to find clients that
/// cannot bear it.
#[test]
fn refused_nonces_are_replaced() {
    if is_nginx() {
        return;
    }
    let variables = [
        ("PEBBLE_WFE_NONCEREJECT", "50"),
        ("PEBBLE_VA_NOSLEEP", "0"),
        ("PEBBLE_VA_SLEEPTIME", "1"),
    ];
    let Some(pebble) = Pebble::start(&variables) else { return };
    let server = server(&pebble, USUAL).start();
    wait_for(&server, pebble.tls.number(), "a.test");
    assert_eq!(pebble.issued(), 1);
}

/// Port 80 is closed at first.
#[test]
fn a_name_that_cannot_be_proved_is_told_with_the_reason() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let closed = USUAL.split("server { listen 127.0.0.1:%http%").next().unwrap();
    let server = server(&pebble, closed).start();
    // One of its two names; which one is asked first is up to the authority.
    server.wait_log("the authority refuses ");
    let log = server.error_log();
    let told = log.lines().find(|line| line.contains("refuses")).unwrap();
    assert!(told.contains("refuses a.test: ") || told.contains("refuses www.a.test: "), "{told}");
    assert!(told.contains("(connection); next try at "), "{told}");
    // Another order, since the first one has failed.
    server.reload_http(&USUAL.replace("admin@", "other@"));
    wait_for(&server, pebble.tls.number(), "a.test");
}

#[test]
fn the_preferred_chain_is_used() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[("PEBBLE_ALTERNATE_ROOTS", "2")]) else { return };
    let directory = crate::harness::Directory::new();
    let root = directory.write("root.pem", pebble.root(2));
    let name = ["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", root.to_str().unwrap()];
    let name = String::from_utf8(run("openssl", &name).stdout).unwrap();
    let name = name.trim().strip_prefix("subject=CN=").unwrap().to_owned();
    let conf = USUAL.replace("contact", &format!("preferred_chain \"{name}\"; contact"));
    let server = server(&pebble, &conf).start();
    wait_for(&server, pebble.tls.number(), "a.test");
    // It is in force before it is in its file.
    let file = until_some("the file", || kept(&server, "ca").into_iter().next());
    let verify = ["verify", "-CAfile", root.to_str().unwrap(), "-untrusted"];
    let file = file.to_str().unwrap();
    let output = run("openssl", &[&verify[..], &[file, file]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Names that a reload adds are ordered, and those that it leaves alone are not.
#[test]
fn a_reload_adds_and_removes_names() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let one = |name: &str| {
        format!(
            "server {{ listen 127.0.0.1:%tls% ssl; server_name {name}; acme_certificate ca;
                ssl_certificate $acme_certificate;
                ssl_certificate_key $acme_certificate_key; }}"
        )
    };
    let conf = |names: &[&str]| {
        let servers: String = names.iter().map(|name| one(name)).collect();
        format!("acme_issuer ca {{ %ca% }} server {{ listen 127.0.0.1:%http%; }} {servers}")
    };
    let server = server(&pebble, &conf(&["a.test", "b.test"])).start();
    let tls = pebble.tls.number();
    let a = serial(&wait_for(&server, tls, "a.test"));
    wait_for(&server, tls, "b.test");
    server.reload_http(&conf(&["a.test", "c.test"]));
    let c = serial(&wait_for(&server, tls, "c.test"));
    assert_eq!(shown(&server, tls, "a.test").map(|text| serial(&text)), Some(a.clone()));
    assert_eq!(pebble.issued(), 3);
    // One that comes back is still there.
    server.reload_http(&conf(&["a.test", "b.test", "c.test"]));
    until("b again", || shown(&server, tls, "b.test").is_some_and(|text| text.contains("b.test")));
    assert_eq!(shown(&server, tls, "c.test").map(|text| serial(&text)), Some(c));
    assert_eq!(pebble.issued(), 3);
}

/// The next worker begins anew.
#[test]
fn a_worker_that_is_killed_amid_an_order_costs_an_order() {
    if is_nginx() {
        return;
    }
    let variables = [("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "3")];
    let Some(pebble) = Pebble::start(&variables) else { return };
    let server = server(&pebble, USUAL).alerts_expected().start();
    until("an order", || pebble.log().contains("Sleeping for"));
    let worker = children(server.pid())[0];
    crate::harness::send_signal(worker, Signal::KILL);
    wait_for(&server, pebble.tls.number(), "a.test");
}

#[test]
fn what_cannot_work_is_refused_with_the_configuration() {
    if is_nginx() {
        return;
    }
    let server = "ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key;
        listen 127.0.0.1:%port% ssl;";
    let issuer = "acme_issuer ca { uri https://ca.test/dir; }";
    for (conf, message) in [
        ("acme_issuer ca { }".to_owned(), "\"uri\" is missing"),
        ("acme_issuer ca { uri ca.test; }".to_owned(), "is no URL of HTTP with a host"),
        (format!("{issuer} {issuer}"), "duplicate acme issuer \"ca\""),
        ("acme_issuer ca { uri https://a/; challenge dns; }".to_owned(), "needs a \"dns_hook\""),
        (
            "acme_issuer ca { uri https://a/; account_key rsa:1024; }".to_owned(),
            "unsupported key size",
        ),
        ("acme_issuer ca { uri https://a/; challenge x; }".to_owned(), "unsupported challenge: x"),
        (
            "acme_issuer ca { uri https://a/; external_account_key k data:?; }".to_owned(),
            "invalid base64url encoded value",
        ),
        (
            format!("{issuer} server {{ {server} server_name a; acme_certificate other; }}"),
            "issuer \"other\" is missing",
        ),
        (
            format!("{issuer} server {{ {server} acme_certificate ca; }}"),
            "no identifiers found in \"server_name\"",
        ),
        (
            format!("{issuer} server {{ {server} acme_certificate ca *.a.test; }}"),
            "wildcards need \"challenge dns\"",
        ),
        (
            format!("{issuer} server {{ {server} acme_certificate ca a..b; }}"),
            "acme_certificate: invalid server name: \"a..b\"",
        ),
        (
            format!("{issuer} server {{ {server} acme_certificate ca a key=dsa; }}"),
            "\"acme_certificate\" directive invalid \"key\" value",
        ),
        (
            format!("{issuer} server {{ {server} acme_certificate ca a key=ecdsa:234; }}"),
            "acme_certificate: unsupported curve",
        ),
        (
            format!("{issuer} server {{ {server} acme_certificate ca; server_name www.a.*; }}"),
            "invalid server name",
        ),
        (format!("{issuer} server {{ acme_certificate \"\"; }}"), "\"issuer\" is missing"),
        ("acme_shared_zone bad-value;".to_owned(), "must have \"zone\" parameter"),
        ("acme_shared_zone zone=a:b;".to_owned(), "invalid zone size"),
        (
            "acme_issuer ca { uri https://a/; account_key no.key; }".to_owned(),
            "cannot load account key",
        ),
        (
            "acme_issuer ca { uri https://a/; profile a needed; }".to_owned(),
            "invalid value \"needed\"",
        ),
    ] {
        let output = Server::http(&conf).check();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(message), "{conf}\n{told}");
    }
    let output = Server::http(&format!("{issuer} server {{ {server} server_name a; }}")).check();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("has no value in a server"), "{told}");
}

/// What the documentation of nginx's module allows is accepted, without a word where it has the
/// same effect.
#[test]
fn configurations_of_the_module_are_accepted() {
    if is_nginx() {
        return;
    }
    let check = |conf: &str| {
        let output = Server::http(conf).check();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{conf}\n{told}");
        told
    };
    // Its example.
    let told = check(
        "resolver 127.0.0.1:53;
        acme_issuer example {
            uri https://acme.example.com/directory; contact admin@example.test;
            state_path %dir%/acme-example; accept_terms_of_service; }
        acme_shared_zone zone=ngx_acme_shared:1M;
        server { listen 127.0.0.1:%porttls% ssl; server_name .example.test 192.0.2.1 2001:db8::1;
            acme_certificate example;
            ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key;
            ssl_certificate_cache max=2; }
        server { listen 127.0.0.1:%port%; location / { return 404; } }",
    );
    assert!(!told.contains("[warn]"), "{told}");
    // Every directive, with values of each form.
    let keys = ["ecdsa", "ecdsa:256", "ecdsa:384", "ecdsa:521", "rsa", "rsa:2048", "rsa:3072"];
    for key in keys {
        let told = check(&format!(
            "server {{ listen 127.0.0.1:%port% ssl; server_name a.test \"\" B.test;
                acme_certificate ca key={key};
                ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }}
            acme_issuer ca {{ uri https://a.test/; account_key {key}; challenge tls-alpn-01;
                common_name_in_csr on; contact mailto:a@a.test; contact tel:+1;
                external_account_key kid data:c2VjcmV0; preferred_chain \"A B\"; profile x require;
                ssl_verify off; state_path off; }}
            acme_issuer other {{ uri http://a.test:81; challenge http; state_path rel/; }}"
        ));
        assert!(!told.contains("[warn]"), "{told}");
    }
    let told = check(
        "acme_issuer ca { uri https://a.test/; }
        server { listen 127.0.0.1:%port% ssl; server_name a.test ~^b; acme_certificate ca;
            ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }",
    );
    assert!(told.contains("unsupported regular expression in server_name"), "{told}");
    let told = check(
        "acme_issuer ca { uri https://a.test/; }
        server { listen 127.0.0.1:%port% ssl; server_name a.test; acme_certificate ca;
            ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key;
            ssl_stapling on; }",
    );
    assert!(told.contains("[warn]") && told.contains("\"ssl_stapling\" ignored"), "{told}");
}

/// The configurations of `docs/howto/certificates.md` are accepted.
#[test]
fn the_how_to_is_accepted() {
    if is_nginx() {
        return;
    }
    let page = include_str!("../docs/howto/certificates.md");
    let blocks: Vec<_> = page.split("```nginx\n").skip(1).collect();
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let conf = block.split("```").next().unwrap();
        let conf = conf.replace("listen 443 ssl;", "listen 127.0.0.1:%porttls% ssl;");
        let setup = Server::http(&conf.replace("listen 80;", "listen 127.0.0.1:%port%;"));
        let directory = setup.directory();
        crate::harness::Certificate::self_signed(directory, "company", "ca.example.com");
        let certificate = directory.read("company.crt");
        directory.write("company.pem", certificate);
        directory.write("company.key", "c2VjcmV0\n");
        let output = setup.check();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{conf}\n{told}");
    }
}
