//! Dates and times as text. Times are seconds since 1970 in UTC, from the caller.

mod rfc3339;

pub use rfc3339::parse_rfc3339;

const DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A calendar date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year, from 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 for Sunday.
    pub weekday: u8,
}

/// 9999-12-31 23:59:59 and 0000-03-01: the bounds of years with four digits.
const LATEST: i64 = 253_402_300_799;
pub(crate) const EARLIEST: i64 = -62_162_035_200;

impl Civil {
    /// The date of a time; times outside the years with four digits are clamped.
    pub fn from_unix(secs: i64) -> Self {
        let secs = secs.clamp(EARLIEST, LATEST);
        let (days, rest) = (secs.div_euclid(86400), secs.rem_euclid(86400));
        // Years begin in March here, so that the leap day is the last.
        let from_march_0 = days + 719_468;
        let era = from_march_0.div_euclid(146_097);
        let day_of_era = from_march_0.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: (era * 400 + year_of_era + i64::from(month <= 2)) as u16,
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
        }
    }

    /// The time of this date; the weekday is ignored.
    pub fn to_unix(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let time =
            i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        (days + day_of_year - 719_468) * 86400 + time
    }
}

/// Appends `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http(secs: i64, out: &mut Vec<u8>) {
    let t = Civil::from_unix(secs);
    let mut text = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    let mut put = |at: usize, digits: [u8; 2]| text[at..at + 2].copy_from_slice(&digits);
    put(5, pair(t.day));
    put(12, pair((t.year / 100) as u8));
    put(14, pair((t.year % 100) as u8));
    put(17, pair(t.hour));
    put(20, pair(t.minute));
    put(23, pair(t.second));
    text[..3].copy_from_slice(DAYS[usize::from(t.weekday)]);
    text[8..11].copy_from_slice(MONTHS[usize::from(t.month - 1)]);
    out.extend_from_slice(&text);
}

/// Appends `Sun, 06-Nov-94 08:49:37 GMT`, the format of cookies. After 2037 the year has four
/// digits: old clients would take two for the last century.
pub fn cookie(secs: i64, out: &mut Vec<u8>) {
    let t = Civil::from_unix(secs);
    out.extend_from_slice(DAYS[usize::from(t.weekday)]);
    out.extend_from_slice(b", ");
    two(t.day, out);
    month(t.month, b'-', out);
    match t.year {
        2038.. => four(t.year, out),
        _ => two((t.year % 100) as u8, out),
    }
    out.push(b' ');
    clock(t, out);
    out.extend_from_slice(b" GMT");
}

/// Appends `1994-11-06T08:49:37+00:00`, as `$time_iso8601`.
pub fn iso8601(secs: i64, offset: i32, out: &mut Vec<u8>) {
    let t = Civil::from_unix(secs.saturating_add(i64::from(offset)));
    numeric(t, b'-', b'T', out);
    zone(offset, Some(b':'), out);
}

/// Appends `1994/11/06 08:49:37`, as in the error log.
pub fn error_log(secs: i64, offset: i32, out: &mut Vec<u8>) {
    numeric(Civil::from_unix(secs.saturating_add(i64::from(offset))), b'/', b' ', out);
}

/// Appends `Nov  6 08:49:37`, as in syslog messages (RFC 3164).
pub fn syslog(secs: i64, offset: i32, out: &mut Vec<u8>) {
    let t = Civil::from_unix(secs.saturating_add(i64::from(offset)));
    out.extend_from_slice(MONTHS[usize::from(t.month - 1)]);
    out.push(b' ');
    out.push(if t.day < 10 { b' ' } else { b'0' + t.day / 10 });
    out.push(b'0' + t.day % 10);
    out.push(b' ');
    clock(t, out);
}

fn numeric(t: Civil, between: u8, before_time: u8, out: &mut Vec<u8>) {
    four(t.year, out);
    out.push(between);
    two(t.month, out);
    out.push(between);
    two(t.day, out);
    out.push(before_time);
    clock(t, out);
}

fn zone(offset: i32, colon: Option<u8>, out: &mut Vec<u8>) {
    let minutes = offset.unsigned_abs() / 60;
    out.push(if offset < 0 { b'-' } else { b'+' });
    two((minutes / 60 % 100) as u8, out);
    out.extend(colon);
    two((minutes % 60) as u8, out);
}

fn month(month: u8, around: u8, out: &mut Vec<u8>) {
    out.push(around);
    out.extend_from_slice(MONTHS[usize::from(month - 1)]);
    out.push(around);
}

fn clock(t: Civil, out: &mut Vec<u8>) {
    two(t.hour, out);
    out.push(b':');
    two(t.minute, out);
    out.push(b':');
    two(t.second, out);
}

