//! The resolver: resolves names at run time by asking the name servers of `resolver`.
//!
//! A [`Resolver`] is shared by all threads: they share its cache, and concurrent requests for one
//! name send one query, on the loop of the first.

mod cache;
mod counters;
mod error;
mod exchange;
pub(crate) mod message;
mod service;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use weir_conf::{
    Arity, Cx, Fault, Node, Value,
    value::{parse_ipv4, parse_sec},
};
use weir_engine::Addr;
use weir_engine::url::{UrlOptions, parse_url};

use cache::{Answer, Cache, Flight, Key};
use counters::Counters;
pub use counters::{ResolverCounts, reset_resolver_zone, resolver_zones};
pub(crate) use error::Reason;
pub use error::ResolveError;
pub(crate) use service::ServiceAddress;

/// The time for a response before the next name server is asked.
const RESEND: Duration = Duration::from_secs(5);

/// The limit of aliases followed for one name.
const MAX_ALIASES: usize = 50;

/// The validity of a failure for periodic resolution, in seconds.
pub(crate) const FAILURE_VALID: i64 = 10;

/// `resolver ADDRESS … [valid=TIME] [ipv4=on|off] [ipv6=on|off] [status_zone=ZONE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// The name servers, at least one.
    pub servers: Vec<SocketAddr>,
    /// The validity of responses in seconds, overriding their TTL.
    pub valid: Option<i64>,
    /// Whether to query IPv4 addresses.
    pub ipv4: bool,
    /// Whether to query IPv6 addresses.
    pub ipv6: bool,
    /// The counters of its zone.
    pub(crate) counters: Option<Counters>,
}

impl Value for ResolverConfig {
    const SYNTAX: &'static str =
        "address ... [valid=time] [ipv4=on|off] [ipv6=on|off] [status_zone=zone]";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut config =
            Self { servers: Vec::new(), valid: None, ipv4: true, ipv6: true, counters: None };
        for word in &node.args {
            let text = word.text();
            let invalid = || Fault::new(format!("invalid parameter: {text}")).at(word);
            let switch = |value: &[u8]| match value {
                b"on" => Ok(true),
                b"off" => Ok(false),
                _ => Err(invalid()),
            };
            if let Some(value) = word.after("valid=") {
                let seconds = parse_sec(value).ok_or_else(invalid)?.as_secs();
                // As in nginx, zero means the TTL of the responses.
                config.valid = i64::try_from(seconds).ok().filter(|&seconds| seconds > 0);
            } else if let Some(value) = word.after("ipv4=") {
                config.ipv4 = switch(value)?;
            } else if let Some(value) = word.after("ipv6=") {
                config.ipv6 = switch(value)?;
            } else if let Some(zone) = word.after("status_zone=") {
                let zone = std::str::from_utf8(zone).ok().filter(|zone| !zone.is_empty());
                config.counters = Some(Counters::of(zone.ok_or_else(invalid)?));
            } else {
                let options =
                    UrlOptions { default_port: 53, uri_part: false, lookup: Some(cx.env()) };
                let url = parse_url(&text, options).map_err(|fault| {
                    Fault::new(format!("{fault} in resolver \"{text}\"")).at(word)
                })?;
                config.servers.extend(url.addresses.iter().filter_map(|address| match address {
                    Addr::Inet(address) => Some(*address),
                    Addr::Unix(_) => None,
                }));
            }
        }
        if !config.ipv4 && !config.ipv6 {
            return Err(Fault::new("\"ipv4\" and \"ipv6\" cannot both be \"off\""));
        }
        if config.servers.is_empty() {
            return Err(Fault::new("no name servers defined"));
        }
        Ok(config)
    }
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The addresses in the order of attempts; never empty.
    pub addresses: Vec<IpAddr>,
    /// The end of their validity, in seconds of [`Now::current`](crate::Now::current).
    pub valid: i64,
}

/// A resolver. A clone shares the cache.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ResolverConfig,
    cache: Cache,
    /// The index of the name server for the next query.
    turn: AtomicUsize,
    /// The time for a response before the next name server is asked.
    resend: Duration,
}

