//! `docs/howto/grpc-web.md`, with other addresses.

use super::*;
use crate::harness::is_nginx;

const PAGE: &str = include_str!("../../docs/howto/grpc-web.md");

/// The examples.
pub(super) fn examples() -> Vec<String> {
    let parts = PAGE.split("```nginx\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

#[track_caller]
pub(super) fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn a_page_of_the_same_origin_calls() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let conf = replace(&examples()[0], "listen 80;", "listen 127.0.0.1:%port%;");
    let conf = replace(&conf, "127.0.0.1:50051", "%upstream%");
    let conf = replace(&conf, "/helloworld.Greeter/", "/a/");
    let server = Server::http(&conf).set("upstream", upstream.address()).start();
    let call = Call { path: "/a/Echo", lines: BINARY, body: &message(b"hello") };
    for answer in call.by_both(&server) {
        assert_eq!(answer.frames()[0], (0, "hello".to_owned()));
    }
}

#[test]
fn a_browser_may_call_from_another_origin() {
    if is_nginx() {
        return;
    }
    let (upstream, _gate) = service();
    let conf = replace(&examples()[1], "listen 443;", "listen 127.0.0.1:%port%;");
    let conf = replace(&conf, "127.0.0.1:50051", "%upstream%");
    let server = Server::http(&conf).set("upstream", upstream.address()).start();
    let preflight = |origin: &str| {
        server.ask(format!(
            "OPTIONS /a/Echo HTTP/1.1\r\nHost: api.example\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: content-type,x-grpc-web\r\n\r\n"
        ))
    };
    let answer = preflight("https://app.example");
    assert_eq!(answer.status, 204);
    let allowed = |name| answer.header(name);
    assert_eq!(allowed("Access-Control-Allow-Origin"), Some("https://app.example"));
    assert_eq!(allowed("Access-Control-Allow-Methods"), Some("POST"));
    assert_eq!(allowed("Access-Control-Allow-Headers"), Some("content-type,x-grpc-web"));
    let answer = preflight("https://evil.example");
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (204, None));
    // A call that goes well, one that fails, and one to a server that is gone.
    let lines = format!("{BINARY}\norigin: https://app.example");
    let check = |path, status| {
        let call = Call { path, lines: &lines, body: &message(b"hello") };
        for answer in call.by_both(&server) {
            assert_eq!((answer.status, answer.field("grpc-status")), (200, status), "{answer:?}");
            let origin = answer.field("access-control-allow-origin");
            assert_eq!(origin, Some("https://app.example"));
            let exposed = answer.field("access-control-expose-headers").unwrap();
            assert!(exposed.contains("grpc-status"));
        }
    };
    check("/a/Echo", None);
    check("/a/Fails", Some("5"));
    drop(upstream);
    check("/a/Echo", Some("14"));
}
