//! Memory by subsystem: what those that have most of it count anyway, so that asking is cheap. The
//! rest of the process's memory is the configuration, buffers in use, and what libraries hold.

use weir_edge::zone;
use weir_engine::{stats, tls};

use crate::cache::counters::index_bytes;
use crate::recorder::store;

/// The bytes of each subsystem, by its name in the API and in metrics.
pub(crate) fn by_subsystem() -> [(&'static str, u64); 6] {
    let stats::Held { tasks, spare_buffers } = stats::held();
    let zones = zone::all_in_use().into_iter().map(|(_, zone)| zone.memory().used).sum();
    [
        // Connections, the streams of HTTP/2, duties: their state.
        ("tasks", tasks),
        // Buffers that wait in pools.
        ("spare_buffers", spare_buffers),
        ("zones", zones),
        ("cache_index", index_bytes()),
        ("tls_sessions", tls::cached_session_bytes()),
        ("request_records", store::bytes()),
    ]
}
