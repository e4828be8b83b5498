//! Reloads with open streams, killed workers, and ends with a deadline.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use super::{server, with};
use crate::harness::{
    Backend, Event, Frame, H2Client, H2Upstream, Reply, Server, Signal, children, code, is_nginx,
    request, send_signal, until,
};

/// A server with this text in `server { }`, and what a reload needs.
fn conf(text: &str) -> String {
    format!("http2 on; server {{ listen 127.0.0.1:%port%; server_name localhost; {text} }}")
}

/// Reloads; streams may be open. The new configuration answers `/own` with `text`.
fn reload(server: &Server, conf: &str, text: &str) {
    server.rewrite_http(conf);
    server.signal(Signal::HUP);
    until("the new configuration", || H2Client::of(server).get("/own").text() == text);
}

/// An upstream whose responses the test sends itself.
fn gate() -> (TcpListener, String) {
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gate.local_addr().unwrap().to_string();
    (gate, address)
}

fn answer(stream: &mut TcpStream, text: &str) {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
}

#[test]
fn streams_end_with_the_settings_they_began_with() {
    if is_nginx() {
        // It ends the connection at a reload.
        return;
    }
    let (gate, address) = gate();
    let text = |number: u32| {
        conf(&format!(
            "add_header x-conf {number}; location / {{ proxy_pass http://{address}; }}
             location /own {{ return 200 {number}; }}"
        ))
    };
    let server = Server::http(&text(1)).start();
    let mut client = H2Client::of(&server);
    let old = client.ask("/");
    let (mut upstream, _) = gate.accept().unwrap();
    reload(&server, &text(2), "2");
    // The same connection has the new settings for new streams.
    let new = client.get("/own");
    assert_eq!((new.field("x-conf"), new.text()), (Some("2"), "2".to_owned()));
    answer(&mut upstream, "late");
    let old = client.answer(old);
    assert_eq!((old.field("x-conf"), old.whole()), (Some("1"), (200, "late".to_owned())));
    assert_eq!(client.gone, None);
}

