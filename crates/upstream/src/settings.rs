//! The directives of an `upstream` block, for http and for stream.

mod discover;
mod load;
mod locality;
mod outlier;
mod server;
mod state;
mod sticky;
#[cfg(test)]
mod verdicts;

use std::path::PathBuf;

use weir_conf::{
    Contexts, Cx, Fault, Local, Node, Slot, Span, directives,
    value::{Msec, parse_msec, parse_number, parse_size},
};
use weir_script::{Template, Variables, variables::StreamVariables};

use crate::{
    agent::config::AgentConfig,
    balance::method::Balance,
    config::MethodHandle,
    discovery::config::DiscoverConfig,
    outlier::config::OutlierConfig,
    queue::QueueConfig,
    report::ReportConfig,
    resolver::ResolverConfig,
    server::Server,
    sticky::SessionsConfig,
    upstreams::{Side, Upstreams},
    zones::{MIN_ZONE, Zones},
};

use load::{set_agent_check, set_load_report};
use locality::Preferred;
use outlier::set_outlier_ejection;
use server::set_server;
pub(crate) use server::{Reading, Supported, read_server};
use state::set_state;
pub use sticky::StickyConfig;
use sticky::set_sticky;

/// The settings of `upstream` blocks.
pub static UPSTREAM: Slot<Upstream> = Slot::new();

