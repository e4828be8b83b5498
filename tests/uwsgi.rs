//! The `uwsgi` module.

use crate::harness::{
    Answer, Application, Called, Certificate, Directory, Python, Response, Server, Setup, is_nginx,
    skipped,
};

/// Reads a request.
fn parse(bytes: &[u8]) -> Option<Called> {
    let header = bytes.get(..4)?;
    let length = usize::from(u16::from_le_bytes([header[1], header[2]]));
    let mut text = bytes.get(4..4 + length)?;
    let mut params = Vec::new();
    let word = |text: &mut &[u8]| {
        let length = usize::from(u16::from_le_bytes(text.get(..2)?.try_into().unwrap()));
        let word = String::from_utf8_lossy(text.get(2..2 + length)?).into_owned();
        *text = &text[2 + length..];
        Some(word)
    };
    while let (Some(name), Some(value)) = (word(&mut text), word(&mut text)) {
        params.push((name, value));
    }
    let found = params.iter().find(|(name, _)| name == "CONTENT_LENGTH");
    let body = found.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
    let whole = 4 + length + body;
    let body = bytes.get(4 + length..whole)?.to_vec();
    Some(Called { params, body, bytes: bytes[..whole].to_vec() })
}

/// An application that sends a text and closes.
pub(crate) fn application(
    output: impl Fn(&Called) -> String + Send + Sync + 'static,
) -> Application {
    Application::new(parse, move |called| Answer::Last(output(called).into_bytes()))
}

fn server(application: &Application, conf: &str) -> Setup {
    Server::server(&format!(
        "uwsgi_param URI $uri; uwsgi_param CONTENT_LENGTH $content_length if_not_empty; {conf}"
    ))
    .set("a", application.address())
}

fn ask(server: &Server, head: &str, body: &str) -> Response {
    let mut client = server.client();
    client.send(format!("{head}\r\nConnection: close\r\n\r\n{body}"));
    client.response()
}

const PLAIN: &str = "Content-Type: text/plain\r\n\r\n";

#[test]
fn requests_are_those_of_nginx() {
    let application = application(|_| format!("{PLAIN}body"));
    let conf = "location / { uwsgi_pass %a%; uwsgi_param A $arg_a; uwsgi_param HTTP_X_OWN mine; }
                location /mod { uwsgi_pass uwsgi://%a%; uwsgi_modifier1 5; uwsgi_modifier2 200;
                    uwsgi_string end; uwsgi_param A b; uwsgi_pass_request_headers off;
                    uwsgi_param HTTP_HOST \"\"; }";
    let server = server(&application, conf).start();
    let head = "GET /x?a=c HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nx-own: c\r\nx-a: 2";
    assert_eq!(ask(&server, head, "").text(), "body");
    let expected: &[u8] = b"\0\x56\0\0\x01\0A\x01\0c\x0a\0HTTP_X_OWN\x04\0mine\x09\0HTTP_HOST\
        \x09\0localhost\x08\0HTTP_X_A\x04\x001, 2\x0f\0HTTP_CONNECTION\x05\0close";
    assert_eq!(application.last().bytes, expected);
    assert_eq!(ask(&server, "GET /mod HTTP/1.1\r\nHost: a", "").text(), "body");
    assert_eq!(application.last().bytes, b"\x05\x09\0\xc8\x01\0A\x01\0bend");
    let big = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(7000));
    assert_eq!(ask(&server, &big, "").text(), "body");
    assert_eq!(application.last().param("HTTP_X").len(), 7000);
}

#[test]
fn packets_have_a_limit() {
    let application = application(|_| format!("{PLAIN}body"));
    let value = "$arg_a".repeat(10);
    let conf = format!("location / {{ uwsgi_pass %a%; uwsgi_param A {value}; }}");
    let server = server(&application, &conf).alerts_expected().start();
    assert_eq!(server.get(&format!("/?a={}", "x".repeat(7000))).status, 500);
    server.wait_log("uwsgi request is too big: 70");
    assert_eq!(application.seen(), []);
}

#[test]
fn a_status_line_or_fields_give_the_status() {
    let application = application(|called| match called.param("URI") {
        "/line" => "HTTP/1.0 404 Nope\r\nServer: mine\r\nStatus: x\r\n\r\nbody".into(),
        "/field" => "Status: 201 Made\r\n\r\nbody".into(),
        "/bad" => "Status: x\r\n\r\nbody".into(),
        other => panic!("{other}"),
    });
    let server = server(&application, "location / { uwsgi_pass %a%; }").start();
    let answer = server.get("/line");
    assert_eq!(answer.head.lines().next(), Some("HTTP/1.1 404 Nope"));
    assert_eq!((answer.header("server"), answer.header("status")), (Some("mine"), Some("x")));
    assert_eq!(server.get("/field").status, 201);
    assert_eq!(server.get("/bad").status, 502);
    server.wait_log("upstream sent invalid status \"x\" while reading response header");
    server.wait_log(&format!("upstream: \"uwsgi://{}\"", application.address()));
}

