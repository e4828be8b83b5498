//! `tunnel_pass`: tunnels for CONNECT requests (nginx: `ngx_http_tunnel_module`).

use std::sync::Arc;

use weir_conf::value::{Msec, Off, Size};
use weir_conf::{
    Arity, Contexts, Cx, Fault, Inherit, Local, Node, Settings, Slot, Value, Word, directives,
};
use weir_engine::error_log::Level;
use weir_engine::url::{UrlOptions, parse_url};
use weir_script::{Template, Variables};
use weir_upstream::{Causes, RetryBudget, Side, UpstreamRef, Upstreams};
use weir_wire::h1::Method;
use weir_wire::header::Headers;

use crate::module::{Handler, Module, Verdict};
use crate::pass::course::{Course, Passing};
use crate::pass::destination::{OwnPass, Scheme};
use crate::pass::protocol::{InvalidHead, Outgoing, Protocol, UpstreamHead};
use crate::pass::target::Target;
use crate::pass::transfer::{Bind, Budget, NextUpstream, Transfer};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;

pub(crate) const MODULE: Module = Module {
    name: "tunnel",
    tables: &[&Tunnel::table(&TUNNEL)],
    content: Some(|settings| connects(settings).then_some(Handler::Pass(handle))),
    connects: Some(connects),
    ..Module::NONE
};

static TUNNEL: Slot<Tunnel> = Slot::new();

/// The default destination: the one in the request.
const ANYWHERE: &[u8] = b"$host:$request_port";

directives! {
    /// Tunnels between clients and the servers named in CONNECT requests.
    pub(crate) struct Tunnel as TunnelWritten in [http, server, location] {
        /// Allows CONNECT. The optional address replaces the destination in the request.
        "tunnel_pass" in [server, location, location_if] [0, 1]: "[address]" => set_pass,
        /// The local address of connections to servers.
        "tunnel_bind" => bind: Option<Off<Bind>>,
        /// Enables TCP keepalive on connections to servers.
        "tunnel_socket_keepalive" => socket_keepalive: bool = false,
        /// The receive buffer size of connections to servers.
        "tunnel_socket_rcvbuf" => socket_rcvbuf: Option<Size>,
        /// The send buffer size of connections to servers.
        "tunnel_socket_sndbuf" => socket_sndbuf: Option<Size>,
        /// The timeout for connecting to a server.
        "tunnel_connect_timeout" => connect_timeout: Msec = Msec::seconds(60),
        /// Has no effect: `tunnel_read_timeout` covers both directions.
        "tunnel_send_timeout" => send_timeout: Msec = Msec::seconds(60),
        /// Has no effect: the kernel decides when a connection is writable.
        "tunnel_send_lowat" => send_lowat: Size = Size::bytes(0),
        /// Has no effect: the thread's buffers are used.
        "tunnel_buffer_size" => buffer_size: Size = Size::k(4),
        /// The timeout between two reads, from either side.
        "tunnel_read_timeout" => read_timeout: Msec = Msec::seconds(60),
        /// The failures after which another server of the group is tried.
        "tunnel_next_upstream" => next_upstream: Next = Next(NextUpstream(Causes::DEFAULT)),
        /// The maximum number of servers tried; 0 means no limit.
        "tunnel_next_upstream_tries" => next_upstream_tries: u32 = 0,
        /// The time limit for trying servers; 0 means no limit.
        "tunnel_next_upstream_timeout" => next_upstream_timeout: Msec,
        /// The time limit for connecting to one server if another one can be tried; 0 means no
        /// limit.
        "tunnel_next_upstream_try_timeout" => next_upstream_try_timeout: Msec,
        /// Limits the retries under way in the group of servers to this percentage of its active
        /// requests, but not below `min`.
        "tunnel_next_upstream_budget" => next_upstream_budget: Budget
            = Budget(Some(RetryBudget::DEFAULT)),
        // The destination.
        field pass: Local<Option<To>>,
        // The settings in the form that passing needs.
        field transfer: Inherit<Option<Arc<Transfer>>>,
    }
    finish = Tunnel::finish;
}

/// The destination of a tunnel.
#[derive(Clone, Debug)]
enum To {
    Fixed(UpstreamRef),
    Computed(Template),
}

/// `tunnel_next_upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next(NextUpstream);

