//! The limits of retries (the budget of a group, the time for one try), and ejected servers.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::harness::{Backend, Reply, Server, is_nginx, until};

/// A server that answers each request when told to, and the means to tell it.
fn answering_when_told() -> (Backend, Sender<()>) {
    let (tell, told) = channel::<()>();
    let told = std::sync::Arc::new(Mutex::new(told));
    let backend = Backend::new(move |_| {
        let told = std::sync::Arc::clone(&told);
        Reply::Custom(Box::new(move |stream| {
            let _ = told.lock().unwrap().recv();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
        }))
    });
    (backend, tell)
}

#[test]
fn retries_under_way_have_a_budget() {
    if is_nginx() {
        return;
    }
    let bad = Backend::new(|_| Reply::with("503 No", "", "bad"));
    let (good, tell) = answering_when_told();
    let server = Server::http(
        "upstream servers { server %bad% max_fails=0; server %good% backup; }
         proxy_next_upstream http_503;
         proxy_next_upstream_budget 0% min=1;
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://servers; }
             location /off { proxy_next_upstream_budget off; proxy_pass http://servers; } }",
    )
    .set("bad", bad.address())
    .set("good", good.address())
    .start();
    let mut first = server.client();
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the retry", || good.count() == 1);
    // The second one's failure is passed on.
    let response = server.get("/");
    assert_eq!((response.status, response.text()), (503, "bad".into()));
    server.wait_log(
        "the budget of retries in upstream \"servers\" is used up: 1 at 2 active requests",
    );
    let mut free = server.client();
    free.send("GET /off HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the retry without a budget", || good.count() == 2);
    for client in [&mut first, &mut free] {
        tell.send(()).unwrap();
        assert_eq!(client.response().text(), "good");
    }
    tell.send(()).unwrap();
    assert_eq!(server.text("/"), "good");
}

#[test]
fn one_try_has_a_limit_if_another_server_can_take_the_request() {
    if is_nginx() {
        return;
    }
    let silent = Backend::new(|_| Reply::hold());
    let good = Backend::text("good");
    let conf = "upstream servers { server %first% max_fails=0; server %second% backup; }
         proxy_next_upstream_try_timeout 100ms;
         server { listen 127.0.0.1:%port%;
             location / { proxy_pass http://servers; }
             location /briefly { proxy_read_timeout 1s; proxy_pass http://servers; }
             location /bold { proxy_next_upstream timeout non_idempotent;
                              proxy_pass http://servers; } }";
    let server =
        Server::http(conf).set("first", silent.address()).set("second", good.address()).start();
    assert_eq!(server.text("/"), "good");
    server.wait_log("upstream timed out (limit of one try) while reading response header");
    // A request that was sent and must not be repeated has all the time of the usual timeout.
    let post = |target| {
        let mut client = server.client();
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        client.send(head);
        client.response().status
    };
    assert_eq!(post("/briefly"), 504);
    assert_eq!(good.count(), 1);
    server.wait_log("upstream timed out (110: Connection timed out) while reading response header");
    assert_eq!(post("/bold"), 200);
    // So has a request for which no other server is left.
    let slow = Backend::new(|_| {
        // Nobody sends: the timeout is a clock without a sleep.
        let (_keep, clock) = channel::<()>();
        let waited = clock.recv_timeout(Duration::from_millis(400));
        assert_eq!(waited, Err(RecvTimeoutError::Timeout));
        Reply::ok("late")
    });
    let server = Server::http(&conf.replace("backup", "backup down"))
        .set("first", slow.address())
        .set("second", good.address())
        .start();
    assert_eq!(server.text("/"), "late");
}

/// A try that found no budget at its limit, or no other server, ends as soon as there is one.
#[test]
fn a_try_beyond_its_limit_ends_when_another_becomes_possible() {
    if is_nginx() {
        return;
    }
    let silent = Backend::new(|_| Reply::hold());
    let (good, tell) = answering_when_told();
    let server = Server::http(
        "upstream servers { server %silent% max_fails=0; server %good% backup; }
         proxy_next_upstream_try_timeout 50ms;
         proxy_next_upstream_budget 0% min=1;
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://servers; } }",
    )
    .set("silent", silent.address())
    .set("good", good.address())
    .start();
    let mut clients = [server.client(), server.client()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    server.wait_log("the budget of retries in upstream \"servers\" is used up: 1 at 2 active");
    until("a retry", || good.count() == 1);
    tell.send(()).unwrap();
    until("the other retry", || good.count() == 2);
    tell.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(client.response().text(), "good");
    }
}

#[test]
fn a_failing_server_is_ejected_and_the_log_says_why() {
    if is_nginx() {
        return;
    }
    let bad = Backend::new(|_| Reply::with("500 No", "", "bad"));
    let good = Backend::text("good");
    let server = Server::http(
        "upstream servers {
             server %bad% max_fails=0; server %good%;
             outlier_ejection consecutive=3 time=1h max_time=1h;
         }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://servers; } }",
    )
    .set("bad", bad.address())
    .set("good", good.address())
    .start();
    for _ in 0..20 {
        server.get("/");
    }
    assert_eq!((bad.count(), good.count()), (3, 17));
    let line = format!(
        "server {} in upstream \"servers\" is ejected for 3600 s: 3 failures in a row",
        bad.address()
    );
    server.wait_log(&line);
}
