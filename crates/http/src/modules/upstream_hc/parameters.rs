//! The parameters of `health_check`.

use std::time::Duration;

use weir_conf::value::{parse_msec, parse_number};
use weir_conf::{Cx, Fault, Node, Span, Word};
use weir_upstream::{CheckConfig, UpstreamRef};
use weir_wire::grpc_health::PATH;

use super::expect::Expectations;
use super::grpc::GrpcCheck;
use super::{HealthChecksWritten, Tests};

/// One `health_check`.
#[derive(Clone, Debug)]
pub(crate) struct HealthCheck {
    /// The schedule and the thresholds.
    pub(super) config: CheckConfig,
    /// `uri=`.
    pub(super) uri: Box<[u8]>,
    /// `match=`.
    pub(super) tests: Tests,
    /// `keepalive_time=`: how long a connection may be used.
    pub(super) keepalive: Option<Duration>,
    /// The group, and the number of the check there.
    pub(super) place: Option<(UpstreamRef, usize)>,
    /// `type=grpc`.
    pub(super) grpc: Option<GrpcCheck>,
    pub(super) span: Span,
}

/// The default of `interval=`, in milliseconds.
const INTERVAL: u64 = 5000;

impl HealthCheck {
    fn new(span: Span) -> Self {
        let config = CheckConfig {
            name: String::new(),
            what: String::new(),
            interval: INTERVAL,
            jitter: 0,
            fails: 1,
            passes: 1,
            port: None,
            mandatory: false,
        };
        let uri = (*b"/").into();
        Self { config, uri, tests: None, keepalive: None, place: None, grpc: None, span }
    }
}

pub(super) fn set_check(
    own: &mut HealthChecksWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let mut check = HealthCheck::new(cx.span());
    let mut words = node.args.iter().peekable();
    while let Some(word) = words.next() {
        if word.is("mandatory") {
            check.config.mandatory = true;
            // Weir's reloads forget no health, so a server that is up always stays so.
            let _ = words.next_if(|word| word.is("persistent"));
        } else {
            parameter(&mut check, word, cx)?;
        }
    }
    let uri = String::from_utf8_lossy(&check.uri);
    check.config.what = format!("{uri} {}", check.config.name);
    own.checks.get_or_insert_default().push(check);
    Ok(())
}

fn parameter(check: &mut HealthCheck, word: &Word, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let invalid = || Fault::parameter(word);
    let config = &mut check.config;
    if let Some(value) = word.after("interval=") {
        config.interval = milliseconds(value).filter(|&time| time > 0).ok_or_else(invalid)?;
    } else if let Some(value) = word.after("jitter=") {
        config.jitter = milliseconds(value).ok_or_else(invalid)?;
    } else if let Some(value) = word.after("fails=") {
        config.fails = count(value).ok_or_else(invalid)?;
    } else if let Some(value) = word.after("passes=") {
        config.passes = count(value).ok_or_else(invalid)?;
    } else if let Some(value) = word.after("port=") {
        let port = parse_number(value).and_then(|number| u16::try_from(number).ok());
        config.port = Some(port.filter(|&port| port > 0).ok_or_else(invalid)?);
    } else if check.grpc.is_some() && (word.after("uri=").or(word.after("match=")).is_some()) {
        return Err(invalid());
    } else if let Some(value) = word.after("uri=") {
        let is_target = value.starts_with(b"/") && value.iter().all(u8::is_ascii_graphic);
        check.uri = value.into();
        return if is_target { Ok(()) } else { Err(invalid()) };
    } else if let Some(value) = word.after("match=") {
        if value.is_empty() {
            return Err(invalid());
        }
        config.name = String::from_utf8_lossy(value).into_owned();
        let place = cx.span();
        check.tests = Some(cx.registry::<Expectations>().refer(&config.name, place));
    } else if let Some(value) = word.after("keepalive_time=") {
        check.keepalive = Some(parse_msec(value).ok_or_else(invalid)?);
    } else if word.is("type=grpc") && check.grpc.is_none() {
        check.grpc = Some(GrpcCheck::default());
        check.uri = PATH.as_bytes().into();
    } else if let (Some(value), Some(grpc)) = (word.after("grpc_service="), &mut check.grpc) {
        grpc.service = value.to_vec();
    } else if let (Some(value), Some(grpc)) = (word.after("grpc_status="), &mut check.grpc) {
        let status = parse_number(value).and_then(|number| u32::try_from(number).ok());
        grpc.status = status.ok_or_else(invalid)?;
    } else {
        return Err(invalid());
    }
    Ok(())
}

fn milliseconds(value: &[u8]) -> Option<u64> {
    u64::try_from(parse_msec(value)?.as_millis()).ok()
}

/// A number of at least 1.
fn count(value: &[u8]) -> Option<u32> {
    parse_number(value).and_then(|number| u32::try_from(number).ok()).filter(|&count| count > 0)
}
