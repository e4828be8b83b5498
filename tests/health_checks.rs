//! Active health checks: servers that fail their probes get no requests. nginx has them in its
//! commercial version only, so these tests are of Weir alone.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::harness::{
    Backend, Certificate, Client, Reply, Seen, Server, Setup, Signal, children, is_nginx,
    send_signal, until,
};

/// A server that answers requests with its name, and probes (`/health`) with a status that changes.
struct Checked {
    backend: Backend,
    status: Arc<AtomicU16>,
}

impl Checked {
    fn new(name: &'static str) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let current = Arc::clone(&status);
        let backend = Backend::new(move |seen| match (seen.target(), current.load(RELAXED)) {
            ("/health", 0) => Reply::hold(),
            ("/health", status) => Reply::with(&format!("{status} X"), "", "probed"),
            _ => Reply::ok(name),
        });
        Self { backend, status }
    }

    /// Sets the status of probes; 0 is none.
    fn turn(&self, status: u16) {
        self.status.store(status, RELAXED);
    }

    fn address(&self) -> String {
        self.backend.address()
    }

    fn probes(&self) -> Vec<Seen> {
        let mut seen = self.backend.seen();
        seen.retain(|seen| seen.target().starts_with("/health"));
        seen
    }
}

const RELAXED: Ordering = Ordering::Relaxed;

/// A configuration with the group `u` of the servers `%a%` and `%b%`, and the parameters of its
/// check.
fn conf(check: &str) -> String {
    format!(
        "upstream u {{ zone u 64k; server %a%; server %b%; }}
         server {{
             listen 127.0.0.1:%port%;
             location / {{ proxy_pass http://u; }}
             location = /check {{
                 internal;
                 proxy_pass http://u;
                 health_check uri=/health {check};
             }}
         }}"
    )
}

fn setup(conf: &str, a: &Checked, b: &Checked) -> Setup {
    Server::http(conf).set("a", a.address()).set("b", b.address())
}

fn pair() -> (Checked, Checked) {
    (Checked::new("a"), Checked::new("b"))
}

/// The servers that answer ten requests.
fn answers(server: &Server) -> String {
    let mut names: Vec<String> = (0..10).map(|_| server.text("/")).collect();
    names.sort();
    names.dedup();
    names.concat()
}

#[test]
fn a_server_fails_and_recovers() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    let server = setup(&conf("interval=20ms fails=2 passes=3"), &a, &b).start();
    assert_eq!(answers(&server), "ab");
    b.turn(500);
    let of = format!(", health check \"\" of peer {} in upstream \"u\"", b.address());
    server.wait_log(&format!("peer is unhealthy while checking status code{of}"));
    server.wait_log(&format!(
        "upstream sent unexpected status code 500 while checking status code{of}"
    ));
    assert_eq!(answers(&server), "a");
    let failed = b.probes().len();
    b.turn(200);
    server.wait_log(&format!("peer is healthy while checking status code{of}"));
    assert!(b.probes().len() >= failed + 3);
    assert_eq!(answers(&server), "ab");
    let log = server.error_log();
    for (line, count) in [("is unhealthy while", 1), ("is healthy while", 1), ("[error]", 1)] {
        assert_eq!(log.matches(line).count(), count, "{line}: {log}");
    }
}

#[test]
fn a_recovered_server_starts_slowly() {
    if is_nginx() {
        return;
    }
    for (slow_start, most) in [("1h", 0), ("auto", 2)] {
        let (a, b) = pair();
        let text = conf("interval=20ms")
            .replace("server %b%;", &format!("server %b% slow_start={slow_start};"));
        let server = setup(&text, &a, &b).start();
        assert_eq!(answers(&server), "ab");
        b.turn(500);
        server.wait_log("peer is unhealthy while");
        b.turn(200);
        server.wait_log("peer is healthy while");
        let b_answers = (0..20).filter(|_| server.text("/") == "b").count();
        assert!(b_answers <= most, "{slow_start}: {b_answers}");
    }
}

/// The first answer decides, and until then there are no requests.
#[test]
fn a_mandatory_check_comes_before_requests() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    a.turn(0);
    b.turn(0);
    let server = setup(&conf("interval=50ms mandatory"), &a, &b).start();
    a.backend.wait(0);
    b.backend.wait(0);
    assert_eq!(server.get("/").status, 502);
    server.wait_log("no live upstreams while connecting to upstream");
    // The probes under way end with the old connections.
    drop(a);
    let b_address = b.address();
    drop(b);
    server.wait_log("upstream prematurely closed connection while reading response header");
    let line = format!(
        "peer is unhealthy while reading response header from upstream, health \
                        check \"\" of peer {b_address} in upstream \"u\""
    );
    server.wait_log(&line);
    server.wait_log("connect() failed (111: Connection refused) while connecting to upstream");
}

