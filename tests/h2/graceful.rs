//! Ends that lose no request: at `keepalive_requests`, at a reload, at QUIT.

use super::{proxy, server};
use crate::harness::{Backend, Frame, H2Client, Reply, Signal, code, is_nginx, until};

#[test]
fn the_last_request_is_announced_and_served() {
    let server = server("keepalive_requests 3; location / { return 200 $connection_requests; }");
    let server = server.start();
    let mut client = H2Client::of(&server);
    let streams: Vec<u32> = (0..3).map(|_| client.ask("/")).collect();
    for (at, stream) in streams.iter().enumerate() {
        assert_eq!(client.answer(*stream).whole(), (200, (at + 1).to_string()));
    }
    assert_eq!(client.end(), Some(code::NO_ERROR));
    assert_eq!(client.gone, Some((code::NO_ERROR, streams[2])));
}

#[test]
fn a_connection_older_than_keepalive_time_ends_after_its_requests() {
    let backend = Backend::new(|seen| match seen.target() {
        "/slow" => Reply::hold(),
        _ => Reply::ok("ok"),
    });
    let time = std::time::Duration::from_secs(1);
    let many = "keepalive_time 1s; keepalive_requests 1000000;";
    let server = server(&format!("{many} location / {{ proxy_pass http://%backend%; }}"))
        .set("backend", backend.address())
        .start();
    let start = std::time::Instant::now();
    let mut client = H2Client::of(&server);
    let slow = client.ask("/slow");
    let mut stream = 0;
    while client.gone.is_none() {
        stream = client.ask("/");
        assert_eq!(client.answer(stream).whole(), (200, "ok".to_owned()));
    }
    assert!(start.elapsed() >= time);
    // Nothing that is under way is cut.
    client.settle();
    assert_eq!(client.gone, Some((code::NO_ERROR, stream)));
    assert!(!client.so_far(slow).ended);
    client.frame(&Frame::reset(slow, code::CANCEL));
    assert_eq!(client.end(), Some(code::NO_ERROR));
}

#[test]
fn requests_beyond_the_last_are_safe_to_repeat() {
    let backend = Backend::echo();
    let server = server("keepalive_requests 5; location / { proxy_pass http://%backend%; }")
        .set("backend", backend.address())
        .start();
    let mut client = H2Client::of(&server);
    let streams: Vec<u32> = (0..20).map(|at| client.ask(&format!("/{at}"))).collect();
    let served = streams.iter().filter(|stream| {
        client.try_answer(**stream).is_ok_and(|answer| answer.complete && answer.status == 200)
    });
    let served = served.count();
    while client.gone.is_none() && client.step().is_ok() {}
    let (code, last) = client.gone.expect("GOAWAY");
    assert_eq!(code, code::NO_ERROR);
    // Exactly those that GOAWAY names were served, and only they have reached the backend.
    let named = streams.iter().filter(|stream| **stream <= last).count();
    assert_eq!((served, backend.count()), (named, named));
    // A first GOAWAY without a number lets those in that are under way.
    assert!(served >= 5, "{served}");
}

#[test]
fn open_streams_end_after_quit() {
    let backend = Backend::new(|seen| match seen.target() {
        "/slow" => Reply::Custom(Box::new(|stream| {
            use std::io::{Read, Write};
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
            let _ = stream.read(&mut [0]);
        })),
        _ => Reply::ok("ok"),
    });
    let held = Backend::new(|_| Reply::Custom(Box::new(|_| {})));
    drop(held);
    let gate = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = server(
        "location / { proxy_pass http://%backend%; } location /gate { proxy_pass http://%gate%; }",
    )
    .set("backend", backend.address())
    .set("gate", gate.local_addr().unwrap())
    .start();
    let mut client = H2Client::of(&server);
    let mut idle = H2Client::of(&server);
    assert_eq!(idle.get("/").status, 200);
    let stream = client.ask("/gate");
    let (mut upstream, _) = gate.accept().unwrap();
    server.signal(Signal::QUIT);
    assert_eq!(idle.end(), Some(code::NO_ERROR));
    while client.gone.is_none() {
        client.step().expect("GOAWAY");
    }
    std::io::Write::write_all(
        &mut upstream,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate",
    )
    .unwrap();
    assert_eq!(client.answer(stream).whole(), (200, "late".to_owned()));
    client.end();
    assert!(server.wait_exit());
}

#[test]
fn a_reload_loses_no_request() {
    let conf = |text: &str| {
        format!(
            "http2 on; server {{ listen 127.0.0.1:%port%; server_name localhost;
             location / {{ return 200 {text}; }} }}"
        )
    };
    let server = crate::harness::Server::http(&conf("old")).start();
    let mut client = H2Client::of(&server);
    assert_eq!(client.get("/").text(), "old");
    server.rewrite_http(&conf("new"));
    server.signal(Signal::HUP);
    until("the new configuration", || H2Client::of(&server).get("/").text() == "new");
    if is_nginx() {
        assert_eq!(client.end(), Some(code::NO_ERROR));
        return;
    }
    // The connection carries on, or is ended in good order.
    let stream = client.ask("/");
    match client.try_answer(stream) {
        Ok(answer) => assert_eq!(answer.whole(), (200, "new".to_owned())),
        Err(_) => assert_eq!(client.gone.map(|(code, _)| code), Some(code::NO_ERROR)),
    }
}

#[test]
fn reloads_under_load_lose_no_request() {
    let backend = Backend::text("ok");
    let server = proxy(&backend, "").start();
    let conf = "http2 on; server { listen 127.0.0.1:%port%; server_name localhost;
        location / { proxy_pass http://%backend%; } }";
    let stop = std::sync::atomic::AtomicBool::new(false);
    let address = server.address("port");
    std::thread::scope(|scope| {
        let load = || {
            let mut served = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let mut client = H2Client::connect(&address, &[]);
                for _ in 0..10 {
                    let streams: Vec<u32> = (0..10).map(|_| client.ask("/")).collect();
                    for stream in streams {
                        match client.try_answer(stream) {
                            Ok(answer) => assert_eq!(answer.whole(), (200, "ok".to_owned())),
                            // Not processed, as GOAWAY said.
                            Err(error) => {
                                let gone = client.gone.unwrap_or_else(|| panic!("{error}"));
                                assert!(gone.0 == code::NO_ERROR && stream > gone.1, "{gone:?}");
                            }
                        }
                        served += 1;
                    }
                    if client.gone.is_some() {
                        break;
                    }
                }
            }
            served
        };
        let threads = [scope.spawn(load), scope.spawn(load)];
        for _ in 0..5 {
            server.reload_http(conf);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let served: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(served > 0);
    });
}
