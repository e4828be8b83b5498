//! The `scgi` module.

use crate::harness::{Answer, Application, Backend, Called, Server, Setup, is_nginx};

/// Reads a request.
fn parse(bytes: &[u8]) -> Option<Called> {
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).unwrap().parse().unwrap();
    let text = bytes.get(colon + 1..colon + 1 + length)?;
    assert_eq!(bytes.get(colon + 1 + length)?, &b',');
    let mut words = text.split(|&byte| byte == 0).map(|w| String::from_utf8_lossy(w).into_owned());
    let mut params = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        params.push((name, value));
    }
    assert_eq!(params[0].0, "CONTENT_LENGTH");
    let end = colon + 2 + length;
    let whole = end + params[0].1.parse::<usize>().unwrap();
    let body = bytes.get(end..whole)?.to_vec();
    Some(Called { params, body, bytes: bytes[..whole].to_vec() })
}

/// An application that sends a text and closes.
pub(crate) fn application(
    output: impl Fn(&Called) -> String + Send + Sync + 'static,
) -> Application {
    Application::new(parse, move |called| Answer::Last(output(called).into_bytes()))
}

fn server(application: &Application, conf: &str) -> Setup {
    Server::server(&format!("scgi_param URI $uri; {conf}")).set("a", application.address())
}

/// A request on a connection of its own.
fn ask(server: &Server, head: &str, body: &str) -> crate::harness::Response {
    let mut client = server.client();
    client.send(format!("{head}\r\nConnection: close\r\n\r\n{body}"));
    client.response()
}

const PLAIN: &str = "Content-Type: text/plain\r\n\r\n";

#[test]
fn requests_are_those_of_nginx() {
    let application = application(|_| format!("{PLAIN}body"));
    let conf = "location / { scgi_pass %a%; scgi_param SCGI 1; scgi_param A $arg_a if_not_empty;
                    scgi_param B $arg_b; scgi_param HTTP_X_OWN mine; }";
    let server = server(&application, conf).start();
    let head = "GET /x?b=c HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nx-own: c\r\nx-a: 2";
    assert_eq!(ask(&server, head, "").text(), "body");
    let expected: &[u8] = b"100:CONTENT_LENGTH\x000\0SCGI\x001\0B\0c\0HTTP_X_OWN\0mine\0\
        HTTP_HOST\0localhost\0HTTP_X_A\x001, 2\0HTTP_CONNECTION\0close\0,";
    assert_eq!(application.last().bytes, expected);
    let head = "POST /x HTTP/1.1\r\nHost: a:8080\r\nContent-Length: 5";
    assert_eq!(ask(&server, head, "12345").text(), "body");
    let expected: &[u8] = b"104:CONTENT_LENGTH\x005\0SCGI\x001\0B\0\0HTTP_X_OWN\0mine\0\
        HTTP_HOST\0a:8080\0HTTP_CONTENT_LENGTH\x005\0HTTP_CONNECTION\0close\0,12345";
    assert_eq!(application.last().bytes, expected);
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked";
    assert_eq!(ask(&server, head, "3\r\nabc\r\n0\r\n\r\n").text(), "body");
    let called = application.last();
    assert_eq!((called.param("CONTENT_LENGTH"), called.body.as_slice()), ("3", &b"abc"[..]));
}

#[test]
fn no_parameter_hides_another() {
    if is_nginx() {
        return;
    }
    let application = application(|_| format!("{PLAIN}body"));
    let conf = "location / { scgi_pass %a%; scgi_param USER $remote_user; }";
    let server = server(&application, conf).start();
    // "a\0b:c", which a client can send as its name.
    let head = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YQBiOmM=";
    assert_eq!(ask(&server, head, "").status, 400);
    server.wait_log("scgi parameter contains a null byte");
    assert_eq!(application.seen(), []);
}

