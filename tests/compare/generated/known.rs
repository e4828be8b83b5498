//! Expected differences of generated cases: `reasons.txt`.

use std::collections::BTreeMap;

use super::super::case::Version;
use super::super::difference::Difference;
use super::super::reason::Reason;

const REASONS: &str = include_str!("reasons.txt");

/// Those of exchanges over HTTP/2, in addition.
const OF_STREAMS: &str = include_str!("streams.txt");

/// Further lines of Weir, where nginx ends the connection earlier.
const MORE: &str = "...";

/// Lines of the error log, but for the moment that they name.
const MOMENT: &str = "while";

/// How messages begin to name a moment.
const MOMENTS: [&str; 3] = [" while reading ", " while sending ", " while connecting "];

/// The number of characters that count of a line without its moment.
const SHOWN: usize = 200;

/// The same lines in another order.
const ORDER: &str = "order";

/// Lines in which the sides may differ.
#[derive(Debug)]
pub(crate) struct Known {
    /// Lists of texts; of one list, the configuration, the requests or the observations of the
    /// exchange contain all.
    when: Vec<Vec<String>>,
    /// The starts of these lines; an empty one for any line. [`MORE`] stands for lines that
    /// only Weir has, [`MOMENT`] for the moments in lines that are equal else, [`ORDER`] for
    /// their order.
    lines: Vec<String>,
    reason: Reason,
}

impl Known {
    /// Parses `TEXTS | LINES | ASPECTS: REASON`; lists are separated by `, `, and texts that must
    /// all be there by ` + `. A `$` is the end of a line.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, " | ").filter(|_| !line.starts_with('#'));
        let list = |text: &str| -> Vec<String> {
            text.split(", ").map(|item| item.replace('*', "").trim().to_owned()).collect()
        };
        let all = |text: String| -> Vec<String> {
            text.split(" + ").map(|text| text.replace('$', "\n")).collect()
        };
        let when = list(parts.next()?).into_iter().map(all).collect();
        let lines = list(parts.next()?);
        Some(Self { when, lines, reason: Reason::parse(parts.next()?) })
    }

    fn holds(&self, conf: &str, difference: &Difference) -> bool {
        let is_there = |text: &String| conf.contains(text) || difference.whole.contains(text);
        let are_there = |all: &Vec<String>| all.iter().all(is_there);
        self.reason.covers(&difference.aspect) && self.when.iter().any(are_there)
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
    let names = |what: &str| holding.iter().any(|known| known.lines.iter().any(|l| l == what));
    let any_moment = names(MOMENT);
    let rest = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !may_differ(line));
        let shown = |line: &str| if any_moment { without_moment(line) } else { line.to_owned() };
        lines.map(shown).collect()
    };
    let (mut nginx, mut weir) = (rest(&difference.nginx), rest(&difference.weir));
    if names(ORDER) {
        nginx.sort();
        weir.sort();
    }
    let is_explained = nginx == weir || names(MORE) && is_within(&nginx, &weir);
    is_explained.then(|| holding.iter().map(|known| &known.reason).collect())
}

/// A line of the error log without the moment that it names (`while sending to client`).
fn without_moment(line: &str) -> String {
    let Some(end) = line.find(", client: ") else { return line.to_owned() };
    let start = MOMENTS.iter().find_map(|moment| line[..end].rfind(moment)).unwrap_or(end);
    // What is behind depends on the place at which a long line was cut.
    format!("{}{}", &line[..start], &line[end..]).chars().take(SHOWN).collect()
}

/// Whether all lines of one list are in another, in their order.
fn is_within(part: &[String], whole: &[String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|line| whole.any(|other| other == line))
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

        let both = [Known::parse("HIT + status=4$, b | * | response: So.").unwrap()];
        let holds = |whole: &str| {
            let difference = Difference { whole: whole.to_owned(), ..difference("x", "y") };
            reasons(&both, "", &difference).is_some_and(|found| !found.is_empty())
        };
        let more = [Known::parse("HIT | completion=, ... | response: So.").unwrap()];
        let goes_on = |nginx, weir| reasons(&more, "", &difference(nginx, weir)).is_some();
        assert!(goes_on("a\ncompletion=", "a\ncompletion=OK\nb\nc"));
        assert!(!goes_on("a\nb", "a\nc") && !goes_on("a\nb", "a"));

        let moments = [Known::parse("reading | while | error log: So.").unwrap()];
        let moment = |nginx: &str, weir: &str| {
            let difference =
                Difference { aspect: "error log".to_owned(), ..difference(nginx, weir) };
            let difference = Difference { whole: "reading".to_owned(), ..difference };
            reasons(&moments, "", &difference).is_some()
        };
        assert!(moment("a while reading b, client: x", "a, client: x"));
        assert!(moment("a while b while reading c, client: x", "a while b, client: x"));
        assert!(!moment("a while reading b, client: x", "a, client: y"));
        assert!(!moment("a while reading b, client: x", "b, client: x"));

        assert!(holds("HIT\nstatus=4\n") && holds("b"));
        assert!(!holds("HIT\nstatus=40\n") && !holds("status=4\n"));
    }
}
