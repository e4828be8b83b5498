//! The destination of a request: the argument of a directive, its value for one request, and the
//! options of connections.

use std::sync::Arc;

use weir_conf::value::parse_ip_port;
use weir_conf::{Cx, Fault, Word};
use weir_engine::connection::connect::ConnectOptions;
use weir_engine::error_log::Level;
use weir_engine::url::{Url, UrlOptions, parse_url};
use weir_script::{Template, Variables};
use weir_upstream::{Group, KeepaliveConfig, Pick, Side, UpstreamRef, Upstreams};

use super::Pass;
use crate::client::Rate;
use crate::request::Request;
use crate::snapshot::{Held, Upstream};

/// A scheme of an upstream protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The text before an address.
    pub text: &'static str,
    /// The default port; 0 if there is none.
    pub port: u16,
    /// Whether connections use TLS.
    pub tls: bool,
}

/// The syntax of the argument of a `…_pass` directive.
#[derive(Debug)]
pub struct Schemes {
    /// The schemes that can be written.
    pub written: &'static [Scheme],
    /// The scheme of an address without one; None if it must be written.
    pub implied: Option<Scheme>,
    /// Whether a URI may follow the address.
    pub uri: bool,
}

impl Schemes {
    /// Splits a URL into its scheme and the rest.
    fn split<'a>(&self, url: &'a [u8]) -> Option<(Scheme, &'a [u8])> {
        let starts = |scheme: &&Scheme| {
            let start = url.get(..scheme.text.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.text.as_bytes()))
        };
        match self.written.iter().find(starts) {
            Some(scheme) => Some((*scheme, &url[scheme.text.len()..])),
            None => self.implied.map(|scheme| (scheme, url)),
        }
    }

    /// Splits a URL without scheme into its address and its URI part. The address is text, the URI
    /// part can be any bytes.
    fn locate<'a>(&self, rest: &'a [u8], scheme: Scheme) -> Result<(Url, &'a [u8]), String> {
        let length = match rest {
            _ if !self.uri => None,
            [b'u' | b'U', b'n' | b'N', b'i' | b'I', b'x' | b'X', b':', path @ ..] => {
                path.iter().position(|&byte| byte == b':').map(|at| at + 5)
            }
            [b'[', ..] => rest.iter().position(|&byte| byte == b'/'),
            _ => rest.iter().position(|byte| matches!(byte, b'/' | b'?')),
        };
        let (address, uri) = rest.split_at(length.unwrap_or(rest.len()));
        // A colon separates the path of a socket from the URI.
        let uri = uri.strip_prefix(b":").unwrap_or(uri);
        let options = UrlOptions { default_port: scheme.port, uri_part: false, lookup: None };
        let url = std::str::from_utf8(address).map_err(|_| "invalid host");
        let url = url.and_then(|address| parse_url(address, options));
        match url {
            Ok(url) => Ok((url, uri)),
            Err(why) => Err(format!("{why} in upstream \"{}\"", weir_wire::shown(rest))),
        }
    }
}

/// The argument of a `…_pass` directive.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A fixed address or the name of an upstream.
    Fixed {
        /// The scheme.
        scheme: Scheme,
        /// The upstream, one of those in the configuration.
        upstream: UpstreamRef,
        /// Host, port and URI part as written.
        place: Arc<Place>,
        /// The whole URL as written, for `proxy_redirect default`.
        url: Vec<u8>,
        /// The part of a request's URI that the URI part replaces: the name of the location, if it
        /// is a prefix.
        location: Vec<u8>,
    },
    /// A URL with variables.
    Computed(Template),
}

/// Host, port and URI part of a URL.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The host for `Host`, with its port unless that is the default.
    pub host: Box<str>,
    /// The port, written or default.
    pub port: u16,
    /// The URI part, if there is one.
    pub uri: Option<Box<[u8]>>,
    /// The length of the part of the request's URI that the URI part replaces; None means all of
    /// it, because the URI part has variables.
    pub replaces: Option<usize>,
}

