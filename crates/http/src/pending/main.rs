//! Directives of the main level and of `events {}`.

use weir_conf::{Slot, directives, pending};

pub(super) static EVENTS: Slot<Events> = Slot::new();
pub(super) static QUIC: Slot<Quic> = Slot::new();

directives! {
    /// The event method.
    pub(super) struct Events in [events] {
        "epoll_events" => epoll_events: u64 = 512,
    }
}

directives! {
    /// QUIC on the main level.
    pub(super) struct Quic in [main] {
        "quic_bpf" => bpf: bool = false,
    }
}

pending! {
    /// Directives outside of `http {}`.
    pub static MAIN = {
        // openssl
        "ssl_engine" in [main] [1];
        // openssl_cache
        "ssl_object_cache_inheritable" in [main] [1];
        // google_perftools
        "google_perftools_profiles" in [main] [1];
    }
}
