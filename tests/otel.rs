//! OpenTelemetry: `otel_exporter`, `otel_trace` and the rest, with a strict collector.

mod collector;
mod contexts;
mod grpc;

use std::time::Duration;

use collector::{Collector, Span, Value, taken};

use crate::harness::{
    Backend, Certificate, H2Client, Reply, Server, Setup, Signal, children, send_signal, until,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b9c7c989f97918e1";
const STATE: &str = "congo=ucfJifl5GOE,rojo=00f067aa0ba902b7";

/// The fields of a client that records its trace.
fn fields() -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: {STATE}\r\n")
}

/// A server whose requests are recorded, with `conf` in its block.
fn traced(collector: &Collector, http: &str, conf: &str) -> Setup {
    Server::http(&format!(
        "otel_exporter {{ endpoint {}; interval 10ms; }}
         otel_trace on;
         {http}
         server {{ listen 127.0.0.1:%port%; server_name a.test;
             {conf}
         }}",
        collector.url()
    ))
}

#[test]
fn a_span_has_nginxs_attributes() {
    let collector = Collector::start();
    let server = traced(
        &collector,
        "otel_service_name shop;
         otel_resource_attr my.name \"my name\";
         otel_resource_attr my.name last;",
        "location /ok { return 200 12345; }
         location /err { return 500; }
         location ~ ^/[c]ustom {
             otel_span_name $request_method-custom;
             otel_span_attr http.request.completion $request_completion;
             otel_span_attr http.response.header.content.type $sent_http_content_type;
             otel_span_attr odd $arg_odd;
             return 200;
         }",
    )
    .start();
    server.get_with("/ok?a=b", "User-Agent: u\r\nContent-Length: 0\r\n");
    let span = collector.wait(1).remove(0);
    assert_eq!((&*span.name, &*span.parent, span.failed), ("/ok", "", false));
    let resource = |span: &Span, name: &str| span.resource.get(name).cloned();
    assert_eq!(resource(&span, "service.name"), Some(Value::Text("shop".into())));
    assert_eq!(resource(&span, "my.name"), Some(Value::Text("last".into())));
    for (name, value) in [
        ("http.method", "GET"),
        ("http.target", "/ok?a=b"),
        ("http.route", "/ok"),
        ("http.scheme", "http"),
        ("http.flavor", "1.1"),
        ("http.user_agent", "u"),
        ("net.host.name", "a.test"),
        ("net.sock.peer.addr", "127.0.0.1"),
    ] {
        assert_eq!(span.text(name), value, "{name}");
    }
    for (name, value) in [
        ("http.request_content_length", 0),
        ("http.response_content_length", 5),
        ("http.status_code", 200),
        ("net.host.port", server.port("port").into()),
    ] {
        assert_eq!(span.number(name), value, "{name}");
    }
    assert!(span.number("net.sock.peer.port") > 1023);
    server.get("/err");
    assert!(collector.wait(2)[1].failed);
    server.ask("GET /custom?odd=\u{fc}\"%ff HTTP/1.0\r\n\r\n");
    let span = collector.wait(3).remove(2);
    assert_eq!(span.name, "GET-custom");
    assert_eq!(span.text("http.route"), "^/[c]ustom");
    assert_eq!(span.text("http.request.completion"), "OK");
    let array = Value::Texts(vec!["text/plain".into()]);
    assert_eq!(span.attributes["http.response.header.content.type"], array);
    assert_eq!(span.text("odd"), "\u{fc}\"%ff");
    assert_eq!(span.text("http.flavor"), "1.0");
    assert_eq!(span.attributes.get("http.user_agent"), None);
    assert_eq!(collector.backend.connections(), 1, "it is kept");
}