impl Value for Next {
    const SYNTAX: &'static str = "error | timeout | off ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut none = Self(NextUpstream(Causes::default()));
        none.again(node, cx)?;
        Ok(none)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let known = |word: &Word| {
            ["error", "timeout", "off"].iter().any(|known| word.text().eq_ignore_ascii_case(known))
        };
        match node.args.iter().find(|word| !known(word)) {
            Some(word) => Err(Fault::invalid(word)),
            None => self.0.again(node, cx),
        }
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

fn set_pass(own: &mut TunnelWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.pass.is_some() {
        return Err(Fault::duplicate());
    }
    OwnPass::note(MODULE.name, cx);
    let text = node.args.first().map_or(ANYWHERE, |word| &word.value);
    let template = Template::compile(text, cx.registry::<Variables>())?;
    if template.literal().is_none() {
        own.pass = Some(Some(To::Computed(template)));
        return Ok(());
    }
    let text = String::from_utf8_lossy(text);
    let url =
        parse_url(&text, URL).map_err(|why| Fault::new(format!("{why} in upstream \"{text}\"")))?;
    let place = cx.span();
    let upstream = cx.registry::<Upstreams>().refer(Side::Http, &url, place)?;
    own.pass = Some(Some(To::Fixed(upstream)));
    Ok(())
}

/// The scheme of a tunnel, which has no text.
const SCHEME: Scheme = Scheme { text: "", port: 0, tls: false };

/// The syntax of a tunnel's address: no default port, no URI.
const URL: UrlOptions<'static> = UrlOptions { default_port: 0, uri_part: false, lookup: None };

impl Tunnel {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let above = parent.map(|parent| &parent.pass);
        OwnPass::settle(MODULE.name, &mut self.pass, above, Contexts::LOCATION_IF, cx);
        if self.pass.is_some() {
            self.transfer = Some(Arc::new(Transfer {
                bind: self.bind.clone(),
                socket_keepalive: self.socket_keepalive,
                socket_rcvbuf: self.socket_rcvbuf,
                socket_sndbuf: self.socket_sndbuf,
                connect_timeout: self.connect_timeout,
                send_timeout: self.send_timeout,
                read_timeout: self.read_timeout,
                next_upstream: self.next_upstream.0,
                next_upstream_tries: self.next_upstream_tries,
                next_upstream_timeout: self.next_upstream_timeout,
                next_upstream_try_timeout: self.next_upstream_try_timeout,
                next_upstream_budget: self.next_upstream_budget,
                ..Transfer::default()
            }));
        }
        Ok(())
    }
}

fn connects(settings: &Settings) -> bool {
    settings.get(&TUNNEL).pass.is_some()
}

fn handle(request: &mut Request) -> Passing<'_> {
    if request.method != Method::Connect {
        return Passing::Not(Verdict::Status(405));
    }
    Passing::Later(Box::pin(async move {
        let location = request.location.clone();
        let Some(to) = &location.settings.get(&TUNNEL).pass else { return Err(Verdict::Next) };
        let target = resolve(request, to).await?;
        request.attempts.begin_pass(SCHEME.text);
        let location = location.clone();
        let protocol = Box::new(Bytes);
        Ok(Course {
            location,
            transfer,
            next_upstream: None,
            tls: None,
            cache: None,
            protocol,
            target,
        })
    }))
}

fn transfer(location: &Location) -> &Transfer {
    let tunnel = location.settings.get(&TUNNEL);
    tunnel.transfer.as_deref().expect("a location with tunnel_pass has its settings")
}

async fn resolve(request: &mut Request, to: &To) -> Result<Target, Rejection> {
    match to {
        To::Fixed(upstream) => Ok(Target::fixed(request, *upstream, SCHEME)),
        To::Computed(template) => {
            let value = request.eval(template);
            let text = weir_wire::shown(&value);
            match parse_url(&text, URL) {
                Ok(url) => Target::locate(request, &url, SCHEME).await,
                Err(why) => {
                    request.log(Level::Info, &format!("{why} in upstream \"{text}\""));
                    Err(Rejection::INTERNAL)
                }
            }
        }
    }
}

/// The tunnel's protocol, which has no heads of its own.
struct Bytes;

impl Protocol for Bytes {
    fn write_head(
        &mut self,
        _: &mut Request,
        _: &Target,
        _: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        Ok(Outgoing::default())
    }

    fn read_head(
        &mut self,
        _: &[u8],
        _: &mut Headers,
        head: &mut UpstreamHead,
    ) -> Result<bool, InvalidHead> {
        (head.status, head.upgraded) = (200, true);
        Ok(true)
    }

    fn reset(&mut self) {}
}
