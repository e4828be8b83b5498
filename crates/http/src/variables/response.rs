//! Variables of the response and its timing.

use std::io::Write;
use std::time::Duration;

use weir_engine::clock;
use weir_engine::error_log::Level;
use weir_wire::h1::Version;
use weir_wire::header::Known;

use super::head::join;
use crate::client::Rate;
use crate::request::Request;
use crate::response::Sent;

fn found(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value);
    true
}

/// Seconds with three decimals, as all times in logs.
pub(crate) fn seconds(time: Duration, out: &mut Vec<u8>) {
    let _ = write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis());
}

/// `$status`, always three digits.
pub(super) fn status(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let status = match (request.error_status, request.response.status) {
        (error @ 1.., _) => error,
        (_, 0) if request.head.version < Version::HTTP_10 => 9,
        (_, status) => status,
    };
    write!(out, "{status:03}").is_ok()
}

/// `$bytes_sent`.
pub(super) fn bytes_sent(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    write!(out, "{}", request.client.bytes_sent).is_ok()
}

/// `$body_bytes_sent`.
pub(super) fn body_bytes_sent(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    write!(out, "{}", request.body_bytes_sent()).is_ok()
}

impl Request {
    /// The bytes of the body that were sent, without framing (`$body_bytes_sent`).
    pub(crate) fn body_bytes_sent(&self) -> u64 {
        let others = self.response.head_size + self.client.framing();
        self.client.bytes_sent.saturating_sub(others)
    }
}

/// `$request_time`.
pub(super) fn request_time(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    seconds(request.start.elapsed(), out);
    true
}

/// `$request_completion`: "OK", or nothing.
pub(super) fn request_completion(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(
        if request.response.sent == Sent::All && !request.client.has_failed() {
            b"OK"
        } else {
            b""
        },
        out,
    )
}

/// `$pipe`: "p" if the request came before the response to the previous one was complete.
pub(super) fn pipe(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(if request.pipelined { b"p" } else { b"." }, out)
}

/// `$limit_rate`, bytes per second.
pub(super) fn limit_rate(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    write!(out, "{}", request.client.rate.as_ref().map_or(0, |rate| rate.bytes)).is_ok()
}

/// `set $limit_rate …`.
pub(super) fn set_limit_rate(request: &mut Request, value: &[u8]) {
    let Some(bytes) = weir_conf::value::parse_size(value) else {
        let value = weir_wire::shown(value);
        request.log(Level::Error, &format!("invalid $limit_rate \"{value}\""));
        return;
    };
    request.client.rate = (bytes > 0).then(|| Rate::new(bytes, 0));
    request.client.rate_set = true;
}

/// `$sent_http_NAME`: the response's fields, including those that the server generates.
pub(super) fn sent_http(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    let response = &request.response;
    let has = |known| response.headers.contains(known);
    match name {
        "content_type" if !response.content_type.is_empty() => {
            response.write_content_type(out);
            return true;
        }
        "content_length" if !has(Known::ContentLength) => {
            return match response.content_length {
                Some(length) => write!(out, "{length}").is_ok(),
                None => false,
            };
        }
        "last_modified" if !has(Known::LastModified) => {
            return match response.last_modified {
                Some(time) => {
                    weir_wire::date::http(time, out);
                    true
                }
                None => false,
            };
        }
        "location" if response.location.is_some() => {
            return response.location.as_ref().is_some_and(|location| found(location, out));
        }
        "connection" => {
            let word: &[u8] = match (response.status, request.keepalive) {
                (101, _) => b"upgrade",
                (_, true) => b"keep-alive",
                (_, false) => b"close",
            };
            return found(word, out);
        }
        "keep_alive" => {
            let header = request.get(&crate::core::CONNECTION).keepalive_timeout.header;
            return match header.filter(|_| request.keepalive) {
                Some(seconds) => write!(out, "timeout={seconds}").is_ok(),
                None => false,
            };
        }
        "transfer_encoding" => return response.chunked && found(b"chunked", out),
        _ => {}
    }
    join(response.headers.iter().map(|(n, v, _)| (n, v)), name, b", ", out)
}

/// `$sent_trailer_NAME`.
pub(super) fn sent_trailer(request: &mut Request, name: &str, out: &mut Vec<u8>) -> bool {
    join(request.response.trailers.iter().map(|(n, v, _)| (n, v)), name, b", ", out)
}

/// `$msec`.
pub(super) fn msec(_: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let wall = clock::wall();
    write!(out, "{}.{:03}", wall.secs, wall.millis).is_ok()
}

/// `$time_local`.
pub(super) fn time_local(_: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(&clock::time_local(), out)
}

/// `$time_iso8601`.
pub(super) fn time_iso8601(_: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(&clock::time_iso8601(), out)
}

/// `$weir_time`.
pub(super) fn weir_time(_: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    found(&clock::rfc3339(), out)
}