fn two(n: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&pair(n));
}

fn pair(n: u8) -> [u8; 2] {
    [b'0' + n / 10 % 10, b'0' + n % 10]
}

fn four(n: u16, out: &mut Vec<u8>) {
    two((n / 100) as u8, out);
    two((n % 100) as u8, out);
}

/// Parses an HTTP-date in any of its three formats (RFC 9110 section 5.6.7). As in nginx, the
/// weekday and the zone are not checked.
pub fn parse(text: &[u8]) -> Option<i64> {
    if let Some(civil) = text.first_chunk().and_then(preferred) {
        return valid(civil);
    }
    let at = text.iter().position(|&b| b == b',' || b == b' ')?;
    let asctime = text[at] == b' ';
    let mut rest = Reader(skip_spaces(&text[at + 1..]));
    let civil = if asctime {
        let month = rest.month()?;
        rest.expect(b' ')?;
        rest.0 = skip_spaces(rest.0);
        let day = match rest.0.get(1) {
            Some(b' ') => rest.digits(1)?,
            _ => rest.digits(2)?,
        };
        let (hour, minute, second) = rest.clock()?;
        rest.expect(b' ')?;
        let year = rest.digits(4)?;
        Civil { year, month, day: day as u8, hour, minute, second, weekday: 0 }
    } else {
        let day = rest.digits(2)?;
        let between = *rest.0.first()?;
        if between != b' ' && between != b'-' {
            return None;
        }
        rest.expect(between)?;
        let month = rest.month()?;
        rest.expect(between)?;
        let year = match between {
            b' ' => rest.digits(4)?,
            _ => {
                let year = rest.digits(2)?;
                year + if year < 70 { 2000 } else { 1900 }
            }
        };
        let (hour, minute, second) = rest.clock()?;
        Civil { year, month, day: day as u8, hour, minute, second, weekday: 0 }
    };
    valid(civil)
}

/// Parses an HTTP-date that keeps to one of the three formats (RFC 9110 section 5.6.7): with a
/// weekday, two digits where there must be two, and `GMT`. The case of names does not matter.
pub fn parse_strictly(text: &[u8]) -> Option<i64> {
    let is_like = |text: &[u8], like: &[u8]| {
        let same = |(&byte, &like): (&u8, &u8)| match like {
            b'0' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            // The day of asctime: a space or a digit.
            b'_' => byte == b' ' || byte.is_ascii_digit(),
            like => byte.eq_ignore_ascii_case(&like),
        };
        text.len() == like.len() && text.iter().zip(like).all(same)
    };
    let name = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (weekday, rest) = text.split_at(name);
    let is_short = name == 3;
    let month = match rest {
        _ if is_short && is_like(rest, b", 00 aaa 0000 00:00:00 GMT") => 8,
        _ if is_short && is_like(rest, b" aaa _0 00:00:00 0000") => 4,
        _ if (6..=9).contains(&name) && is_like(rest, b", 00-aaa-00 00:00:00 GMT") => name + 5,
        _ => return None,
    };
    let known = |names: &[&'static [u8; 3]], name: &[u8]| {
        names.iter().copied().find(|known| known.eq_ignore_ascii_case(name))
    };
    known(&DAYS, weekday.get(..3)?)?;
    let name = known(&MONTHS, text.get(month..month + 3)?)?;
    let mut text = text.to_vec();
    text[month..month + 3].copy_from_slice(name);
    parse(&text)
}

fn valid(civil: Civil) -> Option<i64> {
    let valid = civil.hour < 24 && civil.minute < 60 && civil.second < 60;
    (valid && civil.day <= days_in(civil.month, civil.year)).then(|| civil.to_unix())
}

/// Parses the preferred format, whose parts have fixed offsets: `Sun, 06 Nov 1994 08:49:37`.
fn preferred(text: &[u8; 25]) -> Option<Civil> {
    let [a, b, c, b',', b' ', rest @ ..] = text else { return None };
    let [d0, d1, b' ', m0, m1, m2, b' ', y0, y1, y2, y3, b' ', rest @ ..] = rest else {
        return None;
    };
    let [h0, h1, b':', i0, i1, b':', s0, s1] = rest else { return None };
    let mut bad = [a, b, c].iter().any(|byte| matches!(byte, b',' | b' '));
    let mut two = |tens: &u8, ones: &u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        bad |= tens > 9 || ones > 9;
        tens.wrapping_mul(10).wrapping_add(ones)
    };
    let (day, hour, minute, second) = (two(d0, d1), two(h0, h1), two(i0, i1), two(s0, s1));
    let year = u16::from(two(y0, y1)) * 100 + u16::from(two(y2, y3));
    let month = month_number(&[*m0, *m1, *m2])?;
    (!bad).then_some(Civil { year, month, day, hour, minute, second, weekday: 0 })
}

