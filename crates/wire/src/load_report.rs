//! Load reports of servers in the response field `endpoint-load-metrics` (ORCA, the Open Request
//! Cost Aggregation of xDS: `xds/data/orca/v3/orca_load_report.proto` and its HTTP binding).
//!
//! ```text
//! endpoint-load-metrics: TEXT cpu_utilization:0.3,rps_fractional:120,named_metrics.queue:0.5
//! endpoint-load-metrics: JSON {"cpu_utilization": 0.3, "named_metrics": {"queue": 0.5}}
//! ```
//!
//! A report with one bad item is bad as a whole: an unknown name, a name twice, a value that is no
//! finite number, or one below zero where the definition excludes that. The binary form (`BIN`) is
//! not read.

mod json;
mod text;

/// The limit of items in a report. A report with more is bad.
pub const MAX_ITEMS: usize = 64;

/// The items of a report that concern the weight of a server; 0 if missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// `application_utilization`: the load as the application measures it.
    pub application: f64,
    /// `cpu_utilization`: the share of the processors in use; may exceed 1.
    pub cpu: f64,
    /// `mem_utilization`.
    pub memory: f64,
    /// `rps_fractional`: requests per second.
    pub rps: f64,
    /// `eps`: errors per second.
    pub eps: f64,
    /// The highest of the chosen metrics above zero.
    pub chosen: f64,
}

/// A metric of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric(String);

/// The groups of metrics with names of the application's.
const MAPS: [(&str, &str); 3] = [
    ("named_metrics", "namedMetrics"),
    ("utilization", "utilization"),
    ("request_cost", "requestCost"),
];

/// The other items.
const ITEMS: [(&str, &str); 6] = [
    ("application_utilization", "applicationUtilization"),
    ("cpu_utilization", "cpuUtilization"),
    ("mem_utilization", "memUtilization"),
    ("rps_fractional", "rpsFractional"),
    ("eps", "eps"),
    // Superseded by `rps_fractional`.
    ("rps", "rps"),
];

impl Metric {
    /// A metric by its name in a report, such as `cpu_utilization` or `named_metrics.queue`.
    pub fn new(name: &str) -> Option<Self> {
        let is_known = match name.split_once('.') {
            None => ITEMS[..3].iter().any(|(item, _)| *item == name),
            Some((map, key)) => !key.is_empty() && MAPS[..2].iter().any(|(it, _)| *it == map),
        };
        is_known.then(|| Self(name.to_owned()))
    }

    /// Whether this is the metric with that key in a map, or that item.
    fn is(&self, map: Option<&str>, key: &[u8]) -> bool {
        let name = self.0.as_bytes();
        match map {
            None => name == key,
            Some(map) => name
                .strip_prefix(map.as_bytes())
                .is_some_and(|rest| rest.strip_prefix(b".") == Some(key)),
        }
    }
}

impl LoadReport {
    /// Reads the value of the field. `None` if it is bad.
    pub fn parse(value: &[u8], chosen: &[Metric]) -> Option<Self> {
        let value = value.trim_ascii();
        let at = value.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (form, rest) = (&value[..at], &value[at..]);
        let mut reading = Reading { report: Self::default(), chosen, items: 0 };
        match form {
            b"TEXT" => text::read(rest, &mut reading)?,
            b"JSON" => json::read(rest, &mut reading)?,
            _ => return None,
        }
        Some(reading.report)
    }

    /// The weight that follows: requests per second at full use. Errors count as use, by `penalty`.
    /// `None` if the report says too little (gRPC proposals A58 and A114).
    pub fn weight(&self, penalty: f64) -> Option<f64> {
        let known = |value: &f64| *value > 0.0;
        let used = [self.chosen, self.application, self.cpu].into_iter().find(known)?;
        let rps = Some(self.rps).filter(known)?;
        let weight = rps / (used + penalty * self.eps / rps);
        (weight.is_finite() && weight > 0.0).then_some(weight)
    }
}

/// A report while it is read.
struct Reading<'a> {
    report: LoadReport,
    chosen: &'a [Metric],
    items: usize,
}

impl Reading<'_> {
    /// Adds an item, or one of a map. `None` if it is bad.
    fn add(&mut self, map: Option<&'static str>, key: &[u8], value: f64) -> Option<()> {
        self.items += 1;
        if self.items > MAX_ITEMS || !value.is_finite() || key.is_empty() {
            return None;
        }
        if map.is_none() {
            if value < 0.0 {
                return None;
            }
            let report = &mut self.report;
            match key {
                b"application_utilization" => report.application = value,
                b"cpu_utilization" => report.cpu = value,
                b"mem_utilization" => report.memory = value,
                b"rps_fractional" => report.rps = value,
                b"eps" => report.eps = value,
                b"rps" => {}
                _ => return None,
            }
        }
        if self.chosen.iter().any(|metric| metric.is(map, key)) {
            self.report.chosen = self.report.chosen.max(value);
        }
        Some(())
    }
}

/// A number in decimal digits, with a sign, a fraction and an exponent if need be.
fn number(text: &[u8]) -> Option<f64> {
    let digit = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    if !text.iter().all(digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Reads bytes as a report in each form.
pub fn fuzz(bytes: &[u8]) {
    let chosen: Vec<Metric> =
        ["cpu_utilization", "named_metrics.a"].into_iter().filter_map(Metric::new).collect();
    for form in [&b""[..], b"TEXT ", b"JSON "] {
        let value = [form, bytes].concat();
        if let Some(report) = LoadReport::parse(&value, &chosen) {
            let items = [report.application, report.cpu, report.memory, report.rps, report.eps];
            assert!(items.into_iter().all(|item| item.is_finite() && item >= 0.0));
            assert!(report.weight(1.0).is_none_or(|weight| weight.is_finite() && weight > 0.0));
        }
    }
}

#[cfg(test)]
mod tests;
