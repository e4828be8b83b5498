//! Where a request goes: groups of peers, balancing, passive health, retries, kept connections,
//! sticky sessions and the resolver. Knows neither HTTP nor streams.
#![forbid(unsafe_code)]

mod balance;
mod clock;
pub mod fuzz;
mod group;
mod keepalive;
mod peer;
mod pick;
mod registry;
mod resolve;
pub mod resolver;
mod retry;
mod set;
pub mod settings;
mod sticky;
mod upstreams;
pub mod url;
mod zones;

pub use balance::Moment;
pub use clock::Now;
pub use group::{Group, GroupConfig, MethodHandle, Name, Request, Server};
pub use keepalive::{KeepaliveConfig, Pool, PoolId, Pools, Usage};
pub use peer::{Admission, Limits, MAX_ROUTE, Peer, PeerState};
pub use pick::{Freed, NoLive, Outcome, Pick, Timings};
pub use registry::Registry;
pub use resolver::{ResolveError, Resolved, Resolver, ResolverConfig, Service, ServiceAddress};
pub use retry::{Causes, Progress, Retry};
pub use sticky::{Cookie, CookieMoment, Expires, Sessions, SessionsConfig, is_samesite};
pub use upstreams::{Plan, Side, UpstreamRef, Upstreams};
pub use zones::{MIN_ZONE, Zones};

/// The tables of everything that may stand in an `upstream` block, and of the block itself.
pub fn tables() -> Vec<&'static weir_conf::Table> {
    static UPSTREAM: weir_conf::Table = settings::Upstream::table(&settings::UPSTREAM);
    std::iter::once(&UPSTREAM).chain(balance::TABLES.iter().copied()).collect()
}