#[test]
fn a_status_line_or_fields_give_the_status() {
    let application = application(|called| match called.param("URI") {
        "/line" => "HTTP/1.1 404 Nope\r\nStatus: 500\r\nContent-Length: 4\r\n\r\nbody".into(),
        "/field" => "Status: 201 Made\r\n\r\nbody".into(),
        "/location" => "Location: /x\n\nbody".into(),
        "/none" => "X: y\r\n\r\nbody".into(),
        "/bad" => "Status: x\r\n\r\nbody".into(),
        "/early" => "HTTP/1.1 103 Early Hints\r\n\r\n".into(),
        "/half" => "HTTP/1.1 200 OK\r\nA: b".into(),
        "/short" => "Content-Length: 9\r\n\r\nbody".into(),
        "/long" => "Content-Length: 4\r\n\r\nbodymore".into(),
        "/big" => format!("A: {}\r\n\r\nbody", "b".repeat(5000)),
        other => panic!("{other}"),
    });
    let server = server(&application, "location / { scgi_pass %a%; }").start();
    for (target, line) in [
        ("/line", "404 Nope"),
        ("/field", "201 Made"),
        ("/location", "302 Moved Temporarily"),
        ("/none", "200 OK"),
        ("/long", "200 OK"),
    ] {
        let answer = server.get(target);
        let head = answer.head.lines().next().unwrap();
        assert_eq!((head, answer.text().as_str()), (&*format!("HTTP/1.1 {line}"), "body"));
        assert_eq!(answer.header("status"), None);
    }
    for (target, message) in [
        ("/bad", "upstream sent invalid status \"x\" while reading response header from upstream"),
        ("/early", "upstream sent invalid status \"103 Early Hints\" while reading"),
        ("/half", "upstream prematurely closed connection while reading response header"),
        ("/big", "upstream sent too big header while reading response header from upstream"),
    ] {
        if target == "/early" && is_nginx() {
            continue;
        }
        assert_eq!(server.get(target).status, 502, "{target}");
        server.wait_log(message);
    }
    server.wait_log(&format!("upstream: \"scgi://{}\"", application.address()));
    let mut client = server.client();
    client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response(false).is_err());
    server.wait_log("upstream prematurely closed connection while reading upstream");
}

#[test]
fn bodies_are_streamed_and_buffered() {
    let application = application(|called| format!("{PLAIN}{}", called.body.len()));
    let server = server(
        &application,
        "client_body_buffer_size 16k; location / { scgi_pass %a%; }
         location /stream { scgi_pass %a%; scgi_request_buffering off; scgi_buffering off; }
         location /none { scgi_pass %a%; scgi_pass_request_headers off; }",
    )
    .start();
    for length in [0, 1, 16_384, 500_000] {
        let body = "x".repeat(length);
        for target in ["/", "/stream", "/none"] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}");
            assert_eq!(ask(&server, &head, &body).text(), length.to_string(), "{target}");
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked");
            let chunk =
                if length == 0 { String::new() } else { format!("{length:x}\r\n{body}\r\n") };
            let answer = ask(&server, &head, &format!("{chunk}0\r\n\r\n"));
            assert_eq!(answer.text(), length.to_string(), "{target}");
        }
    }
}

#[test]
fn large_responses_and_other_applications() {
    let large = "0123456789".repeat(150_000);
    let sent = large.clone();
    let good = application(move |_| format!("{PLAIN}{sent}"));
    let bad = application(|_| "Status: 500 x\r\n\r\nbad".into());
    let backend = Backend::text("proxy");
    let server = Server::http(
        "upstream u { server %b% max_fails=0; server %a% backup; }
         server { listen 127.0.0.1:%port%;
             location / { scgi_pass u; scgi_next_upstream http_500; }
             location /slow { scgi_pass $arg_to; scgi_buffers 2 4k; scgi_busy_buffers_size 4k; }
             location /if { proxy_pass http://%p%; if ($arg_s) { scgi_pass u; } } }",
    )
    .set("a", good.address())
    .set("b", bad.address())
    .set("p", backend.address())
    .start();
    assert!(server.text("/") == large);
    assert!(server.text(&format!("/slow?to={}", good.address())) == large);
    assert_eq!(server.text("/if"), "proxy");
    assert_eq!(server.text("/if?s=1"), "bad");
}