/// A weak reference to a resolver.
#[derive(Debug)]
pub(crate) struct WeakResolver(Weak<Inner>);

impl WeakResolver {
    pub(crate) fn upgrade(&self) -> Option<Resolver> {
        self.0.upgrade().map(Resolver)
    }
}

impl Resolver {
    pub(crate) fn downgrade(&self) -> WeakResolver {
        WeakResolver(Arc::downgrade(&self.0))
    }

    /// A resolver with an empty cache.
    pub fn new(config: ResolverConfig) -> Self {
        Self::with_resend(config, RESEND)
    }

    fn with_resend(config: ResolverConfig, resend: Duration) -> Self {
        let (cache, turn) = (Cache::default(), AtomicUsize::new(0));
        Self(Arc::new(Inner { config, cache, turn, resend }))
    }

    /// Its configuration. Equal configurations can share a resolver across a reload.
    pub fn config(&self) -> &ResolverConfig {
        &self.0.config
    }

    /// The addresses of a name. A timeout of zero waits for ever.
    ///
    /// # Errors
    /// No addresses according to the name servers, or no response.
    pub async fn resolve(&self, name: &str, timeout: Duration) -> Result<Resolved, ResolveError> {
        let name = normal(name);
        if let Some(address) = parse_ipv4(name.as_bytes()) {
            return Ok(Resolved { addresses: vec![address.into()], valid: i64::MAX });
        }
        let fail = |reason| ResolveError { name: name.clone(), reason };
        within(timeout, self.follow(Key::Name(name.clone())))
            .await
            .and_then(|(answer, valid)| match answer {
                Answer::Addresses(addresses) => Ok(Resolved { addresses, valid }),
                _ => Err(Reason::NOT_FOUND),
            })
            .map_err(fail)
    }

    /// Follows aliases to the final answer; returns it with the end of its validity.
    async fn follow(&self, mut key: Key) -> Result<(Answer, i64), Reason> {
        for _ in 0..=MAX_ALIASES {
            let (answer, valid) = self.find(key.clone()).await?;
            match answer {
                Answer::Alias(target) => key = key.alias(target),
                answer => return Ok((answer, valid)),
            }
        }
        Err(Reason::NOT_FOUND)
    }

    async fn find(&self, key: Key) -> Result<(Answer, i64), Reason> {
        loop {
            let flying = match self.0.cache.find(&key, now()) {
                Flight::Cached(answer, valid) => {
                    return Ok((answer.rotated(&mut fastrand::Rng::new()), valid));
                }
                Flight::Full => return Err(Reason::SERVER_FAILURE),
                Flight::Asked(flying) => flying,
                Flight::Ask(ticket, flying) => {
                    let (inner, key) = (Arc::clone(&self.0), key.clone());
                    weir_engine::spawn(async move { inner.ask(key, ticket).await });
                    flying
                }
            };
            // A thread that ends takes its queries along; a waiter on another thread repeats them.
            if let Some(landing) = cache::landed(flying).await {
                return landing;
            }
        }
    }
}

impl Inner {
    /// Queries the name servers and wakes all waiters. Gives up when there are none.
    async fn ask(&self, key: Key, ticket: cache::Ticket) {
        let first = self.turn.fetch_add(1, Relaxed);
        let counters = self.config.counters.as_ref();
        counters.inspect(|zone| zone.count_request(&key));
        let answer =
            exchange::run(&self.config, self.resend, &key, first, &|| ticket.is_awaited()).await;
        counters.inspect(|zone| zone.count_response(&answer));
        let answer = answer.map(|(answer, ttl)| {
            let valid = now() + self.config.valid.unwrap_or(i64::from(ttl));
            (answer, valid)
        });
        self.cache.land(&key, ticket, answer, now());
    }
}

/// The name in lower case, without the final dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn now() -> i64 {
    crate::Now::current().seconds
}

async fn within<T>(
    timeout: Duration,
    future: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    if timeout.is_zero() {
        return future.await;
    }
    weir_engine::timer::timeout(timeout, future).await.unwrap_or(Err(Reason::TIMED_OUT))
}
