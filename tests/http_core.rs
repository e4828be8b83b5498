//! HTTP/1: connections, framing, limits.

use std::time::Duration;

use crate::harness::{Backend, Reply, Server, Signal};

#[test]
fn a_connection_is_kept_alive() {
    let server = Server::server(r#"location / { return 200 "$connection_requests"; }"#).start();
    let mut client = server.client();
    let answers = [client.get("/").text(), client.get("/").text(), client.get("/").text()];
    assert_eq!(answers, ["1", "2", "3"]);
}

#[test]
fn http_1_0_closes_unless_asked_to_keep() {
    let server = Server::server(r#"location / { return 200 "body"; }"#).start();
    let mut client = server.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("Connection"), Some("close"));
    assert!(client.is_closed());

    let mut client = server.client();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.response().header("Connection"), Some("keep-alive"));
    assert_eq!(client.get("/").text(), "body");
}

#[test]
fn keepalive_requests_and_timeout_end_a_connection() {
    let server = Server::server(
        "keepalive_requests 2; keepalive_timeout 20s 15; location / { return 204; }
         location /short { keepalive_timeout 1s; return 204; }
         location /none { keepalive_timeout 0; return 204; }
         location /internal { keepalive_timeout 0; internal; }",
    )
    .start();
    let mut client = server.client();
    let first = client.get("/");
    assert_eq!(first.header("Connection"), Some("keep-alive"));
    assert_eq!(first.header("Keep-Alive"), Some("timeout=15"));
    assert_eq!(client.get("/").header("Connection"), Some("close"));
    assert!(client.is_closed());

    assert_eq!(server.client().get("/none").header("Connection"), Some("close"));

    let mut client = server.client();
    client.send("GET /internal HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2));
    assert_eq!(client.response().header("Connection"), Some("keep-alive"));
    assert!(client.is_closed(), "a location that is not entered has its say at the end");

    let mut client = server.client();
    client.get("/short");
    assert!(client.is_closed(), "an idle connection ends after its timeout");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::server(r#"location / { return 200 "$uri"; }"#).start();
    let mut client = server.client();
    let requests: String =
        (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..50 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
}

#[test]
fn pipelined_requests_with_bodies_reach_the_backend_whole() {
    let backend = Backend::echo();
    let server = Server::server("location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .start();
    let mut client = server.client();
    let requests: String = (0..10)
        .map(|n| {
            let body = "x".repeat(n * 100);
            format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        })
        .collect();
    client.send(requests);
    for n in 0..10 {
        assert_eq!(client.response().status, 200);
        let seen = backend.wait(n);
        assert_eq!((seen.target(), seen.body.len()), (format!("/{n}").as_str(), n * 100));
    }
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let server = Server::server(r#"location / { return 200 "$arg_x$http_x_a"; }"#).start();
    let mut client = server.client();
    for byte in b"GET /?x=1 HTTP/1.1\r\nHost: a\r\nX-A: 23\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.response().text(), "123");
}

#[test]
fn lines_may_end_in_a_bare_line_feed() {
    let server = Server::server(r#"location / { return 200 "$http_x_a"; }"#).start();
    assert_eq!(server.ask("GET / HTTP/1.1\nHost: a\nX-A: lf\n\n").text(), "lf");
}

#[test]
fn a_chunked_request_body_is_decoded() {
    let backend = Backend::echo();
    let server = Server::server("location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n").send("6;ext=1\r\n world\r\n").send("0\r\nTrailer: x\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let seen = backend.last();
    assert_eq!(seen.body, b"hello world");
    assert_eq!(seen.header("Content-Length"), Some("11"));
    assert_eq!(seen.header("Transfer-Encoding"), None);
    assert_eq!(client.get("/next").status, 200);
}

#[test]
fn a_chunked_response_is_passed_on() {
    let backend = Backend::new(|_| {
        Reply::Bytes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
                .to_vec(),
        )
    });
    let server =
        Server::server("location / { proxy_http_version 1.1; proxy_pass http://%backend%; }")
            .set("backend", backend.address())
            .start();
    let response = server.get("/");
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.text(), "abcdefg");
    // HTTP/1.0 has no chunks: the body ends with the connection.
    let mut client = server.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.text(), "abcdefg");
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let backend = Backend::echo();
    let server = Server::server("location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("body");
    assert_eq!(client.response().status, 200);
    assert_eq!(backend.last().body, b"body");
}

#[test]
fn an_unread_body_is_discarded_and_the_connection_goes_on() {
    let server = Server::server(r#"location / { return 200 "$request_method"; }"#).start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
    client.send(vec![b'x'; 10000]);
    assert_eq!(client.response().text(), "POST");
    assert_eq!(client.get("/").text(), "GET");
}

#[test]
fn head_has_the_length_and_no_body() {
    let server = Server::server(r#"location / { return 200 "twelve bytes"; }"#).start();
    let mut client = server.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.head_response();
    assert_eq!(response.header("Content-Length"), Some("12"));
    assert_eq!(client.get("/").text(), "twelve bytes");
}

#[test]
fn limits_of_head_and_body() {
    let backend = Backend::echo();
    let server = Server::server(
        "client_header_buffer_size 1k; large_client_header_buffers 2 2k; client_max_body_size 1k;
         location / { proxy_pass http://%backend%; }
         location /any { client_max_body_size 0; proxy_pass http://%backend%; }",
    )
    .set("backend", backend.address())
    .start();
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1900));
    assert_eq!(server.ask(line).status, 200);
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(2100));
    assert_eq!(server.ask(line).status, 414);
    let field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2100));
    assert_eq!(server.ask(field).status, 400);
    let fields = format!("X: {}\r\n", "x".repeat(1500)).repeat(3);
    let response = server.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(response.status, 400);
    assert!(response.text().contains("Request Header Or Cookie Too Large"), "{response:?}");

    let post =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
    let response = server.ask(post("/"));
    assert_eq!(response.status, 413);
    assert_eq!(response.header("Connection"), Some("close"));
    assert!(response.text().contains("413 Request Entity Too Large"));
    let mut client = server.client();
    client.send(post("/any")).send(vec![b'x'; 1025]);
    assert_eq!(client.response().status, 200);

    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n");
    client.send_if_wanted(vec![b'x'; 0x401]);
    client.send_if_wanted("\r\n0\r\n\r\n");
    assert_eq!(client.response().status, 413);
}

#[test]
fn slow_heads_and_bodies_time_out() {
    let backend = Backend::echo();
    let server = Server::server(
        "client_header_timeout 1s; client_body_timeout 1s; location / {
            proxy_pass http://%backend%; }",
    )
    .set("backend", backend.address())
    .start();
    let mut silent = server.client();
    let mut half = server.client();
    half.send("GET / HTTP/1.1\r\nHost:");
    let mut body = server.client();
    body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert!(silent.is_closed());
    assert!(half.is_closed());
    assert!(body.is_closed());
    server.wait_log(
        "client timed out (110: Connection timed out) while reading client request headers",
    );
    server.wait_log("client timed out (110: Connection timed out) while waiting for request");
    drop(server.client());
    server.wait_log("client closed connection while waiting for request");
    assert_eq!(backend.count(), 0);
}

#[test]
fn lingering_close_lets_the_client_read_the_answer() {
    let server = Server::server("client_max_body_size 10k; location / { return 200 ok; }").start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    // Without lingering, these bytes would cause a reset that destroys the response.
    for _ in 0..30 {
        client.send_if_wanted(vec![b'x'; 100_000]);
    }
    assert_eq!(client.response().status, 413);
}

/// The close is then a reset, after the response.
#[test]
fn without_lingering_the_response_is_sent() {
    let server = Server::server(
        "lingering_close off; error_page 494 =200 /page; location /page { return 200 page; }",
    )
    .start();
    let long = "a".repeat(64 * 1024);
    for _ in 0..5 {
        let mut client = server.client();
        client.send_if_wanted(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"));
        assert_eq!(client.response().text(), "page");
    }
}

#[test]
fn error_pages_have_nginx_wording() {
    let server =
        Server::server("location /403 { return 403; } location /405 { return 405; }").start();
    let page = server.get("/403");
    assert_eq!(page.head.lines().next(), Some("HTTP/1.1 403 Forbidden"));
    assert_eq!(page.header("Content-Type"), Some("text/html"));
    let text = page.text();
    assert!(text.starts_with("<html>\r\n<head><title>403 Forbidden</title></head>\r\n"), "{text}");
    assert!(text.contains("<center><h1>403 Forbidden</h1></center>\r\n<hr><center>"), "{text}");
    assert_eq!(server.get("/405").head.lines().next(), Some("HTTP/1.1 405 Not Allowed"));
    assert_eq!(server.get("/none").status, 404);
    let agent = "User-Agent: Mozilla/5.0 (compatible; MSIE 9.0) Chrome/1\r\n";
    assert!(
        server.get_with("/403", agent).text().contains("disable MSIE"),
        "padded for old browsers"
    );
}

#[test]
fn server_tokens_and_date() {
    let server = Server::server("server_tokens off; location / { return 200 x; }").start();
    let response = server.get("/");
    let name = response.header("Server").expect("a Server field");
    assert!(!name.contains('/'), "{name}");
    let date = response.header("Date").expect("a Date field");
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
}

#[test]
fn a_client_that_goes_away_closes_the_upstream() {
    let backend = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let mut byte = [0];
            // Blocks until the proxy closes.
            let _ = std::io::Read::read(stream, &mut byte);
        }))
    });
    let server =
        Server::server("access_log %dir%/access.log; location / { proxy_pass http://%backend%; }")
            .set("backend", backend.address())
            .start();
    let mut client = server.client().patience(Duration::from_secs(1));
    client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait(0);
    drop(client);
    let line = server.wait_lines("access.log", 1).remove(0);
    assert!(line.contains("\" 499 0 "), "{line}");
}

