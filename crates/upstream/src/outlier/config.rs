//! `outlier_ejection`: when a server counts as an outlier, and for how long.

/// The parameters of `outlier_ejection`. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierConfig {
    /// The number of failures in a row that eject a server at once; 0 is none.
    pub consecutive: u32,
    /// How many standard deviations the success rate may lie below the mean of the others.
    pub success_rate: Option<f64>,
    /// How many times the median of the others the response time may be.
    pub latency: Option<f64>,
    /// The time between two comparisons, at least 1.
    pub interval: u64,
    /// The length of the first ejection; each one in a row is longer by this.
    pub time: u64,
    /// The limit of that length.
    pub max_time: u64,
    /// The largest share of servers that are out at a time, in percent. One may always be.
    pub max: u64,
    /// The number of servers that a comparison needs, at least 3.
    pub servers: usize,
    /// The number of requests in an interval with which a server takes part in comparisons.
    pub requests: u64,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive: 5,
            success_rate: Some(1.9),
            latency: None,
            interval: 10_000,
            time: 30_000,
            max_time: 300_000,
            max: 10,
            servers: 3,
            requests: 100,
        }
    }
}
