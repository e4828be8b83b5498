//! The response head, from the upstream's to the client's: fields that are passed on, hidden,
//! rewritten or acted upon (nginx: `ngx_http_upstream_process_headers`).

use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_wire::h1::Method;
use weir_wire::header::Known;

use super::body::BodyReader;
use super::course::Pass;
use super::hidden::{Ignored, Usual};
use super::protocol::UpstreamHead;
use super::response_head::READING;
use crate::client::Rate;
use crate::field;
use crate::module::Verdict;
use crate::request::{Request, State};

/// Overrides of settings by response fields.
#[derive(Default)]
pub(crate) struct Overrides {
    /// `X-Accel-Buffering`.
    pub buffering: Option<bool>,
}

/// The overrides of a request.
pub(crate) static OVERRIDES: State<Overrides> = State::new(Overrides::default);

/// The verdict if `error_page` replaces the response.
pub(crate) fn intercept(request: &mut Request, pass: &Pass<'_>, status: u16) -> Option<Verdict> {
    if status == 404 && pass.settings.intercept_missing {
        return Some(Verdict::Status(404));
    }
    if status < 300 || !pass.settings.intercept_errors {
        return None;
    }
    let pages = &pass.location.settings.get(&crate::core::ERRORS).pages;
    let listed = pages.iter().any(|page| page.applies_to(status));
    if !listed {
        return None;
    }
    if status == 401 {
        let headers = Rc::clone(&request.attempts.headers);
        for value in headers.get_all(Known::WwwAuthenticate) {
            request.response.headers.push(b"WWW-Authenticate", value);
        }
    }
    Some(Verdict::Status(status))
}

/// Fills the response from the upstream's head.
///
/// # Errors
/// The verdict that replaces the response: `X-Accel-Redirect`.
pub(crate) fn process(
    request: &mut Request,
    pass: &Pass<'_>,
    head: &mut UpstreamHead,
) -> Result<(), Verdict> {
    let headers = Rc::clone(&request.attempts.headers);
    let settings = pass.settings;
    let ignored = settings.ignore_headers;
    if !ignored.has(Ignored::LIMIT_RATE)
        && let Some(value) = headers.get(Known::XAccelLimitRate)
        && let Some(bytes) = decimal(value)
    {
        request.client.rate = (bytes > 0).then(|| Rate::new(bytes, 0));
        request.client.rate_set = true;
    }
    if !ignored.has(Ignored::REDIRECT)
        && let Some(target) = headers.get(Known::XAccelRedirect)
    {
        return Err(accel_redirect(request, pass, &headers, target));
    }
    request.response.status = head.status;
    request.response.status_line = head.status_line.take();
    // The upstream has evaluated the conditions, and may have acted on them.
    request.response.disable_not_modified = true;
    if !ignored.has(Ignored::BUFFERING)
        && let Some(value) = headers.get(Known::XAccelBuffering)
    {
        let buffering = match value.to_ascii_lowercase().as_slice() {
            b"yes" => Some(true),
            b"no" => Some(false),
            _ => None,
        };
        request.state(&OVERRIDES).buffering = buffering;
    }
    if !ignored.has(Ignored::CHARSET)
        && let Some(value) = headers.get(Known::XAccelCharset)
    {
        request.response.override_charset = value.to_vec();
    }
    for entry in headers.entries() {
        let (name, value) = (entry.name.of(headers.arena()), entry.value.of(headers.arena()));
        match settings.hidden.has(name, entry.known) {
            true => {}
            false if entry.never_indexed => copy_marked(request, pass, name, value, entry.known),
            false => copy(request, pass, name, value, entry.known),
        }
    }
    if let Some(encoding) = head.encoding {
        let (name, value) = (b"Content-Encoding", encoding.as_bytes());
        request.response.headers.push_known(Known::ContentEncoding, name, value);
    }
    if settings.usual_hidden != Usual::Http || !settings.pass_header.is_empty() {
        // Passed on unchanged. A server's may be absent, an application's are replaced by ours.
        let absent = settings.usual_hidden == Usual::Http;
        let passes =
            |known| !settings.hidden.has(b"", known) && (absent || headers.contains(known));
        request.response.passes_server = passes(Known::Server);
        request.response.passes_date = passes(Known::Date);
    }
    if head.upgraded || request.response.status >= 200 {
        request.response.content_length = match &head.body {
            BodyReader::None => request.response.content_length,
            // The body of an application that may ignore HEAD.
            BodyReader::Close | BodyReader::Framed(_) if request.method == Method::Head => {
                head.body.left().or(request.response.content_length)
            }
            body => body.left(),
        };
    }
    if settings.force_ranges {
        request.response.allow_ranges = true;
        request.response.single_range = true;
    }
    Ok(())
}

