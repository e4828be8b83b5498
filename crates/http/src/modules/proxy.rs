//! `proxy_pass` over HTTP/1.x (<https://nginx.org/en/docs/http/ngx_http_proxy_module.html>).

use std::sync::Arc;

use weir_conf::table::Fixed;
use weir_conf::value::Pair;
use weir_conf::{
    Cx, Fault, Inherit, Layout, Local, Many, Node, Settings, Slot, directives, keywords,
};
use weir_script::Template;
use weir_wire::h1::Version;

use crate::cache::{self, settings::Caching};
use crate::core::types::table_sizes;
use crate::module::{Handler, Module, Prepare};
use crate::pass::course::{Course, Passing};
use crate::pass::destination::{Destination, INNER, OwnPass, Passed, Scheme, Schemes};
use crate::pass::fields::{Defaults, Fields, Unset};
use crate::pass::protocol::Protocol;
use crate::pass::target::Target;
use crate::pass::tls::UpstreamTls;
use crate::pass::transfer::Transfer;
use crate::request::Request;
use crate::route::{Kind, Location};
use crate::snapshot::Held;
use crate::variables::VariableRow;

mod cookie;
mod http1;
mod http2;
mod outgoing;
mod rewrite;

use cookie::FlagsRule;
use rewrite::{Rule, set_cookie_domain, set_cookie_flags, set_cookie_path, set_redirect};

pub(crate) const MODULE: Module = Module {
    name: "proxy",
    tables: &[
        &Transfer::table(&TRANSFER).prefix("proxy_").fixed::<Transfer, Proxy>(),
        &UpstreamTls::table(&TLS).prefix("proxy_ssl_"),
        &Caching::table(&CACHE).prefix("proxy_"),
        &Proxy::table(&PROXY),
    ],
    variables: &[
        VariableRow::new("proxy_host", "The host and port in `proxy_pass`.", proxy_host)
            .changeable(),
        VariableRow::new("proxy_port", "The port in `proxy_pass`, or the scheme's.", proxy_port)
            .changeable(),
        VariableRow::new(
            "proxy_add_x_forwarded_for",
            "The request's `X-Forwarded-For` with the client's address added.",
            add_x_forwarded_for,
        ),
        VariableRow::new(
            "proxy_internal_body_length",
            "The length of the body that goes to the upstream, for `Content-Length`.",
            body_length,
        ),
        VariableRow::new(
            "proxy_internal_chunked",
            "`chunked` if the body goes to the upstream in chunks, for `Transfer-Encoding`.",
            chunked,
        ),
    ],
    content: Some(|settings| passes(settings).then_some(Handler::Pass(handle))),
    passes: Some(passes),
    prepare: Some(prepare),
    duties: Some(|configuration, _, _| cache::duties::find(configuration, &CACHE)),
    ..Module::NONE
};

static TRANSFER: Slot<Transfer> = Slot::new();
static TLS: Slot<UpstreamTls> = Slot::new();
static CACHE: Slot<Caching> = Slot::new();
pub(crate) static PROXY: Slot<Proxy> = Slot::new();

/// The schemes of `proxy_pass`.
static SCHEMES: Schemes = Schemes {
    written: &[
        Scheme { text: "http://", port: 80, tls: false },
        Scheme { text: "https://", port: 443, tls: true },
    ],
    implied: None,
    uri: true,
};

/// The fields that are set or removed unless `proxy_set_header` names them.
const DEFAULTS: &Defaults = &[
    ("Connection", Unset::Dropped),
    ("Proxy-Connection", Unset::Dropped),
    ("Content-Length", Unset::BodyLength),
    ("Transfer-Encoding", Unset::Chunked),
    ("TE", Unset::Dropped),
    ("Keep-Alive", Unset::Dropped),
    ("Expect", Unset::Dropped),
    ("Upgrade", Unset::Dropped),
];

keywords! {
    /// `proxy_http_version`.
    pub enum HttpVersion {
        /// 1.0.
        "1.0" => V10,
        /// 1.1.
        "1.1" => V11,
        /// 2, over TLS or without, by prior knowledge.
        "2" => V2,
    }
}

directives! {
    /// Passing of requests to HTTP servers.
    pub struct Proxy as ProxyWritten in [http, server, location] {
        /// The server to pass requests to: a scheme, an address or the name of an `upstream`, and
        /// an optional URI.
        "proxy_pass" in [location, location_if, limit_except] [1]: "URL" => set_pass,
        /// The HTTP version of requests to upstreams.
        "proxy_http_version" => http_version: HttpVersion = HttpVersion::V11,
        /// The request method, in place of the client's.
        "proxy_method" => method: Option<Template>,
        /// The request body, in place of the client's.
        "proxy_set_body" => set_body: Option<Template>,
        /// Sets a field of the request, in place of the client's field of that name.
        "proxy_set_header" => set_header: Many<Pair>,
        /// Rewrites redirects of upstreams.
        "proxy_redirect" [1, 2]: "default | off | redirect replacement" => set_redirect,
        /// Rewrites the domain of cookies.
        "proxy_cookie_domain" [1, 2]: "off | domain replacement" => set_cookie_domain,
        /// Rewrites the path of cookies.
        "proxy_cookie_path" [1, 2]: "off | path replacement" => set_cookie_path,
        /// Sets or clears flags of cookies: `secure`, `httponly`, `samesite=strict`, `samesite=lax`
        /// and `samesite=none`, and `nosecure`, `nohttponly` and `nosamesite`.
        "proxy_cookie_flags" [1, 2, 3, 4]: "off | cookie [flag ...]" => set_cookie_flags,
        /// Has no effect: fields are not stored in a hash table.
        "proxy_headers_hash_max_size" => headers_hash_max_size: u32 = 512,
        /// Has no effect: fields are not stored in a hash table.
        "proxy_headers_hash_bucket_size" => headers_hash_bucket_size: u32 = 64,
        field pass: Local<Option<Destination>>,
        field redirects: Inherit<Option<Vec<Rule>>>,
        field cookie_domains: Inherit<Option<Vec<Rule>>>,
        field cookie_paths: Inherit<Option<Vec<Rule>>>,
        field cookie_flags: Inherit<Option<Vec<FlagsRule>>>,
        field fields: Local<Option<Arc<Fields>>>,
    }
    finish = Proxy::finish;
}

