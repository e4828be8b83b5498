//! The options of a listening socket.

use std::time::Duration;

use weir_conf::Fault;
use weir_conf::value::{parse_number, parse_sec, parse_size};
use weir_engine::listen::{Keepalive, ListenOptions};

/// Parses an option of the socket. Returns whether it is one.
///
/// # Errors
/// nginx's message, for an invalid value.
pub(super) fn parameter(socket: &mut ListenOptions, text: &str) -> Result<bool, Fault> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let invalid = || Fault::new(format!("invalid {name} \"{text}\""));
    match (name, value) {
        ("bind", None) => {}
        ("multipath", None) => socket.multipath = true,
        ("deferred", None) => socket.deferred = true,
        ("reuseport", None) => socket.reuseport = true,
        ("fastopen", Some(value)) => {
            socket.fastopen = Some(length(value).ok_or_else(invalid)?);
        }
        ("backlog", Some(value)) => {
            socket.backlog = length(value).filter(|&n| n > 0).ok_or_else(invalid)?;
        }
        ("rcvbuf", Some(value)) => socket.rcvbuf = Some(size(value).ok_or_else(invalid)?),
        ("sndbuf", Some(value)) => socket.sndbuf = Some(size(value).ok_or_else(invalid)?),
        ("ipv6only", Some(value)) if value.starts_with('o') => {
            socket.ipv6only = match value {
                "on" => true,
                "off" => false,
                _ => return Err(Fault::new(format!("invalid ipv6only flags \"{value}\""))),
            };
        }
        ("so_keepalive", Some(value)) => {
            let keepalive = keepalive(value);
            let invalid = || Fault::new(format!("invalid so_keepalive value: \"{value}\""));
            socket.keepalive = Some(keepalive.ok_or_else(invalid)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `on`, `off` or `[idle]:[interval]:[count]` with at least one of the three.
fn keepalive(text: &str) -> Option<Keepalive> {
    match text {
        "on" => return Some(Keepalive { on: true, ..Keepalive::default() }),
        "off" => return Some(Keepalive::default()),
        _ => {}
    }
    let mut parts = text.splitn(3, ':');
    let mut part = || parts.next().filter(|part| !part.is_empty());
    let idle = part().map(|text| parse_sec(text.as_bytes()).ok_or(())).transpose().ok()?;
    let interval = part().map(|text| parse_sec(text.as_bytes()).ok_or(())).transpose().ok()?;
    let count = part().map(|text| number(text).ok_or(())).transpose().ok()?.unwrap_or(0);
    let given = |time: Option<Duration>| time.filter(|time| !time.is_zero());
    let (idle, interval) = (given(idle), given(interval));
    if idle.is_none() && interval.is_none() && count == 0 {
        return None;
    }
    Some(Keepalive { on: true, idle, interval, count: (count > 0).then_some(count) })
}

/// The length of a queue.
fn length(text: &str) -> Option<i32> {
    number(text).map(|length| i32::try_from(length).unwrap_or(i32::MAX))
}

fn size(text: &str) -> Option<usize> {
    parse_size(text.as_bytes()).map(|size| usize::try_from(size).unwrap_or(usize::MAX))
}

fn number(text: &str) -> Option<u32> {
    parse_number(text.as_bytes())?.try_into().ok()
}
