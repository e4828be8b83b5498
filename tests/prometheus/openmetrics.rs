//! A strict parser of OpenMetrics 1.0: whatever the specification forbids is a panic.

use std::collections::{BTreeMap, BTreeSet};

/// Labels by name.
pub(super) type Labels = BTreeMap<String, String>;

/// A text of metrics.
#[derive(Default)]
pub(super) struct Metrics {
    /// The values by name and labels.
    pub(super) samples: BTreeMap<(String, Labels), f64>,
    /// The type and the unit of each family.
    pub(super) families: BTreeMap<String, (String, Option<String>)>,
    /// The labels of exemplars.
    pub(super) exemplars: Vec<Labels>,
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    unit: Option<String>,
    help: bool,
    has_samples: bool,
    /// The bound and count of the last bucket of a histogram, and its labels.
    bucket: Option<(Labels, f64, f64)>,
}

impl Metrics {
    /// Parses a whole text.
    #[track_caller]
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.strip_suffix("# EOF\n").expect("the end is marked");
        let (mut metrics, mut family, mut names) =
            (Self::default(), Family::default(), BTreeSet::new());
        for line in lines.lines() {
            match line.strip_prefix("# ") {
                Some(meta) => {
                    let mut words = meta.splitn(3, ' ');
                    let (word, name) = (words.next().unwrap(), words.next().unwrap());
                    let rest = words.next().unwrap();
                    if name != family.name {
                        family.finish(&mut metrics);
                        assert!(names.insert(name.to_owned()), "{name} is torn apart");
                        family = Family { name: name.to_owned(), ..Family::default() };
                    }
                    family.describe(word, rest);
                }
                None => metrics.sample(&mut family, line),
            }
        }
        family.finish(&mut metrics);
        metrics
    }

    /// The sum of the values of a name whose labels include these.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |known: &Labels| {
            labels.iter().all(|(name, value)| known.get(*name).is_some_and(|it| it == value))
        };
        let all = self.samples.iter().filter(|((known, of), _)| known == name && has(of));
        all.map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }

    fn sample(&mut self, family: &mut Family, line: &str) {
        let at = line.find(['{', ' ']).expect(line);
        let (name, rest) = line.split_at(at);
        let (mut labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => parse_labels(rest),
            None => (Labels::new(), rest),
        };
        let (value, exemplar) = match rest.split_once(" # ") {
            Some((value, exemplar)) => (value, Some(exemplar)),
            None => (rest, None),
        };
        let value = number(value.strip_prefix(' ').expect(line));
        family.has_samples = true;
        let key = (name.to_owned(), labels.clone());
        assert!(self.samples.insert(key, value).is_none(), "twice: {line}");
        let suffix = name.strip_prefix(family.name.as_str()).expect(line);
        match (family.kind.as_str(), suffix) {
            ("counter", "_total") => assert!(value >= 0.0 && value.is_finite(), "{line}"),
            ("gauge", "") => {}
            ("info", "_info") => assert!(value == 1.0 && !labels.is_empty(), "{line}"),
            ("histogram", "_bucket") => {
                let end = labels.remove("le").expect(line);
                assert!(end.contains('.') || end == "+Inf", "no canonical number: {line}");
                let least = family.add_bucket(labels, number(&end), value, line);
                if let Some(exemplar) = exemplar {
                    self.exemplar(exemplar, least, number(&end));
                }
                return;
            }
            ("histogram", "_sum") => family.close_bucket(&labels, line),
            ("histogram", "_count") => {
                let (of, end, count) = family.bucket.take().expect(line);
                assert!(of == labels && end.is_infinite() && count == value, "{line}");
            }
            (kind, _) => panic!("not of a {kind}: {line}"),
        }
        assert!(exemplar.is_none(), "{line}");
    }

    fn exemplar(&mut self, text: &str, least: f64, most: f64) {
        let (labels, rest) = parse_labels(text.strip_prefix('{').expect(text));
        let length: usize =
            labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        assert!(length <= 128, "{text}");
        let mut words = rest.strip_prefix(' ').expect(text).split(' ').map(number);
        let value = words.next().expect(text);
        assert!(least < value && value <= most, "{value} is not in {least}..{most}: {text}");
        assert!(words.next().is_none_or(|time| time > 1e9), "{text}");
        assert_eq!(words.next(), None, "{text}");
        self.exemplars.push(labels);
    }
}

