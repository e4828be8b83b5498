//! The plan of a world: a group, its servers, its requests and its troubles.

use std::fmt::Write;

use weir_upstream::{Causes, RetryBudget};

use crate::methods::Method;

/// A time of a world in microseconds.
pub(crate) type Micros = u64;

pub(crate) const SECOND: Micros = 1_000_000;

/// The moment at which a world begins: clocks do not begin at zero.
pub(crate) const START: Micros = 1_000 * SECOND;

/// A server as it is, which need not be as its weight says.
#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    pub(crate) weight: u32,
    pub(crate) max_conns: u64,
    pub(crate) max_fails: u64,
    /// `slow_start=…`, `backup`, `down` and the like.
    pub(crate) words: String,
    /// The number of requests that it works on at a time; the others wait in its own queue.
    pub(crate) slots: usize,
    /// The mean time for a request, in microseconds. Times are exponentially distributed.
    pub(crate) mean: f64,
}

impl ServerPlan {
    pub(crate) fn new(weight: u32, slots: usize, mean: f64) -> Self {
        Self { weight, max_conns: 0, max_fails: 1, words: String::new(), slots, mean }
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.words.split(' ').any(|own| own == word)
    }

    /// Its locality; empty if it has none.
    pub(crate) fn locality(&self) -> &str {
        self.words.split(' ').find_map(|word| word.strip_prefix("locality=")).unwrap_or("")
    }

    /// The number of requests that it can answer in a microsecond.
    fn rate(&self) -> f64 {
        self.slots as f64 / self.mean
    }
}

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// It takes so many times as long.
    Slow(f64),
    /// It answers this share of the requests with a 500 at once.
    Erring(f64),
    /// It refuses connections.
    Refusing,
    /// It accepts requests and does not answer.
    Hanging,
}

/// The trouble of one server, from one moment until another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) server: usize,
    pub(crate) kind: Kind,
    pub(crate) from: Micros,
    pub(crate) until: Micros,
}

/// A world before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) method: &'static Method,
    pub(crate) servers: Vec<ServerPlan>,
    /// Further directives of the group.
    pub(crate) directives: &'static str,
    /// The localities that requests prefer, as in `directives`, the first one most.
    pub(crate) preferred: Vec<Vec<u8>>,
    /// The number of requests.
    pub(crate) requests: usize,
    /// The arrivals, as a share of what all servers together can answer (a Poisson process).
    pub(crate) load: f64,
    /// The number of different clients, and of their keys.
    pub(crate) clients: u64,
    pub(crate) troubles: Vec<Trouble>,
    /// The causes of another attempt.
    pub(crate) causes: Causes,
    pub(crate) budget: Option<RetryBudget>,
    /// The longest wait for an answer.
    pub(crate) timeout: Micros,
}

impl Plan {
    /// The mean time between two requests, in microseconds.
    pub(crate) fn gap(&self) -> f64 {
        1.0 / (self.load * self.servers.iter().map(ServerPlan::rate).sum::<f64>())
    }

    /// The time in which its requests come.
    pub(crate) fn length(&self) -> Micros {
        (self.gap() * self.requests as f64) as Micros
    }

    /// The weights, as shares of all.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let total: f64 = self.servers.iter().map(|server| f64::from(server.weight)).sum();
        self.servers.iter().map(|server| f64::from(server.weight) / total).collect()
    }

    /// Whether nothing keeps the method from following the weights, and the servers are as their
    /// weights say.
    pub(crate) fn is_calm(&self) -> bool {
        let plain = |server: &ServerPlan| server.words.is_empty() && server.max_conns == 0;
        let rate = |server: &ServerPlan| server.rate() / f64::from(server.weight);
        self.troubles.is_empty()
            && self.directives.is_empty()
            && self.servers.iter().all(|server| {
                plain(server) && (rate(server) / rate(&self.servers[0]) - 1.0).abs() < 0.01
            })
    }

    /// The `upstream` block.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("upstream u {{ {} {}", self.method.directive, self.directives);
        for (place, server) in self.servers.iter().enumerate() {
            let ServerPlan { weight, max_conns, max_fails, words, .. } = server;
            let _ = write!(
                text,
                " server 10.0.0.{}:80 weight={weight} max_conns={max_conns} \
                 max_fails={max_fails} {words};",
                place + 1
            );
        }
        text + " }"
    }
}
