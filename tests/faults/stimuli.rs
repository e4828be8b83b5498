//! The bytes of each row.

use crate::harness::Seen;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// The bytes of a row.
pub(super) fn bytes(id: &str, stimulus: &str) -> Vec<u8> {
    match id.as_bytes()[0] {
        b'S' => smuggling(id),
        b'C' => chunked(id),
        b'L' => syntax(id),
        b'M' => limits(id),
        b'T' => trust(id),
        _ => get(&format!("GET {} HTTP/1.1", stimulus.strip_prefix("path ").unwrap()), ""),
    }
}

/// A head with these lines, each ending in CRLF, followed by a body.
fn get(line: &str, lines: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a.test\r\n{lines}\r\n").into_bytes()
}

fn post(lines: &str, rest: &str) -> Vec<u8> {
    [get("POST / HTTP/1.1", lines), rest.as_bytes().to_vec()].concat()
}

/// A wrong Content-Length, a body and a request to smuggle.
fn length(line: &str) -> Vec<u8> {
    post(&format!("{line}\r\n"), &format!("hello{SMUGGLED}"))
}

/// A wrong Transfer-Encoding next to a correct length.
fn coding(lines: &str) -> Vec<u8> {
    post(&format!("{lines}\r\nContent-Length: 5\r\n"), "0\r\n\r\n")
}

/// A wrong Transfer-Encoding without a length: only the coding counts.
fn coding_alone(lines: &str) -> Vec<u8> {
    post(&format!("{lines}\r\n"), &format!("0\r\n\r\n{SMUGGLED}"))
}

