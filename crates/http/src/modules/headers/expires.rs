//! `expires`: the fields `Expires` and `Cache-Control`.

use weir_conf::value::parse_sec;
use weir_conf::{Cx, Fault, Node};
use weir_engine::clock;
use weir_script::{Template, Variables};
use weir_wire::header::Known;

use crate::request::Request;

const DAY: i64 = 24 * 60 * 60;

/// The expiry of a response.
#[derive(Clone, Debug, Default)]
pub(crate) enum Expires {
    /// No fields.
    #[default]
    Off,
    /// Already expired.
    Epoch,
    /// As late as possible.
    Max,
    /// Seconds from now.
    Access(i64),
    /// Seconds from the last modification.
    Modified(i64),
    /// Seconds from the last local midnight, or the next one if that has passed.
    Daily(i64),
    /// A text with variables, and whether `modified` precedes it.
    Computed(bool, Template),
}

impl Expires {
    /// Whether no fields are set.
    pub(super) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    pub(super) fn parse_directive(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let (modified, word) = match node.args.as_slice() {
            [first, second] if first.is("modified") => (true, second),
            [first, _] => return Err(Fault::bad_value().at(first)),
            args => (false, &args[0]),
        };
        let template = Template::compile(&word.value, cx.registry::<Variables>())?;
        match template.literal() {
            None => Ok(Self::Computed(modified, template)),
            Some(text) => {
                Self::parse(text, modified).map_err(|error| Fault::directive(error).at(word))
            }
        }
    }

    /// Parses the value of the directive or of its variables.
    ///
    /// # Errors
    /// nginx's wording.
    fn parse(text: &[u8], modified: bool) -> Result<Self, &'static str> {
        match text {
            b"epoch" if !modified => return Ok(Self::Epoch),
            b"max" if !modified => return Ok(Self::Max),
            b"off" if !modified => return Ok(Self::Off),
            _ => {}
        }
        let seconds =
            |text| parse_sec(text).map(|time| time.as_secs() as i64).ok_or("invalid value");
        let time = match text {
            [b'@', ..] if modified => {
                return Err("daily time cannot be used with \"modified\" parameter");
            }
            [b'@', rest @ ..] => {
                return match seconds(rest)? {
                    time if time > DAY => Err("daily time value must be less than 24 hours"),
                    time => Ok(Self::Daily(time)),
                };
            }
            [b'+', rest @ ..] => seconds(rest)?,
            [b'-', rest @ ..] => -seconds(rest)?,
            text => seconds(text)?,
        };
        Ok(if modified { Self::Modified(time) } else { Self::Access(time) })
    }
}

/// Sets the fields (ngx_http_set_expires).
pub(super) fn apply(request: &mut Request, expires: &Expires) {
    let Expires::Computed(modified, template) = expires else {
        return write(request, expires);
    };
    let text = request.eval(template);
    if let Ok(expires) = Expires::parse(&text, *modified) {
        write(request, &expires);
    }
}

fn write(request: &mut Request, expires: &Expires) {
    let now = clock::wall_secs();
    let modified = request.response.last_modified;
    let (until, max_age) = match *expires {
        Expires::Off | Expires::Computed(..) => return,
        Expires::Epoch => return set(request, b"Thu, 01 Jan 1970 00:00:01 GMT", b"no-cache"),
        Expires::Max => {
            // Ten years.
            return set(request, b"Thu, 31 Dec 2037 23:55:55 GMT", b"max-age=315360000");
        }
        Expires::Access(0) | Expires::Modified(0) => {
            return set(request, &clock::http_date(), b"max-age=0");
        }
        Expires::Daily(time) => {
            let until = next_time(now, i64::from(clock::local_offset()), time);
            (until, until - now)
        }
        Expires::Modified(time) if modified.is_some() => {
            let until = modified.unwrap_or(now).saturating_add(time);
            (until, if time < 0 { -1 } else { until - now })
        }
        Expires::Access(time) | Expires::Modified(time) => (now.saturating_add(time), time),
    };
    let mut date = Vec::new();
    weir_wire::date::http(until, &mut date);
    match max_age {
        ..0 => set(request, &date, b"no-cache"),
        _ => set(request, &date, format!("max-age={max_age}").as_bytes()),
    }
}

fn set(request: &mut Request, expires: &[u8], cache_control: &[u8]) {
    request.response.headers.set(Known::Expires, expires);
    request.response.headers.set(Known::CacheControl, cache_control);
}

/// The next moment at which a local clock shows `time` seconds after midnight.
fn next_time(now: i64, offset: i64, time: i64) -> i64 {
    let midnight = (now + offset).div_euclid(DAY) * DAY - offset;
    let next = midnight + time;
    if next > now { next } else { next + DAY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let shown = |text: &str, modified| match Expires::parse(text.as_bytes(), modified) {
            Ok(expires) => format!("{expires:?}"),
            Err(error) => error.to_owned(),
        };
        assert_eq!(shown("epoch", false), "Epoch");
        assert_eq!(shown("30d", false), "Access(2592000)");
        assert_eq!(shown("+1h", false), "Access(3600)");
        assert_eq!(shown("-1", false), "Access(-1)");
        assert_eq!(shown("@15h30m", false), "Daily(55800)");
        assert_eq!(shown("@25h", false), "daily time value must be less than 24 hours");
        assert_eq!(shown("24h", true), "Modified(86400)");
        assert_eq!(shown("@1h", true), "daily time cannot be used with \"modified\" parameter");
        assert_eq!(shown("max", true), "invalid value");
        assert_eq!(shown("", false), "invalid value");
    }

    #[test]
    fn the_next_time_of_day() {
        assert_eq!(next_time(1000, 0, 2000), 2000);
        assert_eq!(next_time(2000, 0, 2000), 2000 + DAY);
        assert_eq!(next_time(1000, 3600, 3600), DAY);
        assert_eq!(next_time(1000, -3600, 0), 3 * 1200);
    }
}
