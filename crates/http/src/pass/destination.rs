//! The argument of a `…_pass` directive: an address, the name of an upstream, or a URL with
//! variables.

use std::collections::HashMap;
use std::sync::Arc;

use weir_conf::{BlockId, Contexts, Cx, Fault, Node, Word};
use weir_engine::url::{Url, UrlOptions, parse_url};
use weir_script::{Template, Variables};
use weir_upstream::{Side, UpstreamRef, Upstreams};

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

/// The upstreams that locations pass HTTP requests to, if they are fixed. A registry of the
/// assembly.
#[derive(Debug, Default)]
pub(crate) struct Passed(HashMap<BlockId, UpstreamRef>);

impl Passed {
    /// Notes the destination of the block being read.
    pub(crate) fn note(cx: &mut Cx<'_>, destination: &Destination) {
        if let Destination::Fixed { upstream, .. } = destination {
            let block = cx.block_id();
            cx.registry::<Self>().0.insert(block, *upstream);
        }
    }

    /// The upstream of a block.
    pub(crate) fn of(&self, block: BlockId) -> Option<UpstreamRef> {
        self.0.get(&block).copied()
    }
}

/// The blocks with a `…_pass` of their own, with the protocol of the last one, which counts. A
/// registry of the assembly.
#[derive(Debug, Default)]
pub(crate) struct OwnPass(HashMap<BlockId, &'static str>);

/// The blocks that take over the `…_pass` of the block around them.
pub(crate) const INNER: Contexts = Contexts::LOCATION_IF.union(Contexts::LIMIT_EXCEPT);

impl OwnPass {
    /// Notes that the block being read passes requests on itself.
    pub(crate) fn note(protocol: &'static str, cx: &mut Cx<'_>) {
        let block = cx.block_id();
        cx.registry::<Self>().0.insert(block, protocol);
    }

    /// The protocol that a block passes to itself.
    pub(crate) fn protocol(&self, block: BlockId) -> Option<&'static str> {
        self.0.get(&block).copied()
    }

    /// Reads the `…_pass` directive of a protocol whose destination is all that it says.
    ///
    /// # Errors
    /// The block has one already, or the destination is invalid.
    pub(crate) fn read(
        protocol: &'static str,
        own: &mut Option<Option<Destination>>,
        schemes: &'static Schemes,
        node: &Node,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        if own.is_some() {
            return Err(Fault::duplicate());
        }
        Self::note(protocol, cx);
        *own = Some(Some(Destination::parse(&node.args[0], schemes, cx)?));
        Ok(())
    }

    /// Settles the destination of a protocol in the block being read: `own`, unless the block
    /// passes to another protocol, or in `inner` blocks without any that of the block around it,
    /// `above`.
    pub(crate) fn settle<T: Clone>(
        protocol: &str,
        own: &mut Option<T>,
        above: Option<&Option<T>>,
        inner: Contexts,
        cx: &mut Cx<'_>,
    ) {
        let block = cx.block_id();
        match cx.registry::<Self>().0.get(&block).copied() {
            Some(last) if last != protocol => *own = None,
            Some(_) => {}
            None if cx.context().intersects(inner) => *own = above.cloned().flatten(),
            None => {}
        }
    }
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
    pub(super) fn split<'a>(&self, url: &'a [u8]) -> Option<(Scheme, &'a [u8])> {
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
    pub(super) fn locate<'a>(
        &self,
        rest: &'a [u8],
        scheme: Scheme,
    ) -> Result<(Url, &'a [u8]), BadUrl> {
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
            Err(why) => Err(BadUrl(format!("{why} in upstream \"{}\"", weir_wire::shown(rest)))),
        }
    }
}

/// The configuration, or one of its variables, yields no valid URL for this reason.
#[derive(Debug)]
pub(super) struct BadUrl(pub(super) String);

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
        place: Arc<UrlParts>,
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
pub struct UrlParts {
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
        let (url, uri) = schemes.locate(rest, scheme).map_err(|bad| Fault::new(bad.0))?;
        let span = cx.span();
        let upstream = cx.registry::<Upstreams>().refer(Side::Http, &url, span)?;
        let place = Arc::new(UrlParts {
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
pub(super) fn shown_host(url: &Url, scheme: Scheme) -> String {
    if url.is_unix() {
        return "localhost".into();
    }
    match url.has_port && url.port != scheme.port {
        true => format!("{}:{}", url.host, url.port),
        false => url.host.clone(),
    }
}
