//! Authorities that are away, slow, refuse, or want a renewal; clocks that are wrong; files that
//! cannot be written.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::authority::Authority;
use super::{kept, serial, shown, wait_for};
use crate::harness::{
    Pebble, Server, Setup, Signal, children, is_nginx, run, send_signal, until, until_some,
};

pub(super) const CONF: &str = "
    acme_issuer ca { %ca% %more% }
    server { listen 127.0.0.1:%port% ssl; server_name a.test;
        acme_certificate ca; return 200 secure;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
    server { listen 127.0.0.1:%portplain%; return 200 plain; }";

fn server(authority: &Authority) -> Setup {
    Server::http(CONF).set("ca", authority.lines()).set("more", "")
}

/// Tries again at once.
fn nudge(server: &Server) {
    // What a test has set stays.
    server.reload_http(&CONF.replace("%more%", "%more% contact other@a.test;"));
}

/// The text of a server without TLS: requests go on whatever authorities do.
pub(super) fn plain(server: &Server) -> String {
    crate::harness::Client::connect(server.address("portplain")).get("/").text()
}

#[test]
fn an_authority_that_limits_orders_is_heard() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    // Seconds, and a date of the authority's clock, which is ahead by a month.
    let month = 30 * 86_400;
    let date = authority.state.date(month + 7200, "+%a, %d %b %Y %H:%M:%S GMT");
    let date: &'static str = format!("Retry-After: {date}\r\n").leak();
    let limits = [("Retry-After: 3600\r\n", "rateLimited"), (date, "rateLimitedByDate")];
    *authority.state.refusals.lock().unwrap() =
        limits.map(|(field, kind)| (429, field, kind)).into();
    authority.state.ahead.store(month, Ordering::SeqCst);
    let server = server(&authority).start();
    for (kind, expected) in [("(rateLimited)", 3500..3700), ("(rateLimitedByDate)", 6900..7400)] {
        server.wait_log(&format!("not now {kind}; next try at "));
        let log = server.error_log();
        let told = log.lines().find(|line| line.contains(kind)).unwrap();
        let at = told.rsplit("next try at ").next().unwrap().trim();
        let wait = ["-c", "echo $(( $(date -d \"$0\" +%s) - $(date +%s) ))", at];
        let wait: i64 = String::from_utf8(run("sh", &wait).stdout).unwrap().trim().parse().unwrap();
        assert!(expected.contains(&wait), "{kind} {wait}");
        assert_eq!(plain(&server), "plain");
        match kind {
            "(rateLimited)" => nudge(&server),
            _ => server.reload_http(&CONF.replace("%more%", "%more% contact third@a.test;")),
        }
    }
    wait_for(&server, server.port("port"), "a.test");
}

#[test]
fn an_authority_that_is_away_or_silent_is_told_once() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    authority.state.is_silent.store(true, Ordering::SeqCst);
    let server = server(&authority)
        .set("more", "")
        .set("ca", format!("{} uri http://127.0.0.1:%portnone%/dir;", ""))
        .start();
    server.wait_log("Connection refused; next try at ");
    assert_eq!(shown(&server, server.port("port"), "a.test"), None);
    assert_eq!(plain(&server), "plain");
    server.reload_http(&CONF.replace("%ca%", &authority.lines()).replace("%more%", ""));
    until("a question", || authority.backend.count() > 0);
    assert_eq!(plain(&server), "plain");
    assert_eq!(server.error_log().matches("next try at").count(), 1);
    assert_eq!(server.error_log().matches("ordering; until").count(), 1);
}

/// The authority wants a renewal at once: the certificate was revoked (RFC 9773 section 4.2).
#[test]
fn a_certificate_that_the_authority_revokes_is_replaced() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    let mut server = server(&authority).set("more", "profile short require;").start();
    let first = serial(&wait_for(&server, server.port("port"), "a.test"));
    until("the file", || kept(&server, "ca").len() == 1);
    *authority.state.window.lock().unwrap() = Some((-7200, -3600));
    server.pause();
    server.resume();
    until("another certificate", || authority.issued() == 2);
    server.wait_log("the authority wants a renewal");
    until("it in force", || {
        shown(&server, server.port("port"), "a.test").is_some_and(|text| serial(&text) != first)
    });
    let orders = authority.state.orders.lock().unwrap().clone();
    assert_eq!(orders[0]["profile"], "short");
    assert_eq!(orders[0].get("replaces"), None);
    let replaces = orders[1]["replaces"].as_str().unwrap();
    // The serial number of the first, in base64url.
    assert!(replaces.ends_with(".A-g"), "{replaces}");
}

