//! The `fastcgi` module: where requests go, and connections.

use crate::harness::{Answer, Application, Directory, Server, Setup, Signal, is_nginx, until};

mod faults;
mod php;
pub(crate) mod records;
mod requests;
mod responses;

use records::{STDOUT, application, end, output, record, response};

/// A server whose locations may pass to `%a%`.
fn server(application: &Application, conf: &str) -> Setup {
    Server::server(&format!("fastcgi_param URI $uri; {conf}")).set("a", application.address())
}

/// A server that passes everything to `%a%`.
fn passed(application: &Application) -> Setup {
    server(application, "location / { fastcgi_pass %a%; }")
}

const PLAIN: &str = "Content-Type: text/plain\r\n\r\n";

#[test]
fn connections_are_kept_only_on_request() {
    let application = application(|called| {
        Answer::Bytes(match called.param("URI") {
            "/more" => [response(format!("{PLAIN}body")), b"more".to_vec()].concat(),
            "/off" => return Answer::Last(response(format!("{PLAIN}body"))),
            _ => response(format!("{PLAIN}body")),
        })
    });
    let server = Server::http(
        "upstream u { server %a%; keepalive 4; }
         server { listen 127.0.0.1:%port%; fastcgi_param URI $uri;
             location / { fastcgi_pass u; fastcgi_keep_conn on; }
             location /off { fastcgi_pass u; } }",
    )
    .set("a", application.address())
    .start();
    for _ in 0..3 {
        assert_eq!(server.text("/"), "body");
    }
    assert_eq!(application.connections(), 1);
    assert_eq!(application.last().bytes[10], 1, "FCGI_KEEP_CONN");
    assert_eq!(server.text("/more"), "body");
    assert_eq!(server.text("/"), "body");
    assert_eq!(application.connections(), 2, "bytes after the end make a connection useless");
    assert_eq!(server.text("/off"), "body");
    assert_eq!(application.last().bytes[10], 0);
    let before = application.connections();
    assert_eq!(server.text("/off"), "body");
    assert_eq!(application.connections(), before + 1);
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    let application = application(|_| Answer::Last(response(format!("{PLAIN}body"))));
    let conf = "location / { fastcgi_pass %a%; fastcgi_keep_conn on; }";
    let server = server(&application, conf).start();
    for _ in 0..5 {
        assert_eq!(server.text("/"), "body");
    }
}

