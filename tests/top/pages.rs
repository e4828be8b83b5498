//! Pages of text, and what is said about answers that are none.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::{start, text, top};
use crate::harness::is_nginx;

#[test]
fn a_page_of_text() {
    if is_nginx() {
        return;
    }
    let (backend, server) = start();
    assert_eq!(server.text("/"), "a");
    // The configuration names the API.
    let prefix = format!("{}/", server.directory().path().display());
    let words = ["--once", "--interval=1", "-p", &prefix, "-c", "nginx.conf"];
    let page = text(&top(&words));
    let port = server.port("port");
    assert!(page.starts_with(&format!("weir 0.1.0  127.0.0.1:{port}/api")), "{page}");
    assert!(page.contains("app: 1 of 2 up"), "{page}");
    let line = page.lines().find(|line| line.contains(&backend.address())).unwrap();
    assert!(line.contains(" up "), "{page}");
    assert!(page.lines().any(|line| line.starts_with("site ")), "{page}");
    // So does a URL, with a password.
    let url = format!("http://me:secret@127.0.0.1:{port}/closed/");
    assert!(text(&top(&["--once", "--interval=1", &url])).contains("app: 1 of 2 up"));
}

#[test]
fn what_is_wrong_is_said() {
    if is_nginx() {
        return;
    }
    let (_backend, server) = start();
    let port = server.port("port");
    let prefix = format!("{}/", server.directory().path().display());
    server.directory().write("other.conf", "events {} http { server { location / { } } }");
    for (words, expected) in [
        (vec![format!("http://127.0.0.1:{port}/closed/")], "answers 401: name the URL with"),
        (vec![format!("http://127.0.0.1:{port}/nothing/")], "is no API"),
        (vec!["http://127.0.0.1:1/api/".to_owned()], "Connection refused"),
        (vec!["https://127.0.0.1/".to_owned()], "speaks no TLS"),
        (vec!["-p".to_owned(), prefix, "-c".to_owned(), "other.conf".to_owned()], "has \"api\""),
        (vec!["--interval=0".to_owned()], "Usage: weir top"),
    ] {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let output = top(&[&["--once"], &words[..]].concat());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success() && said.contains(expected), "{words:?}: {said}");
    }
}

#[test]
fn help_is_no_fault() {
    if is_nginx() {
        return;
    }
    for word in ["--help", "-h"] {
        let output = top(&[word]);
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("Usage: weir top"));
    }
}

/// A server that sends the same bytes to each request.
fn stand_in(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
            // It may have left.
            let _ = stream.write_all(reply);
        }
    });
    url
}

#[test]
fn what_others_answer_is_said_without_harm() {
    if is_nginx() {
        return;
    }
    let api = |status: &str, body: &str| -> &'static [u8] {
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        reply.into_bytes().leak()
    };
    let error = r#"{"error": {"text": "no\u001b[2J\u009b5n\u202enever"}}"#;
    let location = &b"HTTP/1.1 301 Moved\r\nlocation: http://b/\x1b[2J\r\n\r\n"[..];
    for (reply, expected) in [
        (location, "answers 301: it is at http://b/?[2J"),
        (&b"SSH-2.0-OpenSSH\r\n"[..], "does not answer in HTTP"),
        (b"", "unexpected end of file"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "answers without JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":", "answers without JSON"),
        (api("500 Oops", error), "answers 500: no?[2J?5n?never"),
        (api("404 Not Found", "{}"), "is no API"),
    ] {
        let output = top(&["--once", &stand_in(reply)]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{expected}: {said}");
        assert!(!said.contains(['\x1b', '\u{9b}', '\u{202e}']), "{said:?}");
    }
    // Another program's JSON, or that of a release without what is asked for.
    for reply in ["{}", "[]", "7", "[[1], {}]", r#"{"peers": [7, {"id": "x"}]}"#] {
        let page = text(&top(&["--once", "--interval=1", &stand_in(api("200 OK", reply))]));
        assert!(page.contains("UPSTREAM, SERVER"), "{reply}: {page}");
    }
}
