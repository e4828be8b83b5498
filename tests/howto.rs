//! Pages of `docs/howto`, whose examples do what the pages say, with other addresses. Longer pages
//! have their tests beside those of what they are about.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::harness::{Backend, Reply, Server, is_nginx, until};

/// The code blocks of a language in a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(fence.as_str()).skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

/// A configuration with the addresses of servers in place of those in the page.
fn with_servers(conf: &str, written: &[&str], servers: &[&Backend]) -> String {
    let mut conf = conf.to_owned();
    for (written, server) in written.iter().zip(servers) {
        assert!(conf.contains(written), "{written}");
        conf = conf.replace(written, &server.address());
    }
    conf
}

/// A server whose answer to all requests can be changed to another status.
struct Changing {
    backend: Backend,
    status: Arc<AtomicU16>,
}

impl Changing {
    fn new(name: &'static str) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let current = Arc::clone(&status);
        let backend = Backend::new(move |_| match current.load(Ordering::Relaxed) {
            200 => Reply::ok(name),
            status => Reply::with(&format!("{status} X"), "", "no"),
        });
        Self { backend, status }
    }

    fn turn(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }
}

#[test]
fn active_health_checks() {
    if is_nginx() {
        return;
    }
    let blocks = blocks(include_str!("../docs/howto/active-health-checks.md"), "nginx");
    let (one, two) = (Changing::new("one"), Changing::new("two"));
    let written = ["10.0.0.1:8080", "10.0.0.2:8080"];
    let servers = [&one.backend, &two.backend];
    let conf = blocks[0].replace("listen 80;", "listen 127.0.0.1:%port%;");
    let conf = conf.replace("interval=5s", "interval=50ms");
    let server = Server::http(&with_servers(&conf, &written, &servers)).start();
    two.turn(500);
    server.wait_log("peer is unhealthy");
    until("the healthy server alone", || (0..4).all(|_| server.text("/") == "one"));
    two.turn(200);
    server.wait_log("peer is healthy");
    until("both servers", || server.text("/") == "two");
    // The further examples: what a good response is, and slow starts.
    let check = conf.replace("uri=/healthz interval=50ms fails=2 passes=2", "match=ready");
    assert!(blocks[2].contains("health_check match=ready;") && check != conf);
    let ready = Server::http(&format!("{}{check}", blocks[1])).check();
    assert!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let slow = Server::http(&blocks[3]).check();
    assert!(slow.status.success(), "{}", String::from_utf8_lossy(&slow.stderr));
}

#[test]
fn change_servers() {
    if is_nginx() {
        return;
    }
    let page = include_str!("../docs/howto/change-servers.md");
    let backends: Vec<_> = ["a", "b", "c", "d"].map(Backend::text).into();
    let written = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080"];
    let servers: Vec<_> = backends.iter().collect();
    let conf =
        blocks(page, "nginx")[0].replace("listen 127.0.0.1:8000;", "listen 127.0.0.1:%port%;");
    let server = Server::http(&with_servers(&conf, &written[..3], &servers[..3])).start();
    let script = blocks(page, "sh").concat();
    let script = script.replace("127.0.0.1:8000", &server.address("port").to_string());
    let script = with_servers(&script, &written[3..], &servers[3..]);
    let script = script.replace("curl ", "curl -sS --fail ");
    let (before, removed) = script.split_once("curl -sS --fail -X DELETE").unwrap();
    let shell = |script: &str| {
        let output = Command::new("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = shell(before);
    assert!(said.contains(&format!(r#""id":3,"server":"{}""#, backends[3].address())), "{said}");
    assert!(said.contains(r#""state":"draining""#), "{said}");
    let api = before.lines().find(|line| line.starts_with("api=")).unwrap();
    shell(&format!("{api}\ncurl -sS --fail -X DELETE{removed}"));
    let left = server.api_get("http/upstreams/backend/servers");
    assert_eq!(left.as_array().unwrap().len(), 3, "{left}");
}

#[test]
fn eject_outliers() {
    if is_nginx() {
        return;
    }
    let page = include_str!("../docs/howto/eject-outliers.md");
    let (a, b, c) = (Backend::text("a"), Backend::text("b"), Backend::text("c"));
    let failing = Changing::new("d");
    failing.turn(500);
    let written = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080"];
    let group = with_servers(&blocks(page, "nginx")[0], &written, &[&a, &b, &c, &failing.backend]);
    let conf = "server { listen 127.0.0.1:%port%; location / { proxy_pass http://backend; } }";
    let server = Server::http(&format!("{group}{conf}")).start();
    let answers: Vec<_> = (0..40).map(|_| server.get("/").status).collect();
    assert_eq!(answers.iter().filter(|status| **status == 500).count(), 5, "{answers:?}");
    let address = failing.backend.address();
    server.wait_log(&format!(
        "server {address} in upstream \"backend\" is ejected for 30 s: 5 failures in a row"
    ));
}

#[test]
fn prefer_near_servers() {
    if is_nginx() {
        return;
    }
    let blocks = blocks(include_str!("../docs/howto/prefer-near-servers.md"), "nginx");
    let backends: Vec<_> = ["a", "b", "c", "d"].map(Backend::text).into();
    let written = ["10.1.0.1:8080", "10.1.0.2:8080", "10.2.0.1:8080", "10.2.0.2:8080"];
    let group = with_servers(&blocks[0], &written, &backends.iter().collect::<Vec<_>>());
    let conf = "server { listen 127.0.0.1:%port%; location / { proxy_pass http://backend; } }";
    let server = Server::http(&format!("{group}{conf}")).start();
    let answers: String = (0..8).map(|_| server.text("/")).collect();
    assert_eq!(answers, "abababab");
    let servers = "zone b 64k; server 127.0.0.1:1 locality=eu-1a; server 127.0.0.1:2 locality=x;";
    let mapped = Server::http(&blocks[1].replace('…', servers)).check();
    assert!(mapped.status.success(), "{}", String::from_utf8_lossy(&mapped.stderr));
}
