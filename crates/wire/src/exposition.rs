//! Metrics as text: Prometheus's text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>) and OpenMetrics 1.0
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//!
//! ```text
//!  Exposition ── counter, gauge, histogram, info ──▶ Family ── sample(labels, value) ──▶ lines
//! ```
//!
//! A family is written as a whole: its samples follow its name, type and description. A family
//! without samples leaves no trace.

pub mod fuzz;

use std::collections::BTreeSet;
use std::fmt::Write;

/// The format of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format 0.0.4.
    Text,
    /// OpenMetrics 1.0: with units and exemplars.
    OpenMetrics,
}

impl Format {
    /// The media type, with the charset before the version.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8; version=0.0.4",
            Self::OpenMetrics => "application/openmetrics-text; charset=utf-8; version=1.0.0",
        }
    }

    /// The format that an `Accept` field prefers; without a preference, text.
    pub fn preferred(accept: &[u8]) -> Self {
        let (mut text, mut open) = (0.0, 0.0);
        for range in String::from_utf8_lossy(accept).split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut version) = (1.0, None);
            for parameter in parts {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => weight = quality(value),
                    "version" => version = Some(value),
                    _ => {}
                }
            }
            let wanted: &mut f32 = match (name.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => &mut open,
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => &mut text,
                _ => continue,
            };
            *wanted = wanted.max(weight);
        }
        if open > text { Self::OpenMetrics } else { Self::Text }
    }
}

/// The weight of a media range (RFC 9110, section 12.4.2): 0 to 1; 0 for anything else, such as
/// `inf` and `nan`, which are numbers of the language.
fn quality(text: &str) -> f32 {
    let weight = text.parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&weight) { weight } else { 0.0 }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// A value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any number.
    Real(f64),
}

impl Value {
    /// Milliseconds as seconds.
    pub fn millis(millis: u64) -> Self {
        Self::Real(millis as f64 / 1000.0)
    }

    /// Microseconds as seconds.
    pub fn micros(micros: u64) -> Self {
        Self::Real(micros as f64 / 1_000_000.0)
    }

    fn write(self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Whole(value) => write!(out, "{value}"),
            Self::Real(value) if value.is_nan() => write!(out, "NaN"),
            Self::Real(f64::INFINITY) => write!(out, "+Inf"),
            Self::Real(f64::NEG_INFINITY) => write!(out, "-Inf"),
            Self::Real(value) => write!(out, "{value}"),
        };
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

/// Labels of a sample as text, escaped: `zone="a",code="200"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(String);

impl Labels {
    /// No labels.
    pub const NONE: &'static Self = &Self(String::new());

    /// These labels, by name and value.
    pub fn of(labels: &[(&str, &str)]) -> Self {
        let mut all = Self::default();
        labels.iter().for_each(|(name, value)| all.push(name, value));
        all
    }

    /// With one more label.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut all = self.clone();
        all.push(name, value);
        all
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        escape(value, true, &mut self.0);
        self.0.push('"');
    }
}

/// An observation that stands for others of its bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its labels, of at most [`Exemplar::MOST_CHARACTERS`]; it is left out beyond that.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed, in seconds since 1970.
    pub time: f64,
}

impl Exemplar {
    /// The limit of the names and values of labels, by OpenMetrics.
    pub const MOST_CHARACTERS: usize = 128;
}

/// Observations by bucket.
#[derive(Clone, Debug)]
pub struct Distribution<'a> {
    /// The upper bounds of the buckets but the last, which has none; ascending.
    pub ends: &'a [f64],
    /// The observations of each bucket: one more than bounds.
    pub counts: &'a [u64],
    /// The sum of all observations.
    pub sum: f64,
    /// One for each bucket, or none at all.
    pub exemplars: &'a [Option<Exemplar>],
}

/// A text of metrics being written.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
    names: BTreeSet<&'static str>,
}

/// A family being written.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut Exposition,
    kind: Kind,
    /// As written in Prometheus's format.
    name: &'static str,
    help: &'static str,
    has_head: bool,
}

