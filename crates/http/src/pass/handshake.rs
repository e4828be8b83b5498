//! The TLS handshake with a peer.

use std::io;

use weir_edge::tls::files::FileSource;
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::tls::counters::{Ended, UPSTREAMS};
use weir_engine::tls::{ClientIdentity, ClientTls, HandshakeError, SettingsError, connect};
use weir_upstream::{Causes, Peer};

use super::attempt::{Failure, io_failed};
use super::course::Pass;
use super::doing::Doing;
use super::made::Secured;
use super::tls::{ClientContext, HTTP2, UpstreamTls};
use crate::errors::Cause;
use crate::rejection::Rejection;
use crate::request::Request;

/// The TLS parameters of a connection for this request; None if they cannot be determined.
pub(super) fn wanted(
    request: &mut Request,
    pass: &Pass<'_>,
    settings: &UpstreamTls,
) -> Option<Secured> {
    let Some(Ok(context)) = settings.context.as_deref() else { return None };
    let tls = context.tls(pass.protocol.is_multiplexed());
    let identity = context.identity(request, tls)?;
    let name = tls.is_named().then(|| name(request, pass, settings));
    Some(Secured { identity, name })
}

/// The name in the upstream's certificate.
fn name(request: &mut Request, pass: &Pass<'_>, settings: &UpstreamTls) -> String {
    let name = match &settings.name {
        Some(template) => request.eval(template),
        None => pass.target.place.host.as_bytes().to_vec(),
    };
    String::from_utf8_lossy(without_port(&name)).into_owned()
}

const DOING: Doing = Doing::Handshaking;

/// Performs the handshake on a new connection if it uses TLS, and returns its parameters.
///
/// # Errors
/// The failure, which has been logged.
pub(crate) async fn handshake(
    request: &mut Request,
    pass: &Pass<'_>,
    peer: &Peer,
    conn: Conn,
) -> Result<(Conn, Option<Secured>), Failure> {
    let Some(settings) = pass.tls else { return Ok((conn, None)) };
    let Some(Ok(context)) = settings.context.as_deref() else {
        request.blame(Cause::UpstreamTls);
        return Err(Failure::upstream(Causes::ERROR));
    };
    let name = name(request, pass, settings);
    let base = context.tls(pass.protocol.is_multiplexed());
    let own = match context.compute(request, base) {
        Ok(own) => own,
        Err(fault) => {
            request.log_upstream(Level::Error, &format!("{fault} while {DOING}"));
            return Err(Failure::Own(Rejection::INTERNAL));
        }
    };
    let tls = own.as_ref().unwrap_or(base);
    let timeout = pass.settings.connect_timeout.0;
    let connected = connect(conn, tls, &name, timeout).await;
    count(peer, &connected);
    match connected {
        Ok(conn) if pass.protocol.is_multiplexed() && speaks_other(&conn) => {
            request.blame(Cause::UpstreamTls);
            let message = "upstream chose another protocol than HTTP/2 by ALPN";
            request.log_upstream(Level::Error, &format!("{message} while {DOING}"));
            Err(Failure::upstream(Causes::ERROR))
        }
        Ok(conn) => {
            let name = tls.is_named().then_some(name);
            Ok((conn, Some(Secured { identity: tls.identity(), name })))
        }
        Err(HandshakeError::TimedOut) => {
            let error = io::ErrorKind::TimedOut.into();
            Err(Failure::upstream(io_failed(request, &error, DOING, "")))
        }
        Err(error) => {
            request.blame(Cause::UpstreamTls);
            request.log_upstream(Level::Error, &format!("{error} while {DOING}"));
            Err(Failure::upstream(Causes::ERROR))
        }
    }
}

/// Counts the end of a handshake, for the process and for the peer.
fn count(peer: &Peer, connected: &Result<Conn, HandshakeError>) {
    let events = match connected {
        Ok(conn) => [conn.tls().map(|tls| Ended::Done(tls, false)), None],
        Err(error) => Ended::failed(error),
    };
    for ended in events.into_iter().flatten() {
        UPSTREAMS.count(ended);
        peer.count_handshake(ended);
    }
}

/// Whether the server has chosen another protocol than HTTP/2. One that chooses none, because it
/// does not know ALPN, is trusted, as in nginx.
fn speaks_other(conn: &Conn) -> bool {
    let chosen = conn.tls().and_then(|tls| tls.alpn.as_deref());
    chosen.is_some_and(|chosen| chosen != HTTP2)
}

impl ClientContext {
    /// The settings for one request, if its certificate has to be computed.
    fn compute(
        &self,
        request: &mut Request,
        tls: &ClientTls,
    ) -> Result<Option<ClientTls>, SettingsError> {
        let Some((certificate, key)) = self.named(request) else { return Ok(None) };
        let cache = self.cache.as_deref();
        let key = FileSource::named(&self.prefix, cache, (&certificate, &key), &self.passwords)?;
        Ok(Some(tls.with_key(key)))
    }

    /// The certificate and the key named by variables, if there are any.
    fn named(&self, request: &mut Request) -> Option<(Vec<u8>, Vec<u8>)> {
        let (certificate, key) = self.computed.as_ref()?;
        let certificate = request.eval(certificate);
        (!certificate.is_empty()).then(|| (certificate, request.eval(key)))
    }

    /// The identity of connections for one request, if it can be determined.
    fn identity(&self, request: &mut Request, tls: &ClientTls) -> Option<ClientIdentity> {
        let Some((certificate, _)) = self.named(request) else { return Some(tls.identity()) };
        let chain =
            FileSource::named_chain(&self.prefix, self.cache.as_deref(), &certificate).ok()?;
        Some(tls.identity_with(&chain))
    }
}

/// A name without the port that `$proxy_host` or `$http_host` may have.
fn without_port(name: &[u8]) -> &[u8] {
    let start = match name.first() {
        Some(b'[') => name.iter().position(|&byte| byte == b']').unwrap_or(0),
        _ => 0,
    };
    let colon = name[start..].iter().position(|&byte| byte == b':');
    colon.map_or(name, |colon| &name[..start + colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_part_of_names() {
        for (given, name) in
            [("a.test:8080", "a.test"), ("a.test", "a.test"), ("[::1]:80", "[::1]"), ("", "")]
        {
            assert_eq!(without_port(given.as_bytes()), name.as_bytes());
        }
    }
}
