//! Responses for errors and redirects: `error_page`, the built-in pages, and `Location` (nginx:
//! `ngx_http_special_response.c`).

use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::core::{ERRORS, ErrorPage, ErrorTarget};
use crate::module::Verdict;
use crate::piece::Piece;
use crate::recorder::notes::Kind;
use crate::request::Request;
use crate::request::browser::UserAgent;
use crate::response::Sent;

mod pages;

/// Answers with `status`, by an error page of the location or the built-in page.
pub(crate) async fn respond(request: &mut Request, status: u16) -> Verdict {
    if status >= 400 {
        request.count_error(status);
    }
    if request.response.sent != Sent::Nothing {
        // Too late for another response: the client learns of the error when the connection closes.
        request.keepalive = false;
        return Verdict::Abort;
    }
    if status == 444 {
        request.response.status = 444;
        request.client.timed_out = true;
        return Verdict::Abort;
    }
    if status == 499 || status == 408 || request.client.broken {
        request.response.status = status;
        return Verdict::Abort;
    }
    request.note(Kind::Error, |step, _| step.status = status);
    close_after(request, status);
    request.response.content_type.clear();
    match configured_page(request, status) {
        Some(Next::Page(verdict)) => verdict,
        Some(Next::Redirect(status)) => built_in(request, status).await,
        None => built_in(request, status).await,
    }
}

/// Disables keepalive after errors that leave the connection in an unreliable state.
fn close_after(request: &mut Request, status: u16) {
    if matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501) {
        request.keepalive = false;
    }
}

/// The target of an `error_page`.
enum Next {
    /// An internal redirect.
    Page(Verdict),
    /// A redirect of the client, with this status.
    Redirect(u16),
}

/// Follows the `error_page` for `status`, if one applies.
fn configured_page(request: &mut Request, status: u16) -> Option<Next> {
    let location = request.location.clone();
    let errors = location.settings.get(&ERRORS);
    if request.error_page || errors.pages.is_empty() || request.uri_changes == 0 {
        return None;
    }
    let answers = location.handlers.answers_errors.is_some_and(|answers| answers(request));
    let keeps_error = |page: &ErrorPage| page.overwrite.is_none_or(|status| status >= 400);
    let page = errors.page(status);
    if answers && page.is_none_or(keeps_error) {
        return None;
    }
    if !errors.recursive_error_pages {
        request.error_page = true;
    }
    page.map(|page| follow(request, status, page))
}

/// Goes to the target of an `error_page`.
fn follow(request: &mut Request, status: u16, page: &ErrorPage) -> Next {
    // With `=` or `=200`, the page may use the request's body.
    if !matches!(page.overwrite, Some(0 | 200)) {
        request.body.expects_continue = false;
    }
    request.error_status = page.overwrite.unwrap_or(status);
    request.response.status = 0;
    request.response.content_length = None;
    if let Some(noting) = &request.noting {
        noting.cause("error_page", Some(page.span), status);
    }
    let target = match &page.target {
        ErrorTarget::Named(name) => return Next::Page(request.named_redirect(name)),
        ErrorTarget::Uri(template) => request.eval(template),
    };
    match target.first() {
        Some(b'/') => {
            if request.method != Method::Head {
                request.method = Method::Get;
                request.method_replaced = true;
            }
            let (uri, args) = split_args(target);
            Next::Page(request.internal_redirect(uri, args))
        }
        Some(b'@') => Next::Page(request.named_redirect(&target)),
        _ => {
            request.response.location = Some(target);
            let moved = |code: &u16| matches!(code, 301 | 302 | 303 | 307 | 308);
            Next::Redirect(page.overwrite.filter(moved).unwrap_or(302))
        }
    }
}

/// Splits the target of an internal redirect at its first question mark.
pub(crate) fn split_args(mut target: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    match memchr::memchr(b'?', &target) {
        Some(mark) => {
            let args = target.split_off(mark + 1);
            target.truncate(mark);
            (target, args)
        }
        None => (target, Vec::new()),
    }
}

/// Sends the built-in page of `status`.
async fn built_in(request: &mut Request, status: u16) -> Verdict {
    let shown = match status {
        494..=497 | 499 => 400,
        other => other,
    };
    request.body.expects_continue = false;
    // The page is sent even if the body is malformed.
    if request.discard_body().is_err() {
        request.keepalive = false;
    }
    request.chain.clear();
    request.response.status = shown;
    request.error_status = 0;
    let page = match refresh(request, status) {
        Some(page) => page,
        None => pages::page(request, status),
    };
    request.response.content_type = b"text/html".to_vec();
    request.response.charset.clear();
    request.response.last_modified = None;
    request.response.allow_ranges = false;
    request.response.headers.remove(Known::AcceptRanges);
    request.response.headers.remove(Known::LastModified);
    request.response.headers.remove(Known::ETag);
    request.response.headers.remove(Known::ContentLength);
    if page.is_empty() {
        request.response.content_type.clear();
    }
    request.response.content_length = Some(page.len() as u64);
    if status == 204 || status == 304 {
        request.response.content_length = None;
    }
    if let Err(other) = request.send_head() {
        request.response.sent = Sent::Nothing;
        let other = other.status();
        return Verdict::Status(if other == status { 500 } else { other });
    }
    let sent = request.send_last(Some(Piece::copy(&page))).await;
    if sent.is_err() {
        return Verdict::Abort;
    }
    Verdict::Done
}

/// The refreshing page for Internet Explorer in place of a redirect, with `msie_refresh`.
fn refresh(request: &mut Request, status: u16) -> Option<Vec<u8>> {
    let wanted = matches!(status, 301 | 302) && request.get(&ERRORS).msie_refresh;
    if !wanted || !UserAgent::of(&request.head).msie {
        return None;
    }
    let location = request.response.location.take()?;
    request.response.status = 200;
    Some(pages::refresh(&location))
}

/// Redirects a URI without the final slash to the name of its location (with `proxy_pass`).
pub(crate) fn redirect_to_slash(request: &mut Request) -> Verdict {
    let mut target = request.location.escaped_name.clone();
    if !request.args.is_empty() {
        target.push(b'?');
        target.extend_from_slice(&request.args);
    }
    request.response.location = Some(target);
    Verdict::Status(301)
}
