//! How a connection begins, and what a request becomes.

use super::{proxy, server};
use crate::harness::{
    Backend, Certificate, Client, Frame, H2Client, Server, Setup, flag, frame_kind, literals,
    request,
};

/// A server with TLS.
fn tls(conf: &str) -> Setup {
    let setup = Server::http(&format!(
        "server {{ listen 127.0.0.1:%port% ssl; server_name a.test; {conf}
           ssl_certificate a.crt; ssl_certificate_key a.key;
           return 200 \"$server_protocol [$http2] $scheme [$ssl_alpn_protocol]\"; }}"
    ));
    Certificate::self_signed(setup.directory(), "a", "a.test");
    setup
}

#[test]
fn a_plain_listener_speaks_both() {
    let server = server("return 200 \"$server_protocol [$http2] $request_method $request_uri\";");
    let server = server.start();
    let mut client = H2Client::of(&server);
    let answer = client.get("/a?b=c");
    assert_eq!(answer.whole(), (200, "HTTP/2.0 [h2c] GET /a?b=c".to_owned()));
    assert_eq!(answer.field("content-type"), Some("text/plain"));
    assert_eq!(answer.field("content-length"), Some("25"));
    assert!(answer.field("connection").is_none() && answer.field("keep-alive").is_none());
    assert!(answer.field("date").is_some() && answer.field("server").is_some());
    assert_eq!(server.text("/"), "HTTP/1.1 [] GET /");
}

#[test]
fn without_the_directive_the_preface_is_a_bad_request() {
    let server = Server::server("return 200 one;").start();
    let answer = server.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(answer.status == 400 || answer.status == 405, "{answer:?}");
}

#[test]
fn tls_chooses_by_alpn() {
    let server = tls("http2 on;").start();
    let address = server.address("port");
    let mut client = H2Client::tls(&address, "a.test", &["h2", "http/1.1"]);
    assert_eq!(client.protocol.as_deref(), Some("h2"));
    let stream = client.open(
        &[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a.test")],
        true,
    );
    let whole = client.answer(stream).whole();
    assert_eq!(whole, (200, "HTTP/2.0 [h2] https [h2]".to_owned()));
    let client = H2Client::tls(&address, "a.test", &["http/1.1"]);
    assert_eq!(client.protocol.as_deref(), Some("http/1.1"));
    let client = H2Client::tls(&address, "a.test", &["http/1.1", "h2"]);
    assert_eq!(client.protocol.as_deref(), Some("h2"), "the server's order counts");
    let client = H2Client::tls(&address, "a.test", &[]);
    assert_eq!(client.protocol, None);
}

#[test]
fn tls_without_the_directive_offers_no_h2() {
    let server = tls("").start();
    let client = H2Client::tls(&server.address("port"), "a.test", &["h2", "http/1.1"]);
    assert_eq!(client.protocol.as_deref(), Some("http/1.1"));
}

#[test]
fn the_parameter_of_listen_is_warned_of_and_works() {
    let setup = Server::http("server { listen 127.0.0.1:%port% http2; return 200 $http2; }");
    let output = setup.check();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = "the \"listen ... http2\" directive is deprecated, use the \"http2\" directive";
    assert!(output.status.success() && text.contains(said), "{text}");
    let server = setup.start();
    assert_eq!(H2Client::of(&server).get("/").whole(), (200, "h2c".to_owned()));
}

#[test]
fn settings_name_the_limits() {
    let server =
        server("http2_max_concurrent_streams 7; http2_body_preread_size 70000; return 200 a;")
            .start();
    let settings = H2Client::of(&server).wait_settings();
    assert!(settings.contains(&(3, 7)), "{settings:?}");
    assert!(settings.contains(&(4, 70_000)), "{settings:?}");
}

#[test]
fn a_hundred_requests_share_a_connection() {
    let backend = Backend::echo();
    let server = proxy(&backend, "").start();
    let mut client = H2Client::of(&server);
    let streams: Vec<u32> = (0..100).map(|at| client.ask(&format!("/{at}"))).collect();
    for (at, stream) in streams.into_iter().enumerate().rev() {
        let (status, text) = client.answer(stream).whole();
        assert_eq!(status, 200);
        assert!(text.starts_with(&format!("GET /{at} HTTP/1.")), "{text}");
    }
    assert_eq!(backend.count(), 100);
}

#[test]
fn fields_arrive_at_an_upstream_of_http_1() {
    let backend = Backend::echo();
    let server = proxy(&backend, "proxy_set_header Host $host;").start();
    let mut client = H2Client::of(&server);
    let lines = "x-one: 1\ncookie: a=1\nx-two: 2\ncookie: b=2\ncookie: c=3\nte: trailers";
    assert_eq!(client.get_with("/x", lines).status, 200);
    let seen = backend.last();
    assert_eq!(seen.header("Host"), Some("localhost"));
    assert_eq!(seen.header("x-one"), Some("1"));
    assert_eq!(seen.header("x-two"), Some("2"));
    let cookies = seen.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let cookies: Vec<&str> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"], "crumbs are joined (RFC 9113, 8.2.3)");
}

#[test]
fn variables_know_the_request() {
    let server = server(
        "location / { return 200 \"$host|$http_host|$cookie_a|$http_x_a|$args|$request|$scheme\"; }",
    )
    .start();
    let mut client = H2Client::of(&server);
    let answer = client.get_with("/p?q=1", "cookie: a=1\nx-a: v");
    let expected = "localhost|localhost|1|v|q=1|GET /p?q=1 HTTP/2.0|http";
    assert_eq!(answer.whole(), (200, expected.to_owned()));
    // Host alone is as good as :authority.
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "other")];
    let stream = client.open(&fields, true);
    assert!(client.answer(stream).text().starts_with("other|other|"));
}

