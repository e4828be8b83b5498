//! Requests as applications receive them. The bytes were recorded from nginx 1.31.5.

use super::{PLAIN, output, server};
use crate::harness::Application;

fn echo() -> Application {
    output(|called| format!("{PLAIN}{}", called.param("URI")))
}

/// The records of a request: the start, parameters with their length and padding, the body's.
fn request(length: [u8; 2], padding: usize, params: &[&[u8]], body: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[1, 4, 0, 1, length[0], length[1], padding as u8, 0]);
    bytes.extend_from_slice(&params.concat());
    bytes.resize(bytes.len() + padding, 0);
    bytes.extend_from_slice(&[1, 4, 0, 1, 0, 0, 0, 0]);
    bytes.extend_from_slice(&body.concat());
    bytes.extend_from_slice(&[1, 5, 0, 1, 0, 0, 0, 0]);
    bytes
}

#[test]
fn requests_are_those_of_nginx() {
    let application = echo();
    let server = server(
        &application,
        "location / { fastcgi_pass %a%; fastcgi_index index.php;
             fastcgi_param SCRIPT /www$fastcgi_script_name; fastcgi_param QUERY $query_string;
             fastcgi_param LENGTH $content_length; fastcgi_param HTTPS $https if_not_empty;
             fastcgi_param DUP a; fastcgi_param DUP b; fastcgi_param EMPTY \"\";
             fastcgi_param HTTP_X_OWN mine; fastcgi_param HTTP_X_NONE \"\"; }",
    )
    .start();
    let ask = |text: &str, body: &str| {
        let mut client = server.client();
        client.send(format!("{text}\r\nConnection: close\r\n\r\n{body}"));
        assert_eq!(client.response().status, 200);
        application.last().bytes
    };
    let set: &[u8] = b"\x03\x01DUPa\x03\x01DUPb\x05\x00EMPTY\n\x04HTTP_X_OWNmine";
    let close: &[u8] = b"\x0f\x05HTTP_CONNECTIONclose";
    let get = ask(
        "GET /a%20b/?x=y HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nX-b: 2\r\nx-a: 3\r\nx-own: c\r\n\
         X-None: c\r\nCookie: a=1\r\nCookie: b=2\r\nProxy: p\r\nX_under: 1",
        "",
    );
    let params: &[&[u8]] = &[
        b"\x06\x12SCRIPT/www/a b/index.php\x05\x03QUERYx=y\x06\x00LENGTH",
        set,
        b"\t\tHTTP_HOSTlocalhost\x08\x04HTTP_X_A1, 3\x08\x01HTTP_X_B2\x0b\x08HTTP_COOKIEa=1; b=2",
        b"\n\x01HTTP_PROXYp",
        close,
    ];
    assert_eq!(get, request([0, 0xb4], 4, params, &[]));
    let post = ask("POST /p HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 5", "12345");
    let params: &[&[u8]] = &[
        b"\x06\x06SCRIPT/www/p\x05\x00QUERY\x06\x01LENGTH5",
        set,
        b"\t\x0eHTTP_HOSTlocalhost:8080\x13\x01HTTP_CONTENT_LENGTH5",
        close,
    ];
    let body: &[&[u8]] = &[b"\x01\x05\x00\x01\x00\x05\x03\x0012345\0\0\0"];
    assert_eq!(post, request([0, 0x86], 2, params, body));
    let chunked =
        ask("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n");
    let params: &[&[u8]] = &[
        b"\x06\x06SCRIPT/www/p\x05\x00QUERY\x06\x01LENGTH3",
        set,
        b"\t\x01HTTP_HOSTa\x16\x07HTTP_TRANSFER_ENCODINGchunked",
        close,
    ];
    let body: &[&[u8]] = &[b"\x01\x05\x00\x01\x00\x03\x05\x00abc\0\0\0\0\0"];
    assert_eq!(chunked, request([0, 0x82], 6, params, body));
}

#[test]
fn scripts_are_split_off_the_path() {
    let application = echo();
    let server = server(
        &application,
        "fastcgi_index i.php; fastcgi_param S $fastcgi_script_name;
         fastcgi_param P $fastcgi_path_info;
         location / { fastcgi_pass %a%; fastcgi_split_path_info ^(.+\\.php)(.*)$; }
         location /whole/ { fastcgi_pass %a%; }
         location /back/ { rewrite ^ /a.php/c break; fastcgi_pass %a%;
                           fastcgi_split_path_info ^(.+\\.php)(.*)$; }",
    )
    .start();
    for (target, script, info) in [
        ("/a.php", "/a.php", ""),
        ("/a.php/b/", "/a.php", "/b/"),
        ("/a.php.php/b%20c", "/a.php.php", "/b c"),
        ("/a/", "/a/i.php", ""),
        ("/whole/a.php/b", "/whole/a.php/b", ""),
        ("/back/x", "/a.php", "/c"),
    ] {
        assert_eq!(server.get(target).status, 200);
        let called = application.last();
        assert_eq!((called.param("S"), called.param("P")), (script, info), "{target}");
    }
}