impl Destination {
    /// Sets the location whose name the URI part replaces.
    pub fn set_location(&mut self, name: Vec<u8>) {
        if let Self::Fixed { place, location, .. } = self {
            Arc::make_mut(place).replaces = Some(name.len());
            *location = name;
        }
    }

    /// Parses the argument of a `…_pass`, which may have variables.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn parse(word: &Word, schemes: &Schemes, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let template = Template::compile(&word.value, cx.registry::<Variables>())?;
        match template.literal() {
            Some(_) => Self::fixed(word, schemes, cx),
            None => Ok(Self::Computed(template)),
        }
    }

    /// Parses the argument of a `…_pass` literally.
    ///
    /// # Errors
    /// In nginx's words.
    pub fn fixed(word: &Word, schemes: &Schemes, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let Some((scheme, rest)) = schemes.split(&word.value) else {
            let first = schemes.written.first().map_or("", |scheme| scheme.text);
            let hint = format!("write \"{first}{}\"", word.text());
            return Err(Fault::new("invalid URL prefix").at(word).hint(hint));
        };
        let (url, uri) = schemes.locate(rest, scheme).map_err(Fault::new)?;
        let span = cx.span();
        let upstream = cx.registry::<Upstreams>().refer(Side::Http, &url, span)?;
        let place = Arc::new(Place {
            host: shown_host(&url, scheme).into(),
            port: url.port,
            uri: (!uri.is_empty()).then(|| uri.into()),
            replaces: Some(0),
        });
        let (url, location) = (word.value.clone(), Vec::new());
        Ok(Self::Fixed { scheme, upstream, place, url, location })
    }
}

/// The host for `Host` and `$proxy_host`.
fn shown_host(url: &Url, scheme: Scheme) -> String {
    if url.is_unix() {
        return "localhost".into();
    }
    match url.has_port && url.port != scheme.port {
        true => format!("{}:{}", url.host, url.port),
        false => url.host.clone(),
    }
}

/// The destination of one request.
pub struct Target {
    /// The scheme.
    pub scheme: Scheme,
    /// The peers.
    peers: Peers,
    /// Host, port and URI part.
    pub place: Arc<Place>,
}

/// The peers of a destination.
enum Peers {
    /// The peers of an upstream in the configuration.
    Configured(Held<Upstream>),
    /// The peers that a name resolves to at the moment.
    Transient(Arc<Group>),
}

impl Target {
    /// The target of a fixed destination; None for others, whose names have to be awaited.
    pub fn at_once(request: &Request, destination: &Destination) -> Option<Self> {
        let Destination::Fixed { scheme, upstream, place, .. } = destination else { return None };
        let peers = Peers::Configured(request.snapshot.upstream(*upstream));
        Some(Self { scheme: *scheme, peers, place: Arc::clone(place) })
    }

    /// The target of a URL with variables, for this request.
    ///
    /// # Errors
    /// The response status.
    pub async fn compute(
        request: &mut Request,
        template: &Template,
        schemes: &Schemes,
    ) -> Result<Self, u16> {
        let value = request.eval(template);
        let Some((scheme, rest)) = schemes.split(&value) else {
            let text = weir_wire::shown(&value);
            request.log(Level::Error, &format!("invalid URL prefix in \"{text}\""));
            return Err(500);
        };
        let (url, uri) = match schemes.locate(rest, scheme) {
            Ok(found) => found,
            Err(message) => {
                request.log(Level::Error, &message);
                return Err(500);
            }
        };
        let uri = (!uri.is_empty()).then(|| match uri.first() {
            Some(b'?') => [b"/", uri].concat().into(),
            _ => uri.into(),
        });
        let mut target = Self::locate(request, &url, scheme).await?;
        Arc::make_mut(&mut target.place).uri = uri;
        Ok(target)
    }

    /// The target of an upstream in the configuration.
    pub fn fixed(request: &Request, upstream: UpstreamRef, scheme: Scheme) -> Self {
        let upstream = request.snapshot.upstream(upstream);
        let place = Place { host: upstream.group.name().into(), ..Place::default() };
        Self { scheme, peers: Peers::Configured(upstream), place: Arc::new(place) }
    }

