//! `agent_check PARAMETERS` and `load_report PARAMETERS` in an `upstream` block: what servers say
//! they can take.

use weir_conf::{
    Cx, Fault, Node, Word,
    value::{parse_msec, parse_number},
};
use weir_wire::load_report::Metric;

use crate::{agent::config::AgentConfig, report::ReportConfig, settings::UpstreamWritten};

/// The limit of metrics of a load report.
const MAX_METRICS: usize = 16;

/// The default of `interval=` in milliseconds, as in HAProxy.
const INTERVAL: u64 = 2000;

pub(super) fn set_agent_check(
    upstream: &mut UpstreamWritten,
    node: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    if upstream.agent.is_some() {
        return Err(Fault::duplicate());
    }
    let mut config = AgentConfig { port: None, interval: INTERVAL, timeout: 0, send: Vec::new() };
    for word in &node.args {
        agent_parameter(&mut config, word).ok_or_else(|| Fault::parameter(word))?;
    }
    if config.timeout == 0 {
        config.timeout = config.interval;
    }
    upstream.agent = Some(Some(config));
    Ok(())
}

fn agent_parameter(config: &mut AgentConfig, word: &Word) -> Option<()> {
    if let Some(text) = word.after("port=") {
        config.port = Some(port(text)?);
    } else if let Some(text) = word.after("interval=") {
        config.interval = millis(text).filter(|&time| time > 0)?;
    } else if let Some(text) = word.after("timeout=") {
        config.timeout = millis(text).filter(|&time| time > 0)?;
    } else {
        config.send = word.after("send=")?.to_vec();
    }
    Some(())
}

pub(super) fn set_load_report(
    upstream: &mut UpstreamWritten,
    node: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    if upstream.report.is_some() {
        return Err(Fault::duplicate());
    }
    let mut config = ReportConfig::default();
    for word in &node.args {
        report_parameter(&mut config, word).ok_or_else(|| Fault::parameter(word))?;
    }
    upstream.report = Some(Some(config));
    Ok(())
}

fn report_parameter(config: &mut ReportConfig, word: &Word) -> Option<()> {
    if let Some(text) = word.after("penalty=") {
        config.penalty = factor(text)?;
    } else if let Some(text) = word.after("blackout=") {
        config.blackout = millis(text)?;
    } else if let Some(text) = word.after("expiration=") {
        config.expiration = millis(text).filter(|&time| time > 0)?;
    } else {
        let metric = Metric::new(str::from_utf8(word.after("metric=")?).ok()?)?;
        if config.metrics.len() == MAX_METRICS {
            return None;
        }
        config.metrics.push(metric);
    }
    Some(())
}

/// The number of a port.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    let port = parse_number(text)?;
    u16::try_from(port).ok().filter(|&port| port > 0)
}

fn millis(text: &[u8]) -> Option<u64> {
    u64::try_from(parse_msec(text)?.as_millis()).ok()
}

/// A decimal number.
fn factor(text: &[u8]) -> Option<f64> {
    if !text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}