#[test]
fn a_shared_connection_to_an_upstream_survives_a_reload() {
    if is_nginx() {
        return;
    }
    let (first, second) = (H2Upstream::echo(), H2Upstream::echo());
    let text = |address: &str| {
        format!(
            "upstream u {{ server {address}; keepalive 8; }} {}",
            conf("location / { proxy_http_version 2; proxy_pass http://u; }")
        )
    };
    let setup = Server::http(&text(&first.address())).main("worker_processes 1;");
    let server = setup.start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/").status, 200);
    server.reload_http(&text(&first.address()));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(first.connections(), 1, "connections outlive a reload that keeps the server");
    server.reload_http(&text(&second.address()));
    assert_eq!(client.get("/").status, 200);
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[test]
fn streams_to_a_removed_server_end_in_their_time() {
    let upstream = H2Upstream::new(|peer, _| {
        peer.frame(&Frame::settings(&[]));
        let mut held = None;
        loop {
            if let Event::Fields { stream, fields, .. } = peer.event()? {
                match fields.contains(&(":path".to_owned(), "/held".to_owned())) {
                    true => held = Some(stream),
                    false => {
                        peer.fields(stream, &[(":status", "204")], true);
                        // The held one is answered when another client has asked.
                        if let Some(stream) = held.take() {
                            peer.fields(stream, &[(":status", "200")], false);
                            peer.frame(&Frame::data(stream, "at last", true));
                        }
                    }
                }
            }
        }
    });
    if is_nginx() {
        return;
    }
    let other = Backend::text("other");
    let address = upstream.address();
    let text = |number: u32, server: &str| {
        let conf = conf(&format!(
            "proxy_http_version 2; location / {{ proxy_pass http://u; }}
             location /own {{ return 200 {number}; }} {server}"
        ));
        format!("upstream u {{ server {address}; keepalive 8; }} {conf}")
    };
    let setup = Server::http(&text(1, "location /held { proxy_pass http://u; }"));
    let server = setup.main("worker_processes 1;").start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/").status, 204);
    let held = client.ask("/held");
    client.settle();
    let moved = format!(
        "location /held {{ proxy_http_version 1.1; proxy_pass http://{}; }}",
        other.address()
    );
    reload(&server, &text(2, &moved), "2");
    assert_eq!(client.get("/held").text(), "other");
    assert_eq!(client.get("/release").status, 204);
    assert_eq!(client.answer(held).whole(), (200, "at last".to_owned()));
}

#[test]
fn a_killed_worker_ends_connections_and_another_one_serves() {
    let upstream = H2Upstream::echo();
    let (gate, address) = gate();
    let server = server(
        "location / { proxy_http_version 2; proxy_pass http://%upstream%; }
         location /gate { proxy_pass http://%gate%; }",
    )
    .set("upstream", upstream.address())
    .set("gate", address)
    .alerts_expected()
    .start();
    let mut clients: Vec<H2Client> = (0..4).map(|_| H2Client::of(&server)).collect();
    let mut held = Vec::new();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
        held.push((client.ask("/gate"), gate.accept().unwrap()));
    }
    for worker in children(server.pid()) {
        send_signal(worker, Signal::KILL);
    }
    // Nobody waits for a response that can not come.
    for (client, (stream, _)) in clients.iter_mut().zip(&held) {
        let error = client.try_answer(*stream).expect_err("the worker is dead");
        assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    }
    for _ in 0..4 {
        assert_eq!(H2Client::of(&server).get("/").status, 200);
    }
}

#[test]
fn worker_shutdown_timeout_ends_streams() {
    let (gate, address) = gate();
    let log = "log_format cut '$request $status $body_bytes_sent $upstream_addr';";
    let conf = "access_log %dir%/access.log cut; location / { proxy_pass http://%gate%; }";
    let mut server =
        with(log, conf).main("worker_shutdown_timeout 1s;").set("gate", &address).start();
    let mut client = H2Client::of(&server);
    let streams: Vec<u32> = (0..3).map(|_| client.ask("/")).collect();
    let held: Vec<_> = streams.iter().map(|_| gate.accept().unwrap()).collect();
    server.signal(Signal::QUIT);
    client.end();
    assert_eq!(client.gone.map(|(code, _)| code), Some(code::NO_ERROR));
    for stream in streams {
        assert!(!client.so_far(stream).complete, "a response that nobody sent");
    }
    assert!(server.wait_exit());
    let line = format!("GET / HTTP/2.0 499 0 {address}");
    assert_eq!(server.wait_lines("access.log", 3), vec![line; 3]);
    drop(held);
}

#[test]
fn streams_beyond_the_connections_of_the_worker_are_refused_alone() {
    let backend = Backend::new(|_| Reply::hold());
    let server = Server::conf(
        "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log info;
         events { worker_connections 24; }
         http { access_log off; http2 on; proxy_temp_path %dir%/t; client_body_temp_path %dir%/b;
           server { listen 127.0.0.1:%port%; server_name localhost;
             location / { proxy_pass http://%backend%; } location /own { return 200 own; } } }",
    )
    .set("backend", backend.address())
    .alerts_expected()
    .start();
    let mut client = H2Client::of(&server);
    let streams: Vec<u32> = (0..60).map(|_| client.ask("/")).collect();
    // Those that find no connection have an answer; the connection stays.
    while streams.iter().filter(|stream| client.so_far(**stream).ended).count() < 20 {
        client.step().expect("responses");
    }
    let own = client.get("/own");
    assert_eq!(own.whole(), (200, "own".to_owned()));
    let ended = streams.iter().map(|stream| client.so_far(*stream)).filter(|answer| answer.ended);
    for answer in ended {
        assert!([500, 502, 503].contains(&answer.status), "{answer:?}");
    }
    for stream in streams {
        if !client.so_far(stream).ended {
            client.frame(&Frame::reset(stream, code::CANCEL));
        }
    }
    client.settle();
    // What they held is free again.
    until("a request that reaches the backend", || {
        let before = backend.count();
        let mut client = H2Client::of(&server);
        let stream = client.open(&request("GET", "/", ""), true);
        until("an answer or a request", || {
            client.settle();
            backend.count() > before || client.so_far(stream).ended
        });
        backend.count() > before
    });
}

#[test]
fn time_and_number_of_requests_end_a_connection_in_good_order() {
    let server =
        with("", "keepalive_requests 100; location / { return 200 $connection_requests; }");
    let server = server.start();
    let (mut served, mut connections) = (0, 0);
    while served < 1000 {
        let mut client = H2Client::of(&server);
        connections += 1;
        let streams: Vec<u32> = (0..100).map(|_| client.ask("/")).collect();
        for stream in streams {
            let answer = client.answer(stream);
            assert_eq!(answer.status, 200);
            served += 1;
        }
        assert_eq!(client.end(), Some(code::NO_ERROR));
    }
    assert_eq!(connections, 10);
}
