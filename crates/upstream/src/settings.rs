//! The directives of an `upstream` block, for http and for stream.

mod server;
mod sticky;
#[cfg(test)]
mod verdicts;

use weir_conf::{
    Contexts, Cx, Fault, Local, Node, Slot, Span, directives,
    value::{Msec, parse_number, parse_size},
};
use weir_script::{Template, Variables, variables::StreamVariables};

use crate::{
    balance::method::Balance,
    config::MethodHandle,
    resolver::ResolverConfig,
    server::Server,
    sticky::SessionsConfig,
    upstreams::{Side, Upstreams},
    zones::{MIN_ZONE, Zones},
};

use server::set_server;
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
        /// `fail_timeout`, `backup`, `down`, `drain`, `route`, `resolve` and `service`. A name with
        /// several addresses defines several servers.
        "server" [1+]: "address [parameters]" => set_server,
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
        /// Binds the requests of a session to one server.
        "sticky" in [upstream] [2+]: "cookie | route | learn parameters" => set_sticky,
        /// Sets the name servers for `resolve`, in place of those of http or stream.
        "resolver" => resolver: Option<ResolverConfig>,
        /// Limits the time to resolve a name.
        "resolver_timeout" => resolver_timeout: Option<Msec>,
        field servers: Local<Vec<Server>>,
        field zone: Local<Option<String>>,
        field keepalive: Local<Option<(usize, bool)>>,
        field method: Local<Option<Chosen>>,
        field sticky_config: Local<Option<StickyConfig>>,
        field sessions: Local<Option<SessionsConfig>>
    }
}

/// The balancing method of a block.
#[derive(Clone, Debug)]
pub struct Chosen {
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
    let template = if side(cx) == Side::Stream {
        Template::compile(text, &mut cx.registry::<StreamVariables>().0)
    } else {
        Template::compile(text, cx.registry::<Variables>())
    };
    template.map_err(Fault::new)
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
    if upstream.servers.is_none() {
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

/// A fault at a block's end, about the block as a whole.
pub(crate) fn at_block(message: String, place: Span) -> Fault {
    Fault::new(message).in_place(place)
}
