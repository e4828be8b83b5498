//! What has happened in a world.

use crate::plan::{Micros, Plan};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The chosen servers, with the times, in order.
    pub(crate) choices: Vec<(Micros, usize)>,
    /// The times from the arrival of a request to its good answer.
    pub(crate) latencies: Vec<Micros>,
    /// The number of requests that a client saw fail.
    pub(crate) errors: u64,
    /// Those among them for which no server was left.
    pub(crate) refused: u64,
    /// The number of further attempts.
    pub(crate) retries: u64,
}

impl Report {
    /// How often each server was chosen.
    pub(crate) fn counts(&self, servers: usize) -> Vec<u64> {
        let mut counts = vec![0; servers];
        self.choices.iter().for_each(|(_, place)| counts[*place] += 1);
        counts
    }

    /// The most requests of a server, relative to its share by weight.
    pub(crate) fn spread(&self, plan: &Plan) -> f64 {
        let all = self.choices.len() as f64;
        let counts = self.counts(plan.servers.len());
        let ratios =
            counts.iter().zip(plan.shares()).map(|(&count, share)| count as f64 / (share * all));
        ratios.fold(0.0, f64::max)
    }

    /// A quantile of the latencies in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let place = (share * sorted.len() as f64) as usize;
        sorted.get(place).or(sorted.last()).map_or(0.0, |&time| time as f64 / 1000.0)
    }
}
