//! Checks of a connection before a request is served on it.

use weir_edge::tls::Verify;
use weir_engine::error_log::Level;
use weir_engine::tls::Verdict;

use super::{SSL, status};
use crate::request::Request;
use crate::request::connection_info::ConnectionInfo;
use crate::route::{Endpoint, Server};

/// `The plain HTTP request was sent to HTTPS port`.
pub(crate) const TO_HTTPS: u16 = 497;
/// `The SSL certificate error`.
pub(crate) const CERTIFICATE_ERROR: u16 = 495;
/// `No required SSL certificate was sent`.
pub(crate) const NO_CERTIFICATE: u16 = 496;

/// The status that refuses a request because of its connection; the reason has been logged
/// (ngx_http_process_request).
pub(crate) fn refused(request: &Request) -> Option<u16> {
    if !request.info.ssl {
        return None;
    }
    let Some(tls) = &request.info.tls else {
        log(request, "client sent plain HTTP request to HTTPS port");
        return Some(TO_HTTPS);
    };
    let ssl = request.server.settings.get(&SSL);
    let verify = ssl.verify_client;
    if verify == Verify::Off {
        return None;
    }
    // The server may trust others now than when the connection was made.
    let verdict = match &ssl.context {
        Some(context) => context.tls().verdict_of(tls),
        None => tls.verdict(),
    };
    if let Verdict::Invalid(fault) = verdict
        && !(verify == Verify::OptionalNoCa && fault.is_about_trust())
    {
        log(request, &format!("client SSL certificate verify error: ({fault})"));
        return Some(CERTIFICATE_ERROR);
    }
    if verify == Verify::On && tls.certificates.is_empty() {
        log(request, "client sent no required SSL certificate");
        return Some(NO_CERTIFICATE);
    }
    if let Some(why) = tls.ocsp.get().refusal() {
        log(request, &format!("client SSL certificate verify error: {why}"));
        return Some(CERTIFICATE_ERROR);
    }
    None
}

/// Verifies the client of a connection again, if the server of its handshake now trusts others than
/// before.
pub(crate) fn follow(endpoint: &Endpoint, info: &ConnectionInfo) {
    let Some(tls) = info.tls.as_ref().filter(|tls| !tls.certificates.is_empty()) else { return };
    if let Some((_, context)) = status::server_of(endpoint, info) {
        context.tls().verdict_of(tls);
        status::note(context, tls);
    }
}

fn log(request: &Request, message: &str) {
    request.log(Level::Info, &format!("{message} while reading client request headers"));
}

/// Whether a server asks for certificates. Clients whose handshake was for another name may not use
/// it then.
pub(crate) fn is_closed_to_others(server: &Server) -> bool {
    server.settings.get(&SSL).verify_client != Verify::Off
}
