//! Whether a response may be kept, and how long: `X-Accel-Expires`, `Cache-Control`, `Expires`,
//! `Set-Cookie` and `Vary`, as in nginx (ngx_http_upstream_process_headers), and `…_cache_valid`.
//!
//! This decides by the fields in their order, without a clock: times are seconds since 1970.

use weir_wire::header::{Headers, Known};

use super::file::Times;
use crate::pass::hidden::Ignored;

/// The maximum length of `Vary`, in bytes.
const LONGEST_VARY: usize = 128;

/// What the fields of a response say about keeping it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// Must not be kept, whatever else is said.
    never: bool,
    /// Not to be kept, unless `X-Accel-Expires` says so.
    no_cache: bool,
    /// `Expires` has passed.
    expired: bool,
    /// The last second of validity; 0 if nothing is said.
    valid: i64,
    updating: u32,
    error: u32,
    by_accel: bool,
}

/// How long to keep a response; None if it must not be kept. `by_status` is the number of seconds
/// that the configuration sets for its status.
pub(crate) fn times(
    fields: &Headers,
    ignored: Ignored,
    by_status: Option<i64>,
    now: i64,
) -> Option<Times> {
    let said = said(fields, ignored, now);
    if said.forbids() {
        return None;
    }
    let valid = match said.valid {
        0 => now.saturating_add(by_status.filter(|&seconds| seconds > 0)?),
        valid => valid,
    };
    Some(Times { valid, updating: said.updating, error: said.error, date: now })
}

/// Whether the fields forbid to keep a response, whatever its status.
pub(crate) fn forbids(fields: &Headers, ignored: Ignored, now: i64) -> bool {
    said(fields, ignored, now).forbids() || vary(fields, ignored).is_err()
}

fn said(fields: &Headers, ignored: Ignored, now: i64) -> Said {
    let mut said = Said::default();
    for (_, value, known) in fields.iter() {
        match known {
            Known::XAccelExpires if !said.by_accel => {
                said.by_accel = true;
                if !ignored.has(Ignored::EXPIRES) {
                    said.accel_expires(value, now);
                }
            }
            Known::CacheControl if !ignored.has(Ignored::CACHE_CONTROL) => {
                said.cache_control(value, now);
            }
            Known::Expires if !ignored.has(Ignored::EXPIRES_FIELD) => said.expires(value, now),
            Known::SetCookie if !ignored.has(Ignored::SET_COOKIE) => said.never = true,
            _ => {}
        }
    }
    said
}

/// The value of `Vary`, of several lines in one.
///
/// # Errors
/// The response must not be kept: every request differs, or the value is too long.
pub(crate) fn vary(fields: &Headers, ignored: Ignored) -> Result<Vec<u8>, TooVaried> {
    let mut all = Vec::new();
    if ignored.has(Ignored::VARY) {
        return Ok(all);
    }
    for value in fields.get_all(Known::Vary) {
        if value == b"*" {
            return Err(TooVaried);
        }
        if !all.is_empty() {
            all.extend_from_slice(b", ");
        }
        all.extend_from_slice(value);
    }
    if all.len() > LONGEST_VARY { Err(TooVaried) } else { Ok(all) }
}

/// No other request can have the response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooVaried;

/// As [`vary`], but an asterisk counts wherever it stands in the list (RFC 9110 section 12.5.5).
///
/// # Errors
/// As for [`vary`].
pub(crate) fn vary_strictly(fields: &Headers, ignored: Ignored) -> Result<Vec<u8>, TooVaried> {
    let all = vary(fields, ignored)?;
    let has_star = all.split(|&byte| byte == b',').any(|name| name.trim_ascii() == b"*");
    if has_star { Err(TooVaried) } else { Ok(all) }
}

impl Said {
    fn forbids(&self) -> bool {
        self.never || self.no_cache || self.expired
    }

