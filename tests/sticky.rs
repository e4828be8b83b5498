//! `sticky`: requests of a session stay with one server.

use std::sync::{Arc, Condvar, Mutex};

use crate::harness::{Backend, Client, PATIENCE, Reply, Server, is_nginx, until};

/// One that answers late would move it back.
#[test]
fn a_request_moves_no_session_that_has_moved_meanwhile() {
    if is_nginx() {
        return;
    }
    let held = Arc::new((Mutex::new(false), Condvar::new()));
    let server = |name: &'static str| {
        let held = Arc::clone(&held);
        Backend::new(move |seen| match seen.target().strip_prefix("/begin/") {
            Some(id) => Reply::with("200 OK", &format!("Set-Cookie: sid={id}\r\n"), name),
            None if seen.target() == "/held" => {
                let (lock, change) = &*held;
                let wait = |free: &mut bool| !*free;
                drop(change.wait_timeout_while(lock.lock().unwrap(), PATIENCE, wait).unwrap());
                Reply::ok(name)
            }
            None => Reply::ok(name),
        })
    };
    let (one, two) = (server("one"), server("two"));
    let conf = "upstream u {
             zone u 64k; server %one%; server %two%;
             sticky learn create=$upstream_cookie_sid lookup=$cookie_sid zone=s:64k;
         }
         server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }";
    let server = Server::http(conf).set("one", one.address()).set("two", two.address()).start();
    let (mut bound, mut unbound) = (server.client(), server.client());
    let first = server.text("/begin/x");
    let ask = |client: &mut Client, id: &str| {
        client.send(format!("GET /held HTTP/1.1\r\nHost: a\r\nCookie: sid={id}\r\n\r\n"));
    };
    ask(&mut bound, "x");
    ask(&mut unbound, "y");
    let is_held =
        |backend: &Backend| backend.seen().iter().filter(|seen| seen.target() == "/held").count();
    until("both requests are held", || is_held(&one) + is_held(&two) == 2);
    let begin_elsewhere = |id: &str, than: &str| {
        until("another server", || server.text(&format!("/begin/{id}")) != than);
    };
    begin_elsewhere("x", &first);
    let y = unbound_server(&one, "y");
    begin_elsewhere("y", y);
    *held.0.lock().unwrap() = true;
    held.1.notify_all();
    assert_eq!((bound.response().text(), unbound.response().text()), (first.clone(), y.to_owned()));
    for (id, old) in [("x", first.as_str()), ("y", y)] {
        let cookie = format!("Cookie: sid={id}\r\n");
        let names: Vec<_> = (0..4).map(|_| server.get_with("/", &cookie).text()).collect();
        assert!(names.iter().all(|name| name != old), "{id}: {names:?}");
    }
}

/// The server that has the request of a session.
fn unbound_server(one: &Backend, id: &str) -> &'static str {
    let cookie = format!("sid={id}");
    let has = one.seen().iter().any(|seen| seen.header("Cookie") == Some(&cookie));
    if has { "one" } else { "two" }
}