#[test]
fn a_long_idle_connection_keeps_its_state() {
    let server = Server::server(
        r#"location / { return 200 "$connection $connection_requests"; }
           location /short { keepalive_timeout 2s; return 200 short; }
           location /status { stub_status; }"#,
    )
    .start();
    let mut client = server.client();
    let first = client.get("/").text();
    let (number, one) = first.split_once(' ').unwrap();
    assert_eq!(one, "1");
    // When this one is closed, the other has been idle for long.
    let mut other = server.client();
    other.get("/short");
    assert!(other.is_closed());
    let status = server.get("/status").text();
    assert!(status.contains("Active connections: 2 \n"), "{status}");
    assert!(status.contains("Reading: 0 Writing: 1 Waiting: 1 "), "{status}");
    assert_eq!(client.get("/").text(), format!("{number} 2"));
    assert_eq!(client.get("/").text(), format!("{number} 3"));
}

#[test]
fn a_crowd_of_idle_connections_is_served_and_ended() {
    const CROWD: usize = 400;
    let mut server = Server::server(
        r#"location / { return 200 "$connection_requests"; }
           location /short { keepalive_timeout 500ms; return 200 short; }"#,
    )
    .start();
    let mut clients: Vec<_> = (0..CROWD).map(|_| server.client()).collect();
    for round in 1..4 {
        for client in &mut clients {
            assert_eq!(client.get("/").text(), round.to_string());
        }
        let mut other = server.client();
        other.get("/short");
        assert!(other.is_closed());
    }
    server.signal(Signal::QUIT);
    for client in &mut clients {
        assert!(client.is_closed());
    }
    assert!(server.wait_exit());
}