    fn accel_expires(&mut self, value: &[u8], now: i64) {
        let valid = match value.strip_prefix(b"@") {
            Some(at) => number(at),
            None => match number(value) {
                Some(0) => {
                    self.never = true;
                    return;
                }
                seconds => seconds.map(|seconds| now.saturating_add(seconds)),
            },
        };
        if let Some(valid) = valid {
            self.valid = valid;
            self.no_cache = false;
            self.expired = false;
        }
    }

    fn cache_control(&mut self, value: &[u8], now: i64) {
        if self.valid == 0 || !self.by_accel {
            if [&b"no-cache"[..], b"no-store", b"private"].iter().any(|word| has(value, word)) {
                self.no_cache = true;
                return;
            }
            let age = after(value, b"s-maxage=").or_else(|| after(value, b"max-age="));
            match age.map(seconds) {
                Some(None) => {
                    self.never = true;
                    return;
                }
                Some(Some(0)) => {
                    self.no_cache = true;
                    return;
                }
                Some(Some(age)) => {
                    self.valid = now.saturating_add(age);
                    self.expired = false;
                }
                None => {}
            }
        }
        if let Some(updating) = after(value, b"stale-while-revalidate=") {
            let Some(window) = seconds(updating) else {
                self.never = true;
                return;
            };
            self.updating = short(window);
            self.error = self.updating;
        }
        if let Some(error) = after(value, b"stale-if-error=") {
            match seconds(error) {
                Some(window) => self.error = short(window),
                None => self.never = true,
            }
        }
    }

    fn expires(&mut self, value: &[u8], now: i64) {
        if self.valid != 0 {
            return;
        }
        match weir_wire::date::parse(value) {
            Some(date) if date >= now => self.valid = date,
            _ => self.expired = true,
        }
    }
}

/// A number of seconds that fits a file.
fn short(seconds: i64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The position of a word in any case.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|part| part.eq_ignore_ascii_case(word))
}

fn has(text: &[u8], word: &[u8]) -> bool {
    find(text, word).is_some()
}

fn after<'t>(text: &'t [u8], word: &[u8]) -> Option<&'t [u8]> {
    find(text, word).map(|at| &text[at + word.len()..])
}

/// Decimal digits and nothing else; None for other text and for numbers that are too large.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter()
        .try_fold(0_i64, |all, digit| all.checked_mul(10)?.checked_add(i64::from(digit - b'0')))
}

