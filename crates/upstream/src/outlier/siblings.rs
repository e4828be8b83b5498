//! The comparison of servers with their siblings. Each is compared with the others alone: a mean
//! that includes it would hide it in a small group.

use std::fmt;

use crate::outlier::config::OutlierConfig;

/// The difference of success rates that is never an outlier: siblings without any failure have no
/// deviation, and one failure would be too many.
const TOLERATED_RATE: f64 = 0.05;

/// The number of standard errors that a rate may lie below the mean by chance: of few requests,
/// some more may fail.
const CHANCE: f64 = 3.0;

/// The difference of times that is never an outlier, in milliseconds, because clocks are coarse.
const TOLERATED_TIME: f64 = 10.0;

/// The answers of a server in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The number of good answers.
    pub(crate) good: u64,
    /// The number of failures.
    pub(crate) bad: u64,
    /// The median of the times of the good answers, in milliseconds.
    pub(crate) median: Option<u64>,
}

/// Why a server is an outlier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reason {
    /// It failed that often in a row.
    Failures(u32),
    /// Its success rate, and the mean of the others.
    Rate(f64, f64),
    /// Its median response time in milliseconds, and the median of the others.
    Time(f64, f64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures(count) => write!(f, "{count} failures in a row"),
            Self::Rate(own, others) => {
                let (own, others) = (100.0 * own, 100.0 * others);
                write!(f, "success rate {own:.1}%, the others {others:.1}%")
            }
            Self::Time(own, others) => {
                write!(f, "median response time {own:.0} ms, the others {others:.0} ms")
            }
        }
    }
}

/// The outliers of an interval, by their place in `samples`: the worst rates first, then the worst
/// times.
pub(crate) fn outliers(samples: &[Sample], config: &OutlierConfig) -> Vec<(usize, Reason)> {
    let numbered = || samples.iter().enumerate();
    let mut found = Vec::new();
    if let Some(factor) = config.success_rate {
        let busy = numbered().filter(|(_, it)| it.good + it.bad >= config.requests.max(1));
        let rates = busy.map(|(place, it)| Rate {
            place,
            rate: it.good as f64 / (it.good + it.bad) as f64,
            count: (it.good + it.bad) as f64,
        });
        found.extend(low_rates(rates.collect(), factor, config.servers));
    }
    if let Some(factor) = config.latency {
        let busy = numbered().filter(|(_, it)| it.good >= config.requests);
        let times = busy.filter_map(|(place, it)| Some((place, it.median? as f64)));
        let slow = high_times(times.collect(), factor, config.servers);
        let is_new = |(place, _): &(usize, Reason)| !found.iter().any(|(other, _)| other == place);
        let slow: Vec<_> = slow.into_iter().filter(is_new).collect();
        found.extend(slow);
    }
    found
}

/// A success rate, of so many requests.
struct Rate {
    place: usize,
    rate: f64,
    count: f64,
}

fn low_rates(mut rates: Vec<Rate>, factor: f64, servers: usize) -> Vec<(usize, Reason)> {
    if rates.len() < servers.max(2) {
        return Vec::new();
    }
    rates.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let others = (rates.len() - 1) as f64;
    let sum: f64 = rates.iter().map(|it| it.rate).sum();
    let squares: f64 = rates.iter().map(|it| it.rate * it.rate).sum();
    let judge = |&Rate { place, rate, count }: &Rate| {
        let mean = (sum - rate) / others;
        let variance = ((squares - rate * rate) / others - mean * mean).max(0.0);
        let chance = CHANCE * (mean * (1.0 - mean) / count).max(0.0).sqrt();
        let tolerated = (factor * variance.sqrt()).max(chance).max(TOLERATED_RATE);
        (rate < mean - tolerated).then_some((place, Reason::Rate(rate, mean)))
    };
    rates.iter().filter_map(judge).collect()
}