#[test]
fn a_page_around_a_dropped_body_has_none() {
    let application =
        output(|called| format!("{PLAIN}[{}] {}", called.param("LENGTH"), called.body.len()));
    let server = server(
        &application,
        "fastcgi_param LENGTH $content_length; location /part { fastcgi_pass %a%; }
         location / { add_after_body /part; addition_types *; return 200 page; }",
    )
    .start();
    let mut client = server.client();
    let head = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close";
    client.send(format!("{head}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    assert_eq!(client.response().text(), "page[0] 0");
}

#[test]
fn other_applications_are_tried() {
    let bad = application(|called| {
        Answer::Last(match called.param("URI") {
            "/invalid" => record(STDOUT, "BAD"),
            _ => response("Status: 503 x\r\n\r\nbad"),
        })
    });
    let good = output(|_| format!("{PLAIN}good"));
    let server = Server::http(
        "upstream u { server %a% max_fails=0; server %b% backup; }
         server { listen 127.0.0.1:%port%; fastcgi_param URI $uri; location / { fastcgi_pass u;
             fastcgi_next_upstream error invalid_header http_503; }
             location /once { fastcgi_pass u; } }",
    )
    .set("a", bad.address())
    .set("b", good.address())
    .start();
    assert_eq!(server.text("/invalid"), "good");
    assert_eq!(server.text("/status"), "good");
    assert_eq!(server.get("/once").status, 503);
    let before = good.seen().len();
    let mut client = server.client();
    client.send(
        "POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
    );
    assert_eq!(client.response().status, 503, "a POST is not repeated");
    assert_eq!(good.seen().len(), before);
    drop(bad);
    assert_eq!(server.text("/gone"), "good");
}

#[test]
fn a_destination_may_have_variables() {
    let directory = Directory::new();
    let path = directory.join("socket");
    let socket = Application::at_socket(&path, records::parse, |_| {
        Answer::Last(response(format!("{PLAIN}socket")))
    });
    let port = output(|_| format!("{PLAIN}port"));
    let server = Server::http(
        "upstream u { server %s%; }
         server { listen 127.0.0.1:%port%; location / { fastcgi_pass $arg_to; }
             location /socket { fastcgi_pass %s%; } }",
    )
    .set("s", socket.address())
    .start();
    assert_eq!(server.text("/socket"), "socket");
    assert_eq!(server.text("/?to=u"), "socket");
    assert_eq!(server.text(&format!("/?to={}", port.address())), "port");
    assert_eq!(server.text(&format!("/?to={}", socket.address())), "socket");
    assert_eq!(server.get("/?to=").status, 500);
    assert_eq!(server.get("/?to=127.0.0.1").status, 500);
    server.wait_log("no port in upstream \"127.0.0.1\"");
    drop(socket);
    assert_eq!(server.get("/socket").status, 502);
}

#[test]
fn the_innermost_pass_counts() {
    let application = output(|called| format!("{PLAIN}fastcgi {}", called.param("URI")));
    let backend = crate::harness::Backend::text("proxy");
    let server = server(
        &application,
        "location / { proxy_pass http://%b%; if ($arg_f) { fastcgi_pass %a%; } }
         location /f/ { fastcgi_pass %a%; if ($arg_p) { proxy_pass http://%b%; }
             if ($arg_n) { set $x 1; } limit_except GET { allow all; } }
         location /last/ { fastcgi_pass %a%; proxy_pass http://%b%; }
         location /first/ { proxy_pass http://%b%; fastcgi_pass %a%; }",
    )
    .set("b", backend.address())
    .start();
    assert_eq!(server.text("/"), "proxy");
    assert_eq!(server.text("/?f=1"), "fastcgi /");
    assert_eq!(server.text("/f/"), "fastcgi /f/");
    assert_eq!(server.text("/f/?p=1"), "proxy");
    assert_eq!(server.text("/last/"), "proxy");
    assert_eq!(server.text("/first/"), "fastcgi /first/");
    assert_eq!(server.text("/f/?n=1"), "fastcgi /f/");
    let mut client = server.client();
    client.send("DELETE /f/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().text(), "fastcgi /f/x");
    assert_eq!(server.get("/f").header("location").map(|to| to.ends_with("/f/")), Some(true));
}

#[test]
fn requests_go_on_across_a_reload_and_a_killed_worker() {
    if is_nginx() {
        return;
    }
    let application = application(|called| match called.param("URI") {
        "/late" => {
            let parts =
                [record(STDOUT, format!("{PLAIN}be")), [record(STDOUT, "hind"), end()].concat()];
            Answer::Parts(parts.into())
        }
        _ => Answer::Bytes(response(format!("{PLAIN}body"))),
    });
    let conf = "server { listen 127.0.0.1:%port%; fastcgi_param URI $uri;
                    location / { fastcgi_pass %a%; fastcgi_keep_conn on; } }";
    let server = Server::http(conf).set("a", application.address()).alerts_expected().start();
    let mut client = server.client();
    client.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    server.rewrite_http(&conf.replace("location", "add_header X-New 1; location"));
    server.signal(Signal::HUP);
    until("the reload", || server.get("/").header("x-new").is_some());
    application.go_on();
    assert_eq!(client.take_chunk(), b"be");
    assert_eq!(client.take_chunk(), b"hind");
    let workers = crate::harness::children(server.pid());
    workers.iter().for_each(|worker| crate::harness::send_signal(*worker, Signal::KILL));
    until("another worker", || {
        crate::harness::Client::try_connect(&server.address("port")).is_ok_and(|mut client| {
            client.send_if_wanted("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.try_response(false).is_ok_and(|answer| answer.text() == "body")
        })
    });
}
