//! The choice of the server block.

use crate::harness::{Response, Server};

fn ask(server: &Server, host: &str) -> String {
    let mut client = server.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    client.response().text()
}

#[test]
fn names_are_matched_in_nginx_order() {
    let server = Server::http(
        r#"
        server { listen 127.0.0.1:%port%; server_name first; return 200 first; }
        server { listen 127.0.0.1:%port%; server_name exact.test; return 200 exact; }
        server { listen 127.0.0.1:%port%; server_name *.test; return 200 "lead $host"; }
        server { listen 127.0.0.1:%port%; server_name *.long.test; return 200 longer; }
        server { listen 127.0.0.1:%port%; server_name mail.*; return 200 trail; }
        server { listen 127.0.0.1:%port%; server_name .dot.example; return 200 dot; }
        server { listen 127.0.0.1:%port%; server_name ~^r(?<n>\d+)\.example$;
            return 200 "regex $n"; }
        server { listen 127.0.0.1:%port%; server_name ~^r1\.; return 200 second; }
        server { listen 127.0.0.1:%port%; server_name ""; return 200 empty; }
        "#,
    )
    .start();
    let expected = [
        ("exact.test", "exact"),
        ("EXACT.test", "exact"),
        ("exact.test:8080", "exact"),
        ("exact.test.", "exact"),
        ("a.b.test", "lead a.b.test"),
        ("x.long.test", "longer"),
        ("mail.anything", "trail"),
        ("mail.x.test", "lead mail.x.test"),
        ("dot.example", "dot"),
        ("a.dot.example", "dot"),
        ("r42.example", "regex 42"),
        ("r1.example", "regex 1"),
        ("r1.other", "second"),
        ("unknown", "first"),
        ("test", "first"),
    ];
    for (host, answer) in expected {
        assert_eq!(ask(&server, host), answer, "{host}");
    }
    let mut client = server.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "empty");
    let mut client = server.client();
    client.send("GET http://exact.test/ HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "exact");
}

#[test]
fn default_server_and_listen_addresses() {
    let server = Server::http(
        r#"
        server { listen 127.0.0.1:%port%; server_name a; return 200 a; }
        server { listen 127.0.0.1:%port% default_server; server_name b; return 200 b; }
        server { listen *:%port_any%; server_name a; return 200 any; }
        server { listen 127.0.0.2:%port_any%; server_name a; return 200 "narrow $server_addr"; }
        "#,
    )
    .start();
    assert_eq!(ask(&server, "a"), "a");
    assert_eq!(ask(&server, "nobody"), "b");
    let port = server.port("port_any");
    for (address, answer) in [("127.0.0.1", "any"), ("127.0.0.2", "narrow 127.0.0.2")] {
        let mut client = crate::harness::Client::connect(format!("{address}:{port}"));
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().text(), answer);
    }
}

#[test]
fn names_in_variables_and_redirects() {
    let server = Server::http(
        r#"
        server {
            listen 127.0.0.1:%port%;
            server_name www.test alias.test;
            location /names { return 200 "$server_name|$host|$http_host|$server_port"; }
            location = /go { return 301 /there; }
            location = /off { absolute_redirect off; return 301 /there; }
            location = /in { server_name_in_redirect on; return 301 /there; }
            location = /noport { port_in_redirect off; return 301 /there; }
        }
        "#,
    )
    .start();
    let port = server.port("port");
    let ask = |target: &str| -> Response { server.get_with(target, "Host: alias.test:99\r\n") };
    assert_eq!(ask("/names").text(), format!("www.test|alias.test|alias.test:99|{port}"));
    let location = |target: &str| ask(target).header("Location").unwrap().to_owned();
    assert_eq!(location("/go"), format!("http://alias.test:{port}/there"));
    assert_eq!(location("/off"), "/there");
    assert_eq!(location("/in"), format!("http://www.test:{port}/there"));
    assert_eq!(location("/noport"), "http://alias.test/there");
}

#[test]
fn return_444_closes_without_an_answer() {
    let server = Server::server("return 444;").start();
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.is_closed());
}
