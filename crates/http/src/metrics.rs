//! What `prometheus` shows: collectors, each of which writes some families of metrics.
//!
//! Those of this crate are listed by the module; a crate above this one adds its own ([`add`]).

use std::sync::{Arc, Mutex, PoisonError};

use weir_upstream::{Group, Now};
pub use weir_wire::exposition::{Exposition, Format, Labels, Value};

/// Writes some families of metrics. It runs on a thread beside the loops and may wait for locks.
pub type Collector = fn(&Source, &mut Exposition);

/// What collectors read, besides counters that everybody finds.
#[derive(Clone, Debug)]
pub struct Source {
    /// The upstream groups of the configuration in force.
    pub groups: Vec<Arc<Group>>,
    /// The moment of the request.
    pub now: Now,
}

static ADDED: Mutex<Vec<Collector>> = Mutex::new(Vec::new());

/// Adds a collector, which runs after this crate's for as long as the process lives.
pub fn add(collector: Collector) {
    ADDED.lock().unwrap_or_else(PoisonError::into_inner).push(collector);
}

/// The added collectors, in order.
pub(crate) fn added() -> Vec<Collector> {
    ADDED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
