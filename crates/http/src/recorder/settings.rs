//! `request_records` and its relatives.

use std::time::Duration;

use weir_conf::value::{Size, parse_msec};
use weir_conf::{Arity, Cx, Fault, Many, Node, Slot, Table, Value, Word, directives};

/// What is recorded of requests.
pub(crate) static RECORDS: Slot<Records> = Slot::new();

/// Their table.
pub(crate) const TABLE: &Table = &Records::table(&RECORDS);

directives! {
    /// Records of single requests: what happened to them, and when.
    pub(crate) struct Records in [http, server, location] {
        /// Records requests, for the API and the dashboard: those that end with a status of 500 or
        /// above, those that take at least `slow` (by default 1s), and of the others a random
        /// share, `sample` (by default 1%). A record has the location, each rewrite and redirect
        /// with its place in the configuration, the times of phases and waits, the attempts at
        /// upstreams with the servers they were chosen from, and the lines of the error log. What
        /// counts is the last location that a request has been in and that has it recorded, as
        /// error pages may be elsewhere. An upgraded connection is recorded when it ends, and is
        /// slow if its response was. Records survive a reload, but not the worker.
        "request_records" => recording: Recording,
        /// The memory for records, of all threads together. Half of it is for statuses of 500 and
        /// above, and a quarter each for slow requests and the random share; the oldest record of
        /// its kind makes room.
        "request_records_size" in [http] => size: Size = Size::m(8),
        /// A field of requests that is recorded. The values of `Authorization`,
        /// `Proxy-Authorization` and `Cookie` are masked.
        "request_records_field" => fields: Many<FieldName>,
    }
}

/// `request_records`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recording {
    /// Whether requests are recorded.
    pub(crate) on: bool,
    /// The time from which a request is slow; None if none is.
    pub(crate) slow: Option<Duration>,
    /// The share of all other requests that is kept, in millionths.
    pub(crate) sample: u32,
}

/// The whole in millionths.
pub(crate) const WHOLE: u32 = 1_000_000;

impl Recording {
    /// `on` without parameters.
    const ON: Self = Self { on: true, slow: Some(Duration::from_secs(1)), sample: WHOLE / 100 };
}

impl Value for Recording {
    const SYNTAX: &'static str = "on [slow=time | slow=off] [sample=percent%] | off";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let (first, rest) = node.args.split_first().ok_or_else(Fault::bad_value)?;
        if first.is("off") && rest.is_empty() {
            return Ok(Self::default());
        }
        if !first.is("on") {
            let hint = "request_records on slow=500ms sample=1%;";
            return Err(Fault::invalid(first).hint(hint));
        }
        let mut recording = Self::ON;
        let (mut slow, mut sample) = (false, false);
        for word in rest {
            if let (Some(text), false) = (word.after("slow="), slow) {
                slow = true;
                recording.slow = match text {
                    b"off" => None,
                    text => Some(parse_msec(text).ok_or_else(|| Fault::parameter(word))?),
                };
            } else if let (Some(text), false) = (word.after("sample="), sample) {
                sample = true;
                recording.sample = parse_share(text).ok_or_else(|| Fault::parameter(word))?;
            } else {
                return Err(Fault::parameter(word));
            }
        }
        Ok(recording)
    }

    fn show(&self) -> Option<String> {
        (!self.on).then(|| "off".to_owned())
    }
}

/// A percentage with up to four decimals, in millionths.
fn parse_share(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text.strip_suffix(b"%")?).ok()?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 4 {
        return None;
    }
    let share: u32 = format!("{whole}{decimals:0<4}").parse().ok()?;
    (share <= WHOLE).then_some(share)
}

/// The name of a field, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldName(pub(crate) String);

impl Value for FieldName {
    const SYNTAX: &'static str = "name";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word: &Word = &node.args[0];
        let valid = !word.value.is_empty() && word.value.iter().all(|&byte| is_token(byte));
        if !valid {
            return Err(Fault::invalid(word));
        }
        Ok(Self(word.text().to_ascii_lowercase()))
    }
}

/// Whether a byte may be in the name of a field (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages() {
        for (text, share) in
            [("1%", 10_000), ("100%", WHOLE), ("0%", 0), ("0.5%", 5_000), ("0.0001%", 1)]
        {
            assert_eq!(parse_share(text.as_bytes()), Some(share), "{text}");
        }
        for bad in ["1", "101%", "%", ".5%", "1.%", "-1%", "0.00001%", "1e2%", "100.0001%"] {
            assert_eq!(parse_share(bad.as_bytes()), None, "{bad}");
        }
    }
}
