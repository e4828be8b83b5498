//! `post_action`: a request is passed on once more when its client has its answer.

use super::finalize;
use crate::core::ERRORS;
use crate::request::Request;

/// Runs the `post_action` of the location that the request ended in, and of the locations that this
/// leads to. The client has its response and gets nothing of this.
pub(super) async fn post_action(request: &mut Request) {
    let mut first = true;
    while let Some(action) = request.get(&ERRORS).post_action.clone() {
        if !first && request.uri_changes == 0 {
            break;
        }
        first = false;
        let client = request.client.put_aside();
        let keepalive = request.keepalive;
        let (status, head_size) = (request.response.status, request.response.head_size);
        request.reset_response();
        let response = &mut request.response;
        (response.status, response.head_size) = (status, head_size);
        response.header_only = true;
        let verdict = match action.value.starts_with(b"/") {
            true => request.internal_redirect(action.value, Vec::new()),
            false => request.named_redirect(&action.value),
        };
        finalize(request, verdict).await;
        request.client.replace_sink(client);
        request.keepalive = keepalive;
    }
}