directives! {
    /// Groups of servers that requests are passed to.
    pub struct Upstream as UpstreamWritten in [upstream, stream_upstream] {
        /// Defines a group of servers. Servers can listen on different ports, and TCP and UNIX
        /// sockets can be mixed.
        "upstream" in [http] opens upstream [1]: "name" then close_upstream => open_upstream,
        /// Defines a group of servers.
        "upstream" in [stream] opens stream_upstream [1]: "name"
            then close_upstream => open_upstream,
        /// Defines a server: its address and its parameters `weight`, `max_conns`, `max_fails`,
        /// `fail_timeout`, `slow_start`, `backup`, `down`, `drain`, `route`, `locality`, `resolve`,
        /// `service`, and `agent_addr` and `agent_port` for `agent_check`. A name with several
        /// addresses defines several servers. With `slow_start=time` a server that takes requests
        /// again gets them gradually; with `slow_start=auto` as fast as its latency and errors stay
        /// like those of the others.
        "server" [1+]: "address [parameters]" => set_server,
        /// Names the file with the servers, in place of `server` directives. It is written whenever
        /// they change at run time, by the worker's user, who needs write access to its folder. A
        /// file that does not exist is empty.
        "state" [1]: "file" => set_state,
        /// Takes servers from a source besides those of `server` lines, and follows its changes at
        /// once. A file has a server with its parameters on each line, and `#` begins a comment; or
        /// it is a JSON list of objects as in the API. The worker's user must be able to read it.
        /// In etcd, every key below `prefix` is a server, and has such a line or object as its
        /// value. If a source fails or has no servers any more, the last known ones go on serving;
        /// the entry `none` allows a list to be empty.
        "discover" [2+]: "file path | etcd url ... prefix=prefix [user=name password_file=file] \
            [ca=file] [certificate=file certificate_key=file] [state=file]" => set_discover,
        /// Names a zone for the group's state, so that it can change at run time; `resolve` needs
        /// one.
        "zone" [1, 2]: "name [size]" => set_zone,
        /// Sets the number of idle connections to the servers that each thread keeps. With `local`
        /// a connection serves only the location that opened it. The default is `32 local`; 0
        /// keeps none.
        "keepalive" in [upstream] [1, 2]: "connections [local]" => set_keepalive,
        /// Limits the number of requests on one kept connection.
        "keepalive_requests" in [upstream] => keepalive_requests: u64 = 1000,
        /// Limits the age of a kept connection.
        "keepalive_time" in [upstream] => keepalive_time: Msec = Msec::minutes(60),
        /// Limits the idle time of a kept connection.
        "keepalive_timeout" in [upstream] => keepalive_timeout: Msec = Msec::seconds(60),
        /// Lets requests wait while no server can take them, for example because of `max_conns`: at
        /// most this number at a time, first come, first served. A request that finds the queue
        /// full, or no server within `timeout`, by default 60s, is answered with 502.
        "queue" in [upstream] [1, 2]: "number [timeout=time]" => set_queue,
        /// Prefers servers with one of these localities (`locality=`), the first one most; values
        /// may contain variables. A preferred locality takes all requests while its working
        /// servers have enough of its weight: their part of it, times `overflow`, by default 140%,
        /// is its part of the requests. The rest, and requests that none of its servers can take,
        /// for example because of `max_conns`, go to the next locality, at last to the servers
        /// without a preferred one. With `overflow=off` it takes all as long as one of its servers
        /// works.
        "prefer_locality" [1+]: "locality ... [overflow=percent | off]" => set_prefer_locality,
        /// Binds the requests of a session to one server: by a cookie (`cookie name [expires=time]
        /// [domain=domain] [httponly] [samesite=strict|lax|none|$variable] [secure] [path=path]`),
        /// by the `route=` of a server (`route $variable ...`), or by what servers answer (`learn
        /// create=$variable lookup=$variable zone=name:size [timeout=time] [header]`, where
        /// `header` means that the session is known at the end of the response's head).
        "sticky" in [upstream] [2+]: "cookie | route | learn parameters" => set_sticky,
        /// Takes servers that fail, or are worse than the others, out of the group for a while:
        /// after `consecutive` failures in a row (connection faults, timeouts, the statuses 500,
        /// 502 to 504 and above 505), or if in an `interval` the share of good answers is more than
        /// `success_rate` standard deviations below the mean of the others, or the median response
        /// time more than `latency` times theirs. Comparisons need `min_servers` with
        /// `min_requests` each. An ejection takes `time`, each in a row that much longer, up to
        /// `max_time`. The share `max` of the servers, but at least one, may be out, and half of
        /// them must be left. The defaults: `consecutive=5 success_rate=1.9 latency=off
        /// interval=10s time=30s max_time=300s max=10% min_servers=3 min_requests=100`.
        "outlier_ejection" in [upstream] [any]: "[consecutive=number | off] \
            [success_rate=number | off] [latency=number | off] [interval=time] [time=time] \
            [max_time=time] [max=percent%] [min_servers=number] [min_requests=number]"
            => set_outlier_ejection,
        /// Asks the agent of each server what it can take, by the protocol of HAProxy's agent
        /// check: connects to `port`, sends the `send` string, and reads a line of words. `75%` or
        /// `weight:N` changes the weight, `maxconn:N` replaces `max_conns`, `drain`, `maint` and
        /// `ready` set an administrative state, `down` and `up` the health. What an agent does not
        /// say stays as it was, also while it cannot be reached. The server's `agent_addr` (an IP
        /// address) and `agent_port` precede its own address and `port`. The whole exchange is
        /// limited to `timeout`, by default the `interval`. Needs a `zone`.
        "agent_check" in [upstream] [any]: "[port=number] [interval=2s] [timeout=time] \
            [send=string]" => set_agent_check,
        /// Heeds what servers say in their responses about their load, in the field
        /// `endpoint-load-metrics` (ORCA) with the form `TEXT` or `JSON`. The weight of a server
        /// becomes its requests per second, divided by its use: the highest of the named metrics,
        /// or else `application_utilization`, or else `cpu_utilization`; errors per request count
        /// as use, times `penalty`. Weights are relative to each other; a server without one has
        /// the mean. A report counts after `blackout` from the first one, and until `expiration`
        /// after the last one. The field is not passed on, unless `proxy_pass_header` names it. The
        /// defaults: `penalty=1.0 blackout=10s expiration=3m`. Needs a `zone`.
        "load_report" in [upstream] [any]: "[penalty=number] [blackout=time] [expiration=time] \
            [metric=name ...]" => set_load_report,
        /// Sets the name servers for `resolve`, in place of those of http or stream.
        "resolver" => resolver: Option<ResolverConfig>,
        /// Limits the time to resolve a name.
        "resolver_timeout" => resolver_timeout: Option<Msec>,
        field agent: Local<Option<AgentConfig>>,
        field report: Local<Option<ReportConfig>>,
        field outliers: Local<Option<OutlierConfig>>,
        field discover: Local<Option<DiscoverConfig>>,
        field servers: Local<Vec<Server>>,
        field zone: Local<Option<String>>,
        field state: Local<Option<PathBuf>>,
        field keepalive: Local<Option<(usize, bool)>>,
        field method: Local<Option<Chosen>>,
        field sticky_config: Local<Option<StickyConfig>>,
        field sessions: Local<Option<SessionsConfig>>,
        field queue: Local<Option<QueueConfig>>,
        field locality: Local<Option<Preferred>>
    }
}

/// The balancing method of a block.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// The method.
    pub method: MethodHandle,
    /// The key of `hash`.
    pub key: Option<Template>,
}

