//! The line of an agent: what a server says about the requests that it can take, in the words of
//! HAProxy's agent check (its configuration manual, `agent-check`).
//!
//! Words stand in any order and case, between spaces, tabs and commas. The last one of its kind
//! counts, and a kind that is missing changes nothing. A word that begins with `#` ends the line.

/// What an agent says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentLine {
    /// `ready`, `drain` or `maint`.
    pub admin: Option<Admin>,
    /// The weight of the server.
    pub weight: Option<AgentWeight>,
    /// `maxconn:N`: the limit of requests at a time, 0 is none.
    pub max_conns: Option<u64>,
    /// `up`; false for `down`, `fail` and `stopped`.
    pub up: Option<bool>,
}

/// The administrative state that an agent wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// `ready`: takes requests.
    #[default]
    Ready,
    /// `drain`: takes only requests that are bound to the server.
    Drain,
    /// `maint`: takes no requests.
    Maint,
}

/// A weight as an agent says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentWeight {
    /// `75%`, `weight:75%`: a percentage of the configured weight, at most [`MAX_PERCENT`].
    Percent(u32),
    /// `weight:75`: in place of the configured weight, at most [`MAX_WEIGHT`].
    Absolute(u32),
}

/// The largest percentage: HAProxy's largest weight, by its smallest.
pub const MAX_PERCENT: u32 = 25_600;

/// The largest weight; that of HAProxy is 256.
pub const MAX_WEIGHT: u32 = 65_535;

/// Reads a line up to its end, a CR or LF. The words without a meaning go to `unknown`.
pub fn parse<'a>(line: &'a [u8], mut unknown: impl FnMut(&'a [u8])) -> AgentLine {
    let line = line.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let words = line.split(|byte| matches!(byte, b' ' | b'\t' | b','));
    let mut said = AgentLine::default();
    for word in words.filter(|word| !word.is_empty()) {
        if word[0] == b'#' {
            break;
        }
        if said.hear(word).is_none() {
            unknown(word);
        }
    }
    said
}

impl AgentLine {
    fn hear(&mut self, word: &[u8]) -> Option<()> {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"ready") {
            self.admin = Some(Admin::Ready);
        } else if is(b"drain") {
            self.admin = Some(Admin::Drain);
        } else if is(b"maint") {
            self.admin = Some(Admin::Maint);
        } else if is(b"up") {
            self.up = Some(true);
        } else if is(b"down") || is(b"fail") || is(b"stopped") {
            self.up = Some(false);
        } else if let Some(number) = after(word, b"maxconn:") {
            self.max_conns = Some(decimal(number)?);
        } else if let Some(percent) = word.strip_suffix(b"%") {
            let percent = decimal(after(percent, b"weight:").unwrap_or(percent))?;
            self.weight = Some(AgentWeight::Percent(at_most(MAX_PERCENT, percent)?));
        } else {
            let weight = decimal(after(word, b"weight:")?)?;
            self.weight = Some(AgentWeight::Absolute(at_most(MAX_WEIGHT, weight)?));
        }
        Some(())
    }
}

/// The rest of a word after a beginning in any case.
fn after<'a>(word: &'a [u8], beginning: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = word.split_at_checked(beginning.len())?;
    first.eq_ignore_ascii_case(beginning).then_some(rest)
}

fn at_most(most: u32, number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number <= most)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    (!digits.is_empty()).then_some(())?;
    digits.iter().try_fold(0, add)
}

/// Reads bytes as a line.
pub fn fuzz(bytes: &[u8]) {
    let mut unknown = 0;
    let said = parse(bytes, |word| unknown += word.len() + 1);
    assert!(unknown <= bytes.len() + 1);
    match said.weight {
        Some(AgentWeight::Percent(percent)) => assert!(percent <= MAX_PERCENT),
        Some(AgentWeight::Absolute(weight)) => assert!(weight <= MAX_WEIGHT),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> AgentLine {
        parse(line.as_bytes(), |word| panic!("{}", String::from_utf8_lossy(word)))
    }

    const NONE: AgentLine = AgentLine { admin: None, weight: None, max_conns: None, up: None };

    #[test]
    fn every_word_has_its_meaning() {
        let admin = |admin| AgentLine { admin: Some(admin), ..NONE };
        let up = |up| AgentLine { up: Some(up), ..NONE };
        let percent = |it| AgentLine { weight: Some(AgentWeight::Percent(it)), ..NONE };
        let absolute = |it| AgentLine { weight: Some(AgentWeight::Absolute(it)), ..NONE };
        let max = |max| AgentLine { max_conns: Some(max), ..NONE };
        let rows = [
            ("ready", admin(Admin::Ready)),
            ("drain", admin(Admin::Drain)),
            ("maint", admin(Admin::Maint)),
            ("up", up(true)),
            ("down", up(false)),
            ("fail", up(false)),
            ("stopped", up(false)),
            ("75%", percent(75)),
            ("0%", percent(0)),
            ("25600%", percent(25_600)),
            ("weight:75%", percent(75)),
            ("weight:75", absolute(75)),
            ("weight:0", absolute(0)),
            ("weight:65535", absolute(65_535)),
            ("maxconn:30", max(30)),
            ("maxconn:0", max(0)),
            ("", NONE),
            (" \t,, ", NONE),
            ("# down", NONE),
        ];
        for (line, expected) in rows {
            assert_eq!(said(line), expected, "{line}");
            assert_eq!(said(&line.to_uppercase()), expected, "{line}");
            assert_eq!(said(&format!("{line}\r\ndown 3%\n")), expected, "{line}");
        }
    }

    #[test]
    fn kinds_of_words_are_apart_and_the_last_of_each_counts() {
        let line = "down 10%,drain\tmaxconn:7 UP weight:20% ready, maxconn:8 # fail";
        let weight = Some(AgentWeight::Percent(20));
        let (admin, max_conns, up) = (Some(Admin::Ready), Some(8), Some(true));
        assert_eq!(said(line), AgentLine { admin, weight, max_conns, up });
    }

    #[test]
    fn other_words_change_nothing() {
        let words = "failed 30 12.5% -5% +5% 5%x % weight: weight:-1 weight:65536 25601% weight:x% \
                     maxconn: maxconn:x maxconn:-1 maxconn:99999999999999999999 down#x up;down \0up";
        let mut unknown = Vec::new();
        assert_eq!(parse(words.as_bytes(), |word| unknown.push(word)), NONE);
        assert_eq!(unknown.len(), words.split_whitespace().count());
    }
}