fn smuggling(id: &str) -> Vec<u8> {
    match id {
        "S001" => coding("Transfer-Encoding: chunked\r\nX: y"),
        "S002" => {
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\nGPOST\r\n0\r\n\r\n")
        }
        "S003" => length("Content-Length: 5\r\nContent-Length: 6"),
        "S004" => length("Content-Length: 5\r\nContent-Length: 5"),
        "S005" => length("Content-Length: 5, 5"),
        "S006" => length("Content-Length: +5"),
        "S007" => length("Content-Length: -1"),
        "S008" => length("Content-Length: 0x5"),
        "S009" => length("Content-Length: 5 0"),
        "S010" => length("Content-Length:"),
        "S011" => length("Content-Length:\r\nContent-Length: 5"),
        "S012" => length("Content-Length: 18446744073709551621"),
        "S013" => length("Content-Length: 1e1"),
        "S014" => post("Content-Length: 005\r\n", "hello"),
        "S015" => post("Content-Length: 5\t\r\n", "hello"),
        "S016" => post("Content-Length : 5\r\n", "hello"),
        "S017" => post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        "S018" => coding_alone("Transfer-Encoding: xchunked"),
        "S019" => coding_alone("Transfer-Encoding: chunked, identity"),
        "S020" => coding("Transfer-Encoding: identity"),
        "S021" => coding_alone("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        "S022" => coding_alone("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
        "S023" => coding_alone("Transfer-Encoding: \x0bchunked"),
        "S024" => coding_alone("Transfer-Encoding: \"chunked\""),
        "S025" => coding_alone("Transfer-Encoding: chunked;q=1"),
        "S026" => coding_alone("Transfer-Encoding: ,chunked"),
        "S027" => coding_alone("Transfer-Encoding:"),
        "S028" => coding_alone("Transfer-Encoding:\r\n chunked"),
        "S029" => post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        "S030" => post("Transfer-Encoding\0: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        "S031" => [get("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n"), b"0\r\n\r\n".to_vec()]
            .concat(),
        "S032" => [get("GET / HTTP/1.1", "Content-Length: 5\r\n"), b"hello".to_vec()].concat(),
        "S033" => [
            get("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
            b"5\r\nhello\r\n0\r\n\r\n".to_vec(),
        ]
        .concat(),
        "S034" => post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
        "S035" => post("Expect: y 100-continue\r\nContent-Length: 5\r\n", "hello"),
        "S036" => [
            get("GET / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n"),
            b"hello".to_vec(),
        ]
        .concat(),
        "S037" => [
            get("GET /one HTTP/1.1", "Connection: Upgrade\r\nUpgrade: foo\r\n"),
            get("GET /two HTTP/1.1", ""),
        ]
        .concat(),
        "S038" => get(
            "GET / HTTP/1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        "S039" => post("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"),
        "S040" => {
            get("GET / HTTP/1.1", "Connection: X-Forwarded-For\r\nX-Forwarded-For: 192.0.2.1\r\n")
        }
        "S041" => {
            let length = SMUGGLED.len();
            let lines = format!("Expect:\r\n 100-continue\r\nContent-Length: {length}\r\n");
            [get("OPTIONS / HTTP/1.1", &lines), SMUGGLED.into()].concat()
        }
        _ => panic!("no bytes for {id}"),
    }
}

fn chunked(id: &str) -> Vec<u8> {
    let end = "0\r\n\r\n";
    let body = match id {
        "C001" => format!("5\nhello\r\n{end}"),
        "C002" => format!("5;a\nxx\r\nhello\r\n{end}"),
        "C003" => format!("2;\nxx\r\n3\r\nabc\r\n{end}"),
        "C004" => format!("5\r\nhelloworld\r\n{end}"),
        "C005" => format!("5\r\nhello\n{end}"),
        "C006" => format!("5\r\nhelloXX{end}"),
        "C007" => format!("0x5\r\nhello\r\n{end}"),
        "C008" => format!("+5\r\nhello\r\n{end}"),
        "C009" => format!("5_0\r\nhello\r\n{end}"),
        "C010" => format!("10000000000000005\r\nhello\r\n{end}"),
        "C011" => format!("\r\nhello\r\n{end}"),
        "C012" => format!(" 5\r\nhello\r\n{end}"),
        "C013" => format!("5 \r\nhello\r\n{end}"),
        "C014" => format!("5;a=\0\r\nhello\r\n{end}"),
        "C015" => format!("5;a\rb\r\nhello\r\n{end}"),
        "C016" => format!("5;{}\r\nhello\r\n{end}", "a".repeat(100_000)),
        "C017" => "1\r\nx\r\n".repeat(10_000) + end,
        "C018" => "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n".to_owned(),
        "C019" => "5\r\nhello\r\n0\r\nno colon\r\n\r\n".to_owned(),
        "C020" => "5\r\nhello\r\n0\n\n".to_owned(),
        "C021" => format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "x".repeat(16_000)),
        _ => panic!("no bytes for {id}"),
    };
    post("Transfer-Encoding: chunked\r\n", &body)
}

fn line(line: &str) -> Vec<u8> {
    get(line, "")
}

fn field(text: &str) -> Vec<u8> {
    get("GET / HTTP/1.1", &format!("{text}\r\n"))
}

fn host(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

fn syntax(id: &str) -> Vec<u8> {
    match id {
        "L001" => b"GET / HTTP/1.1\nHost: a.test\n\n".to_vec(),
        "L002" => field("X: a\rb"),
        "L003" => field("X: a\0b"),
        "L004" => field("X: a\x01b"),
        "L005" => field("no colon here"),
        "L006" => field(": empty"),
        "L007" => field("X Y: z"),
        "L008" => [&b"GET / HTTP/1.1\r\nHost: a.test\r\nX\x80Y: z\r\n\r\n"[..]].concat(),
        "L009" => field("X: a\r\n b"),
        "L010" => b"GET / HTTP/1.1\r\n X: y\r\nHost: a.test\r\n\r\n".to_vec(),
        "L011" => host(""),
        "L012" => host("Host: a.test\r\nHost: b.test\r\n"),
        "L013" => host("Host: a.test/x\r\n"),
        "L014" => host("Host: user@a.test\r\n"),
        "L015" => host("Host: a\0.test\r\n"),
        "L016" => host("Host: a..b:80:90\r\n"),
        "L017" => line("GET http://b.test/ HTTP/1.1"),
        "L018" => line("GET ftp://b.test/ HTTP/1.1"),
        "L019" => line("GET a.test:80 HTTP/1.1"),
        "L020" => line("CONNECT a.test:443 HTTP/1.1"),
        "L021" => line("TRACE / HTTP/1.1"),
        "L022" => line("OPTIONS * HTTP/1.1"),
        "L023" => line("GET / HTTP/2.0"),
        "L024" => line("GET / HTTP/1.2"),
        "L025" => line("GET / HTTP/01.1"),
        "L026" => line("GET / http/1.1"),
        "L027" => b"GET /\r\n".to_vec(),
        "L028" => line("GET /  HTTP/1.1"),
        "L029" => line("GET\t/\tHTTP/1.1"),
        "L030" => line("GET /a b HTTP/1.1"),
        "L031" => line("get / HTTP/1.1"),
        "L032" => line("FOO / HTTP/1.1"),
        "L033" => line(&format!("{} / HTTP/1.1", "M".repeat(9000))),
        "L034" => line("G\x01T / HTTP/1.1"),
        "L035" => b"GET /\x80 HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(),
        "L036" => line("GET /a\0b HTTP/1.1"),
        "L037" => line("GET /a%00b HTTP/1.1"),
        "L038" => line("GET /a%zz HTTP/1.1"),
        "L039" => line("GET /a#/../admin HTTP/1.1"),
        "L040" => [b"\r\n".to_vec(), line("GET / HTTP/1.1")].concat(),
        "L041" => ["\r\n".repeat(1000).into_bytes(), line("GET / HTTP/1.1")].concat(),
        "L042" => {
            let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
            hello.resize(517, 0x5a);
            hello
        }
        "L043" => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        "L044" => {
            [line("GET /1 HTTP/1.1"), line("GET /2 HTTP/1.1"), line("GET /3 HTTP/1.1")].concat()
        }
        "L045" => {
            [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), line("GET / HTTP/1.1")].concat()
        }
        _ => panic!("no bytes for {id}"),
    }
}

fn limits(id: &str) -> Vec<u8> {
    match id {
        "M001" => field(&format!("X: {}", "x".repeat(9000))),
        "M002" => line(&format!("GET /{} HTTP/1.1", "x".repeat(9000))),
        "M003" => field(&(0..10_000).map(|n| format!("X-{n}: y\r\n")).collect::<String>()),
        "M004" => field(format!("X: {}\r\n", "x".repeat(497)).repeat(60).trim_end()),
        "M005" => post("Content-Length: 2000000\r\n", ""),
        "M006" => {
            post("Transfer-Encoding: chunked\r\n", &format!("200000\r\n{}", "x".repeat(0x20_0000)))
        }
        "M007" => {
            let ranges: Vec<String> = (0..800).map(|n| format!("{n}-")).collect();
            field(&format!("Range: bytes={}", ranges.join(",")))
        }
        "M008" => field(&format!("Cookie: {}", "c=1; ".repeat(12_000))),
        _ => panic!("no bytes for {id}"),
    }
}

fn trust(id: &str) -> Vec<u8> {
    match id {
        "T001" => field("X-Forwarded-For: 192.0.2.1"),
        "T002" => field("X_Forwarded_For: 192.0.2.1"),
        "T003" => field("Forwarded: for=192.0.2.1"),
        "T004" => field("X-Accel-Redirect: /admin"),
        "T005" => host("Host: 169.254.169.254\r\n"),
        "T006" => line("GET /a%0d%0aX-In:%20y HTTP/1.1"),
        _ => panic!("no bytes for {id}"),
    }
}

/// An additional requirement on the request at the backend; returns the violation, if any.
pub(super) fn check(id: &str, seen: &[Seen]) -> Option<String> {
    let seen = seen.first()?;
    let absent =
        |name: &str| seen.header(name).map(|value| format!("{name}: {value} at the backend"));
    let equal = |name: &str, value: &str| {
        let found = seen.header(name);
        (found != Some(value)).then(|| format!("{name} is {found:?} at the backend, not {value}"))
    };
    let body = |body: &[u8]| {
        (seen.body != body)
            .then(|| format!("the body at the backend is {:?}", seen.body.as_slice()))
    };
    match id {
        "S029" => absent("Transfer_Encoding").or_else(|| body(b"0\r\n\r\n")),
        "S032" | "S033" | "S034" | "S036" | "S039" => body(b"hello"),
        "S037" | "S038" => absent("Upgrade"),
        "S040" => match seen.header("X-Forwarded-For") {
            Some(value) if value.ends_with("127.0.0.1") => None,
            value => Some(format!("X-Forwarded-For is {value:?} at the backend")),
        },
        "C013" | "C014" | "C016" | "C018" | "C019" | "C021" => body(b"hello"),
        "C017" => body(&[b'x'; 10_000]),
        "L014" => equal("Host", "user@a.test"),
        "L017" | "L018" => equal("Host", "b.test"),
        "T001" => equal("X-Real-IP", "127.0.0.1"),
        "T002" => absent("X_Forwarded_For"),
        "T003" => equal("Forwarded", "for=192.0.2.1"),
        "T006" => absent("X-In"),
        _ => None,
    }
}