#[test]
fn a_name_without_the_directive_is_misdirected() {
    let setup = Server::http(
        "server { listen 127.0.0.1:%port% ssl; server_name a.test; http2 on;
           ssl_certificate a.crt; ssl_certificate_key a.key; return 200 a; }
         server { listen 127.0.0.1:%port% ssl; server_name b.test;
           ssl_certificate a.crt; ssl_certificate_key a.key; return 200 b; }",
    );
    Certificate::self_signed(setup.directory(), "a", "a.test");
    let server = setup.start();
    let mut client = H2Client::tls(&server.address("port"), "a.test", &["h2"]);
    let mut ask = |host: &str| {
        let fields =
            [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", host)];
        let stream = client.open(&fields, true);
        client.answer(stream).status
    };
    assert_eq!((ask("a.test"), ask("b.test"), ask("a.test")), (200, 421, 200));
}

#[test]
fn a_head_in_many_fragments_is_one() {
    let server = server("return 200 \"$http_x_long\";").start();
    let mut client = H2Client::of(&server);
    let value = "v".repeat(3000);
    let block = literals(&request("GET", "/", &format!("x-long: {value}")));
    let stream = client.next_stream();
    let mut pieces = block.chunks(700).peekable();
    let mut kind = frame_kind::HEADERS;
    while let Some(piece) = pieces.next() {
        let first = if kind == frame_kind::HEADERS { flag::END_STREAM } else { 0 };
        let last = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        client.frame(&Frame::new(kind, first | last, stream, piece));
        kind = frame_kind::CONTINUATION;
    }
    assert_eq!(client.answer(stream).whole(), (200, value));
}

#[test]
fn a_head_that_comes_byte_by_byte_is_one() {
    let server = server("return 200 slow;").start();
    let mut client = H2Client::silent(&server.address("port"));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(Frame::settings(&[(4, 100_000)]).bytes());
    let block = literals(&request("GET", "/", ""));
    let flags = flag::END_HEADERS | flag::END_STREAM;
    bytes.extend(Frame::new(frame_kind::HEADERS, flags, 1, block).bytes());
    for byte in bytes {
        client.raw(&[byte]);
    }
    assert_eq!(client.answer(1).whole(), (200, "slow".to_owned()));
}

#[test]
fn padding_and_priority_are_taken_off() {
    let server = server("return 200 padded;").start();
    let mut client = H2Client::of(&server);
    let block = literals(&request("GET", "/", ""));
    let payload = [&[9, 0, 0, 0, 0, 77][..], &block, &[0; 9]].concat();
    let flags = flag::END_HEADERS | flag::END_STREAM | flag::PADDED | flag::PRIORITY;
    let stream = client.next_stream();
    client.frame(&Frame::new(frame_kind::HEADERS, flags, stream, payload));
    assert_eq!(client.answer(stream).whole(), (200, "padded".to_owned()));
}

#[test]
fn curl_speaks_it_by_prior_knowledge() {
    let server = server("return 200 \"$http2\";").start();
    let address = format!("http://{}/", server.address("port"));
    let arguments = ["-s", "--http2-prior-knowledge", "-w", " %{http_version}", &address];
    let output = crate::harness::run("curl", &arguments);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "h2c 2");
}

#[test]
fn an_upgrade_from_http_1_is_ignored() {
    let server = server("return 200 \"$server_protocol\";").start();
    let mut client = Client::connect(server.address("port"));
    client.send(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!((answer.status, answer.text()), (200, "HTTP/1.1".to_owned()));
}

#[test]
fn the_connection_of_a_stream_has_a_tcp_state() {
    let server = Server::server("http2 on; location / { return 200 $tcpinfo_rtt; }").start();
    let rtt = H2Client::of(&server).get("/").text();
    assert!(rtt.parse::<u64>().is_ok(), "{rtt:?}");
}
