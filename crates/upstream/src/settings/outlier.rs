//! `outlier_ejection PARAMETERS` in an `upstream` block.

use weir_conf::{
    Cx, Fault, Node, Word,
    value::{parse_msec, parse_number},
};

use crate::{outlier::config::OutlierConfig, settings::UpstreamWritten};

pub(super) fn set_outlier_ejection(
    upstream: &mut UpstreamWritten,
    node: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    if upstream.outliers.is_some() {
        return Err(Fault::duplicate());
    }
    let mut config = OutlierConfig::default();
    for word in &node.args {
        parameter(&mut config, word).ok_or_else(|| Fault::parameter(word))?;
    }
    upstream.outliers = Some(Some(config));
    Ok(())
}

fn parameter(config: &mut OutlierConfig, word: &Word) -> Option<()> {
    let from = |least: u64| move |number: &u64| *number >= least;
    if let Some(text) = word.after("consecutive=") {
        let count = if text == b"off" { 0 } else { parse_number(text).filter(from(1))? };
        config.consecutive = u32::try_from(count).ok()?;
    } else if let Some(text) = word.after("success_rate=") {
        config.success_rate = factor(text, 0.0)?;
    } else if let Some(text) = word.after("latency=") {
        config.latency = factor(text, 1.0)?;
    } else if let Some(text) = word.after("interval=") {
        config.interval = millis(text)?;
    } else if let Some(text) = word.after("time=") {
        config.time = millis(text)?;
    } else if let Some(text) = word.after("max_time=") {
        config.max_time = millis(text)?;
    } else if let Some(text) = word.after("max=") {
        let percent = parse_number(text.strip_suffix(b"%")?)?;
        config.max = Some(percent).filter(|percent| (1..=100).contains(percent))?;
    } else if let Some(text) = word.after("min_servers=") {
        let count = parse_number(text).filter(from(3))?;
        config.servers = usize::try_from(count).ok()?;
    } else if let Some(text) = word.after("min_requests=") {
        config.requests = parse_number(text).filter(from(1))?;
    } else {
        return None;
    }
    Some(())
}

/// A time of at least a millisecond.
fn millis(text: &[u8]) -> Option<u64> {
    let time = parse_msec(text)?.as_millis();
    u64::try_from(time).ok().filter(|&time| time > 0)
}

/// A decimal number above `least`, or `off`.
#[allow(clippy::option_option, reason = "`off` is a valid value")]
fn factor(text: &[u8], least: f64) -> Option<Option<f64>> {
    if text == b"off" {
        return Some(None);
    }
    if !text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    let number: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    (number.is_finite() && number > least).then_some(Some(number))
}