#[test]
fn parameters_are_set_and_overridden() {
    let application = echo();
    let server = server(
        &application,
        "location / { fastcgi_pass %a%; }
         location /own { fastcgi_pass %a%; fastcgi_param HTTP_HOST mine; fastcgi_param http_x_low a;
             fastcgi_param HTTP_X-Dash a; fastcgi_param HTTP_ a; }
         location /none { fastcgi_pass %a%; fastcgi_pass_request_headers off;
             fastcgi_param HTTP_HOST \"\"; fastcgi_param ARG $arg_a if_not_empty; }
         location /bare { fastcgi_pass %a%; fastcgi_pass_request_body off;
             fastcgi_param LENGTH $content_length; }",
    )
    .start();
    assert_eq!(server.get("/").status, 200);
    let called = application.last();
    let port = server.address("port");
    let given = [("URI", "/"), ("HTTP_HOST", "localhost"), ("HTTP_CONNECTION", "close")];
    let params: Vec<_> = called.params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert!(params == given || called.param("HTTP_HOST") == port, "{params:?}");
    server.get_with("/own", "X-Low: l\r\nX-Dash: d\r\n");
    let called = application.last();
    let names: Vec<&str> = called.params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..4], ["HTTP_HOST", "http_x_low", "HTTP_X-Dash", "HTTP_"]);
    assert_eq!((called.param("HTTP_HOST"), called.param("HTTP_X_LOW")), ("mine", "l"));
    assert_eq!(called.param("HTTP_X_DASH"), "d");
    server.get("/none");
    assert_eq!(application.last().params, []);
    server.get("/none?a=b");
    assert_eq!(application.last().params, [("ARG".into(), "b".into())]);
    let mut client = server.client();
    client.send(
        "POST /bare HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    );
    assert_eq!(client.response().status, 200);
    let called = application.last();
    assert_eq!((called.param("LENGTH"), called.body.len()), ("3", 0));
}

#[test]
fn parameters_have_a_limit() {
    let application = echo();
    let value = "$arg_a".repeat(10);
    let conf = format!("location / {{ fastcgi_pass %a%; fastcgi_param A {value}; }}");
    let server = server(&application, &conf).alerts_expected().start();
    assert_eq!(server.get(&format!("/?a={}", "x".repeat(6000))).status, 200);
    assert_eq!(application.last().param("A").len(), 60_000);
    assert_eq!(server.get(&format!("/?a={}", "x".repeat(7000))).status, 500);
    server.wait_log("[alert]");
    server.wait_log("fastcgi request record is too big: 70");
    assert_eq!(application.seen().len(), 1);
}

#[test]
fn bodies_arrive_whole() {
    let application = echo();
    let server = server(
        &application,
        "client_max_body_size 0; client_body_buffer_size 16k;
         fastcgi_param LENGTH $content_length;
         location / { fastcgi_pass %a%; }
         location /stream { fastcgi_pass %a%; fastcgi_request_buffering off; }",
    )
    .start();
    for length in [0, 1, 7, 8, 32_767, 32_768, 32_769, 100_000, 1_000_000] {
        let body: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
        for target in ["/", "/stream"] {
            for chunked in [false, true] {
                let mut client = server.client();
                let head = match chunked {
                    false => format!("Content-Length: {length}"),
                    true => "Transfer-Encoding: chunked".into(),
                };
                let head = format!(
                    "POST {target} HTTP/1.1\r\nHost: a\r\n{head}\r\nConnection: close\r\n\r\n"
                );
                client.send(head);
                match chunked {
                    false => drop(client.send(&body)),
                    true => {
                        for part in body.chunks(50_000) {
                            client.send(format!("{:x}\r\n", part.len()));
                            client.send(part).send("\r\n");
                        }
                        client.send("0\r\n\r\n");
                    }
                }
                assert_eq!(client.response().status, 200, "{target} {length} {chunked}");
                let called = application.last();
                assert!(called.body == body, "{target} {length} {chunked}: {}", called.body.len());
            }
        }
    }
}

#[test]
fn a_body_is_streamed() {
    let application = echo();
    let conf = "location / { fastcgi_pass %a%; fastcgi_request_buffering off;
                    fastcgi_param LENGTH $content_length; }";
    let server = server(&application, conf).start();
    let mut client = server.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\nConnection: close\r\n\r\n1234");
    // The application is connected before the body is complete.
    crate::harness::until("the connection", || application.connections() == 1);
    client.send("5678");
    assert_eq!(client.response().status, 200);
    let called = application.last();
    assert_eq!((called.body.as_slice(), called.param("LENGTH")), (&b"12345678"[..], "8"));
}