/// Copies one field, depending on its kind.
fn copy(request: &mut Request, pass: &Pass<'_>, name: &[u8], value: &[u8], known: Known) {
    let response = &mut request.response;
    match known {
        Known::Connection | Known::TransferEncoding | Known::KeepAlive => {}
        Known::ContentType => response.set_content_type(value),
        Known::ContentLength => {
            // Kept in its own member, as for every response.
            if let Some(length) = decimal(value) {
                response.content_length = Some(length);
            }
        }
        Known::LastModified => {
            response.last_modified = weir_wire::date::parse(value);
            response.headers.push_known(known, name, value);
        }
        Known::AcceptRanges => {
            if pass.settings.force_ranges {
                return;
            }
            response.headers.push_known(known, name, value);
        }
        Known::Location => match pass.protocol.redirect(request, value) {
            // A URI of this server, which may have to be made absolute.
            Some(rewritten)
                if rewritten.first() == Some(&b'/')
                    && request.location.usual.redirect.absolute_redirect =>
            {
                request.response.location = Some(rewritten);
            }
            Some(mut rewritten) => {
                field::escape_address(&mut rewritten);
                request.response.headers.push_known(known, name, &rewritten);
            }
            None => request.response.headers.push_known(known, name, value),
        },
        Known::Refresh => {
            let mut rewritten = refresh(request, pass, value);
            if let Some(rewritten) = &mut rewritten {
                field::escape_address(rewritten);
            }
            let value = rewritten.as_deref().unwrap_or(value);
            request.response.headers.push_known(known, name, value);
        }
        Known::SetCookie => match pass.protocol.cookie(request, value) {
            Some(mut rewritten) => {
                field::clean(&mut rewritten, 0);
                request.response.headers.push_known(known, name, &rewritten);
            }
            None => request.response.headers.push_known(known, name, value),
        },
        _ => response.headers.push_known(known, name, value),
    }
}

/// Copies a field that no table on the way may keep.
#[cold]
fn copy_marked(request: &mut Request, pass: &Pass<'_>, name: &[u8], value: &[u8], known: Known) {
    let before = request.response.headers.len();
    copy(request, pass, name, value, known);
    let headers = &mut request.response.headers;
    if headers.len() > before {
        headers.mark_last();
    }
}

/// Rewrites the URL in `Refresh: N; url=…`.
fn refresh(request: &mut Request, pass: &Pass<'_>, value: &[u8]) -> Option<Vec<u8>> {
    let at = value.windows(4).position(|w| w.eq_ignore_ascii_case(b"url="))? + 4;
    let rewritten = pass.protocol.redirect(request, &value[at..])?;
    Some([&value[..at], &rewritten[..]].concat())
}

/// Serves another URI in place of the response, and keeps some of the upstream's fields.
fn accel_redirect(
    request: &mut Request,
    pass: &Pass<'_>,
    headers: &weir_wire::header::Headers,
    target: &[u8],
) -> Verdict {
    const KEPT: [Known; 6] = [
        Known::ContentType,
        Known::SetCookie,
        Known::ContentDisposition,
        Known::CacheControl,
        Known::Expires,
        Known::AcceptRanges,
    ];
    for (name, value, known) in headers.iter() {
        if KEPT.contains(&known) {
            copy(request, pass, name, value, known);
        }
    }
    if target.first() == Some(&b'@') {
        return request.named_redirect(target);
    }
    let Ok((uri, args)) = weir_wire::uri::parse_redirect(target) else {
        let text = weir_wire::shown(target);
        let message = format!("unsafe URI \"{text}\" was detected while {READING}");
        request.log_upstream(Level::Error, &message);
        return Verdict::Status(404);
    };
    let (uri, args) = (uri.into_owned(), args.unwrap_or_default().to_vec());
    if request.method != Method::Head {
        request.method = Method::Get;
    }
    request.internal_redirect(uri, args)
}

/// Parses decimal digits and nothing else.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| value.checked_mul(10)?.checked_add(digit(byte)?))
}
