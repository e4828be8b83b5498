//! Upstream groups: peers, balancing, passive health, retries, kept connections, sticky sessions
//! and the resolver. Knows neither HTTP nor streams.
//!
//! While a configuration is assembled, [`tables`] read the `upstream` blocks, and directives that
//! pass requests on call [`Upstreams::refer`]. [`Upstreams::plans`] then returns a [`UpstreamPlan`]
//! for each, from which the process's [`Registry`] makes a [`Group`], or finds it again after a
//! reload. [`Group::view`] shows a group, and [`Group::edit`] changes it while it serves. A request
//! proceeds like this:
//!
//! ```
//! use std::sync::Arc;
//! use weir_engine::Addr;
//! use weir_upstream::{Group, Now, Outcome, Request, Timings};
//!
//! let addresses = [81, 82].map(|port| Addr::Inet(([127, 0, 0, 1], port).into()));
//! let group: Arc<Group> = Group::transient("example", addresses.to_vec());
//! let mut random = fastrand::Rng::new();
//! let mut pick = group.start(Request { sticky: b"", ..Request::default() });
//! let peer = pick.next(&mut random, Now::current()).expect("two live peers");
//! assert_eq!(peer.name, "127.0.0.1:81");
//! // It does not answer: the next one, as `Retry::goes_on` allows.
//! pick.free(Outcome::Failed, Timings::default(), Now::current());
//! let peer = pick.next(&mut random, Now::current()).expect("another one");
//! assert_eq!(peer.name, "127.0.0.1:82");
//! let timings = Timings { connect: Some(1), header: Some(3), response: Some(5) };
//! pick.free(Outcome::Success, timings, Now::current());
//! ```
#![forbid(unsafe_code)]

mod address_key;
mod agent;
mod balance;
mod check;
mod clock;
mod config;
mod counters;
mod discovery;
mod downtime;
mod edit;
mod edited;
mod explain;
mod findings;
pub mod fuzz;
mod group;
mod group_counters;
mod health;
mod keepalive;
mod left_health;
mod loads;
mod locality;
mod names;
mod outcome;
mod outlier;
mod page;
mod peer;
mod pick;
mod place;
mod queue;
mod quoted;
mod record;
mod registry;
mod report;
mod resolve;
mod resolver;
mod retry;
mod ring;
mod roster;
mod server;
mod set;
pub mod settings;
mod shared_groups;
pub mod shared_news;
pub mod shared_records;
pub mod shared_servers;
pub mod shared_turn;
pub mod shared_zone;
mod slow_start;
mod sticky;
mod summary;
mod upstreams;
mod view;
mod zones;

pub use address_key::AddressKey;
pub use agent::{AgentAddress, AgentConfig, AgentView};
pub use balance::method::{Moment, Request};
pub use check::{CheckConfig, CheckCounts, CheckPlan, Finding, Probe, Probed, Probing};
pub use clock::Now;
pub use config::{GroupConfig, MethodHandle};
pub use counters::{Answered, ByReason, Exchanged, PeerCounts};
pub use edit::{Change, Edit, EditError, MAX_SERVERS};
pub use explain::{Explained, MOST_RIVALS, Rival};
pub use group::Group;
pub use group_counters::GroupCounts;
pub use health::{Health, MAX_CHECKS, Source};
pub use keepalive::{CountedIdle, KeepaliveConfig, KeptCount, Made, Pool, Pools, Usage};
pub use locality::{LocalityConfig, MAX_LOCALITY};
pub use outcome::{Outcome, Timings};
pub use outlier::config::OutlierConfig;
pub use page::{GroupPage, PageOrder, PageWanted, page};
pub use peer::{Peer, PeerState};
pub use pick::{Freed, NoLive, NoWait, Pick};
pub use place::{ByPlace, Place, PlaceId};
pub use queue::{QueueConfig, QueueView};
pub use registry::Registry;
pub use report::{ReportConfig, ReportCounts};
pub use resolver::{
    ResolveError, Resolved, Resolver, ResolverConfig, ResolverCounts, reset_resolver_zone,
    resolver_zones,
};
pub use retry::{Causes, Progress, Retry, budget::RetryBudget};
pub use server::{Admission, Limits, MAX_ROUTE, Name, Origin, Server, ServerId, SlowStart};
pub use shared_groups::share;
pub use sticky::{Cookie, CookieMoment, Expires, Sessions, SessionsConfig};
pub use summary::{GroupSummary, STATES, Unfit};
pub use upstreams::{Side, UpstreamPlan, UpstreamRef, Upstreams};
pub use view::{GroupView, PeerStatus, PeerView, ServerView};
pub use zones::{MIN_ZONE, Zones};

/// The tables of the `upstream` block and its directives.
pub fn tables() -> Vec<&'static weir_conf::Table> {
    static UPSTREAM: weir_conf::Table = settings::Upstream::table(&settings::UPSTREAM);
    std::iter::once(&UPSTREAM).chain(balance::TABLES.iter().copied()).collect()
}
