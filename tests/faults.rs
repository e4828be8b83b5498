//! Attacks and malformed input, sent through a proxy to a recording backend.
//!
//! `faults/expected.tsv` holds the expected result of each; the bytes are in `faults/`. Whatever
//! the response, requests that reach the backend must be unambiguous, and the connection must stay
//! in sync.

mod mutations;
mod stimuli;

use std::io::ErrorKind;

use crate::harness::{Backend, Reply, Seen, Server, is_nginx};

const TABLE: &str = include_str!("faults/expected.tsv");

const CONF: &str = r#"
    client_header_timeout 2s;
    client_body_timeout 2s;
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    location / { proxy_pass http://%backend%; }
    location ^~ /admin { return 403; }
"#;

/// A row of the table.
struct Row {
    id: &'static str,
    stimulus: &'static str,
    expected: Vec<&'static str>,
    own: bool,
}

/// The result of a stimulus.
#[derive(Debug)]
struct Reaction {
    answers: String,
    seen: Vec<Seen>,
}

fn rows(area: &str) -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    let rows = fields.filter(|fields| fields[1] == area).map(|fields| {
        let mut words = fields[3].split(' ');
        let expected = words.next().unwrap().split('|').collect();
        Row { id: fields[0], stimulus: fields[2], expected, own: words.next() == Some("own") }
    });
    rows.collect()
}

fn target_backend() -> Backend {
    Backend::new(|seen| Reply::ok(seen.target()))
}

