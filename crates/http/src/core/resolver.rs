//! `resolver`: which name servers are asked at run time.

use weir_conf::value::Msec;
use weir_conf::{Slot, directives};
use weir_upstream::ResolverConfig;

/// Which name servers are asked at run time.
pub static RESOLVER: Slot<Resolving> = Slot::new();

directives! {
    /// Which name servers are asked at run time.
    pub struct Resolving in [http, server, location] {
        /// The addresses of name servers.
        "resolver" => resolver: Option<ResolverConfig>,
        /// How long an answer may take.
        "resolver_timeout" => timeout: Msec = Msec::seconds(30),
    }
}
