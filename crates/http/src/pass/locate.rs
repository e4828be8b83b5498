//! The value of a `…_pass` argument for one request.

use std::sync::Arc;

use weir_engine::error_log::Level;
use weir_engine::url::Url;
use weir_script::Template;
use weir_upstream::{Group, UpstreamRef};

use super::destination::{BadUrl, Destination, Scheme, Schemes, UrlParts, shown_host};
use super::resolve;
use super::target::{Peers, Target};
use crate::rejection::Rejection;
use crate::request::Request;

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
    /// The rejection of the request; the reason has been logged.
    pub async fn compute(
        request: &mut Request,
        template: &Template,
        schemes: &Schemes,
    ) -> Result<Self, Rejection> {
        let value = request.eval(template);
        let Some((scheme, rest)) = schemes.split(&value) else {
            let text = weir_wire::shown(&value);
            request.log(Level::Error, &format!("invalid URL prefix in \"{text}\""));
            return Err(Rejection::INTERNAL);
        };
        let (url, uri) = match schemes.locate(rest, scheme) {
            Ok(found) => found,
            Err(BadUrl(message)) => {
                request.log(Level::Error, &message);
                return Err(Rejection::INTERNAL);
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
        let place = UrlParts { host: upstream.group.name().into(), ..UrlParts::default() };
        Self { scheme, peers: Peers::Configured(upstream), place: Arc::new(place) }
    }

    /// The target at a computed address: an upstream in the configuration, or the peers that the
    /// name resolves to at the moment.
    ///
    /// # Errors
    /// The rejection of the request; the reason has been logged.
    pub async fn locate(
        request: &mut Request,
        url: &Url,
        scheme: Scheme,
    ) -> Result<Self, Rejection> {
        let known = match url.addresses.is_empty() {
            true => request.snapshot.upstream_named(&url.host, url.port, url.has_port),
            false => None,
        };
        let host = shown_host(url, scheme).into();
        let peers = match known {
            Some(upstream) => Peers::Configured(upstream),
            None if url.port == 0 && !url.is_unix() => {
                request.log(Level::Error, &format!("no port in upstream \"{}\"", url.host));
                return Err(Rejection::INTERNAL);
            }
            None => {
                let addresses = match url.addresses.is_empty() {
                    false => url.addresses.clone(),
                    true => resolve::addresses(request, &url.host, url.port).await?,
                };
                Peers::Transient(Group::transient(&url.host, addresses))
            }
        };
        let place = UrlParts { host, port: url.port, uri: None, replaces: None };
        Ok(Self { scheme, peers, place: Arc::new(place) })
    }
}