/// Runs all rows of an area and reports all failures together.
fn run(area: &str) {
    let backend = target_backend();
    let server = Server::server(CONF).set("backend", backend.address()).start();
    let rows = rows(area);
    assert!(!rows.is_empty());
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            backend.forget();
            let outcome = send(&server, &backend, row);
            let reason = judge(row, &outcome)?;
            Some(format!("{} {}: {reason}; {}", row.id, row.stimulus, outcome.answers))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

fn send(server: &Server, backend: &Backend, row: &Row) -> Reaction {
    let mut client = server.client();
    client.send_if_wanted(stimuli::bytes(row.id, row.stimulus));
    let wanted = row.expected.iter().map(|answer| answer.split(',').count()).max().unwrap();
    let mut answers = Vec::new();
    let mut finals = 0;
    while finals < wanted {
        match client.try_response(false) {
            Ok(response) if response.status == 100 && !row.expected[0].contains("100") => {}
            Ok(response) => {
                finals += 1;
                answers.push(response.status.to_string());
                if response.header("Connection") == Some("close") {
                    break;
                }
            }
            Err(error) => {
                let received = client.received();
                answers.push(match error.kind() {
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => match &*received {
                        "" => "close".to_owned(),
                        _ => "0.9".to_owned(),
                    },
                    _ => format!("{error} {received:?}"),
                });
                break;
            }
        }
    }
    // A kept connection must be in sync: the next response belongs to the next request.
    client.send_if_wanted("GET /probe HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    if let Ok(response) = client.try_response(false)
        && response.text() != "/probe"
        && response.status != 400
    {
        answers.push(format!("out of sync: {} {:?}", response.status, response.text()));
    }
    let seen = backend.seen().into_iter().filter(|seen| seen.target() != "/probe").collect();
    Reaction { answers: answers.join(","), seen }
}

/// The fault of an outcome, if any.
fn judge(row: &Row, outcome: &Reaction) -> Option<String> {
    let allowed = row.expected.iter().any(|&expected| match expected {
        "other" => outcome.answers != "403" && outcome.answers.parse::<u16>().is_ok(),
        "wait" => outcome.answers == "close",
        _ => outcome.answers == expected,
    });
    if !allowed {
        return Some(format!("expected {}", row.expected.join("|")));
    }
    if row.own && !outcome.seen.is_empty() {
        return Some(format!("reached the backend: {:?}", outcome.seen[0].line));
    }
    let answers = outcome.answers.split(',').filter(|answer| *answer != "100").count();
    if outcome.seen.len() > answers {
        return Some(format!("{} requests reached the backend", outcome.seen.len()));
    }
    outcome.seen.iter().find_map(ambiguous).or_else(|| stimuli::check(row.id, &outcome.seen))
}

/// The ambiguity of a request that reached the backend, if any.
fn ambiguous(seen: &Seen) -> Option<String> {
    let count = |name: &str| {
        seen.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count()
    };
    if seen.target().contains("smuggled") {
        return Some("the smuggled request reached the backend".to_owned());
    }
    if count("Host") != 1 {
        return Some(format!("{} Host fields at the backend", count("Host")));
    }
    if count("Content-Length") + count("Transfer-Encoding") > 1 {
        return Some("two framings at the backend".to_owned());
    }
    let text = String::from_utf8_lossy(&seen.head).replace("\r\n", "");
    let loose = |c: char| c.is_ascii_control() && c != '\t';
    // nginx passes control bytes other than CR, LF and NUL.
    let bad = if is_nginx() { text.contains(['\r', '\n', '\0']) } else { text.contains(loose) };
    bad.then(|| "a control byte at the backend".to_owned())
}

#[test]
fn smuggling() {
    run("smuggling");
}

#[test]
fn chunked() {
    run("chunked");
}

#[test]
fn syntax() {
    run("syntax");
}

#[test]
fn limits() {
    run("limits");
}

#[test]
fn trust() {
    run("trust");
}

#[test]
fn path() {
    run("path");
}

/// Control bytes, except for tab and the line terminators.
fn control_bytes() -> impl Iterator<Item = u8> {
    (0..=0x1f).chain([0x7f]).filter(|byte| !b"\t\n".contains(byte))
}

#[test]
fn no_control_byte_passes_to_the_backend() {
    if is_nginx() {
        return; // nginx passes all but NUL and CR.
    }
    let backend = target_backend();
    let server = Server::server(CONF).set("backend", backend.address()).start();
    for byte in control_bytes() {
        backend.forget();
        let mut request = b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: be".to_vec();
        request.push(byte);
        request.extend_from_slice(b"fore\r\nConnection: close\r\n\r\n");
        let status = server.ask(request).status;
        assert!(status == 200 || status == 400, "{byte:#x}: {status}");
        for seen in backend.seen() {
            assert_eq!(ambiguous(&seen), None, "{byte:#x}");
        }
    }
}

#[test]
fn no_control_byte_passes_to_the_client() {
    if is_nginx() {
        return;
    }
    let backend = Backend::new(|seen| {
        let byte: u8 = seen.target()[1..].parse().unwrap();
        let mut head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: be".to_vec();
        head.push(byte);
        head.extend_from_slice(b"fore\r\n\r\nok");
        Reply::Last(head)
    });
    let server = Server::server(CONF).set("backend", backend.address()).start();
    for byte in control_bytes() {
        let response = server.get(&format!("/{byte}"));
        assert!([200, 502].contains(&response.status), "{byte:#x}: {response:?}");
        let text = response.head.replace("\r\n", "");
        assert!(!text.contains(|c: char| c.is_ascii_control() && c != '\t'), "{byte:#x}: {text:?}");
    }
}

#[test]
fn a_decoded_path_never_splits_the_request() {
    if is_nginx() {
        return; // nginx sends the decoded path.
    }
    let backend = target_backend();
    let server = Server::server("location / { proxy_pass http://%backend%$uri; }")
        .set("backend", backend.address())
        .start();
    for target in ["/a%0d%0aX-In:%20y", "/a%0ab", "/a%20HTTP/1.1%0d%0a%0d%0aGET%20/smuggled"] {
        backend.forget();
        let status = server.get(target).status;
        assert!([200, 400].contains(&status), "{target}: {status}");
        for seen in backend.seen() {
            assert_eq!(seen.header("X-In"), None);
            assert_eq!(ambiguous(&seen), None, "{target}");
            assert_eq!(seen.line.split(' ').count(), 3, "{:?}", seen.line);
        }
    }
}
