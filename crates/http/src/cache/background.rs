//! Updates of responses beside the requests that are answered from the cache
//! (`…_cache_background_update`).

use super::index::Claim;
use crate::client::Sink;
use crate::core::ERRORS;
use crate::phase;
use crate::request::Request;
use crate::subrequest;

/// Has a response updated by a request of its own, which the client does not wait for. If there can
/// be none, the turn ends.
pub(super) fn launch(request: &mut Request, claim: Claim) {
    let Some(handler) = request.content else { return };
    let (uri, args) = (request.uri.clone(), request.args.clone());
    let Some(child) = request.fork(uri, args, Sink::Discard) else { return };
    let mut child = Box::new(child);
    child.location = request.location.clone();
    child.content = request.content;
    child.method = request.method;
    child.uri_intact = request.uri_intact;
    child.location_valid = request.location_valid;
    child.captures = request.captures.clone();
    child.values = request.values.clone();
    child.response.header_only = true;
    child.enter_location();
    child.attempts.cache.update = Some(claim);
    child.attempts.cache.is_background = true;
    subrequest::detach(async move {
        let verdict = phase::call(&mut child, handler).await;
        phase::finalize(&mut child, verdict).await;
        if child.get(&ERRORS).log_subrequest {
            phase::log(&mut child).await;
        }
        child
    });
}