/// A server that accepts but never answers, and one that is not there.
#[test]
fn a_server_that_hangs_or_is_gone_is_unhealthy() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    b.turn(0);
    // More than one failure, in case the machine is slow.
    let text = conf("interval=20ms fails=5").replace("internal;", "proxy_read_timeout 200ms;");
    let server = setup(&text, &a, &b).start();
    let of = format!(", health check \"\" of peer {} in upstream \"u\"", b.address());
    let doing = "while reading response header from upstream";
    server.wait_log(&format!("upstream timed out (110: Connection timed out) {doing}{of}"));
    server.wait_log(&format!("peer is unhealthy {doing}{of}"));
    assert_eq!(answers(&server), "a");
    let of_a = a.address();
    drop(a);
    server.wait_log(&format!(
        "peer is unhealthy while connecting to upstream, health check \"\" of peer {of_a} in"
    ));
    assert_eq!(server.get("/").status, 502);
}

/// With an interval of an hour, each server is probed once, whatever the number of threads, and a
/// reload does not probe again unless the check changes.
#[test]
fn a_reload_forgets_nothing_and_threads_probe_once() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    b.turn(503);
    let check = "interval=1h mandatory persistent passes=2";
    let server = setup(&conf(check), &a, &b).main("worker_processes 2;").start();
    server.wait_log("peer is healthy while");
    server.wait_log("peer is unhealthy while");
    assert_eq!(answers(&server), "a");
    let least = conf(check).replace("zone u 64k;", "zone u 64k; least_conn;");
    server.reload_http(&least);
    assert_eq!(answers(&server), "a");
    assert_eq!((a.probes().len(), b.probes().len()), (1, 1));
    // Another check: it probes at once, but one pass does not suffice.
    b.turn(200);
    server.reload_http(&least.replace("/health", "/health?2"));
    until("new probes", || a.probes().len() == 2 && b.probes().len() == 2);
    assert_eq!(b.probes()[1].target(), "/health?2");
    assert_eq!(answers(&server), "a");
    // Without the check the server takes requests again.
    let without = least.replace("health_check uri=/health", "#");
    server.reload_http(&without);
    assert_eq!(answers(&server), "ab");
    assert_eq!(server.error_log().matches("peer is").count(), 2);
}

/// The states of two checks are apart; one that fails is enough.
#[test]
fn all_checks_of_a_group_have_to_pass() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    b.turn(404);
    let text = conf("interval=1h mandatory").replace(
        "location / {",
        "location = /other { proxy_pass http://u; health_check match=any interval=30ms; }
         location / {",
    ) + "match any { body ~ b; }";
    let server = setup(&text, &a, &b).start();
    server.wait_log(&format!(
        "peer is unhealthy while checking body, health check \"any\" of peer {} in",
        a.address()
    ));
    server.wait_log(&format!(
        "peer is unhealthy while checking status code, health check \"\" of peer {} in",
        b.address()
    ));
    assert_eq!(server.get("/").status, 502);
}

