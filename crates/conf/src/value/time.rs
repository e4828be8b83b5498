//! Times with units, in milliseconds or in seconds.

use super::Value;
use crate::cx::Cx;
use crate::diagnostic::Fault;
use crate::node::Node;
use crate::table::arity::Arity;
use std::time::Duration;

/// A time in milliseconds; seconds if it has no unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msec(pub Duration);

/// A time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sec(pub Duration);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A unit with its rank; units must shrink from left to right.
fn unit(rest: &[u8]) -> Option<(u8, u64, usize)> {
    let found = match rest {
        [b'y', ..] => (1, 365 * DAY, 1),
        [b'M', ..] => (2, 30 * DAY, 1),
        [b'w', ..] => (3, 7 * DAY, 1),
        [b'd', ..] => (4, DAY, 1),
        [b'h', ..] => (5, HOUR, 1),
        [b'm', b's', ..] => (8, 0, 2),
        [b'm', ..] => (6, MINUTE, 1),
        [b's', ..] => (7, 1, 1),
        [b' ', ..] => (9, 1, 1),
        _ => return None,
    };
    Some(found)
}

/// Parses a time, as `ngx_parse_time`: `1h 30m`, `500ms`, `10`.
fn parse(text: &[u8], seconds: bool) -> Option<u64> {
    const MSEC_RANK: u8 = 8;
    const SPACE_RANK: u8 = 9;
    let per_second = if seconds { 1 } else { 1000 };
    // As in nginx, times in milliseconds have no years and months.
    let mut rank = if seconds { 0 } else { 2 };
    let (mut total, mut value, mut valid) = (0u64, 0u64, false);
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte.is_ascii_digit() {
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0')).filter(fits)?;
            valid = true;
            rest = tail;
            continue;
        }
        let (next, scale, width) = unit(rest)?;
        let too_late = if next == SPACE_RANK { rank >= 7 } else { rank >= next };
        if too_late || (next == MSEC_RANK && seconds) {
            return None;
        }
        rank = if next == SPACE_RANK { SPACE_RANK } else { next };
        let scale = if next == MSEC_RANK { 1 } else { scale * per_second };
        total = total.checked_add(value.checked_mul(scale)?).filter(fits)?;
        value = 0;
        rest = &rest[width..];
        while let [b' ', tail @ ..] = rest {
            rest = tail;
        }
    }
    if !valid {
        return None;
    }
    total.checked_add(value.checked_mul(per_second)?).filter(fits)
}

fn fits(number: &u64) -> bool {
    *number <= i64::MAX as u64
}

/// Parses a time in milliseconds.
pub fn parse_msec(text: &[u8]) -> Option<Duration> {
    parse(text, false).map(Duration::from_millis)
}

/// Parses a time in seconds.
pub fn parse_sec(text: &[u8]) -> Option<Duration> {
    parse(text, true).map(Duration::from_secs)
}

fn shown(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.as_millis());
    if millis % 1000 != 0 {
        return format!("{millis}ms");
    }
    for (unit, scale) in [("d", DAY), ("h", HOUR), ("m", MINUTE)] {
        if seconds >= 2 * scale && seconds.is_multiple_of(scale) {
            return format!("{}{unit}", seconds / scale);
        }
    }
    if seconds == 0 { "0".to_owned() } else { format!("{seconds}s") }
}

macro_rules! times {
    ($($T:ident, $parse:ident;)*) => {$(
        impl $T {
            /// A number of seconds.
            pub const fn seconds(number: u64) -> Self {
                Self(Duration::from_secs(number))
            }

            /// A number of minutes.
            pub const fn minutes(number: u64) -> Self {
                Self(Duration::from_secs(number * MINUTE))
            }
        }

        impl Value for $T {
            const SYNTAX: &'static str = "time";
            const ARITY: Arity = Arity::ONE;

            fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
                let word = &node.args[0];
                $parse(&word.value).map(Self).ok_or_else(|| Fault::bad_value().at(word))
            }

            fn show(&self) -> Option<String> {
                Some(shown(self.0))
            }
        }
    )*};
}

times! {
    Msec, parse_msec;
    Sec, parse_sec;
}

impl Msec {
    /// A number of milliseconds.
    pub const fn millis(number: u64) -> Self {
        Self(Duration::from_millis(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_go_down_and_end_with_what_the_directive_counts_in() {
        for (text, msec, sec) in [
            ("0", Some(0), Some(0)),
            ("10", Some(10_000), Some(10)),
            ("10s", Some(10_000), Some(10)),
            ("1h 30m", Some(5_400_000), Some(5400)),
            ("1h30m", Some(5_400_000), Some(5400)),
            ("1m 5", Some(65_000), Some(65)),
            ("5 ", Some(5000), Some(5)),
            ("500ms", Some(500), None),
            ("1s500ms", Some(1500), None),
            ("1w2d", Some(777_600_000), Some(777_600)),
            ("1y", None, Some(31_536_000)),
            ("1M", None, Some(2_592_000)),
            ("1y1M", None, Some(34_128_000)),
            ("30m1h", None, None),
            ("1s1s", None, None),
            ("5 5", Some(10_000), Some(10)),
            ("", None, None),
            ("s", None, None),
            ("-1", None, None),
            ("1x", None, None),
            ("1D", None, None),
            ("9223372036854775807", None, Some(9_223_372_036_854_775_807)),
            ("9223372036854775808", None, None),
        ] {
            assert_eq!(parse(text.as_bytes(), false), msec, "{text} in milliseconds");
            assert_eq!(parse(text.as_bytes(), true), sec, "{text} in seconds");
        }
    }

    #[test]
    fn times_are_shown_as_they_would_be_written() {
        assert_eq!(Msec::seconds(60).show().unwrap(), "60s");
        assert_eq!(Msec::minutes(10).show().unwrap(), "10m");
        assert_eq!(Msec::millis(1500).show().unwrap(), "1500ms");
        assert_eq!(Msec::seconds(0).show().unwrap(), "0");
    }
}