/// By the machine's clock the certificate has long expired, but the authority knows better.
#[test]
fn a_clock_that_is_wrong_costs_no_orders() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    // The authority is ahead by sixty days, so the certificate is nearly due.
    let mut server = server(&authority).start();
    wait_for(&server, server.port("port"), "a.test");
    let file = paused_with_file(&mut server);
    let old = old_certificate(&server);
    std::fs::write(&file, &old).unwrap();
    // For the authority, it is the day after that certificate was issued.
    let ahead = -365 * 86_400 * 2;
    authority.state.ahead.store(ahead, Ordering::SeqCst);
    server.resume();
    server.wait_log("ahead of the authority's");
    assert_eq!(authority.issued(), 1);
    // Once it is right, the certificate is due.
    authority.state.ahead.store(0, Ordering::SeqCst);
    nudge(&server);
    server.pause();
    server.resume();
    until("another certificate", || authority.issued() == 2);
}

/// The file of the first certificate, while the server that has just written it stands still.
fn paused_with_file(server: &mut Server) -> PathBuf {
    until("the file", || kept(server, "ca").len() == 1);
    server.pause();
    kept(server, "ca").into_iter().next().unwrap()
}

/// A certificate of `a.test` with its key that expired a year ago, valid for a year before.
fn old_certificate(server: &Server) -> String {
    let script = "cd \"$0\" && touch index && printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\n\
        new_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\nrand_serial=yes\\nx509_extensions=x\\n\
        [p]\\ncommonName=supplied\\n[x]\\nsubjectAltName=DNS:a.test\\n' > old.cnf && \
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout old.key \
        -subj /CN=a.test -out old.csr && year=$(date +%Y) && \
        openssl ca -batch -config old.cnf -selfsign -keyfile old.key -in old.csr -out old.crt \
        -startdate $((year - 3))$(date +%m%d)000000Z -enddate $((year - 1))$(date +%m%d)000000Z && \
        cat old.key old.crt";
    let path = server.directory().path().to_str().unwrap().to_owned();
    let output = run("sh", &["-c", script, &path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn files_that_cannot_be_written_or_read_cost_nothing() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    // In the place of the new file that is to become the account's key is a folder.
    let setup = server(&authority);
    setup.directory().write("acme_ca/account.key.new/x", "");
    let server = setup.start();
    wait_for(&server, server.port("port"), "a.test");
    server.wait_log("account.key\" failed (21: Is a directory)");
    server.wait_log("writing is tried again");
    assert_eq!(plain(&server), "plain");
    // It is told once, and written once there is room.
    until("a second try", || authority.issued() == 1 && kept(&server, "ca").len() == 1);
    let key = server.directory().join("acme_ca/account.key");
    std::fs::remove_dir_all(key.with_extension("key.new")).unwrap();
    server.wait_log("account.key\" is written");
    assert!(key.is_file());
    assert_eq!(server.error_log().matches("writing is tried again").count(), 1);
}

/// A key has leaked: the operator wants another certificate, by a file and a reload.
#[test]
fn the_operator_has_another_certificate_ordered() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    let server = server(&authority).start();
    let port = server.port("port");
    let first = serial(&wait_for(&server, port, "a.test"));
    let file = until_some("the file", || kept(&server, "ca").into_iter().next());
    let mark = file.with_extension("renew");
    std::fs::write(&mark, "").unwrap();
    // An authority that refuses at first, with "replaces" and without, leaves the one in force, and the wish.
    *authority.state.refusals.lock().unwrap() =
        vec![(403, "", "unauthorized"), (403, "", "unauthorized")];
    server.reload_http(&CONF.replace("%more%", ""));
    server.wait_log("a.test: another certificate is wanted now");
    server.wait_log("(unauthorized); next try at ");
    assert!(mark.exists() && shown(&server, port, "a.test").is_some());
    nudge(&server);
    until("another certificate", || {
        shown(&server, port, "a.test").is_some_and(|text| serial(&text) != first)
    });
    until("the end of the wish", || !mark.exists());
    server.reload_http(&CONF.replace("%more%", ""));
    assert_eq!(authority.issued(), 2);
}

#[test]
fn a_broken_file_is_replaced() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    let mut server = server(&authority).start();
    wait_for(&server, server.port("port"), "a.test");
    let file = paused_with_file(&mut server);
    let mut half = std::fs::read(&file).unwrap();
    half.truncate(half.len() / 3);
    std::fs::write(&file, half).unwrap();
    server.resume();
    server.wait_log("is not used");
    wait_for(&server, server.port("port"), "a.test");
    assert_eq!(authority.issued(), 2);
    // The account is the same.
    assert_eq!(authority.backend.seen().iter().filter(|s| s.target() == "/account").count(), 1);
}