#[test]
fn contexts_are_continued_and_passed_on() {
    let collector = Collector::start();
    let backend = Backend::echo();
    let locations: String = ["ignore", "extract", "inject", "propagate"]
        .map(|how| {
            format!(
                "location /{how} {{ otel_trace_context {how}; proxy_pass http://{};
                     add_header X-Ids $otel_trace_id,$otel_span_id,$otel_parent_id,$otel_parent_sampled;
                 }}",
                backend.address()
            )
        })
        .concat();
    let server = traced(&collector, "", &locations).start();
    let mut count = 0;
    for how in ["ignore", "extract", "inject", "propagate"] {
        for with_parent in [false, true] {
            let lines = if with_parent { fields() } else { String::new() };
            let response = server.get_with(&format!("/{how}"), &lines);
            count += 1;
            let span = collector.wait(count).remove(count - 1);
            let continues = with_parent && ["extract", "propagate"].contains(&how);
            assert_eq!(span.trace == TRACE, continues, "{how}: {span:?}");
            assert_eq!(span.parent, if continues { PARENT } else { "" });
            assert_eq!(span.state, if continues { STATE } else { "" });
            let sampled = if continues { "1" } else { "0" };
            let ids = format!("{},{},{},{sampled}", span.trace, span.id, span.parent);
            assert_eq!(response.header("X-Ids"), Some(&*ids));
            let seen = backend.last();
            let sent = |name: &str| {
                let found: Vec<_> =
                    seen.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).collect();
                assert!(found.len() < 2, "{found:?}");
                found.first().map(|(_, value)| value.clone())
            };
            let (parent, state) = match how {
                "inject" | "propagate" => (
                    Some(format!("00-{}-{}-01", span.trace, span.id)),
                    continues.then(|| STATE.to_owned()),
                ),
                _ if with_parent => {
                    (Some(format!("00-{TRACE}-{PARENT}-01")), Some(STATE.to_owned()))
                }
                _ => (None, None),
            };
            assert_eq!((sent("traceparent"), sent("tracestate")), (parent, state), "{how}");
        }
    }
}

#[test]
fn malformed_contexts_begin_a_trace() {
    let collector = Collector::start();
    let backend = Backend::echo();
    let location = format!(
        "otel_trace_context propagate; location / {{ proxy_pass http://{}; }}",
        backend.address()
    );
    let server = traced(&collector, "", &location).start();
    let good = format!("00-{TRACE}-{PARENT}-00");
    let cases = [
        format!("traceparent: {good}x\r\ntracestate: a=b\r\n"),
        format!("traceparent: {}\r\ntracestate: a=b\r\n", good.to_uppercase()),
        format!("traceparent: ff{}\r\ntracestate: a=b\r\n", &good[2..]),
        format!("traceparent: {}\r\n", good.replace(TRACE, &"0".repeat(32))),
        format!("traceparent: {}\r\n", good.replace(PARENT, &"0".repeat(16))),
        format!("traceparent: {good}\r\ntraceparent: {good}\r\n"),
        "traceparent:\r\ntracestate: a=b\r\n".to_owned(),
        "tracestate: a=b\r\n".to_owned(),
    ];
    for (at, lines) in cases.iter().enumerate() {
        server.get_with("/", lines);
        let span = collector.wait(at + 1).remove(at);
        assert_ne!(span.trace, TRACE, "{lines}");
        assert_eq!((&*span.parent, &*span.state), ("", ""), "{lines}");
        let own = format!("00-{}-{}-01", span.trace, span.id);
        assert_eq!(backend.last().header("traceparent"), Some(&*own));
        assert_eq!(backend.last().header("tracestate"), None, "{lines}");
    }
    // A later version, and lists of states that add up.
    let lines =
        format!("traceparent: 01{}-more\r\ntracestate: a=b\r\ntracestate: c=d\r\n", &good[2..]);
    server.get_with("/", &lines);
    let span = collector.wait(cases.len() + 1).remove(cases.len());
    assert_eq!((&*span.trace, &*span.state), (TRACE, "a=b,c=d"));
    assert_eq!(span.flags & 1, 1);
}

