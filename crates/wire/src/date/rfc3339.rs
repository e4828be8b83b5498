//! Times of RFC 3339, of which the parser takes all forms.

use super::{Civil, Reader, valid};

/// Parses a time of RFC 3339, such as `2026-01-02T03:04:05Z`; fractions of a second are dropped.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let mut rest = Reader(text);
    let year = rest.digits(4)?;
    rest.expect(b'-')?;
    let month = rest.digits(2)?;
    rest.expect(b'-')?;
    let day = rest.digits(2)?;
    let (&between, after) = rest.0.split_first()?;
    if !matches!(between, b'T' | b't' | b' ') || !(1..=12).contains(&month) {
        return None;
    }
    rest.0 = after;
    let (hour, minute, second) = rest.time()?;
    if let Some(fraction) = rest.0.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest.0 = &fraction[digits..];
        if digits == 0 {
            return None;
        }
    }
    let offset = match rest.0 {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours = i64::from(Reader(&rest.0[1..3]).digits(2)?);
            let minutes = i64::from(Reader(&rest.0[4..6]).digits(2)?);
            (hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 }
        }
        _ => return None,
    };
    let (month, day) = (month as u8, day as u8);
    let civil = Civil { year, month, day, hour, minute, second, weekday: 0 };
    (day > 0).then(|| valid(civil)).flatten().map(|time| time - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_rfc_3339_have_an_offset() {
        let parse = |text: &str| parse_rfc3339(text.as_bytes());
        let time = Some(784_111_777);
        assert_eq!(parse("1994-11-06T08:49:37Z"), time);
        assert_eq!(parse("1994-11-06t08:49:37.123456789z"), time);
        assert_eq!(parse("1994-11-06T10:19:37+01:30"), time);
        assert_eq!(parse("1994-11-06T07:49:37-01:00"), time);
        for bad in [
            "",
            "1994-11-06",
            "1994-13-06T08:49:37Z",
            "1994-00-06T08:49:37Z",
            "1994-11-00T08:49:37Z",
            "1994-11-31T08:49:37Z",
            "1994-11-06T24:49:37Z",
            "1994-11-06T08:49:37",
            "1994-11-06T08:49:37.Z",
            "1994-11-06T08:49:37+0100",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