impl Fixed<Transfer> for Proxy {
    fn fix(transfer: &mut Transfer) {
        transfer.temp_folder = Some(Layout::built().proxy_temp);
    }
}

fn set_pass(own: &mut ProxyWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.pass.is_some() {
        return Err(Fault::duplicate());
    }
    let mut destination = Destination::parse(&node.args[0], &SCHEMES, cx)?;
    OwnPass::note(MODULE.name, cx);
    Passed::note(cx, &destination);
    if let Destination::Fixed { place, .. } = &destination {
        match prefix(cx) {
            Some(name) => destination.set_location(name),
            None if place.uri.is_some() => {
                return Err(Fault::new(
                    "\"proxy_pass\" cannot have URI part in location given by regular \
                     expression, or inside named location, or inside \"if\" statement, or inside \
                     \"limit_except\" block",
                ));
            }
            None => {}
        }
    }
    own.pass = Some(Some(destination));
    Ok(())
}

/// The name of the enclosing location, if it is an exact or a prefix one.
fn prefix(cx: &Cx<'_>) -> Option<Vec<u8>> {
    use crate::core::location::Pattern;
    if cx.context() != weir_conf::Contexts::LOCATION {
        return None;
    }
    let pattern = Pattern::parse(cx.block_args()).ok()?;
    matches!(pattern.kind, Kind::Exact | Kind::Prefix { .. }).then_some(pattern.name)
}

impl Proxy {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        use weir_conf::Contexts;
        if cx.context() == Contexts::SERVER {
            let sizes = (self.headers_hash_max_size, self.headers_hash_bucket_size);
            table_sizes("proxy_headers", sizes.0, sizes.1)?;
        }
        if self.redirects.is_none()
            && let Some(default) = self.pass.as_ref().and_then(Rule::default)
        {
            self.redirects = Some(vec![default]);
        }
        let above = parent.map(|parent| &parent.pass);
        OwnPass::settle(MODULE.name, &mut self.pass, above, INNER, cx);
        let above = parent.map(|parent| (&parent.set_header[..], parent.fields.as_ref()));
        let passes = self.pass.is_some();
        self.fields = Fields::settle(passes, &self.set_header, above, DEFAULTS, cx)?;
        Ok(())
    }
}

/// Checks the TLS settings of every location that may use them.
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    cache::zone::bind(whole.registries, "proxy_");
    UpstreamTls::check_users(whole.root, &TLS, "proxy_", |block| {
        block.settings.get(&PROXY).pass.as_ref()
    })
}

fn passes(settings: &Settings) -> bool {
    settings.get(&PROXY).pass.is_some()
}

fn handle(request: &mut Request) -> Passing<'_> {
    Passing::to(request, |location| location.settings.get(&PROXY).pass.as_ref(), &SCHEMES, course)
}

fn course(request: &mut Request, location: Held<Location>, target: Target) -> Course {
    request.attempts.shown.place = Some(Arc::clone(&target.place));
    let tls = target.scheme.tls.then_some(&TLS);
    let protocol: Box<dyn Protocol> = match location.settings.get(&PROXY).http_version {
        HttpVersion::V2 => Box::new(http2::Http2::new(location.clone())),
        HttpVersion::V10 | HttpVersion::V11 => Box::new(http1::Http1::new(location.clone())),
    };
    Course { location, transfer, next_upstream: None, tls, cache: Some(&CACHE), protocol, target }
}

fn transfer(location: &Location) -> &Transfer {
    location.settings.get(&TRANSFER)
}

fn proxy_host(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(place) = &request.attempts.shown.place else { return false };
    out.extend_from_slice(place.host.as_bytes());
    true
}

fn proxy_port(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(place) = &request.attempts.shown.place else { return false };
    if place.port != 0 {
        out.extend_from_slice(place.port.to_string().as_bytes());
    }
    true
}

/// `$proxy_add_x_forwarded_for`: the client's `X-Forwarded-For`, with its address appended.
fn add_x_forwarded_for(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    for (name, value, _) in request.head.iter() {
        if name.eq_ignore_ascii_case(b"x-forwarded-for") {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }
    request.remote.write_ip(out);
    true
}

fn body_length(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let Some(length) = request.attempts.shown.body_length else { return false };
    out.extend_from_slice(length.to_string().as_bytes());
    true
}

fn chunked(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let chunked = request.attempts.shown.chunked;
    if chunked {
        out.extend_from_slice(b"chunked");
    }
    chunked
}

/// The codec's value for `proxy_http_version`.
fn version(proxy: &Proxy) -> Version {
    match proxy.http_version {
        HttpVersion::V10 => Version::HTTP_10,
        HttpVersion::V11 | HttpVersion::V2 => Version::HTTP_11,
    }
}
