//! What becomes of a status that is not a response yet: `error_page`, the built-in pages, and
//! redirects (nginx: `ngx_http_special_response.c`).

use weir_wire::h1::Method;
use weir_wire::header::Known;

use crate::core::{ERRORS, ErrorPage, ErrorTarget};
use crate::module::Verdict;
use crate::piece::Piece;
use crate::request::Request;
use crate::response::Sent;

mod pages;

/// Answers with `status`: an error page that the location names, or the built-in one.
pub async fn respond(request: &mut Request, status: u16) -> Verdict {
    if request.response.sent != Sent::Nothing {
        // Too late for another answer; the client learns by the connection's end.
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
    close_after(request, status);
    if let Some(verdict) = configured_page(request, status) {
        return verdict;
    }
    built_in(request, status).await
}

/// Some errors leave the connection in a state that nobody should rely on.
fn close_after(request: &mut Request, status: u16) {
    if matches!(status, 400 | 413 | 414 | 494..=497 | 500 | 501) {
        request.keepalive = false;
    }
    if request.body.expects_continue && status >= 300 {
        request.body.expects_continue = false;
    }
}

/// The `error_page` for `status`, if there is one and it applies.
fn configured_page(request: &mut Request, status: u16) -> Option<Verdict> {
    let errors = request.get(&ERRORS);
    if request.error_page && !errors.recursive_error_pages || request.uri_changes == 0 {
        return None;
    }
    let location = std::rc::Rc::clone(&request.location);
    let page = location.settings.get(&ERRORS).pages.iter().find(|p| p.applies_to(status))?;
    request.error_page = true;
    Some(follow(request, status, page))
}

/// Goes where an `error_page` points.
fn follow(request: &mut Request, status: u16, page: &ErrorPage) -> Verdict {
    request.error_status = match page.overwrite {
        Some(0) => 0,
        Some(code) => code,
        None => status,
    };
    // An answer's status that the page's own handler chooses is wanted with `=`.
    request.response.status = 0;
    request.response.content_length = None;
    match &page.target {
        ErrorTarget::Named(name) => request.named_redirect(name),
        ErrorTarget::Uri(template) => {
            let target = request.eval(template);
            if target.first() == Some(&b'/') {
                if request.method != Method::Head && request.method != Method::Get {
                    request.method = Method::Get;
                }
                let (uri, args) = match target.iter().position(|&b| b == b'?') {
                    Some(mark) => (target[..mark].to_vec(), target[mark + 1..].to_vec()),
                    None => (target, Vec::new()),
                };
                return request.internal_redirect(uri, args);
            }
            let code = match page.overwrite {
                Some(code @ (301 | 302 | 303 | 307 | 308)) => code,
                _ => 302,
            };
            request.error_status = 0;
            request.response.location = Some(target);
            Verdict::Status(code)
        }
    }
}

/// Sends the built-in page of `status`.
async fn built_in(request: &mut Request, status: u16) -> Verdict {
    let shown = match status {
        494..=497 | 499 => 400,
        other => other,
    };
    request.response.chain.clear();
    request.response.status = shown;
    request.error_status = 0;
    let page = pages::page(request, status);
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
        return Verdict::Status(if other == status { 500 } else { other });
    }
    let sent = request.send_last(Some(Piece::copy(&page))).await;
    if sent.is_err() {
        return Verdict::Abort;
    }
    Verdict::Done
}

/// The 301 for a location that ends in a slash, asked for without it (`proxy_pass` locations).
pub fn redirect_to_slash(request: &mut Request) -> Verdict {
    let mut target = request.location.escaped_name.clone();
    if !request.args.is_empty() {
        target.push(b'?');
        target.extend_from_slice(&request.args);
    }
    request.response.location = Some(target);
    Verdict::Status(301)
}
