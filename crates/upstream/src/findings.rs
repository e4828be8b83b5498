//! What other nodes have found about servers: their checks, and what their agents said.
//!
//! A node's own verdict counts as soon as there is one: after the first pass of a check, or the
//! failures that make a server unhealthy. Until then it begins with what the others have found:
//!
//! * A server that they find unhealthy takes no requests before its first check here, whose result
//!   decides: it is treated as by a `mandatory` check.
//! * A server that they find good takes requests, even if a `mandatory` check has not been made.
//! * If they disagree, it is good: one of them reaches it.
//! * An agent that was not heard here is believed to say what another node has heard from it.
//!
//! Ejections and failures of requests are not told: they follow from the traffic of a node, and end
//! by themselves. A node that goes away leaves what it has said, until the first check here.

mod heed;
mod record;

pub(crate) use heed::Others;
pub(crate) use record::{Findings, fuzz, text};

#[cfg(test)]
mod tests;