fn month_number(name: &[u8; 3]) -> Option<u8> {
    let word = |name: &[u8; 3]| u32::from_le_bytes([name[0], name[1], name[2], 0]);
    let exact = word(name);
    match MONTHS.iter().position(|month| word(month) == exact) {
        Some(i) => Some(i as u8 + 1),
        None => resembled(name),
    }
}

/// The month whose name begins like this one. As in nginx, the letters that tell months apart are
/// compared, and no others.
#[cold]
fn resembled(name: &[u8; 3]) -> Option<u8> {
    Some(match name {
        [b'J', b'a', _] => 1,
        [b'J', _, b'n'] => 6,
        [b'J', ..] => 7,
        [b'F', ..] => 2,
        [b'M', _, b'r'] => 3,
        [b'M', ..] => 5,
        [b'A', b'p', _] => 4,
        [b'A', ..] => 8,
        [b'S', ..] => 9,
        [b'O', ..] => 10,
        [b'N', ..] => 11,
        [b'D', ..] => 12,
        _ => return None,
    })
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&b| b == b' ').count()..]
}

fn days_in(month: u8, year: u16) -> u8 {
    match month {
        2 if year.is_multiple_of(if year.is_multiple_of(100) { 400 } else { 4 }) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<u16> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0_u16, |n, digit| {
            digit.is_ascii_digit().then(|| n * 10 + u16::from(digit - b'0'))
        })
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        (first == byte).then_some(())
    }

    fn month(&mut self) -> Option<u8> {
        let (name, rest) = self.0.split_at_checked(3)?;
        self.0 = rest;
        month_number(name.first_chunk()?)
    }

    fn clock(&mut self) -> Option<(u8, u8, u8)> {
        self.expect(b' ')?;
        self.time()
    }

    fn time(&mut self) -> Option<(u8, u8, u8)> {
        let hour = self.digits(2)?;
        self.expect(b':')?;
        let minute = self.digits(2)?;
        self.expect(b':')?;
        Some((hour as u8, minute as u8, self.digits(2)? as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: i64 = 784_111_777;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn formats() {
        assert_eq!(text(|out| http(MOMENT, out)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(|out| http(0, out)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(|out| cookie(MOMENT, out)), "Sun, 06-Nov-94 08:49:37 GMT");
        assert_eq!(text(|out| cookie(4_000_000_000, out)), "Tue, 02-Oct-2096 07:06:40 GMT");
        assert_eq!(text(|out| iso8601(MOMENT, 0, out)), "1994-11-06T08:49:37+00:00");
        assert_eq!(text(|out| error_log(MOMENT, 0, out)), "1994/11/06 08:49:37");
        assert_eq!(text(|out| syslog(MOMENT, 0, out)), "Nov  6 08:49:37");
        assert_eq!(text(|out| http(i64::MAX, out)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn parses_three_formats() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37",
        ] {
            assert_eq!(parse(date.as_bytes()), Some(MOMENT), "{date}");
        }
        for date in [
            "",
            "Sun",
            "0",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 29 Feb 1995 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Xov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(date.as_bytes()), None, "{date}");
        }
    }

    #[test]
    fn months_are_told_by_some_letters() {
        let names = "JAN Jan Jxn Jul FEB MaR MAY Apx AUG Sxx OCT Nxx DEC";
        let expected = [7, 1, 6, 7, 2, 5, 5, 4, 8, 9, 10, 11, 12];
        for (name, month) in names.split(' ').zip(expected) {
            let date = format!("Sun, 06 {name} 1994 08:49:37 GMT");
            let time = parse(date.as_bytes()).expect("a date");
            assert_eq!(Civil::from_unix(time).month, month, "{name}");
        }
    }

    #[test]
    fn strict_dates() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "SUN, 06 NOV 1994 08:49:37 gmt",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun Nov 06 08:49:37 1994",
        ] {
            assert_eq!(parse_strictly(date.as_bytes()), Some(MOMENT), "{date}");
        }
        let august = parse_strictly(b"Sun, 06 AUG 1994 08:49:37 GMT").expect("a date");
        assert_eq!(Civil::from_unix(august).month, 8);
        for date in [
            "",
            "0",
            "Sun",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 AEST",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 06  Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nxx 1994 08:49:37 GMT",
            "Foo, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            " Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_strictly(date.as_bytes()), None, "{date}");
        }
    }

    #[test]
    fn what_is_formatted_parses() {
        for day in (0..80_000).step_by(37) {
            let secs = day * 86400 + day;
            assert_eq!(parse(text(|out| http(secs, out)).as_bytes()), Some(secs));
        }
    }
}