/// One response in a group of its own, and where its test ends: the last step, and why.
const RESPONSES: &[(&str, &str, &str, &str, &str)] = &[
    ("good", "200 X", FIELDS, "all is fine", "healthy while checking required variables"),
    ("status", "303 X", FIELDS, "all is fine", "unhealthy while checking status code"),
    ("excluded", "299 X", FIELDS, "all is fine", "unhealthy while checking status code"),
    ("value", "200 X", "X-Many: 2\r\nX-State: busy\r\n", "", "unhealthy while checking header"),
    ("other", "200 X", "X-Many: 1\r\nX-State: ready\r\n", "", "unhealthy while checking header"),
    ("gone", "200 X", "X-State: ready\r\n", "", "unhealthy while checking header"),
    ("bad", "200 X", BAD, "all is fine", "unhealthy while checking header"),
    ("body", "200 X", FIELDS, "all is well", "unhealthy while checking body"),
    ("nobody", "200 X", FIELDS, "all is fine, but not b", "unhealthy while checking body"),
    ("zero", "200 X", ZERO, "all is fine", "unhealthy while checking required variables"),
    ("empty", "200 X", EMPTY, "all is fine", "unhealthy while checking required variables"),
];

const FIELDS: &str = "X-Many: 1\r\nX-State: ready\r\nX-Many: 2\r\nX-Ok: 1\r\n";
const BAD: &str = "X-Many: 2\r\nX-State: ready\r\nX-Ok: 1\r\nX-Bad: 1\r\n";
const ZERO: &str = "X-Many: 2\r\nX-State: ready\r\nX-Ok: 0\r\n";
const EMPTY: &str = "X-Many: 2\r\nX-State: ready\r\n";

#[test]
fn a_match_tests_status_fields_body_and_variables() {
    if is_nginx() {
        return;
    }
    let backend = Backend::new(|seen| {
        let named = |row: &&(&str, &str, _, _, _)| seen.target()[1..] == *row.0;
        let (_, status, fields, body, _) = RESPONSES.iter().find(named).unwrap();
        Reply::with(status, fields, body)
    });
    let mut conf = String::from(
        "match all {
             status 200-299 304; status ! 299;
             header X-State; header ! X-Bad;
             header X-State = ready; header X-Many != 1;
             header X-State ~ ^re; header X-State !~ s;
             body ~ \"is fine\"; body !~ b;
             require $upstream_status $ok;
         }
         map $upstream_http_x_ok $ok { default $upstream_http_x_ok; }
         server { listen 127.0.0.1:%port%;",
    );
    for (name, ..) in RESPONSES {
        conf += &format!(
            "location /{name} {{ proxy_pass http://{name};
                 health_check uri=/{name} match=all interval=1h mandatory; }}"
        );
    }
    conf += "}";
    for (name, ..) in RESPONSES {
        conf += &format!("upstream {name} {{ zone {name} 64k; server %a%; }}");
    }
    let server = Server::http(&conf).set("a", backend.address()).start();
    for (name, _, _, _, end) in RESPONSES {
        let address = backend.address();
        server.wait_log(&format!(
            "peer is {end}, health check \"all\" of peer {address} in upstream \"{name}\""
        ));
    }
    for why in [
        "upstream sent unexpected status code 303 while",
        "upstream sent no header with an expected value \"X-Many\" while",
        "upstream sent unexpected header \"X-Bad\" while",
        "upstream sent a body that does not match \"is fine\" while",
        "upstream sent a body that matches \"b\" while",
        "required variable $ok is empty or 0 while",
    ] {
        assert!(server.error_log().contains(why), "{why}");
    }
}

/// Of a long body the first 256 KiB are tested, and a body without end is no burden.
#[test]
fn a_body_is_tested_up_to_its_limit() {
    if is_nginx() {
        return;
    }
    let backend = Backend::new(|seen| {
        let mut body = vec![b'.'; 256 * 1024 - 1];
        match seen.target() {
            "/in" => body.extend(b"x"),
            _ => body.extend(b".x"),
        }
        Reply::Custom(Box::new(move |stream| {
            let head = b"HTTP/1.1 200 OK\r\n\r\n";
            let _ = stream.write_all(head).and_then(|()| stream.write_all(&body));
            let _ = stream.read(&mut [0]);
        }))
    });
    let location = |name: &str| {
        format!(
            "upstream {name} {{ zone {name} 64k; server %a%; }}
             server {{ listen 127.0.0.1:%port_{name}%; location / {{ proxy_pass http://{name};
                 health_check uri=/{name} match=x interval=1h mandatory; }} }}"
        )
    };
    let conf = format!("match x {{ body ~ x; }} {} {}", location("in"), location("out"));
    let server = Server::http(&conf).set("a", backend.address()).start();
    server.wait_log("peer is unhealthy while checking body");
    server.wait_log("peer is healthy while checking body");
    let log = server.error_log();
    assert!(log.contains(" in upstream \"out\"") && log.contains(" in upstream \"in\""));
    let healthy = log.lines().find(|line| line.contains("peer is healthy")).unwrap();
    assert!(healthy.ends_with("in upstream \"in\""), "{healthy}");
}