fn high_times(mut times: Vec<(usize, f64)>, factor: f64, servers: usize) -> Vec<(usize, Reason)> {
    if times.len() < servers.max(2) {
        return Vec::new();
    }
    times.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let others = times.len() - 1;
    let judge = |(rank, &(place, time)): (usize, &(usize, f64))| {
        let other = |number: usize| times[if number < rank { number } else { number + 1 }].1;
        let median = f64::midpoint(other((others - 1) / 2), other(others / 2));
        let limit = (factor * median).max(median + TOLERATED_TIME);
        (time > limit).then_some((place, Reason::Time(time, median)))
    };
    times.iter().enumerate().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OutlierConfig {
        OutlierConfig { latency: Some(3.0), ..OutlierConfig::default() }
    }

    fn rates(bad: &[u64]) -> Vec<usize> {
        let sample = |&bad: &u64| Sample { good: 1000 - bad, bad, median: Some(20) };
        let samples: Vec<_> = bad.iter().map(sample).collect();
        outliers(&samples, &config()).into_iter().map(|(place, _)| place).collect()
    }

    fn times(median: &[u64]) -> Vec<usize> {
        let sample = |&median: &u64| Sample { good: 100, bad: 0, median: Some(median) };
        let samples: Vec<_> = median.iter().map(sample).collect();
        outliers(&samples, &config()).into_iter().map(|(place, _)| place).collect()
    }

    #[test]
    fn a_low_success_rate_stands_out_even_in_a_small_group() {
        assert_eq!(rates(&[0, 300, 10]), [1]);
        assert_eq!(rates(&[0, 0, 0, 0, 300]), [4]);
        let mut many = [0; 20];
        (many[7], many[3]) = (300, 500);
        assert_eq!(rates(&many), [3, 7]);
        // All fail alike, or a little.
        assert_eq!(rates(&[500, 530, 470, 520]), [0; 0]);
        assert_eq!(rates(&[0, 0, 0, 49]), [0; 0]);
        // Two servers cannot tell who is the outlier.
        assert_eq!(rates(&[0, 900]), [0; 0]);
    }

    #[test]
    fn a_wide_spread_of_siblings_excuses_more() {
        assert_eq!(rates(&[0, 200, 0, 200, 320]), [4]);
        assert_eq!(rates(&[0, 200, 0, 200, 280]), [0; 0]);
    }

    #[test]
    fn a_long_response_time_stands_out() {
        assert_eq!(times(&[20, 25, 100]), [2]);
        assert_eq!(times(&[20, 61, 20, 700, 20]), [3, 1]);
        assert_eq!(times(&[20, 60, 20]), [0; 0]);
        // Within the resolution of clocks.
        assert_eq!(times(&[1, 1, 9]), [0; 0]);
        // The others do not agree with each other.
        assert_eq!(times(&[40, 350, 1000]), [2; 1]);
        assert_eq!(times(&[20, 900]), [0; 0]);
    }

    #[test]
    fn few_requests_say_nothing() {
        let few = Sample { good: 9, bad: 90, median: Some(900) };
        let good = Sample { good: 100, bad: 0, median: Some(1) };
        assert_eq!(outliers(&[good, good, good, few], &config()), []);
        let many = Sample { good: 10, bad: 90, ..few };
        let found = outliers(&[good, good, good, many], &config());
        assert_eq!(found, [(3, Reason::Rate(0.1, 1.0))]);
        // Among servers that all fail, ten failures more of a hundred are chance.
        let half = Sample { good: 50, bad: 50, median: Some(1) };
        let less = Sample { good: 40, bad: 60, ..half };
        assert_eq!(outliers(&[half, half, half, less], &config()), []);
        // Only good answers have a time that counts.
        let off = OutlierConfig { success_rate: None, ..config() };
        assert_eq!(outliers(&[good, good, good, many], &off), []);
    }

    #[test]
    fn reasons_have_figures() {
        let texts = [Reason::Failures(5), Reason::Rate(0.7249, 1.0), Reason::Time(350.0, 40.0)];
        assert_eq!(
            texts.map(|reason| reason.to_string()),
            [
                "5 failures in a row",
                "success rate 72.5%, the others 100.0%",
                "median response time 350 ms, the others 40 ms"
            ]
        );
    }
}
