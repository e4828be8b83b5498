//! The queries of the dashboard for Grafana and of the alerts: each names only families and labels
//! that have a row in `docs/howto/prometheus.md`, and values that labels have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::families::{Family, rows};
use super::openmetrics::Metrics;
use super::{assert_good, promtool};

/// Labels that Prometheus adds to all series.
const ADDED: [&str; 2] = ["instance", "job"];

/// Words before the labels of an aggregation, or of a match between two sides.
const AGGREGATIONS: [&str; 5] = ["sum", "min", "max", "avg", "count"];
const BETWEEN: [&str; 4] = ["on", "ignoring", "group_left", "group_right"];

/// A query, and what is shown of its results.
struct Query {
    /// For messages.
    place: String,
    text: String,
    /// The labels that its legend or its summary shows.
    shown: BTreeSet<String>,
}

/// A metric in a query: its name, the labels that are matched or kept, and the values that labels
/// are to have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selector {
    name: String,
    labels: BTreeSet<String>,
    values: BTreeMap<String, String>,
}

/// All queries of both files.
fn queries() -> Vec<Query> {
    let mut all = of_dashboard();
    assert!(all.len() > 80, "{} queries of panels and variables", all.len());
    let of_rules = of_rules();
    assert!(of_rules.len() > 25, "{} alerts", of_rules.len());
    all.extend(of_rules);
    all
}

fn of_dashboard() -> Vec<Query> {
    let file = include_str!("../../contrib/grafana/weir.json");
    let dashboard: Value = serde_json::from_str(file).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push(Query {
                place: format!("the panel {}", panel["title"]),
                text: target["expr"].as_str().unwrap().to_owned(),
                shown: in_braces(target["legendFormat"].as_str().unwrap(), ""),
            });
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if let Some(inner) = query.strip_prefix("label_values(") {
            let (text, label) = inner.trim_end_matches(')').rsplit_once(", ").unwrap();
            let shown = BTreeSet::from([label.to_owned()]);
            all.push(Query { place: query.to_owned(), text: text.to_owned(), shown });
        }
    }
    all
}

fn of_rules() -> Vec<Query> {
    let rules = include_str!("../../contrib/prometheus/weir.rules.yml");
    let alerts = rules.split("- alert: ").skip(1).map(|alert| {
        let text = alert.split("expr:").nth(1).unwrap();
        let ends = ["\n        for:", "\n        labels:"];
        let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap();
        let text = text[..end].trim().trim_start_matches('>').trim().to_owned();
        let summary = alert.split("summary:").nth(1).unwrap().lines().next().unwrap();
        let place = alert.lines().next().unwrap().to_owned();
        Query { place, text, shown: in_braces(summary, "$labels.") }
    });
    alerts.collect()
}

/// The labels that a text names in double braces, after this prefix.
fn in_braces(text: &str, prefix: &str) -> BTreeSet<String> {
    let words = text.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim());
    words.filter_map(|word| word.strip_prefix(prefix)).map(str::to_owned).collect()
}

/// The parts of a query: words, strings in quotes, and single characters. Ranges are left out.
fn tokens(query: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let length = match first {
            '[' => rest.find(']').expect("a range") + 1,
            '"' => rest[1..].find('"').expect("a string") + 2,
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if !first.is_whitespace() && first != '[' {
            all.push(token.to_owned());
        }
        rest = after;
    }
    all
}

/// The labels in parentheses at the head of these tokens, and their number with the parentheses.
fn list(tokens: &[String]) -> (Vec<String>, usize) {
    assert_eq!(tokens.first().map(String::as_str), Some("("), "{tokens:?}");
    let end = tokens.iter().position(|token| token == ")").expect("an end");
    (tokens[1..end].iter().filter(|token| *token != ",").cloned().collect(), end + 1)
}

/// The metrics of a query.
fn selectors(query: &str) -> Vec<Selector> {
    let tokens = tokens(query);
    // The labels that each open parenthesis keeps of what is in it.
    let (mut open, mut kept) = (Vec::<Vec<String>>::new(), Vec::new());
    let (mut found, mut matched) = (Vec::<Selector>::new(), BTreeSet::new());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.as_str() {
            "(" => open.push(std::mem::take(&mut kept)),
            ")" => drop(open.pop().expect("as many opened")),
            "by" => {
                assert!(AGGREGATIONS.contains(&&*tokens[at - 2]), "labels go first: {query}");
                let (labels, length) = list(&tokens[at..]);
                (kept, at) = (labels, at + length);
            }
            "without" => panic!("labels that are kept are named: {query}"),
            word if BETWEEN.contains(&word) => {
                let (labels, length) = list(&tokens[at..]);
                matched.extend(labels);
                at += length;
            }
            word if word.starts_with("weir_") => {
                let labels = open.iter().flatten().cloned().collect();
                let mut one = Selector { name: word.to_owned(), labels, ..Selector::default() };
                if tokens.get(at).is_some_and(|token| token == "{") {
                    at += one.read_matchers(&tokens[at..]);
                }
                found.push(one);
            }
            _ => {}
        }
    }
    let first = found.first_mut().unwrap_or_else(|| panic!("no metric: {query}"));
    first.labels.extend(matched);
    found
}

impl Selector {
    /// Reads the matchers at the head of these tokens. Returns their number.
    fn read_matchers(&mut self, tokens: &[String]) -> usize {
        let end = tokens.iter().position(|token| token == "}").expect("an end");
        for matcher in tokens[1..end].split(|token| token == ",") {
            let [label, operator @ .., value] = matcher else { panic!("{matcher:?}") };
            self.labels.insert(label.clone());
            if operator == ["="] {
                self.values.insert(label.clone(), value.trim_matches('"').to_owned());
            }
        }
        end + 1
    }