#[test]
fn a_variable_decides_what_is_recorded() {
    let collector = Collector::start();
    let backend = Backend::echo();
    let server = Server::http(&format!(
        "otel_exporter {{ endpoint {}; interval 10ms; }}
         split_clients $otel_trace_id $all {{ 100% on; }}
         split_clients $otel_trace_id $none {{ * off; }}
         server {{ listen 127.0.0.1:%port%; otel_trace_context propagate;
             location /parent {{ otel_trace $otel_parent_sampled; return 200; }}
             location /all {{ otel_trace $all; return 200; }}
             location /none {{ otel_trace $none; proxy_pass http://{}; }}
             location /off {{ otel_trace off; return 200; }}
             location /go {{ otel_trace on; rewrite ^ /off; }}
             location /error {{ otel_trace on; error_page 404 /off; return 404; }}
         }}",
        collector.url(),
        backend.address()
    ))
    .start();
    for target in ["/off", "/none", "/parent"] {
        server.get(target);
    }
    // Not recorded, and the next program is told so.
    server.get_with("/none", &fields());
    let sent = backend.last().header("traceparent").unwrap().to_owned();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-00"), "{sent}");
    server.get_with("/parent", &fields());
    server.get("/all");
    server.get("/error");
    let names: Vec<_> = collector.wait(3).into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["/parent", "/all", "/off"]);
    assert_eq!(collector.spans()[2].number("http.status_code"), 404);
    // The location that a rewrite leads to does not decide anew, as in nginx.
    server.get("/go");
    assert_eq!(collector.wait(4)[3].name, "/off");
}

#[test]
fn subrequests_have_no_spans_and_logs_know_the_trace() {
    let collector = Collector::start();
    let server = traced(
        &collector,
        "",
        "otel_trace_context propagate; log_subrequest on;
         access_log %dir%/access.log weir_json;
         error_log %dir%/json.log json;
         location / { auth_request /auth; root %dir%/none; }
         location /auth { return 204; }",
    )
    .start();
    server.get_with("/missing", &fields());
    let span = collector.wait(1).remove(0);
    assert_eq!((&*span.trace, span.number("http.status_code")), (TRACE, 404));
    let lines = server.wait_lines("access.log", 2);
    assert_eq!(lines.iter().filter(|line| line.contains(TRACE)).count(), 2, "{lines:?}");
    let line = server.wait_lines("json.log", 1).remove(0);
    assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");
    server.get("/missing");
    assert_eq!(collector.wait(2).len(), 2);
}

#[test]
fn requests_of_http_2_have_spans() {
    let collector = Collector::start();
    let setup = traced(
        &collector,
        "http2 on;",
        "otel_trace_context extract; location / { return 200 12345; }",
    );
    let server = setup.start();
    let answer = H2Client::of(&server).get_with("/", &fields());
    assert_eq!(answer.whole(), (200, "12345".to_owned()));
    let span = collector.wait(1).remove(0);
    assert_eq!((&*span.trace, &*span.parent), (TRACE, PARENT));
    assert_eq!((span.text("http.flavor"), &*span.name), ("2.0", "/"));
    assert_eq!(span.number("http.response_content_length"), 5);
}

#[test]
fn a_collector_that_is_busy_is_asked_again() {
    let collector = Collector::answering(|number| match number {
        0 => Reply::with("503 Busy", "Retry-After: 0\r\n", "\x12\x04busy"),
        1 => Reply::Last(Vec::new()),
        2 => Reply::with("429 Busy", "Retry-After: 0\r\n", "<html>"),
        _ => taken(),
    });
    let server = traced(&collector, "", "location / { return 200; }").start();
    server.get("/");
    assert_eq!(collector.wait(1)[0].name, "/");
    server.wait_log(&format!(
        "otel: {} did not take 1 spans: the status is 503: busy; they will be sent again",
        collector.backend.address()
    ));
    server.wait_log("takes spans again");
    assert_eq!(server.error_log().matches("did not take").count(), 1, "one complaint a minute");
}

#[test]
fn a_refused_batch_is_dropped_and_told() {
    let collector = Collector::answering(|number| match number {
        0 => Reply::with("400 Bad", "", "\x12\x02no"),
        1 => Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\n\x0a\x07\x08\r\n6\r\n\x02\x12\x03odd\r\n0\r\n\r\n"
                .to_vec(),
        ),
        _ => Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n".to_vec()),
    });
    let server = traced(&collector, "", "location / { return 200; }").start();
    server.get("/");
    server.wait_log("did not take 1 spans: the status is 400: no; they are dropped");
    server.get("/");
    assert_eq!(collector.wait(1).len(), 1);
    server.get("/");
    assert_eq!(collector.wait(2).len(), 2, "an answer in another form is one");
    assert_eq!(collector.backend.connections(), 1, "the connection is kept");
}

