//! `ssl_ocsp`: what responders say of a client's certificate, asked before its next request.

use std::time::Duration;

use weir_edge::ocsp::clients::Circumstances;
use weir_edge::ocsp::{Log, Resolving};
use weir_edge::tls::ServerContext;
use weir_engine::error_log::Level;
use weir_engine::timer;
use weir_engine::tls::{OcspStatus, TlsInfo, Verdict};
use weir_upstream::{Resolver, ResolverConfig};

use super::SSL;
use crate::core::RESOLVER;
use crate::request::connection_info::ConnectionInfo;
use crate::route::{Endpoint, Server};
use crate::snapshot::Snapshot;

/// The server whose certificate the client was shown, and its TLS settings
/// (ngx_http_ssl_servername).
pub(super) fn server_of<'a>(
    endpoint: &'a Endpoint,
    info: &ConnectionInfo,
) -> Option<(&'a Server, &'a ServerContext)> {
    let found = info.negotiated.as_ref().and_then(|name| endpoint.find(name));
    let own = found.map_or(&*endpoint.default, |(at, _)| endpoint.server(at));
    [own, &*endpoint.default]
        .into_iter()
        .find_map(|server| Some((server, server.settings.get(&SSL).context.as_deref()?)))
}

/// Notes whether responders have to be asked about the client, by the rules of this server.
pub(super) fn note(context: &ServerContext, client: &TlsInfo) {
    let wanted = context.client_status().filter(|_| client.verdict() == Verdict::Valid);
    let by = wanted.map_or(0, |wanted| wanted.identity());
    if client.ocsp_by.replace(by) != by {
        client.ocsp.set(if by == 0 { OcspStatus::Fine } else { OcspStatus::ToAsk });
    }
}

/// Whether the next request has to wait for a responder.
#[inline]
pub(crate) fn is_to_ask(info: &ConnectionInfo) -> bool {
    info.tls.as_ref().is_some_and(|tls| tls.ocsp.get() == OcspStatus::ToAsk)
}

/// Asks about the client, for at most `limit`. `log` adds the context of the connection. Returns
/// whether there was an answer in time.
pub(crate) async fn ask(
    snapshot: &Snapshot,
    endpoint: &Endpoint,
    info: &ConnectionInfo,
    limit: Duration,
    log: Log<'_>,
) -> bool {
    let Some(tls) = &info.tls else { return true };
    let found = server_of(endpoint, info);
    let asked = found.and_then(|(server, context)| {
        Some((server, context.client_status()?, context.tls().path_of(tls)?))
    });
    // What is lacking now was there when the client was judged.
    let Some((server, rules, path)) = asked else {
        tls.ocsp.set(OcspStatus::Failed);
        return true;
    };
    let bare = |level: Level, message: &str| {
        server.location.handlers.log(level, info.id, message);
    };
    let resolver = resolving(server, |config| snapshot.resolver(config));
    let around = Circumstances { resolver, log, bare: &bare };
    let asked = timer::timeout(limit, rules.ask(&path, &around)).await;
    tls.ocsp.set(asked.as_ref().copied().unwrap_or(OcspStatus::Failed));
    asked.is_ok()
}

/// `resolver` of a server.
pub(crate) fn resolving<'a>(
    server: &Server,
    find: impl Fn(&ResolverConfig) -> Option<&'a Resolver>,
) -> Option<Resolving> {
    let settings = server.location.settings.get(&RESOLVER);
    let resolver = settings.resolver.as_ref().and_then(find)?;
    Some((resolver.clone(), settings.timeout.0))
}
