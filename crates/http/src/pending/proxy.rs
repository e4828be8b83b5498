//! What proxying over HTTP does not do yet: its cache.

use std::any::Any;

use weir_conf::{Cx, Fault, Node, pending};

use crate::pass::stored;

pending! {
    /// The proxy module.
    pub static PROXY = {
        // proxy
        "proxy_cache" in [http, server, location] [1] => set_cache;
        "proxy_cache_key" in [http, server, location] [1];
        "proxy_cache_path" in [http] [2+];
        "proxy_cache_bypass" in [http, server, location] [1+];
        "proxy_no_cache" in [http, server, location] [1+];
        "proxy_cache_valid" in [http, server, location] [1+];
        "proxy_cache_min_uses" in [http, server, location] [1];
        "proxy_cache_max_range_offset" in [http, server, location] [1];
        "proxy_cache_use_stale" in [http, server, location] [1+];
        "proxy_cache_methods" in [http, server, location] [1+];
        "proxy_cache_lock" in [http, server, location] [1];
        "proxy_cache_lock_timeout" in [http, server, location] [1];
        "proxy_cache_lock_age" in [http, server, location] [1];
        "proxy_cache_revalidate" in [http, server, location] [1];
        "proxy_cache_convert_head" in [http, server, location] [1];
        "proxy_cache_background_update" in [http, server, location] [1];
    }
}

/// A block has either a cache or a store.
fn set_cache(_: &mut dyn Any, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    match node.args[0].is("off") {
        true => Ok(()),
        false => stored::exclude(node, cx, "cache", "store"),
    }
}