/// The number at the start of a list of directives. Numbers that are too large mean forever.
fn seconds(text: &[u8]) -> Option<i64> {
    let end = text.iter().position(|byte| matches!(byte, b',' | b';' | b' '));
    let digits = &text[..end.unwrap_or(text.len())];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |all: i64, digit: &u8| all.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn fields(lines: &[(&str, &str)]) -> Headers {
        let mut fields = Headers::new();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    /// The seconds of validity, and those of the two windows.
    fn kept(lines: &[(&str, &str)], by_status: Option<i64>) -> Option<(i64, u32, u32)> {
        let times = times(&fields(lines), Ignored::default(), by_status, NOW)?;
        assert_eq!(times.date, NOW);
        Some((times.valid - NOW, times.updating, times.error))
    }

    #[test]
    fn the_upstream_decides_before_the_configuration() {
        let past = ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT");
        type Case<'c> = (&'c [(&'c str, &'c str)], Option<(i64, u32, u32)>);
        let cases: &[Case<'_>] = &[
            (&[], Some((60, 0, 0))),
            (&[("Cache-Control", "public")], Some((60, 0, 0))),
            (&[("Cache-Control", "max-age=5")], Some((5, 0, 0))),
            (&[("Cache-Control", "max-age=5, S-MaxAge=9")], Some((9, 0, 0))),
            (&[("Cache-Control", "max-age=0")], None),
            (&[("Cache-Control", "max-age=x")], None),
            (&[("Cache-Control", "max-age=\"5\"")], None),
            (&[("Cache-Control", "private-ish")], None),
            (&[("Cache-Control", "max-age=5"), ("Cache-Control", "no-store")], None),
            (&[("Cache-Control", "no-store"), ("Cache-Control", "max-age=5")], None),
            (&[("Expires", "Sun, 09 Sep 2001 01:46:49 GMT")], Some((9, 0, 0))),
            (&[past], None),
            (&[("Expires", "0")], None),
            (&[past, ("Cache-Control", "max-age=5")], Some((5, 0, 0))),
            (&[("Cache-Control", "max-age=5"), past], Some((5, 0, 0))),
            (&[("X-Accel-Expires", "7"), ("Cache-Control", "no-store"), past], Some((7, 0, 0))),
            (&[past, ("Cache-Control", "no-store"), ("X-Accel-Expires", "7")], Some((7, 0, 0))),
            (&[("X-Accel-Expires", "0"), ("Cache-Control", "max-age=5")], None),
            (&[("X-Accel-Expires", "-1")], Some((60, 0, 0))),
            (&[("X-Accel-Expires", "")], Some((60, 0, 0))),
            (&[("X-Accel-Expires", "@1000000011")], Some((11, 0, 0))),
            (&[("X-Accel-Expires", "@"), ("X-Accel-Expires", "9")], Some((60, 0, 0))),
            (&[("Set-Cookie", "a=b"), ("X-Accel-Expires", "7")], None),
            (&[("Cache-Control", "max-age=1, stale-while-revalidate=3")], Some((1, 3, 3))),
            (
                &[("Cache-Control", "stale-if-error=4 , stale-while-revalidate=3;")],
                Some((60, 3, 4)),
            ),
            (&[("Cache-Control", "stale-if-error=a")], None),
            (
                &[("X-Accel-Expires", "2"), ("Cache-Control", "private, stale-if-error=4")],
                Some((2, 0, 4)),
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(kept(lines, Some(60)), *expected, "{lines:?}");
        }
        assert_eq!(kept(&[], None), None);
        assert_eq!(kept(&[], Some(0)), None);
    }

    #[test]
    fn numbers_beyond_all_bounds_do_not_wrap() {
        let many = "9".repeat(40);
        for line in [("Cache-Control", format!("max-age={many}")), ("X-Accel-Expires", many)] {
            let told = kept(&[(line.0, &line.1)], Some(60)).unwrap();
            assert!(told.0 == 60 || told.0 == i64::MAX - NOW, "{told:?}");
        }
    }

    #[test]
    fn fields_are_ignored_on_request() {
        let all = fields(&[
            ("X-Accel-Expires", "0"),
            ("Cache-Control", "no-store"),
            ("Expires", "0"),
            ("Set-Cookie", "a=b"),
            ("Vary", "*"),
        ]);
        let each = [
            Ignored::EXPIRES,
            Ignored::CACHE_CONTROL,
            Ignored::EXPIRES_FIELD,
            Ignored::SET_COOKIE,
            Ignored::VARY,
        ];
        let ignored = each.into_iter().fold(Ignored::default(), Ignored::union);
        assert_eq!(times(&all, ignored, Some(9), NOW).unwrap().valid, NOW + 9);
        assert_eq!(vary(&all, ignored), Ok(Vec::new()));
        assert_eq!(times(&all, Ignored::CACHE_CONTROL, Some(9), NOW), None);
        assert_eq!(vary(&all, Ignored::default()), Err(TooVaried));
    }

    #[test]
    fn vary_is_one_list() {
        let two = fields(&[("Vary", "Accept"), ("vary", "X-A, X-B")]);
        assert_eq!(vary(&two, Ignored::default()).unwrap(), b"Accept, X-A, X-B");
        let long = fields(&[("Vary", &"a".repeat(LONGEST_VARY + 1))]);
        assert_eq!(vary(&long, Ignored::default()), Err(TooVaried));
    }
}