#[test]
fn connections_can_change_their_protocol() {
    let application = Application::new(parse, |_| {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
        Answer::Parts(vec![head.to_vec(), b"tunnelled".to_vec()])
    });
    let server = server(&application, "location / { uwsgi_pass %a%; }").start();
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(client.head().status, 101);
    application.go_on();
    assert_eq!(client.take(9), b"tunnelled");
    if is_nginx() {
        return;
    }
    application.go_on();
    assert_eq!(server.get("/").status, 502, "nobody has asked for it");
}

#[test]
fn tls_is_used_where_the_scheme_says_so() {
    let directory = Directory::new();
    Certificate::self_signed(&directory, "app", "app.test");
    let certificate = |name: &str| directory.join(name).display().to_string();
    let backend = Server::http(
        "server { listen 127.0.0.1:%port% ssl; ssl_certificate %cert%; ssl_certificate_key %key%;
             location / { return 200; } }",
    )
    .set("cert", certificate("app.crt"))
    .set("key", certificate("app.key"))
    .start();
    // An HTTP server answers a packet with 400, over TLS.
    let server = Server::server(
        "location / { uwsgi_pass suwsgi://%b%; }
         location /var { uwsgi_pass $arg_to; }
         location /plain { uwsgi_pass %b%; }
         location /verify { uwsgi_pass suwsgi://%b%; uwsgi_ssl_verify on; uwsgi_ssl_name other.test;
             uwsgi_ssl_trusted_certificate %cert%; }",
    )
    .set("b", backend.address("port"))
    .set("cert", certificate("app.crt"))
    .start();
    for target in ["/".to_owned(), format!("/var?to=suwsgi://{}", backend.address("port"))] {
        let answer = server.get(&target);
        assert_eq!(answer.status, 400, "{target}");
        assert!(!answer.text().contains("plain HTTP request"), "{target}");
    }
    assert_eq!(server.get("/verify").status, 502);
    server.wait_log(&format!("upstream: \"suwsgi://{}\"", backend.address("port")));
}

#[test]
fn python_is_run() {
    let Some(uwsgi) = Python::uwsgi(
        "def application(env, start):\n    \
             body = env['wsgi.input'].read()\n    \
             start('418 Teapot', [('X-Path', env['PATH_INFO'])])\n    \
             text = '%s %d %s' % (env['HTTP_X_A'], len(body), 'y' * 500000)\n    \
             return [text.encode()]\n",
        "application",
    ) else {
        return skipped("no uwsgi");
    };
    let server = Server::server(
        "location / { uwsgi_pass unix:%dir2%/socket; uwsgi_param PATH_INFO $document_uri;
             uwsgi_param REQUEST_METHOD $request_method; uwsgi_param QUERY_STRING $query_string;
             uwsgi_param CONTENT_LENGTH $content_length;
             uwsgi_param SERVER_PROTOCOL $server_protocol;
             uwsgi_param SERVER_NAME $server_name; uwsgi_param SERVER_PORT $server_port; }",
    )
    .set("dir2", uwsgi.directory.path().display())
    .start();
    for _ in 0..3 {
        let head = "POST /a%20b HTTP/1.1\r\nHost: a\r\nX-A: z\r\nContent-Length: 100000";
        let answer = ask(&server, head, &"x".repeat(100_000));
        assert_eq!((answer.status, answer.header("x-path")), (418, Some("/a b")));
        assert_eq!(answer.text(), format!("z 100000 {}", "y".repeat(500_000)));
    }
}

/// The kernel may report the last bytes and the end at once, and never again.
#[test]
fn the_end_directly_behind_the_last_bytes_is_seen() {
    let directory = Directory::new();
    let parts = || vec![format!("{PLAIN}one").into_bytes(), b"two".to_vec()];
    let application =
        Application::at_socket(&directory.join("socket"), parse, move |_| Answer::Parts(parts()));
    let conf = "location / { uwsgi_pass %a%; uwsgi_buffering off; }";
    let server = server(&application, conf).start();
    for _ in 0..200 {
        let mut client = server.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.head();
        assert_eq!(client.take_chunk(), b"one");
        application.go_on();
        assert_eq!(client.take_chunk(), b"two");
        assert!(client.take_chunk().is_empty());
    }
}