/// Pebble's certificate is none of the authorities that are trusted.
#[test]
fn an_authority_must_show_the_right_certificate() {
    if is_nginx() {
        return;
    }
    let Some(pebble) = Pebble::start(&[]) else { return };
    let uri = pebble.uri();
    let uri = format!("uri {uri}; challenge tls-alpn; accept_terms_of_service;");
    let other = crate::harness::Certificate::self_signed;
    let setup = Server::http(&CONF.replace("%port%", "%tls%"))
        .set("tls", pebble.tls.number())
        .set("more", "");
    other(setup.directory(), "other", "localhost");
    let wrong = format!("{uri} ssl_trusted_certificate other.crt;");
    let server = setup.set("ca", wrong).start();
    server.wait_log("the TLS handshake with localhost failed: ");
    let conf = CONF.replace("%port%", "%tls%").replace("%more%", "");
    server.reload_http(&conf.replace("%ca%", &format!("{uri} ssl_verify off;")));
    wait_for(&server, pebble.tls.number(), "a.test");
    let told = until_some("one line", || {
        let log = server.error_log();
        let count = log.matches("handshake with localhost failed").count();
        (count > 0).then_some(count)
    });
    assert_eq!(told, 1);
}

/// A worker that is killed in the middle of an order leaves it to the next one; a reload meanwhile
/// leaves it alone.
#[test]
fn an_order_goes_on_after_a_killed_worker() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    authority.state.is_processing.store(true, Ordering::SeqCst);
    let server = server(&authority).alerts_expected().start();
    until("the order's file", || {
        let files = std::fs::read_dir(server.directory().join("acme_ca"));
        files.unwrap().any(|file| file.unwrap().path().extension().is_some_and(|it| it == "order"))
    });
    until("the request", || authority.issued() == 1);
    server.reload_http(&CONF.replace("%more%", ""));
    let worker = children(server.pid())[0];
    send_signal(worker, Signal::KILL);
    server.wait_log("a.test: the order http://");
    authority.state.is_processing.store(false, Ordering::SeqCst);
    wait_for(&server, server.port("port"), "a.test");
    assert_eq!((authority.orders(), authority.issued()), (1, 1));
    until("no file of the order", || {
        let mut files = std::fs::read_dir(server.directory().join("acme_ca")).unwrap();
        files.all(|file| file.unwrap().path().extension().is_none_or(|it| it != "order"))
    });
}

/// The API and the metrics tell what failed, and when it is tried again.
#[test]
fn the_api_shows_certificates_and_failures() {
    if is_nginx() {
        return;
    }
    let authority = Authority::start();
    *authority.state.refusals.lock().unwrap() = vec![(403, "", "rejectedIdentifier")];
    let conf = CONF.replace(
        "return 200 plain;",
        "location /api { api write=on; } location /metrics { prometheus; }",
    );
    let server = Server::http(&conf).set("ca", authority.lines()).set("more", "").start();
    let get = |target: &str| {
        crate::harness::Client::connect(server.address("portplain")).get(target).text()
    };
    let shown = || -> serde_json::Value {
        let all: serde_json::Value =
            serde_json::from_str(&get("/api/9/http/acme_certificates")).unwrap();
        all.as_object().unwrap().values().next().unwrap().clone()
    };
    until("the failure", || shown()["state"] == "failed");
    let failed = shown();
    assert!(failed["fault"].as_str().unwrap().contains("rejectedIdentifier"), "{failed}");
    assert!(failed["next_try"].is_string() && failed["fault_at"].is_string(), "{failed}");
    assert_eq!((&failed["tries"], &failed["names"][0]), (&1.into(), &"a.test".into()));
    let metrics = get("/metrics");
    assert!(metrics.contains("weir_acme_failing{"), "{metrics}");
    assert!(!get("/api/9/certificates").contains("acme:a.test-"));
    server.reload_http(&conf.replace("%more%", "contact other@a.test;"));
    until("the certificate", || shown()["state"] == "valid");
    let valid = shown();
    assert!(valid["not_after"].is_string() && valid["renew_at"].is_string(), "{valid}");
    assert_eq!((&valid["tries"], valid.get("fault")), (&0.into(), None));
    assert!(get("/api/9/certificates").contains("acme:a.test-"));
    let metrics = get("/metrics");
    assert!(metrics.contains("weir_certificate_not_after_timestamp_seconds{file=\"acme:a.test-"));
}