/// Probes are requests of their location: they have its fields, its host and its protocol version.
#[test]
fn a_probe_has_the_settings_of_its_location() {
    if is_nginx() {
        return;
    }
    let backend = Backend::text("x");
    let server = Server::http(
        "upstream u { zone u 64k; server 127.0.0.1:9; }
         server { listen 127.0.0.1:%port%; server_name own.test;
             location /plain/ { proxy_pass http://u/path/; health_check port=%a% interval=1h; }
             location /set/ {
                 proxy_pass http://u; proxy_http_version 1.0; proxy_method HEAD;
                 proxy_set_header Host $host; proxy_set_header X-A \"1 $uri\";
                 proxy_set_header X-B $http_cookie;
                 health_check uri=/a%20b?c=d port=%a% interval=1h;
             } }",
    )
    .set("a", backend.address().rsplit_once(':').unwrap().1)
    .start();
    until("two probes", || backend.count() == 2);
    let mut seen = backend.seen();
    seen.sort_by_key(|seen| seen.line.clone());
    assert_eq!(seen[0].line, "GET / HTTP/1.1");
    assert_eq!(seen[0].headers, [("Host".to_owned(), "u".to_owned())]);
    assert_eq!(seen[1].line, "HEAD /a%20b?c=d HTTP/1.0");
    let fields = [("Host", "own.test"), ("X-A", "1 /a%20b")];
    assert_eq!(seen[1].headers, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(!server.error_log().contains("[error]"), "the probed port is another one");
}

#[test]
fn a_probe_may_keep_its_connection() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    let server = setup(&conf("interval=10ms keepalive_time=1h"), &a, &b).start();
    until("probes", || a.probes().len() > 10 && b.probes().len() > 10);
    assert_eq!((a.backend.connections(), b.backend.connections()), (1, 1));
    // A closed one is no failure.
    server.reload_http(&conf("interval=10ms keepalive_time=1ms"));
    let before = a.backend.connections();
    until("connections", || a.backend.connections() > before + 3);
    assert!(!server.error_log().contains("[error]"));
}

/// The state and the counts of a server, as the API shows them, without quotes.
fn shown(server: &Server, address: &str) -> (String, String) {
    let text = server.text("/api/9/http/upstreams/u/?fields=peers").replace('"', "");
    let mut peers = text.split("{id:").skip(1);
    let peer = peers.find(|peer| peer.contains(&format!(",server:{address},")));
    let peer = peer.unwrap_or_else(|| panic!("{address} is not in {text}"));
    let after = |name: &str, end| {
        let value = peer.split_once(name).map_or("", |(_, value)| value);
        value.split(end).next().unwrap_or_default().to_owned()
    };
    (after(",state:", ','), after(",health_checks:{", '}'))
}

/// A server that is added at run time waits for its first probe, which comes at once.
#[test]
fn the_api_shows_and_adds_servers() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    b.turn(500);
    let added = Checked::new("c");
    added.turn(0);
    let text = conf("interval=1h mandatory")
        .replace("location / {", "location /api/ { api write=on; } location / {");
    let server = setup(&text, &a, &b).start();
    server.wait_log("peer is healthy while");
    server.wait_log("peer is unhealthy while");
    let passed = "checks:1,fails:0,unhealthy:0,last_passed:true";
    let failed = "checks:1,fails:1,unhealthy:1,last_passed:false";
    assert_eq!(shown(&server, &a.address()), ("up".to_owned(), passed.to_owned()));
    assert_eq!(shown(&server, &b.address()), ("unhealthy".to_owned(), failed.to_owned()));
    let body = format!("{{\"server\":\"{}\"}}", added.address());
    let reply = server.ask(format!(
        "POST /api/9/http/upstreams/u/servers/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(reply.status, 201, "{}", reply.text());
    added.backend.wait(0);
    assert_eq!(shown(&server, &added.address()).0, "checking");
    assert_eq!(answers(&server), "a");
}

/// TLS to upstreams, with the verification of the location.
#[test]
fn a_probe_verifies_certificates() {
    if is_nginx() {
        return;
    }
    let conf = "
        upstream good { zone good 64k; server 127.0.0.1:%port_tls%; }
        upstream bad { zone bad 64k; server 127.0.0.1:%port_tls%; }
        server { listen 127.0.0.1:%port_tls% ssl; server_name a.test;
            ssl_certificate a.crt; ssl_certificate_key a.key; return 200 secure; }
        server { listen 127.0.0.1:%port%;
            proxy_ssl_verify on; proxy_ssl_trusted_certificate a.crt;
            location /good { proxy_pass https://good; proxy_ssl_name a.test;
                health_check interval=1h mandatory; }
            location /bad { proxy_pass https://bad; proxy_ssl_name b.test;
                health_check interval=1h mandatory; } }";
    let setup = Server::http(conf);
    Certificate::self_signed(setup.directory(), "a", "a.test");
    let server = setup.start();
    server.wait_log("peer is healthy while checking status code, health check \"\" of peer");
    server.wait_log("peer is unhealthy while SSL handshaking to upstream, health check \"\" of");
    assert_eq!(server.text("/good"), "secure");
    assert_eq!(server.get("/bad").status, 502);
}

#[test]
fn faults_of_configurations_are_told() {
    if is_nginx() {
        return;
    }
    let group = "upstream u { zone u 64k; server 127.0.0.1:1; }";
    let check = |group: &str, check: &str| {
        let conf = format!(
            "{group} server {{ listen 127.0.0.1:%port%; location / {{ proxy_pass http://u; \
             {check} }} }}"
        );
        let output = Server::http(&conf).check();
        String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned()
    };
    let told = |line: &str, text: &str| assert!(line.contains(text), "{line}");
    told(&check("upstream u { server 127.0.0.1:1; }", "health_check;"), "to be in shared memory");
    told(&check(group, "health_check match=x;"), "match \"x\" is not defined in");
    told(&check(group, "health_check type=grpc;"), "needs a \"grpc_pass\" in its location");
    told(&check(group, "health_check persistent;"), "invalid parameter \"persistent\" in");
}

/// Kills the worker, and waits for its successor to answer.
pub(crate) fn kill_worker(server: &Server) {
    let worker = || children(server.pid()).first().copied();
    let killed = worker().unwrap();
    send_signal(killed, Signal::KILL);
    until("a successor", || {
        let client = Client::try_connect(&server.address("port")).ok();
        let answered = client.is_some_and(|mut client| {
            client.send_if_wanted("GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.try_response(false).is_ok()
        });
        answered && worker().is_some_and(|pid| pid != killed)
    });
}

/// What checks have found is known to the successor of a killed worker before its first probe, and
/// a reload in between is heeded.
#[test]
fn a_killed_worker_leaves_what_its_checks_have_found() {
    if is_nginx() {
        return;
    }
    let (a, b) = pair();
    b.turn(503);
    let alive = "location = /alive { return 204; } location = /check";
    let text = conf("interval=50ms mandatory").replace("location = /check", alive);
    let server = setup(&text, &a, &b).alerts_expected().start();
    server.wait_log("peer is healthy while");
    server.wait_log("peer is unhealthy while");
    assert_eq!(answers(&server), "a");
    // From here on, probes never end.
    a.turn(0);
    b.turn(0);
    let (probes_of_a, probes_of_b) = (a.probes().len(), b.probes().len());
    for _ in 0..3 {
        kill_worker(&server);
        assert_eq!(answers(&server), "a");
    }
    until("probes", || a.probes().len() > probes_of_a && b.probes().len() > probes_of_b);
    // Without the check, the verdict is gone, for successors too.
    server.reload_http(&text.replace("health_check uri=/health", "#"));
    assert_eq!(answers(&server), "ab");
    server.reload_http(&text.replace("mandatory", ""));
    kill_worker(&server);
    assert_eq!(answers(&server), "ab");
}