    /// Its family, and whether the metric is one of a histogram's buckets.
    fn family<'a>(&self, rows: &'a BTreeMap<String, Family>) -> Option<(&'a Family, bool)> {
        let of_histogram = |suffix: &str| {
            let family = rows.get(self.name.strip_suffix(suffix)?)?;
            (family.kind == "histogram").then_some((family, suffix == "_bucket"))
        };
        let itself = rows.get(&self.name).filter(|family| family.kind != "histogram");
        let whole = ["_bucket", "_sum", "_count"].into_iter().find_map(of_histogram);
        itself.map(|family| (family, false)).or(whole)
    }

    /// Whether its series can have that label.
    fn can_have(&self, label: &str, rows: &BTreeMap<String, Family>) -> bool {
        let Some((family, is_bucket)) = self.family(rows) else { return false };
        family.always.contains(label)
            || family.sometimes.contains(label)
            || ADDED.contains(&label)
            || is_bucket && label == "le"
    }
}

/// What is wrong with a query.
fn faults(query: &Query, rows: &BTreeMap<String, Family>) -> Vec<String> {
    let Query { place, text, shown } = query;
    let selectors = selectors(text);
    let mut all = Vec::new();
    for one in &selectors {
        if one.family(rows).is_none() {
            all.push(format!("{place}: no metric {}", one.name));
        }
        let unknown = one.labels.iter().filter(|label| !one.can_have(label, rows));
        all.extend(unknown.map(|label| format!("{place}: {} without {label}", one.name)));
    }
    let first = &selectors[0];
    let is_aggregated = tokens(text).iter().any(|token| AGGREGATIONS.contains(&token.as_str()));
    let is_kept = |label: &String| match is_aggregated {
        true => first.labels.contains(label),
        false => first.can_have(label, rows),
    };
    let lost = shown.iter().filter(|label| !is_kept(label));
    all.extend(lost.map(|label| format!("{place}: {label} is shown, and not there: {text}")));
    all
}

/// Values that queries compare labels with, and that no series has. Those of the pair are left
/// out, which needs several nodes.
pub(super) fn unknown_values(metrics: &Metrics) -> Vec<String> {
    let mut all = Vec::new();
    for query in queries() {
        for one in selectors(&query.text).iter().filter(|one| !one.name.starts_with("weir_ha_")) {
            let has = |label: &String, value: &String| {
                metrics.samples.keys().any(|(name, labels)| {
                    *name == one.name && labels.get(label).is_some_and(|it| it == value)
                })
            };
            let unknown = one.values.iter().filter(|(label, value)| !has(label, value));
            all.extend(unknown.map(|pair| format!("{}: {} {pair:?}", query.place, one.name)));
        }
    }
    all
}

#[test]
fn each_query_names_metrics_and_labels_that_exist() {
    let rows = rows();
    let faults: Vec<_> = queries().iter().flat_map(|query| faults(query, &rows)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/prometheus/weir.rules.yml");
    assert_good(promtool(&["check", "rules", path], ""));
}

/// Every theme is on the dashboard or has an alert.
#[test]
fn each_theme_is_watched() {
    let used: BTreeSet<String> = queries()
        .iter()
        .flat_map(|query| selectors(&query.text))
        .map(|selector| selector.name)
        .collect();
    let of = |name: &str| {
        let suffixes = ["", "_bucket", "_sum", "_count"];
        suffixes.iter().any(|suffix| used.contains(&format!("{name}{suffix}")))
    };
    for theme in [
        "weir_acme_",
        "weir_certificate_",
        "weir_config_",
        "weir_errors_",
        "weir_ha_",
        "weir_http_cache_",
        "weir_http_limit_conn_",
        "weir_http_limit_req_",
        "weir_loop_",
        "weir_memory_",
        "weir_otel_",
        "weir_request_records_",
        "weir_resolver_",
        "weir_tls_",
        "weir_zone_",
    ] {
        let names: Vec<_> = rows().into_keys().filter(|name| name.starts_with(theme)).collect();
        assert!(names.iter().any(|name| of(name)), "{theme}: none of {names:?}");
    }
}

#[test]
fn faulty_queries_are_found() {
    let rows = rows();
    let of = |text: &str, shown: &[&str]| {
        let shown = shown.iter().map(|label| (*label).to_owned()).collect();
        faults(&Query { place: "it".to_owned(), text: text.to_owned(), shown }, &rows)
    };
    let good = "sum by (zone, le) (rate(weir_http_server_zone_request_duration_seconds_bucket\
                {instance=~\"$i\",zone=~\"a|b\"}[5m])) > 0.5";
    assert_eq!(of(good, &["zone"]), [""; 0]);
    assert_eq!(of("weir_build_info", &["version"]), [""; 0]);
    for (text, shown) in [
        ("weir_nothing", &[][..]),
        ("weir_http_requests_total{zone=\"a\"}", &[]),
        ("weir_http_server_zone_request_duration_seconds{zone=\"a\"}", &[]),
        ("sum by (le) (weir_http_server_zone_request_duration_seconds_sum)", &[]),
        ("sum by (upstream) (rate(weir_errors_total[5m]))", &[]),
        ("weir_connections / on (zone) weir_http_requests_total", &[]),
        ("sum by (cause) (weir_errors_total)", &["side"]),
        ("weir_connections", &["side"]),
    ] {
        assert!(!of(text, shown).is_empty(), "{text}");
    }
}