#[test]
fn a_collector_behind_tls_is_verified() {
    let collector = Collector::start();
    for (trusted, host) in [("a.crt", "localhost"), ("b.crt", "localhost"), ("a.crt", "127.0.0.1")]
    {
        let setup = Server::http(&format!(
            "otel_exporter {{ endpoint https://{host}:%port2%; interval 10ms;
                 protocol http/protobuf; trusted_certificate {trusted}; }}
             server {{ listen 127.0.0.1:%port2% ssl; ssl_certificate a.crt; ssl_certificate_key a.key;
                 location / {{ proxy_pass {}; }} }}
             server {{ listen 127.0.0.1:%port%; location / {{ otel_trace on; return 200; }} }}",
            collector.url()
        ));
        for label in ["a", "b"] {
            Certificate::self_signed(setup.directory(), label, "localhost");
        }
        let server = setup.start();
        server.get("/");
        match (trusted, host) {
            ("a.crt", "localhost") => drop(collector.wait(1)),
            _ => server.wait_log("did not take 1 spans: the TLS handshake failed: "),
        }
    }
    assert_eq!(collector.spans().len(), 1);
}

/// Requests do not notice a collector that takes nothing, and what waits is bounded.
#[test]
fn a_collector_that_hangs_costs_only_spans() {
    let collector = Collector::answering(|_| Reply::hold());
    let mut server = Server::http(&format!(
        "otel_exporter {{ endpoint {}; interval 1h; batch_size 3; batch_count 2; }}
         otel_trace on;
         server {{ listen 127.0.0.1:%port%; location / {{ return 200; }} }}",
        collector.url()
    ))
    .start();
    let mut client = server.client();
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
    }
    until("an export", || collector.backend.count() > 0);
    let begun = std::time::Instant::now();
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    assert!(begun.elapsed() < Duration::from_secs(30), "the end has a limit");
    let log = server.error_log();
    assert!(log.contains("did not take 3 spans: there is no time left; they are dropped"), "{log}");
    assert!(log.contains("spans were dropped, since the collector does not take them"), "{log}");
}

#[test]
fn an_absent_collector_is_told_and_found_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::http(&format!(
        "otel_exporter {{ endpoint http://localhost:{port}/v1/traces; interval 10ms; }}
         otel_trace on;
         server {{ listen 127.0.0.1:%port%; location / {{ return 200; }} }}"
    ))
    .start();
    assert_eq!(server.get("/").status, 200);
    server.wait_log(&format!("otel: localhost:{port} did not take 1 spans: connect() to "));
    server.wait_log("failed (111: Connection refused); they will be sent again");
}

#[test]
fn spans_are_sent_at_the_end_and_by_reloads() {
    let (first, second) = (Collector::start(), Collector::start());
    let conf = |collector: &Collector| {
        format!(
            "otel_exporter {{ endpoint {}; interval 1h; header X-Key abc; }}
             otel_trace on;
             server {{ listen 127.0.0.1:%port%; location / {{ return 200; }} }}",
            collector.url()
        )
    };
    let mut server = Server::http(&conf(&first)).start();
    server.get("/one");
    server.reload_http(&conf(&second));
    assert_eq!(first.wait(1)[0].text("http.target"), "/one");
    assert_eq!(first.backend.last().header("x-key"), Some("abc"));
    server.get("/two");
    server.reload_http("server { listen 127.0.0.1:%port%; location / { return 200; } }");
    assert_eq!(second.wait(1)[0].text("http.target"), "/two");
    server.reload_http(&conf(&second));
    server.get("/three");
    server.signal(Signal::QUIT);
    assert!(server.wait_exit());
    assert_eq!(second.wait(2)[1].text("http.target"), "/three");
    assert_eq!(first.spans().len(), 1);
}

#[test]
fn a_full_batch_does_not_wait() {
    let collector = Collector::start();
    let mut server = Server::http(&format!(
        "otel_exporter {{ endpoint {}; interval 1h; batch_size 3; batch_count 50; }}
         otel_trace on;
         server {{ listen 127.0.0.1:%port%; location / {{ return 200; }} }}",
        collector.url()
    ))
    .main("worker_processes 1;")
    .start();
    let mut client = server.client();
    for _ in 0..7 {
        client.get("/");
    }
    until("the full batches", || collector.spans().len() >= 6);
    assert!(collector.batches().iter().all(|batch| batch.len() <= 3));
    server.signal(Signal::TERM);
    assert!(server.wait_exit());
    collector.wait(7);
}

