//! The built-in pages, byte for byte those of nginx.

use weir_wire::h1::Version;
use weir_wire::uri;

use crate::client::reason;
use crate::core::{ERRORS, REDIRECT, ServerTokens};
use crate::request::Request;
use crate::request::browser::UserAgent;
use crate::server_name::SERVER_NAME;

/// The title of an error or redirect page: the status line's text, with a few exceptions. None
/// means a response without a body.
fn title(status: u16) -> Option<&'static [u8]> {
    Some(match status {
        302 => b"302 Found",
        401 => b"401 Authorization Required",
        494 => b"400 Request Header Or Cookie Too Large",
        495 => b"400 The SSL certificate error",
        496 => b"400 No required SSL certificate was sent",
        497 => b"400 The plain HTTP request was sent to HTTPS port",
        ..300 | 304 => return None,
        _ => return reason(status),
    })
}

/// The heading of a page, and an explanation for some errors.
fn body(status: u16) -> Option<(&'static [u8], &'static [u8])> {
    match status {
        494..=497 => Some((b"400 Bad Request", title(status)?.strip_prefix(b"400 ")?)),
        _ => title(status).map(|title| (title, b"".as_slice())),
    }
}

/// The server's name, subject to `server_tokens`.
fn signature(request: &mut Request) -> Vec<u8> {
    match &request.get(&REDIRECT).server_tokens {
        ServerTokens::On => SERVER_NAME.full.into(),
        ServerTokens::Build => SERVER_NAME.build.into(),
        ServerTokens::Off => SERVER_NAME.short.into(),
    }
}

/// The page for `status`; empty if it has none.
pub(super) fn page(request: &mut Request, status: u16) -> Vec<u8> {
    let (Some(title), Some((heading, explanation))) = (title(status), body(status)) else {
        return Vec::new();
    };
    let mut out = Vec::with_capacity(512);
    let mut line = |text: &[&[u8]]| {
        text.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    };
    line(&[b"<html>"]);
    line(&[b"<head><title>", title, b"</title></head>"]);
    line(&[b"<body>"]);
    line(&[b"<center><h1>", heading, b"</h1></center>"]);
    if !explanation.is_empty() {
        line(&[b"<center>", explanation, b"</center>"]);
    }
    let signature = signature(request);
    line(&[b"<hr><center>", &signature, b"</center>"]);
    line(&[b"</body>"]);
    line(&[b"</html>"]);
    if status >= 400 && is_padded(request) {
        for _ in 0..6 {
            line(&[b"<!-- a padding to disable MSIE and Chrome friendly error page -->"]);
        }
    }
    out
}

/// Whether the page is padded (`msie_padding`), as old browsers replace short pages.
fn is_padded(request: &Request) -> bool {
    if !request.get(&ERRORS).msie_padding || request.head.version < Version::HTTP_10 {
        return false;
    }
    let browser = UserAgent::of(&request.head);
    browser.msie || browser.chrome
}

/// A page that redirects Internet Explorer (`msie_refresh`).
pub(super) fn refresh(location: &[u8]) -> Vec<u8> {
    let mut out = b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=".to_vec();
    uri::escape(uri::Escape::Refresh, location, &mut out);
    out.extend_from_slice(b"\"></head><body></body></html>\r\n");
    out
}