impl Family {
    fn describe(&mut self, word: &str, rest: &str) {
        let name = &self.name;
        assert!(!self.has_samples, "{name} is described late");
        assert!(is_name(name), "{name}");
        match word {
            "HELP" => assert!(!std::mem::replace(&mut self.help, true), "{name}"),
            "TYPE" => {
                assert!(self.kind.is_empty(), "{name}");
                rest.clone_into(&mut self.kind);
            }
            "UNIT" => {
                assert!(name.ends_with(&format!("_{rest}")) && self.unit.is_none(), "{name}");
                self.unit = Some(rest.to_owned());
            }
            other => panic!("{other} of {name}"),
        }
    }

    /// Returns the bound of the bucket before.
    fn add_bucket(&mut self, labels: Labels, end: f64, count: f64, line: &str) -> f64 {
        let before = self.bucket.replace((labels, end, count));
        let Some((of, before, less)) = before else { return f64::NEG_INFINITY };
        assert_eq!(Some(&of), self.bucket.as_ref().map(|(of, ..)| of), "{line}");
        assert!(before < end && less <= count, "{line}");
        before
    }

    fn close_bucket(&self, labels: &Labels, line: &str) {
        let is_last = |(of, end, _): &(Labels, f64, f64)| of == labels && end.is_infinite();
        assert!(self.bucket.as_ref().is_some_and(is_last), "{line}");
    }

    fn finish(&self, metrics: &mut Metrics) {
        let name = &self.name;
        if !name.is_empty() {
            let described = (self.kind.clone(), self.unit.clone());
            metrics.families.insert(name.clone(), described);
        }
        assert!(
            name.is_empty() || self.has_samples && self.help && !self.kind.is_empty(),
            "{name}"
        );
        assert!(self.bucket.is_none(), "{name} has no count");
    }
}

/// The labels up to the brace, and what follows it.
fn parse_labels(text: &str) -> (Labels, &str) {
    let (mut labels, mut rest) = (Labels::new(), text);
    while !rest.starts_with('}') {
        let (name, value) = rest.split_once("=\"").expect(text);
        assert!(is_name(name) && !name.contains(':'), "{text}");
        let mut shown = String::new();
        let mut characters = value.char_indices();
        loop {
            match characters.next().expect(text) {
                (at, '"') => {
                    rest = &value[at + 1..];
                    break;
                }
                (_, '\\') => shown.push(match characters.next().expect(text).1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("\\{other} in {text}"),
                }),
                (_, other) => shown.push(other),
            }
        }
        assert!(labels.insert(name.to_owned(), shown).is_none(), "{text}");
        if let Some(next) = rest.strip_prefix(',') {
            assert!(!next.starts_with('}'), "{text}");
            rest = next;
        }
    }
    (labels, &rest[1..])
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    name.bytes().all(is_part) && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        _ => {
            assert!(!text.contains("inf") && !text.starts_with('+'), "{text}");
            text.parse().expect(text)
        }
    }
}

#[test]
fn the_parser_is_strict() {
    let head = "# HELP a A.\n# TYPE a gauge\n";
    let histogram = "# HELP h H.\n# TYPE h histogram\n";
    let one = "h_bucket{le=\"1.0\"} 1 # {id=\"x\"} 0.5 1700000000.000\nh_bucket{le=\"+Inf\"} 2\n";
    let right = format!("{head}a{{b=\"\\\"\"}} 1\n{histogram}{one}h_sum 3\nh_count 2\n# EOF\n");
    let metrics = Metrics::parse(&right);
    assert_eq!((metrics.samples.len(), metrics.exemplars.len()), (5, 1));
    for wrong in [
        format!("{head}a 1\n"),
        format!("{head}a 1\n# EOF\n\n"),
        format!("{head}a 1\na 2\n# EOF\n"),
        format!("{head}a_total 1\n# EOF\n"),
        format!("{head}a{{b=\"\\x\"}} 1\n# EOF\n"),
        format!("{head}a 1\n{}# EOF\n", head.replace("gauge", "counter")),
        format!("{histogram}{one}h_sum 3\nh_count 3\n# EOF\n"),
        format!("{histogram}{}h_sum 3\nh_count 2\n# EOF\n", one.replace("} 2", "} 0")),
        format!("{histogram}{}h_sum 3\nh_count 2\n# EOF\n", one.replace("0.5 17", "1.5 17")),
        format!("{histogram}{}h_sum 3\nh_count 2\n# EOF\n", one.replace("1.0", "1")),
    ] {
        let wrong_text = wrong.clone();
        let parsed = std::panic::catch_unwind(move || drop(Metrics::parse(&wrong)));
        assert!(parsed.is_err(), "{wrong_text}");
    }
}
