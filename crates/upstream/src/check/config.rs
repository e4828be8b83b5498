//! The configuration of health checks.

/// One health check of a group. Its probe is not described here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// The name in messages; may be empty.
    pub name: String,
    /// A text of what is probed and expected. A reload that changes it probes at once.
    pub what: String,
    /// The time between the starts of two probes of a server, in milliseconds, at least 1.
    pub interval: u64,
    /// The limit of the random delay of each probe, in milliseconds.
    pub jitter: u64,
    /// The number of failures in a row that make a healthy server unhealthy, at least 1.
    pub fails: u32,
    /// The number of passes in a row that make an unhealthy server healthy, at least 1.
    pub passes: u32,
    /// The port to probe, if it is not the server's.
    pub port: Option<u16>,
    /// Whether a new server takes no requests before its first probe.
    pub mandatory: bool,
}

#[cfg(test)]
impl CheckConfig {
    /// A check at this interval, in milliseconds.
    pub(crate) fn every(interval: u64) -> Self {
        Self {
            name: String::new(),
            what: String::new(),
            interval,
            jitter: 0,
            fails: 1,
            passes: 1,
            port: None,
            mandatory: false,
        }
    }
}