/// The one that takes the place of a killed worker sends spans, too.
#[test]
fn a_killed_worker_has_a_successor() {
    let collector = Collector::start();
    let server = traced(&collector, "", "location / { return 200; }").alerts_expected().start();
    server.get("/");
    collector.wait(1);
    let worker = children(server.pid())[0];
    send_signal(worker, Signal::KILL);
    until("another worker", || children(server.pid()).iter().any(|&child| child != worker));
    until("a span", || {
        let _ = crate::harness::Client::try_connect(&server.address("port"))
            .map(|mut client| client.send("GET / HTTP/1.0\r\n\r\n").try_rest());
        collector.spans().len() > 1
    });
}

#[test]
fn faults_say_what_to_write() {
    for (conf, fault) in [
        ("otel_trace on;", "\"otel_exporter\" block is missing"),
        ("otel_exporter { }", "\"otel_exporter\" requires \"endpoint\""),
        ("otel_exporter { endpoint \"\"; }", "\"otel_exporter\" requires \"endpoint\""),
        ("otel_exporter { endpoint http://; }", "no host in otel endpoint \"http://\""),
        ("otel_exporter { endpoint \"a\nb:1\"; }", "invalid host in otel endpoint"),
        ("otel_exporter { endpoint a:x; }", "invalid port in otel endpoint \"a:x\""),
        (
            "otel_exporter { endpoint a:1/v1/traces; }",
            "a path without \"http://\" or \"https://\" in",
        ),
        ("otel_exporter { endpoint http://a:1/b; protocol grpc; }", "a path, which OTLP over gRPC"),
        ("otel_exporter { endpoint a:1; protocol http; }", "\"protocol\" directive of"),
        ("otel_exporter { endpoint http://a:1 b; }", "invalid number of arguments in \"endpoint\""),
        ("otel_exporter { x 1; }", "unknown directive \"x\" in \"otel_exporter\""),
        ("otel_exporter { endpoint http://a:1; interval x; }", "\"interval\" directive of"),
        ("otel_exporter { endpoint http://a:1; header \"a b\" x; }", "has invalid header name"),
        ("otel_exporter { endpoint http://a:1; header Host x; }", "the exporter sets itself"),
        ("otel_exporter { endpoint http://a:1; header a \"x\n\"; }", "has invalid header value"),
        ("otel_exporter { endpoint http://a:1; endpoint http://a:1; }", "is duplicate"),
        (
            "otel_exporter { endpoint https://a:1; trusted_certificate none.pem; }",
            "none.pem\" failed (2: No such file or directory)",
        ),
    ] {
        let text =
            format!("{conf} server {{ listen 127.0.0.1:%port%; location / {{ return 200; }} }}");
        let checked = Server::http(&text).check();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!checked.status.success() && said.contains(fault), "{conf}: {said}");
    }
    let module = Server::conf(
        "load_module modules/ngx_otel_module.so; events {}
         http { otel_exporter { endpoint http://127.0.0.1:4318; } otel_trace on; }",
    )
    .check();
    let said = String::from_utf8_lossy(&module.stderr);
    assert!(module.status.success(), "{said}");
    assert!(
        said.contains("means OTLP over gRPC, as in nginx, but collectors usually have"),
        "{said}"
    );
    assert!(said.contains("which is written \"http://127.0.0.1:4318/v1/traces\""), "{said}");
    for endpoint in [
        "localhost:4317",
        "localhost",
        "[::1]:4317",
        "unix:/run/collector.sock",
        "http://a:4318/v1/traces?b",
        "http://a; protocol http/protobuf",
        "127.0.0.1:4318; protocol grpc",
    ] {
        let checked =
            Server::http(&format!("otel_exporter {{ endpoint {endpoint}; }} server {{ }}")).check();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && !said.contains("warn"), "{endpoint}: {said}");
    }
}
