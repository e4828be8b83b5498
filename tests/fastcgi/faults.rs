//! Applications that fail: what the client gets, and what the log says.

use std::io::ErrorKind;

use super::records::{END_REQUEST, STDERR, STDOUT, application, record, response};
use super::{PLAIN, server};
use crate::harness::{Answer, is_nginx};

/// Faults before the head is complete: the answer, and the message in the log.
fn faults() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let head = || record(STDOUT, PLAIN);
    let with = |at: usize, byte: u8| {
        let mut bytes = head();
        bytes[at] = byte;
        bytes
    };
    vec![
        (
            "/nothing",
            vec![],
            "upstream prematurely closed connection while reading response header",
        ),
        (
            "/half",
            record(STDOUT, "A: b\r\n"),
            "upstream prematurely closed connection while reading",
        ),
        (
            "/stdout",
            response("A: b\r\n"),
            "upstream prematurely closed FastCGI stdout while reading",
        ),
        ("/end", record(END_REQUEST, [0; 8]), "upstream sent unexpected FastCGI record: 3 while"),
        ("/version", with(0, 2), "upstream sent unsupported FastCGI protocol version: 2 while"),
        ("/type", with(1, 11), "upstream sent invalid FastCGI record type: 11 while"),
        ("/high", with(2, 5), "upstream sent unexpected FastCGI request id high byte: 5 while"),
        ("/low", with(3, 0), "upstream sent unexpected FastCGI request id low byte: 0 while"),
        (
            "/field",
            response("A\x01: b\r\n\r\n"),
            "upstream sent invalid header: \"A\\x01...\" while",
        ),
        (
            "/big",
            response(format!("A: {}\r\n\r\n", "b".repeat(5000))),
            "upstream sent too big header",
        ),
        (
            "/lengths",
            response("Content-Length: 1\r\nContent-Length: 1\r\n\r\nb"),
            "upstream sent duplicate header line: \"Content-Length: 1\", previous value: \
             \"Content-Length: 1\" while reading",
        ),
        (
            "/caught",
            [record(STDERR, "a Fatal error."), response(PLAIN)].concat(),
            "FastCGI sent in stderr: \"a Fatal error\" while reading response header from upstream",
        ),
    ]
}

#[test]
fn an_invalid_response_is_a_502() {
    let application = application(|called| {
        let bytes = faults().into_iter().find(|(target, ..)| *target == called.param("URI"));
        Answer::Last(bytes.unwrap().1)
    });
    let conf = "fastcgi_catch_stderr \"Fatal error\"; location / { fastcgi_pass %a%; }";
    let server = server(&application, conf).start();
    for (target, _, message) in faults() {
        assert_eq!(server.get(target).status, 502, "{target}");
        server.wait_log(message);
    }
    server.wait_log(&format!("upstream: \"fastcgi://{}\"", application.address()));
}

#[test]
fn a_silent_application_is_a_504() {
    let application = application(|called| match called.param("URI") {
        "/head" => Answer::Hold,
        _ => Answer::Parts(vec![record(STDOUT, format!("{PLAIN}body")), Vec::new()]),
    });
    let conf = "fastcgi_read_timeout 100ms; location / { fastcgi_pass %a%; }";
    let server = server(&application, conf).start();
    assert_eq!(server.get("/head").status, 504);
    server.wait_log("upstream timed out (110: Connection timed out) while reading response header");
    let mut client = server.client();
    client.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response(false).is_err(), "the response breaks off");
    server.wait_log("upstream timed out (110: Connection timed out) while reading upstream");
}

#[test]
fn a_response_that_breaks_off_has_no_end() {
    if is_nginx() {
        return;
    }
    const LONG: &str = "Content-Length: 9\r\n\r\nbody";
    let application = application(|called| {
        Answer::Last(match called.param("URI").rsplit('/').next().unwrap() {
            "stdout" => response(LONG),
            "request" => [record(STDOUT, LONG), record(END_REQUEST, [0; 8])].concat(),
            "closed" => record(STDOUT, LONG),
            "record" => record(STDOUT, format!("{PLAIN}body"))[..38].to_vec(),
            "version" => [record(STDOUT, format!("{PLAIN}body")), vec![9]].concat(),
            other => panic!("{other}"),
        })
    });
    let conf = "location / { fastcgi_pass %a%; }
                location /u/ { fastcgi_pass %a%; fastcgi_buffering off; }
                location /k/ { fastcgi_pass %a%; fastcgi_keep_conn on; }";
    let server = server(&application, conf).start();
    for place in ["", "/u", "/k"] {
        for what in ["stdout", "request", "closed", "record", "version"] {
            let mut client = server.client();
            client.send(format!("GET {place}/{what} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let error = client.try_response(false).expect_err(what);
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{place}/{what}: {error}");
        }
    }
    for message in [
        "upstream prematurely closed FastCGI stdout while reading",
        "upstream prematurely closed FastCGI request while reading",
        "upstream prematurely closed connection while reading upstream",
        "upstream sent unsupported FastCGI protocol version: 9 while reading",
    ] {
        server.wait_log(message);
    }
}
