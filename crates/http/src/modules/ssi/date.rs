//! `$date_local` and `$date_gmt`, in the format set by `config timefmt`.

use weir_engine::clock;
use weir_wire::date::Civil;

use crate::request::{Request, State};

/// The date format of one response; None for [`USUAL`].
pub(super) static FORMAT: State<Option<Vec<u8>>> = State::new(|| None);

const USUAL: &[u8] = b"%A, %d-%b-%Y %H:%M:%S %Z";

pub(super) fn local(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let offset = clock::local_offset();
    write(request, offset, out)
}

pub(super) fn gmt(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    write(request, 0, out)
}

fn write(request: &Request, offset: i32, out: &mut Vec<u8>) -> bool {
    let format = request.state_if(&FORMAT).and_then(Option::as_deref).unwrap_or(USUAL);
    let start = out.len();
    strftime(format, clock::wall_secs(), offset, out);
    out.len() > start
}

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Appends a time as C's `strftime` formats it in the `C` locale. `offset` is in seconds east of
/// UTC.
fn strftime(format: &[u8], secs: i64, offset: i32, out: &mut Vec<u8>) {
    let time = Civil::from_unix(secs.saturating_add(i64::from(offset)));
    let mut format = format.iter().copied();
    while let Some(byte) = format.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        // `E` and `O` ask for alternative forms of the locale, which `C` does not have.
        let letter = match format.next() {
            Some(b'E' | b'O') => format.next(),
            letter => letter,
        };
        match letter {
            Some(letter) => field(letter, &time, secs, offset, out),
            None => out.push(b'%'),
        }
    }
}

fn field(letter: u8, t: &Civil, secs: i64, offset: i32, out: &mut Vec<u8>) {
    let day = DAYS[usize::from(t.weekday)];
    let month = MONTHS[usize::from(t.month) - 1];
    let hour12 = (t.hour + 11) % 12 + 1;
    let year_day = year_day(t);
    let mut nested = |format: &[u8]| strftime(format, secs, offset, out);
    let text = match letter {
        b'A' => day.to_owned(),
        b'a' => day[..3].to_owned(),
        b'B' => month.to_owned(),
        b'b' | b'h' => month[..3].to_owned(),
        b'C' => format!("{:02}", t.year / 100),
        b'c' => return nested(b"%a %b %e %H:%M:%S %Y"),
        b'D' | b'x' => return nested(b"%m/%d/%y"),
        b'd' => format!("{:02}", t.day),
        b'e' => format!("{:2}", t.day),
        b'F' => return nested(b"%Y-%m-%d"),
        b'H' => format!("{:02}", t.hour),
        b'I' => format!("{hour12:02}"),
        b'j' => format!("{:03}", year_day + 1),
        b'k' => format!("{:2}", t.hour),
        b'l' => format!("{hour12:2}"),
        b'M' => format!("{:02}", t.minute),
        b'm' => format!("{:02}", t.month),
        b'n' => "\n".to_owned(),
        b'p' => if t.hour < 12 { "AM" } else { "PM" }.to_owned(),
        b'R' => return nested(b"%H:%M"),
        b'r' => return nested(b"%I:%M:%S %p"),
        b'S' => format!("{:02}", t.second),
        b's' => secs.to_string(),
        b'T' | b'X' => return nested(b"%H:%M:%S"),
        b't' => "\t".to_owned(),
        b'U' => format!("{:02}", (year_day + 7 - u32::from(t.weekday)) / 7),
        b'u' => ((t.weekday + 6) % 7 + 1).to_string(),
        b'W' => format!("{:02}", (year_day + 7 - u32::from((t.weekday + 6) % 7)) / 7),
        b'w' => t.weekday.to_string(),
        b'Y' => t.year.to_string(),
        b'y' => format!("{:02}", t.year % 100),
        b'Z' if offset == 0 => "GMT".to_owned(),
        b'Z' | b'z' => zone(offset),
        b'%' => "%".to_owned(),
        other => return out.extend_from_slice(&[b'%', other]),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Days since the first of January.
fn year_day(t: &Civil) -> u32 {
    let first = Civil { month: 1, day: 1, ..*t };
    ((t.to_unix() - first.to_unix()) / 86400) as u32
}

fn zone(offset: i32) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str, offset: i32) -> String {
        let mut out = Vec::new();
        // 1994-11-06 08:49:37, a Sunday.
        strftime(format.as_bytes(), 784_111_777, offset, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields() {
        assert_eq!(shown("%A, %d-%b-%Y %H:%M:%S %Z", 0), "Sunday, 06-Nov-1994 08:49:37 GMT");
        assert_eq!(shown("%e %j %I%p %y %u %w", 0), " 6 310 08AM 94 7 0");
        assert_eq!(shown("%T %z%%%q%", 5400), "10:19:37 +0130%%q%");
        assert_eq!(shown("%U %W %s", 0), "45 44 784111777");
    }
}