/// Begins a method's directive, which replaces an earlier one.
pub(crate) fn begin_method(cx: &mut Cx<'_>) {
    let written = cx.written(&UPSTREAM);
    if written.method.is_some() || written.sticky_config.is_some() {
        cx.warn("load balancing method redefined");
    }
}

/// Sets the balancing method of the block.
pub(crate) fn choose(cx: &mut Cx<'_>, method: impl Balance + 'static, key: Option<Template>) {
    let method = MethodHandle(std::sync::Arc::new(method));
    cx.written(&UPSTREAM).method = Some(Some(Chosen { method, key }));
}

/// Compiles text with the variables of the directive's side.
pub(crate) fn template(cx: &mut Cx<'_>, text: &[u8]) -> Result<Template, Fault> {
    if side(cx) == Side::Stream {
        Template::compile(text, &mut cx.registry::<StreamVariables>().0)
    } else {
        Template::compile(text, cx.registry::<Variables>())
    }
}

/// The side of the directive being read: that of its block, or of the block it opens.
pub(crate) fn side(cx: &Cx<'_>) -> Side {
    let stream = Contexts::STREAM.union(Contexts::STREAM_UPSTREAM);
    if stream.intersects(cx.context()) { Side::Stream } else { Side::Http }
}

fn open_upstream(_: &mut UpstreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let (side, block, place) = (side(cx), cx.child_id(), cx.span());
    let name = node.args[0].text();
    cx.registry::<Upstreams>().declare(side, &name, block, place)
}

fn close_upstream(upstream: &mut UpstreamWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    let has_others = upstream.state.is_some() || upstream.discover.is_some();
    if upstream.servers.is_none() && !has_others {
        return Err(Fault::new("no servers are inside upstream"));
    }
    Ok(())
}

fn set_zone(upstream: &mut UpstreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let name = &node.args[0];
    if name.value.is_empty() {
        return Err(Fault::new(format!("invalid zone name \"{}\"", name.text())).at(name));
    }
    let mut size = 0;
    if let Some(word) = node.arg(1) {
        size = parse_size(&word.value)
            .ok_or_else(|| Fault::new(format!("invalid zone size \"{}\"", word.text())).at(word))?;
        if size < MIN_ZONE {
            return Err(Fault::new(format!("zone \"{}\" is too small", name.text())).at(word));
        }
    }
    Zones::declare(cx, &name.value, size, side(cx).zone_usage())?;
    upstream.zone = Some(Some(name.text().into_owned()));
    Ok(())
}

fn set_keepalive(upstream: &mut UpstreamWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    if upstream.keepalive.is_some() {
        return Err(Fault::duplicate());
    }
    let word = &node.args[0];
    let connections = parse_number(&word.value).ok_or_else(|| {
        let message = format!("invalid value \"{}\" in \"keepalive\" directive", word.text());
        Fault::new(message).at(word)
    })?;
    let local = match node.arg(1) {
        None => false,
        Some(word) if word.is("local") => true,
        Some(word) => return Err(Fault::parameter(word)),
    };
    let connections = usize::try_from(connections).unwrap_or(usize::MAX);
    upstream.keepalive = Some(Some((connections, local)));
    Ok(())
}

fn set_discover(upstream: &mut UpstreamWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if upstream.discover.is_some() {
        return Err(Fault::duplicate());
    }
    upstream.discover = Some(Some(discover::source(node, cx)?));
    Ok(())
}

fn set_queue(upstream: &mut UpstreamWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    if upstream.queue.is_some() {
        return Err(Fault::duplicate());
    }
    let word = &node.args[0];
    let size = parse_number(&word.value).and_then(|number| usize::try_from(number).ok());
    let size = size.filter(|&size| size > 0).ok_or_else(|| Fault::invalid(word))?;
    let mut timeout = 60_000;
    if let Some(word) = node.arg(1) {
        let time = word.after("timeout=").and_then(parse_msec);
        timeout = time.ok_or_else(|| Fault::parameter(word))?.as_millis() as u64;
    }
    upstream.queue = Some(Some(QueueConfig { size, timeout }));
    Ok(())
}

fn set_prefer_locality(
    upstream: &mut UpstreamWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    if upstream.locality.is_some() {
        return Err(Fault::duplicate());
    }
    upstream.locality = Some(Some(locality::read(node, |name| template(cx, name))?));
    Ok(())
}

/// A fault at a block's end, about the block as a whole.
pub(crate) fn at_block(message: String, place: Span) -> Fault {
    Fault::new(message).in_place(place)
}