    /// The target at a computed address: an upstream in the configuration, or the peers that the
    /// name resolves to at the moment.
    ///
    /// # Errors
    /// The response status; the reason has been logged.
    pub async fn locate(request: &mut Request, url: &Url, scheme: Scheme) -> Result<Self, u16> {
        let known = match url.addresses.is_empty() {
            true => request.snapshot.upstream_named(&url.host, url.port, url.has_port),
            false => None,
        };
        let host = shown_host(url, scheme).into();
        let peers = match known {
            Some(upstream) => Peers::Configured(upstream),
            None if url.port == 0 && !url.is_unix() => {
                request.log(Level::Error, &format!("no port in upstream \"{}\"", url.host));
                return Err(500);
            }
            None => {
                let addresses = match url.addresses.is_empty() {
                    false => url.addresses.clone(),
                    true => super::resolve::addresses(request, &url.host, url.port).await?,
                };
                Peers::Transient(Group::transient(&url.host, addresses))
            }
        };
        let place = Place { host, port: url.port, uri: None, replaces: None };
        Ok(Self { scheme, peers, place: Arc::new(place) })
    }

    /// The group of peers.
    pub fn group(&self) -> &Arc<Group> {
        match &self.peers {
            Peers::Configured(upstream) => &upstream.group,
            Peers::Transient(group) => group,
        }
    }

    /// The upstream in the configuration, if it is one.
    pub fn upstream(&self) -> Option<&Upstream> {
        match &self.peers {
            Peers::Configured(upstream) => Some(upstream),
            Peers::Transient(_) => None,
        }
    }

    /// The settings for kept connections.
    pub fn keepalive(&self) -> &KeepaliveConfig {
        self.upstream().map_or(&KeepaliveConfig::IMPLICIT, |upstream| &upstream.plan.keepalive)
    }
}

/// Starts the choice of a peer.
pub fn start<'a>(request: &mut Request, pass: &Pass<'a>) -> Pick<'a> {
    let plan = pass.target.upstream().map(|upstream| &upstream.plan);
    let key = match plan.and_then(|plan| plan.key.as_ref()) {
        Some(template) => request.eval(template),
        None => Vec::new(),
    };
    let sticky = match plan.and_then(|plan| plan.sticky.as_ref()) {
        Some(config) => super::sticky::wanted(request, pass.target.group(), config),
        None => Vec::new(),
    };
    pass.target.group().start(weir_upstream::Request {
        client: request.remote.ip(),
        key: &key,
        sticky: &sticky,
    })
}

/// Whether [`connect_options`] differ from the default.
pub fn has_options(pass: &Pass<'_>) -> bool {
    let settings = pass.settings;
    settings.bind.is_some() || settings.socket_keepalive || settings.socket_rcvbuf.is_some()
}

/// The options of a connection for this request: `proxy_bind` and socket options. A computed
/// address that is invalid is logged and ignored.
pub fn connect_options(request: &mut Request, pass: &Pass<'_>) -> ConnectOptions {
    let settings = pass.settings;
    let mut options = ConnectOptions {
        keepalive: settings.socket_keepalive,
        rcvbuf: settings.socket_rcvbuf.map(|size| size.0 as usize),
        ..ConnectOptions::default()
    };
    let Some(bind) = settings.bind.as_ref().and_then(|bind| bind.on()) else {
        return options;
    };
    let value = request.eval(&bind.address);
    if value.is_empty() {
        return options;
    }
    let text = weir_wire::shown(&value);
    match parse_ip_port(&value) {
        Some(address) => {
            options.bind = Some(address);
            options.transparent = bind.transparent;
        }
        None => request.log(Level::Error, &format!("invalid local address \"{text}\"")),
    }
    options
}

/// The rate of `proxy_limit_rate` for this request.
pub fn limit_rate(request: &mut Request, pass: &Pass<'_>) -> Option<Rate> {
    let limit = pass.settings.limit_rate.as_ref()?;
    let bytes = limit.eval(request);
    (bytes > 0).then(|| Rate::new(bytes, 0))
}
