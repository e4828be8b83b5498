//! Exchanges over HTTP/2: the requests of a case, written for HTTP/1.1, as streams of one connection,
//! one after the other, since the order of both logs must not depend on timing.

use std::io::{ErrorKind, Result};
use std::net::TcpStream;

use super::case::{Case, Exchange};
use super::connection::{CLOSED, KEPT, OPEN, PROBE_BODY, PROBE_HOST};
use super::messages;
use crate::harness::{Event, Frame, H2Answer, H2Client, chunk, frame_kind};

/// The option of an exchange that goes over HTTP/2.
pub(crate) const OPTION: &str = "h2";

/// Options that describe how bytes of HTTP/1.1 are sent.
const OF_BYTES: [&str; 9] =
    ["half", "leave", "drip", "proxy", "wait", "to-end", "answers", "noprobe", "any-order"];

/// Fields that HTTP/2 does not have.
const OF_CONNECTIONS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// The largest DATA frame, in bytes.
const PIECE: usize = 16_384;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A request of HTTP/1.1 in the words of HTTP/2.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    fields: Fields,
    body: Vec<u8>,
    is_head: bool,
}

/// Sends a case over HTTP/2; exchanges that cannot be said in it are removed.
pub(crate) fn convert(case: &mut Case) {
    case.conf.entry("http").or_default().insert_str(0, "http2 on;\n");
    case.exchanges.retain_mut(|exchange| {
        exchange.options.insert(OPTION.to_owned(), String::new());
        OF_BYTES.iter().all(|option| !exchange.options.contains_key(*option))
            && exchange.turns.iter().all(|turn| requests(&turn.bytes, "http").is_some())
    });
}

/// Sends the requests of an exchange and returns the responses as text, and the connection's fate.
pub(crate) fn talk(exchange: &Exchange, stream: TcpStream) -> (String, &'static str) {
    let sni = exchange.options.get("sni").map_or("localhost", String::as_str);
    let (mut client, scheme) = match exchange.options.contains_key("tls") {
        false => (H2Client::over(stream), "http"),
        true => match H2Client::over_tls(stream, sni) {
            Ok(client) => (client, "https"),
            Err(error) => return (format!("[no handshake: {:?}]\n", error.kind()), CLOSED),
        },
    };
    let mut text = String::new();
    let asked = exchange.turns.iter().filter_map(|turn| requests(&turn.bytes, scheme)).flatten();
    for request in asked {
        match ask(&mut client, &request) {
            Ok(answer) => text += &show(&answer, request.is_head),
            Err(error) => {
                let code = client.gone.map(|(code, _)| code);
                let is_open = error.kind() == ErrorKind::TimedOut;
                text += &format!("[no response, GOAWAY {code:?}]\n");
                return (text, if is_open { OPEN } else { CLOSED });
            }
        }
    }
    let is_kept = probe(&mut client, scheme).is_ok_and(|is_kept| is_kept);
    // Unread bytes would turn the close into a reset, which is logged.
    client.finish();
    (text, if is_kept { KEPT } else { CLOSED })
}

fn ask(client: &mut H2Client, request: &Request) -> Result<H2Answer> {
    let stream = client.open(&request.fields, request.body.is_empty());
    let mut rest = &request.body[..];
    while !rest.is_empty() && !client.so_far(stream).ended {
        let room = usize::try_from(client.room(stream)).unwrap_or(0).min(PIECE);
        if room == 0 {
            client.step()?;
            continue;
        }
        let (piece, left) = rest.split_at(rest.len().min(room));
        rest = left;
        client.spend(stream, piece.len());
        client.frame(&Frame::data(stream, piece, rest.is_empty()));
    }
    client.try_answer(stream)
}

/// Whether the connection takes further requests.
fn probe(client: &mut H2Client, scheme: &str) -> Result<bool> {
    const MARK: [u8; 8] = *b"what is?";
    client.frame(&Frame::new(frame_kind::PING, 0, 0, MARK));
    while client.step()? != Event::PingAck(MARK.into()) {}
    if client.gone.is_some() {
        return Ok(false);
    }
    let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let fields = vec![
        pair(":method", "GET"),
        pair(":scheme", scheme),
        pair(":path", "/"),
        pair(":authority", PROBE_HOST),
    ];
    let answer = ask(client, &Request { fields, body: Vec::new(), is_head: false })?;
    Ok(answer.body == PROBE_BODY.as_bytes())
}

/// A response, like one of HTTP/1.1.
fn show(answer: &H2Answer, is_head: bool) -> String {
    let line = |(name, value): &(String, String)| format!("{}: {value}\r\n", capitals(name));
    let lines = |fields: &[(String, String)]| -> String {
        fields.iter().filter(|(name, _)| !name.starts_with(':')).map(line).collect()
    };
    let mut text = String::new();
    for early in &answer.informational {
        text += &format!("HTTP/2 early\n{}", lines(early).replace('\r', ""));
    }
    let head = format!("HTTP/2 {}\r\n{}\r\n", answer.status, lines(&answer.fields));
    text += &messages::render(&[head.as_bytes(), &answer.body].concat(), &[is_head]);
    if !answer.trailers.is_empty() {
        text += &format!("[trailers]\n{}", lines(&answer.trailers).replace('\r', ""));
    }
    if let Some(code) = answer.reset {
        text += &format!("[reset, {code}{}]\n", if answer.complete { "" } else { ", cut off" });
    }
    text
}

