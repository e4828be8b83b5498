//! `$upstream_…` (<https://nginx.org/en/docs/http/ngx_http_upstream_module.html#variables>).

use std::io::Write;

use super::state::{Attempt, Attempts};
use crate::cache::variables as cache;
use crate::request::Request;
use crate::variables::VariableRow as Row;
use weir_engine::clock::Micros;

/// The variables.
pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "upstream_addr",
        "The addresses of the upstream servers that were asked, separated with commas; after an \
         internal redirect, with a colon.",
        addr,
    ),
    Row::new("upstream_status", "The status of each upstream server's response.", status),
    Row::new(
        "upstream_queue_time",
        "Seconds that the request waited in the group's queue.",
        |r, _, out| each(r, out, |a, out| time(a.queue, out)),
    ),
    Row::new(
        "upstream_connect_time",
        "Seconds to connect to each upstream server, TLS included, with milliseconds.",
        |r, _, out| each(r, out, |a, out| time(a.connect, out)),
    ),
    Row::new(
        "upstream_header_time",
        "Seconds until the head of each upstream server's response.",
        |r, _, out| each(r, out, |a, out| time(a.header, out)),
    ),
    Row::new(
        "upstream_response_time",
        "Seconds until the end of each upstream server's response.",
        |r, _, out| each(r, out, |a, out| time(a.response, out)),
    ),
    Row::new(
        "upstream_response_length",
        "Bytes of the body of each upstream server's response.",
        |r, _, out| each(r, out, |a, out| count(a.body, out)),
    ),
    Row::new(
        "upstream_bytes_received",
        "Bytes received from each upstream server.",
        |r, _, out| each(r, out, |a, out| count(a.received, out)),
    ),
    Row::new("upstream_bytes_sent", "Bytes sent to each upstream server.", |r, _, out| {
        each(r, out, |a, out| count(a.sent, out))
    }),
    cache::STATUS,
    cache::KEY,
    cache::LAST_MODIFIED,
    cache::ETAG,
    Row::prefix(
        "upstream_http_",
        "The field of this name in the last upstream server's response.",
        http,
    ),
    Row::prefix(
        "upstream_trailer_",
        "The trailer field of this name in the last upstream server's response.",
        trailer,
    ),
    Row::prefix(
        "upstream_cookie_",
        "The cookie of this name that the last upstream server set.",
        cookie,
    ),
];

/// Writes one figure of each attempt. Commas separate attempts, colons separate passes.
fn each(
    request: &mut Request,
    out: &mut Vec<u8>,
    mut figure: impl FnMut(&Attempt, &mut Vec<u8>),
) -> bool {
    let attempts = &request.attempts;
    if attempts.list.is_empty() {
        return false;
    }
    for (at, (first, attempt)) in attempts.list.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(if *first { b" : " } else { b", " });
        }
        figure(attempt, out);
    }
    true
}

fn addr(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    each(request, out, |attempt, out| out.extend_from_slice(attempt.asked.name().as_bytes()))
}

fn status(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    each(request, out, |attempt, out| match attempt.status {
        0 => out.push(b'-'),
        status => {
            let _ = write!(out, "{status}");
        }
    })
}

fn time(time: Option<Micros>, out: &mut Vec<u8>) {
    match time {
        Some(time) => crate::variables::response::seconds(time.into(), out),
        None => out.push(b'-'),
    }
}

fn count(n: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "{n}");
}

fn http(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    field(request, |attempts| &attempts.headers, name, out)
}

fn trailer(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    field(request, |attempts| &attempts.trailers, name, out)
}

fn field(
    request: &Request,
    which: impl Fn(&Attempts) -> &weir_wire::header::Headers,
    name: &str,
    out: &mut Vec<u8>,
) -> bool {
    let attempts = &request.attempts;
    let lines = which(attempts).iter().map(|(n, v, _)| (n, v));
    crate::variables::head::join(lines, name, b", ", out)
}

/// `$upstream_cookie_NAME`: the value of a cookie in the response.
fn cookie(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    let attempts = &request.attempts;
    for (_, value, known) in attempts.headers.iter() {
        if known != weir_wire::header::Known::SetCookie {
            continue;
        }
        let Some((start, rest)) = value.split_at_checked(name.len()) else { continue };
        if !start.eq_ignore_ascii_case(name.as_bytes()) {
            continue;
        }
        let Some(text) = without_blanks(rest).strip_prefix(b"=") else { continue };
        out.extend_from_slice(without_blanks(
            text.split(|&b| b == b';').next().unwrap_or_default(),
        ));
        return true;
    }
    false
}

/// Trims leading blanks.
fn without_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}
