//! The pages of zones, caches and limits: counters by name, as rates.

use serde_json::Value;

use super::line::{Line, Style, short};
use super::sample::{number, rate};
use super::state::State;
use super::table::{Column, Table};

static ZONES: [Column; 9] = [
    Column::text("ZONE", 32, 0),
    Column::number("req/s", 6, 1),
    Column::number("2xx/s", 6, 5),
    Column::number("4xx/s", 6, 4),
    Column::number("5xx/s", 6, 2),
    Column::number("in/s", 6, 6),
    Column::number("out/s", 6, 7),
    Column::number("p50", 8, 8),
    Column::number("p99", 8, 3),
];

/// Server zones and location zones.
pub(super) fn zones(state: &State, columns: usize) -> Vec<Line> {
    let table = Table::fitting(&ZONES, columns);
    let mut lines = vec![table.head()];
    for path in ["http/server_zones", "http/location_zones"] {
        rows(state, path, |name, now, of| {
            let bad = of("/responses/5xx");
            let style = if bad > 0.0 { Style::Bad } else { Style::Plain };
            let time = |part| match quantile(&now["request_time_hist"], part) {
                Some(millis) => format!("{millis} ms"),
                None => "-".to_owned(),
            };
            let row = table.row(&[
                name.to_owned(),
                short(of("/requests")),
                short(of("/responses/2xx")),
                short(of("/responses/4xx")),
                short(bad),
                short(of("/received")),
                short(of("/sent")),
                time(0.5),
                time(0.99),
            ]);
            lines.push(Line::new(style, row));
        });
    }
    or_none(lines, "no zones: \"status_zone NAME;\" in a server or location makes one")
}

static CACHES: [Column; 8] = [
    Column::text("CACHE", 24, 0),
    Column::number("size", 6, 2),
    Column::number("max", 6, 3),
    Column::number("hits", 7, 1),
    Column::number("hit/s", 6, 4),
    Column::number("miss/s", 6, 5),
    Column::number("stale/s", 7, 6),
    Column::number("bypass/s", 8, 7),
];

pub(super) fn caches(state: &State, columns: usize) -> Vec<Line> {
    let table = Table::fitting(&CACHES, columns);
    let mut lines = vec![table.head()];
    rows(state, "http/caches", |name, now, of| {
        let total = |pointer: &str| number(now, pointer);
        let hits = ["hit", "stale", "updating", "revalidated"];
        let hits: f64 = hits.iter().map(|state| total(&format!("/{state}/responses"))).sum();
        let others = ["miss", "expired", "bypass"];
        let others: f64 = others.iter().map(|state| total(&format!("/{state}/responses"))).sum();
        let all = hits + others;
        let share = if all > 0.0 { format!("{:.0} %", 100.0 * hits / all) } else { "-".to_owned() };
        let cold = if now["cold"] == true { " (loading)" } else { "" };
        let row = table.row(&[
            format!("{name}{cold}"),
            short(total("/size")),
            short(total("/max_size")),
            share,
            short(of("/hit/responses")),
            short(of("/miss/responses") + of("/expired/responses")),
            short(of("/stale/responses") + of("/updating/responses")),
            short(of("/bypass/responses")),
        ]);
        lines.push(Line::new(Style::Plain, row));
    });
    or_none(lines, "no caches")
}

static LIMITS: [Column; 5] = [
    Column::text("LIMIT", 32, 0),
    Column::number("passed/s", 10, 2),
    Column::number("delayed/s", 10, 3),
    Column::number("rejected/s", 10, 1),
    Column::number("rejected", 10, 4),
];

pub(super) fn limits(state: &State, columns: usize) -> Vec<Line> {
    let table = Table::fitting(&LIMITS, columns);
    let mut lines = vec![table.head()];
    for path in ["http/limit_reqs", "http/limit_conns"] {
        rows(state, path, |name, now, of| {
            let refused = of("/rejected") + of("/exhausted");
            let style = if refused > 0.0 { Style::Warn } else { Style::Plain };
            let row = table.row(&[
                name.to_owned(),
                short(of("/passed")),
                short(of("/delayed")),
                short(refused),
                short(number(now, "/rejected") + number(now, "/exhausted")),
            ]);
            lines.push(Line::new(style, row));
        });
    }
    or_none(lines, "no limits")
}

/// Tells the entries of a path that are shown: their names, what they are now, and the rates of
/// their counters.
fn rows(state: &State, path: &str, mut tell: impl FnMut(&str, &Value, &dyn Fn(&str) -> f64)) {
    let (_, all_before, seconds) = state.pair(path);
    for (name, now) in state.now.entries(path).filter(|(name, _)| state.shows(name)) {
        let before = all_before.get(name).unwrap_or(now);
        tell(name, now, &|pointer| rate(now, before, pointer, seconds));
    }
}

/// The end of the bucket, in milliseconds, that a part of the times is below.
pub(super) fn quantile(histogram: &Value, part: f64) -> Option<String> {
    let wanted = part * number(histogram, "/count");
    let buckets = histogram["buckets"].as_object().filter(|_| wanted > 0.0)?;
    let end = |name: &String| name.parse().unwrap_or(f64::INFINITY);
    let mut buckets: Vec<_> = buckets.iter().collect();
    buckets.sort_by(|(a, _), (b, _)| end(a).total_cmp(&end(b)));
    let mut sum = 0.0;
    let reaches = |(_, count): &&(&String, &Value)| {
        sum += count.as_f64().unwrap_or_default();
        sum >= wanted
    };
    buckets.iter().find(reaches).map(|(name, _)| format!("<{name}"))
}

/// The lines, or a word about why there is none below the head.
pub(super) fn or_none(mut lines: Vec<Line>, why: &str) -> Vec<Line> {
    if lines.len() == 1 {
        lines.push(Line::new(Style::Dim, why));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantiles_are_ends_of_buckets() {
        let histogram = json!({"count": 10, "buckets": {"inf": 1, "1": 5, "10": 0, "2.5": 4}});
        let of = |part| quantile(&histogram, part);
        assert_eq!(of(0.5).as_deref(), Some("<1"));
        assert_eq!(of(0.9).as_deref(), Some("<2.5"));
        assert_eq!(of(0.99).as_deref(), Some("<inf"));
        assert_eq!(quantile(&json!({"count": 0, "buckets": {}}), 0.5), None);
        assert_eq!(quantile(&Value::Null, 0.5), None);
    }
}