/// Sends each request on a new connection and returns the lines of the access log.
fn logged(conf: &str, requests: &[&[u8]]) -> Vec<String> {
    let server = Server::http(&format!(
        "log_format short '\"$request\" $status $request_length \"$uri\"';
         server {{ listen 127.0.0.1:%port%; access_log %dir%/access.log short; {conf} }}"
    ))
    .start();
    for request in requests {
        let mut client = server.client();
        client.send(request);
        client.finish();
        let _ = client.try_rest();
    }
    server.wait_lines("access.log", requests.len())
}

#[test]
fn refused_requests_are_logged_as_far_as_parsed() {
    let lines = logged(
        "location / { return 204; }",
        &[
            b"\x16\x03\x01\r\n\r\n",
            b"GET /part",
            b"GET /x HTTP/1.1\r\nHost: a",
            b"GET /x HTTP/1.1\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
            b"GET /../x HTTP/1.0\r\n\r\n",
            b"\r\n",
        ],
    );
    let mut sorted = lines.clone();
    sorted.sort();
    let mut expected = [
        r#""\x16\x03\x01" 400 0 "-""#,
        r#""GET /part" 400 0 "-""#,
        r#""GET /x HTTP/1.1" 400 17 "/x""#,
        r#""GET /x HTTP/1.1" 400 19 "/x""#,
        r#""GET /x HTTP/1.1" 400 28 "/x""#,
        r#""GET /../x HTTP/1.0" 400 20 """#,
        r#""" 400 0 "-""#,
    ];
    expected.sort();
    if !crate::harness::is_nginx() {
        assert_eq!(sorted, expected);
    }
}

#[test]
fn connections_of_old_browsers_are_not_kept() {
    let server =
        Server::server("keepalive_disable msie6 safari; location / { return 204; }").start();
    let ask = |method: &str, agent: &str| {
        let mut client = server.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n"));
        client.response().header("Connection").unwrap().to_owned()
    };
    assert_eq!(ask("POST", "Mozilla/4.0 (compatible; MSIE 6.0; Windows)"), "close");
    assert_eq!(ask("GET", "Mozilla/4.0 (compatible; MSIE 6.0; Windows)"), "keep-alive");
    assert_eq!(ask("GET", "Mozilla/5.0 (Mac OS X) Safari/4"), "close");
    assert_eq!(ask("GET", "curl"), "keep-alive");
}

#[test]
fn bodies_are_written_to_named_files_on_request() {
    let backend = Backend::new(|seen| Reply::ok(seen.body.clone()));
    let server = Server::server(
        r#"client_body_in_file_only clean;
           location / {
               add_header X-File $request_body_file;
               proxy_pass http://%backend%;
           }"#,
    )
    .set("backend", backend.address())
    .start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let response = client.response();
    assert_eq!(response.text(), "hello");
    let file = response.header("X-File").unwrap().to_owned();
    assert!(file.contains("client_body_temp/"), "{file}");
    crate::harness::until("the file's end", || !std::path::Path::new(&file).exists());
}