/// A field's name as in HTTP/1.1.
fn capitals(name: &str) -> String {
    match name {
        "etag" => return "ETag".to_owned(),
        "www-authenticate" => return "WWW-Authenticate".to_owned(),
        _ => {}
    }
    let mut begins = true;
    let capital = |c: char| {
        if std::mem::replace(&mut begins, c == '-') { c.to_ascii_uppercase() } else { c }
    };
    name.chars().map(capital).collect()
}

/// The requests in bytes of HTTP/1.1; `None` if HTTP/2 has no words for them.
fn requests(bytes: &[u8], scheme: &str) -> Option<Vec<Request>> {
    let mut requests = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (request, after) = request(&rest[..end + 2], &rest[end + 4..], scheme)?;
        requests.push(request);
        rest = after;
    }
    Some(requests)
}

/// The request with this head, whose body begins `rest`, and what is behind it.
fn request<'a>(head: &[u8], rest: &'a [u8], scheme: &str) -> Option<(Request, &'a [u8])> {
    let lines = head.strip_suffix(b"\n")?.split(|&byte| byte == b'\n');
    let lines: Vec<&[u8]> = lines.map(|line| line.strip_suffix(b"\r")).collect::<Option<_>>()?;
    let mut words = lines.first()?.split(|&byte| byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    // nginx refuses odd ones in the middle of the head, and takes the rest for another head.
    let is_usual = target.starts_with(b"/") && !method.iter().any(u8::is_ascii_lowercase);
    if version != b"HTTP/1.1" || words.next().is_some() || !is_usual {
        return None;
    }
    let (mut authority, mut fields) = (None, Fields::new());
    let (mut length, mut is_chunked) = (None, false);
    for line in &lines[1..] {
        let (name, value) = field(line)?;
        match &*name {
            b"host" if authority.is_none() => authority = Some(value),
            b"transfer-encoding" if value == b"chunked" => is_chunked = true,
            b"transfer-encoding" => return None,
            b"content-length" if length.is_some() => return None,
            b"content-length" => {
                length = Some(std::str::from_utf8(&value).ok()?.parse::<usize>().ok()?);
                fields.push((name, value));
            }
            b"te" if value != b"trailers" => {}
            _ if OF_CONNECTIONS.iter().any(|other| other.as_bytes() == name) => {}
            _ => fields.push((name, value)),
        }
    }
    let (body, after) = match (is_chunked, length) {
        (true, Some(_)) => return None,
        (true, None) => joined(rest)?,
        (false, length) => {
            let (body, after) = rest.split_at_checked(length.unwrap_or(0))?;
            (body.to_vec(), after)
        }
    };
    let pair = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    let mut all =
        vec![pair(":method", method), pair(":scheme", scheme.as_bytes()), pair(":path", target)];
    match authority {
        Some(host) if host.is_empty() || host.contains(&b'/') => fields.push(pair("host", &host)),
        authority => all.extend(authority.map(|host| pair(":authority", &host))),
    }
    all.append(&mut fields);
    Some((Request { fields: all, body, is_head: method == b"HEAD" }, after))
}

/// A field with its name in lower case; `None` if it is malformed.
fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_sound = !name.is_empty() && name.iter().all(is_token) && !value.contains(&0);
    is_sound.then(|| (name.to_ascii_lowercase(), value.to_vec()))
}

/// The body in chunks, and what is behind it; trailers are left out.
fn joined(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let chunk = chunk(&bytes[at..]).ok()??;
        at += chunk.end;
        if chunk.data.is_empty() {
            return Some((body, &bytes[at..]));
        }
        body.extend_from_slice(&bytes[at - chunk.end..at][chunk.data]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_fields() {
        let text = b"POST /a HTTP/1.1\r\nHost: b\r\nConnection: close\r\nX-Y: z\r\n\
            Content-Length: 2\r\n\r\nhiHEAD /c HTTP/1.1\r\n\r\n";
        let found = requests(text, "http").unwrap();
        let names: Vec<&[u8]> = found[0].fields.iter().map(|(name, _)| &name[..]).collect();
        let expected: [&[u8]; 6] =
            [b":method", b":scheme", b":path", b":authority", b"x-y", b"content-length"];
        assert_eq!(names, expected);
        assert_eq!((&found[0].body[..], found[1].is_head), (&b"hi"[..], true));
        let chunked = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert_eq!(requests(chunked, "http").unwrap()[0].body, b"ab");
        for text in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\n x: y\r\n\r\n", "GET /\r\n"] {
            assert_eq!(requests(text.as_bytes(), "http"), None, "{text}");
        }
    }
}
