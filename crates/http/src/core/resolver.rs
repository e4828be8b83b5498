//! `resolver`: the name servers for requests.

use weir_conf::value::Msec;
use weir_conf::{Slot, directives};
use weir_upstream::ResolverConfig;

/// The name servers for requests.
pub(crate) static RESOLVER: Slot<Resolving> = Slot::new();

directives! {
    /// The name servers for requests.
    pub struct Resolving in [http, server, location] {
        /// The addresses of name servers.
        "resolver" => resolver: Option<ResolverConfig>,
        /// The timeout of name resolution.
        "resolver_timeout" => timeout: Msec = Msec::seconds(30),
    }
}
