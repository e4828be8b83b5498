//! The access phase.

use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::header::Known;

use super::call;
use crate::core::{ACCESS, Satisfy};
use crate::module::{Phase, Verdict};
use crate::recorder::notes::Kind;
use crate::request::Request;
use crate::request::pause::Gone;

/// The access phase: all handlers must agree, or one of them with `satisfy any`.
pub(super) async fn access(request: &mut Request) -> Verdict {
    // A subrequest acts for a request that has passed this phase (ngx_http_core_access_phase).
    if request.is_subrequest() {
        return Verdict::Next;
    }
    let location = request.location.clone();
    let handlers = &location.handlers.phases[Phase::Access as usize];
    if handlers.is_empty() {
        return Verdict::Next;
    }
    request.note(Kind::Phase, |step, _| step.name = Phase::Access.name());
    let any = request.get(&ACCESS).satisfy == Satisfy::Any;
    let mut refused = None;
    for (place, handler) in handlers.iter().enumerate() {
        let verdict = call(request, *handler).await;
        request.note_decision(&location, Phase::Access, place, verdict);
        match verdict {
            Verdict::Next => {}
            Verdict::Granted if any => {
                let tunnel = request.method == Method::Connect;
                let asked = if tunnel { Known::ProxyAuthenticate } else { Known::WwwAuthenticate };
                request.response.headers.remove(asked);
                return Verdict::Next;
            }
            Verdict::Granted => {}
            Verdict::Status(status @ (401 | 403 | 407)) if any => {
                if !matches!(refused, Some(401 | 407)) {
                    refused = Some(status);
                }
            }
            Verdict::Status(status @ (401 | 407)) => {
                return Box::pin(unauthorized(request, status)).await;
            }
            verdict => return verdict,
        }
    }
    match refused {
        Some(403) => {
            request.log(Level::Error, "access forbidden by rule");
            Verdict::Status(403)
        }
        Some(status) => Box::pin(unauthorized(request, status)).await,
        None => Verdict::Next,
    }
}

/// Delays the response by `auth_delay`.
async fn unauthorized(request: &mut Request, status: u16) -> Verdict {
    let delay = request.get(&ACCESS).auth_delay.0;
    if delay.is_zero() {
        return Verdict::Status(status);
    }
    request.log(Level::Info, "delaying unauthorized request");
    match request.pause(delay, "auth_delay").await {
        Ok(()) => Verdict::Status(status),
        Err(Gone) => Verdict::Abort,
    }
}