impl Exposition {
    /// An empty text.
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new(), names: BTreeSet::new() }
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// A family of numbers that only grow. The name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.family(Kind::Counter, name, help)
    }

    /// A family of numbers that grow and shrink.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        debug_assert!(!name.ends_with("_total"), "{name}");
        self.family(Kind::Gauge, name, help)
    }

    /// A family of distributions.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        self.family(Kind::Histogram, name, help)
    }

    /// A family of texts, which are labels of samples with the value 1. The name ends in `_info`.
    pub fn info(&mut self, name: &'static str, help: &'static str) -> Family<'_> {
        debug_assert!(name.ends_with("_info"), "{name}");
        self.family(Kind::Info, name, help)
    }

    fn family(&mut self, kind: Kind, name: &'static str, help: &'static str) -> Family<'_> {
        Family { out: self, kind, name, help, has_head: false }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// Adds a sample. Those of a family differ in their labels.
    pub fn sample(&mut self, labels: &Labels, value: impl Into<Value>) -> &mut Self {
        self.head();
        self.line("", &labels.0, value.into());
        self.out.text.push('\n');
        self
    }

    /// Adds a distribution. Those of a family differ in their labels.
    pub fn distribution(&mut self, labels: &Labels, values: &Distribution<'_>) -> &mut Self {
        self.head();
        let mut count = 0;
        for (bucket, &own) in values.counts.iter().enumerate() {
            count += own;
            let end = values.ends.get(bucket).copied().unwrap_or(f64::INFINITY);
            self.line("_bucket", &with_end(&labels.0, end), count.into());
            if let Some(Some(exemplar)) = values.exemplars.get(bucket) {
                self.exemplar(exemplar);
            }
            self.out.text.push('\n');
        }
        self.line("_sum", &labels.0, values.sum.into());
        self.out.text.push('\n');
        self.line("_count", &labels.0, count.into());
        self.out.text.push('\n');
        self
    }

    /// Writes type, unit and description before the first sample.
    fn head(&mut self) {
        if std::mem::replace(&mut self.has_head, true) {
            return;
        }
        let is_new = self.out.names.insert(self.name);
        debug_assert!(is_new, "{} is written twice", self.name);
        let is_open = self.out.format == Format::OpenMetrics;
        let (name, kind) = match (self.kind, is_open) {
            (Kind::Counter, false) => (self.name, "counter"),
            (Kind::Counter, true) => (trimmed(self.name, "_total"), "counter"),
            (Kind::Gauge, _) => (self.name, "gauge"),
            (Kind::Histogram, _) => (self.name, "histogram"),
            (Kind::Info, false) => (self.name, "gauge"),
            (Kind::Info, true) => (trimmed(self.name, "_info"), "info"),
        };
        let text = &mut self.out.text;
        let _ = write!(text, "# HELP {name} ");
        escape(self.help, is_open, text);
        let _ = writeln!(text, "\n# TYPE {name} {kind}");
        let unit = ["seconds", "bytes"].into_iter().find(|&unit| name.ends_with(unit));
        if let (true, Some(unit)) = (is_open, unit) {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
    }

    /// Writes a sample without the end of its line.
    fn line(&mut self, suffix: &str, labels: &str, value: Value) {
        let text = &mut self.out.text;
        text.push_str(self.name);
        text.push_str(suffix);
        if !labels.is_empty() {
            let _ = write!(text, "{{{labels}}}");
        }
        text.push(' ');
        value.write(text);
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let Exemplar { labels, value, time } = exemplar;
        // Escapes and punctuation count as well here, which errs on the safe side.
        let fits = labels.0.chars().count() <= Exemplar::MOST_CHARACTERS;
        if self.out.format == Format::OpenMetrics && fits {
            let text = &mut self.out.text;
            let _ = write!(text, " # {{{}}} ", labels.0);
            Value::Real(*value).write(text);
            let _ = write!(text, " {time:.3}");
        }
    }
}

/// Labels with the bound of a bucket, which has a decimal point in both formats, so that a series
/// keeps its name when a scraper changes the format.
fn with_end(labels: &str, end: f64) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    match end.is_infinite() {
        true => format!("{labels}{comma}le=\"+Inf\""),
        false => format!("{labels}{comma}le=\"{end:?}\""),
    }
}

fn trimmed<'a>(name: &'a str, suffix: &str) -> &'a str {
    name.strip_suffix(suffix).unwrap_or(name)
}

fn escape(text: &str, quotes: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
