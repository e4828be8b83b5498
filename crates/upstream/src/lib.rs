//! Where a request goes: groups of peers, balancing, passive health, retries, kept connections,
//! sticky sessions and the resolver. Knows neither HTTP nor streams.
#![forbid(unsafe_code)]

mod balance;
mod clock;
mod group;
mod keepalive;
mod peer;
mod pick;
mod registry;
mod retry;
mod set;
mod sticky;

pub use balance::Moment;
pub use clock::Now;
pub use group::{Group, GroupConfig, MethodHandle, Name, Request, Server};
pub use keepalive::{KeepaliveConfig, Pool, Pools, Usage};
pub use peer::{Address, Admission, Limits, MAX_ROUTE, Peer, PeerState};
pub use pick::{Freed, NoLive, Outcome, Pick, Timings};
pub use registry::Registry;
pub use retry::{Causes, Progress, Retry};
pub use sticky::{Cookie, CookieMoment, Expires, Sessions, SessionsConfig, is_samesite};
