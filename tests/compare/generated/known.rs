//! Expected differences of generated cases: `reasons.txt`.

use std::collections::BTreeMap;

use super::super::case::Version;
use super::super::difference::Difference;
use super::super::reason::Reason;

const REASONS: &str = include_str!("reasons.txt");

/// Those of exchanges over HTTP/2, in addition.
const OF_STREAMS: &str = include_str!("streams.txt");

/// Lines in which the sides may differ.
#[derive(Debug)]
pub(crate) struct Known {
    /// Texts of which the configuration or the observations of the exchange contain one.
    when: Vec<String>,
    /// The starts of these lines; an empty one for any line.
    lines: Vec<String>,
    reason: Reason,
}

impl Known {
    /// Parses `TEXTS | LINES | ASPECTS: REASON`; lists are separated by `, `.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, " | ").filter(|_| !line.starts_with('#'));
        let list = |text: &str| -> Vec<String> {
            text.split(", ").map(|item| item.replace('*', "").trim().to_owned()).collect()
        };
        let (when, lines) = (list(parts.next()?), list(parts.next()?));
        Some(Self { when, lines, reason: Reason::parse(parts.next()?) })
    }

    fn holds(&self, conf: &str, difference: &Difference) -> bool {
        let is_there = |text: &String| conf.contains(text) || difference.whole.contains(text);
        self.reason.covers(&difference.aspect) && self.when.iter().any(is_there)
    }
}

/// All expected differences from this version of nginx.
pub(crate) fn all(version: Version, h2: bool) -> Vec<Known> {
    let of_streams = if h2 { OF_STREAMS } else { "" };
    let known = REASONS.lines().chain(of_streams.lines()).filter_map(Known::parse);
    known.filter(|known| known.reason.holds(version)).collect()
}

/// The reasons for a difference, if they account for each of its lines.
pub(crate) fn reasons<'a>(
    known: &'a [Known],
    conf: &str,
    difference: &Difference,
) -> Option<Vec<&'a Reason>> {
    let holding: Vec<&Known> = known.iter().filter(|known| known.holds(conf, difference)).collect();
    let may_differ = |line: &str| {
        holding.iter().any(|known| known.lines.iter().any(|start| line.starts_with(start)))
    };
    let rest = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.is_empty() && !may_differ(line))
            .map(str::to_owned)
            .collect()
    };
    let is_explained = rest(&difference.nginx) == rest(&difference.weir);
    is_explained.then(|| holding.iter().map(|known| &known.reason).collect())
}

/// Counts the differences by reason.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, usize>);

impl Tally {
    /// Counts a difference, by the first reason.
    pub(crate) fn add(&mut self, reasons: &[&Reason]) {
        if let Some(reason) = reasons.first() {
            *self.0.entry(reason.why().to_owned()).or_default() += 1;
        }
    }

    /// The number of differences.
    pub(crate) fn count(&self) -> usize {
        self.0.values().sum()
    }

    /// Prints the reasons with their numbers.
    pub(crate) fn print(&self) {
        self.0.iter().for_each(|(reason, count)| println!("{count:>6}  {reason}"));
    }
}

/// The reasons that the page of differences lacks.
pub(crate) fn unnamed<'a>(known: &'a [Known], page: &str) -> Vec<&'a str> {
    let unnamed = known.iter().filter(|known| !known.reason.is_named_by(page));
    unnamed.map(|known| known.reason.why()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_needs_a_reason() {
        let known = [Known::parse("X-Cache: HIT, slow | size=, bytes= | response: So.").unwrap()];
        let difference = |nginx: &str, weir: &str| Difference {
            name: String::new(),
            exchange: None,
            aspect: "response".to_owned(),
            nginx: nginx.to_owned(),
            weir: weir.to_owned(),
            whole: "X-Cache: HIT".to_owned(),
        };
        let explained = |conf: &str, difference: &Difference| {
            reasons(&known, conf, difference).is_some_and(|found| !found.is_empty())
        };
        assert!(explained("", &difference("a\nsize=1\nb", "a\nb\nsize=2")));
        assert!(!explained("", &difference("a\nsize=1\nb", "a\nc")));
        let missed = Difference { whole: String::new(), ..difference("size=1", "size=2") };
        assert!(!explained("", &missed));
        assert!(explained("slow", &missed));
    }
}
