//! `traceparent` (<https://www.w3.org/TR/trace-context/>): the trace and the span that a request
//! belongs to.

/// The length of a field of version 00.
pub const LENGTH: usize = 55;

/// The only version that is sent.
const VERSION: &[u8] = b"00";

/// A version that no field may have.
const NO_VERSION: u8 = 0xff;

/// The flag of recorded traces.
const SAMPLED: u8 = 1;

/// A trace, a span in it, and whether the trace is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceParent {
    /// Not 0.
    pub trace: u128,
    /// Not 0.
    pub span: u64,
    /// Whether the sender records the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the value of a field. Of later versions, what version 00 has counts.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let [version @ .., _] = known.get(..3)? else { return None };
        let version = u8::try_from(hex(version)?).ok().filter(|&version| version != NO_VERSION)?;
        let may_follow =
            if version == 0 { rest.is_empty() } else { !matches!(rest, [b, ..] if *b != b'-') };
        let dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        if !may_follow || !dashes {
            return None;
        }
        let trace = hex(&known[3..35])?;
        let span = u64::try_from(hex(&known[36..52])?).ok()?;
        let flags = u8::try_from(hex(&known[53..])?).ok()?;
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// The value of a field.
    pub fn text(&self) -> String {
        let flags = u8::from(self.sampled) * SAMPLED;
        format!(
            "{}-{:032x}-{:016x}-{flags:02x}",
            String::from_utf8_lossy(VERSION),
            self.trace,
            self.span
        )
    }
}

/// Entry point of a fuzz target and tests: reads a field by another rule, too, and what is written
/// of it again.
pub fn fuzz(value: &[u8]) {
    let found = TraceParent::parse(value);
    let text = std::str::from_utf8(value).ok();
    let parts: Vec<_> = text.into_iter().flat_map(|text| text.splitn(5, '-')).collect();
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let expected = match parts[..] {
        [version, trace, span, flags, ref more @ ..]
            if is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2) =>
        {
            let is_version = version != "ff" && (version != "00" || more.is_empty());
            let trace = u128::from_str_radix(trace, 16).unwrap_or(0);
            let span = u64::from_str_radix(span, 16).unwrap_or(0);
            let sampled = u8::from_str_radix(flags, 16).unwrap_or(0) & 1 == 1;
            let parent = TraceParent { trace, span, sampled };
            (is_version && trace != 0 && span != 0).then_some(parent)
        }
        _ => None,
    };
    // What follows in a later version need not be UTF-8.
    assert!(found == expected || text.is_none(), "{found:?}, {expected:?}");
    if let Some(found) = found {
        let text = found.text();
        assert!(text.len() == LENGTH && text.starts_with("00-"), "{text}");
        assert_eq!(TraceParent::parse(text.as_bytes()), Some(found));
    }
}

/// The number of up to 32 hexadecimal digits. Capital letters are none here.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn fields_are_read_as_by_another_rule() {
        for more in ["", "-", "x", "-more", "-\u{fc}"] {
            for version in ["00", "01", "ff", "0", "AA"] {
                let text = format!("{version}{}{more}", &USUAL[2..]);
                (0..=text.len()).for_each(|end| fuzz(&text.as_bytes()[..end]));
            }
        }
    }

    #[test]
    fn a_field_is_read_and_written() {
        let parent = TraceParent::parse(USUAL.as_bytes()).unwrap();
        let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
        let expected = TraceParent { trace, span: 0xb7ad_6b71_6920_3331, sampled: true };
        assert_eq!((parent, &*parent.text()), (expected, USUAL));
        let other = USUAL.replace("-01", "-00");
        assert_eq!(TraceParent { sampled: false, ..parent }.text(), other);
        assert!(!TraceParent::parse(other.as_bytes()).unwrap().sampled);
        let flags = USUAL.replace("-01", "-fe");
        assert!(!TraceParent::parse(flags.as_bytes()).unwrap().sampled);
    }

    #[test]
    fn later_versions_may_have_more() {
        let later = USUAL.replacen("00-", "01-", 1);
        for more in ["", "-", "-what-ever"] {
            let parsed = TraceParent::parse(format!("{later}{more}").as_bytes());
            assert_eq!(parsed, TraceParent::parse(USUAL.as_bytes()), "{more}");
        }
        assert_eq!(TraceParent::parse(format!("{later}x").as_bytes()), None);
    }

    #[test]
    fn other_fields_are_none() {
        let (zero_trace, zero_span) = ("0".repeat(32), "0".repeat(16));
        for odd in [
            String::new(),
            "00".to_owned(),
            format!("{USUAL}-"),
            format!("{USUAL} "),
            format!(" {USUAL}"),
            USUAL[..54].to_owned(),
            USUAL.to_uppercase(),
            USUAL.replacen("00-", "ff-", 1),
            USUAL.replacen("00-", "0x-", 1),
            USUAL.replace('-', "_"),
            USUAL.replace("0af7651916cd43dd8448eb211c80319c", &zero_trace),
            USUAL.replace("b7ad6b7169203331", &zero_span),
            USUAL.replace("-01", "-+1"),
            USUAL.replace("b7ad", "b7aé"),
        ] {
            assert_eq!(TraceParent::parse(odd.as_bytes()), None, "{odd}");
        }
        // No bytes in any place are a panic.
        for at in 0..USUAL.len() {
            for byte in 0..=255 {
                let mut bytes = USUAL.as_bytes().to_vec();
                bytes[at] = byte;
                let _ = TraceParent::parse(&bytes);
                let _ = TraceParent::parse(&bytes[..at]);
            }
        }
    }
}
