//! Directives of the main level and of `events {}`.

use weir_conf::pending;

pending! {
    /// What stands outside of `http {}`.
    pub static MAIN = {
        // regex
        "pcre_jit" in [main] [1];
        // thread_pool
        "thread_pool" in [main] [2, 3];
        // openssl
        "ssl_engine" in [main] [1];
        // openssl_cache
        "ssl_object_cache_inheritable" in [main] [1];
        // quic_bpf
        "quic_bpf" in [main] [1];
        // google_perftools
        "google_perftools_profiles" in [main] [1];
        // epoll
        "epoll_events" in [events] [1];
        "worker_aio_requests" in [events] [1];
    }
}
