//! The built-in pages, byte for byte those that nginx's users know.

use weir_wire::h1::Version;
use weir_wire::uri;

use crate::browser::Browser;
use crate::core::{ERRORS, REDIRECT, ServerTokens};
use crate::request::Request;
use crate::serve::SERVER_NAME;

/// The title of an error or redirect page; None means a response without a body.
fn title(status: u16) -> Option<&'static str> {
    Some(match status {
        301 => "301 Moved Permanently",
        302 => "302 Found",
        303 => "303 See Other",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        400 => "400 Bad Request",
        401 => "401 Authorization Required",
        402 => "402 Payment Required",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        405 => "405 Not Allowed",
        406 => "406 Not Acceptable",
        407 => "407 Proxy Authentication Required",
        408 => "408 Request Time-out",
        409 => "409 Conflict",
        410 => "410 Gone",
        411 => "411 Length Required",
        412 => "412 Precondition Failed",
        413 => "413 Request Entity Too Large",
        414 => "414 Request-URI Too Large",
        415 => "415 Unsupported Media Type",
        416 => "416 Requested Range Not Satisfiable",
        421 => "421 Misdirected Request",
        429 => "429 Too Many Requests",
        494 => "400 Request Header Or Cookie Too Large",
        495 => "400 The SSL certificate error",
        496 => "400 No required SSL certificate was sent",
        497 => "400 The plain HTTP request was sent to HTTPS port",
        500 => "500 Internal Server Error",
        501 => "501 Not Implemented",
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        505 => "505 HTTP Version Not Supported",
        507 => "507 Insufficient Storage",
        _ => return None,
    })
}

/// What the page's heading says; some errors explain themselves in a line of their own.
fn body(status: u16) -> Option<(&'static str, &'static str)> {
    let explanation = match status {
        494 => "Request Header Or Cookie Too Large",
        495 => "The SSL certificate error",
        496 => "No required SSL certificate was sent",
        497 => "The plain HTTP request was sent to HTTPS port",
        _ => return title(status).map(|title| (title, "")),
    };
    Some(("400 Bad Request", explanation))
}

/// Below the rule stands who answers, as much as `server_tokens` lets be known.
fn signature(request: &mut Request) -> Vec<u8> {
    match &request.get(&REDIRECT).server_tokens {
        ServerTokens::On => SERVER_NAME.full.into(),
        ServerTokens::Build => SERVER_NAME.build.into(),
        ServerTokens::Off => SERVER_NAME.short.into(),
    }
}

/// The page for `status`, empty when it has none.
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
    line(&[b"<head><title>", title.as_bytes(), b"</title></head>"]);
    line(&[b"<body>"]);
    line(&[b"<center><h1>", heading.as_bytes(), b"</h1></center>"]);
    if !explanation.is_empty() {
        line(&[b"<center>", explanation.as_bytes(), b"</center>"]);
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

/// Old browsers showed a page of their own instead of a short one (`msie_padding`).
fn is_padded(request: &Request) -> bool {
    if !request.get(&ERRORS).msie_padding || request.head.version < Version::HTTP_10 {
        return false;
    }
    let browser = Browser::of(&request.head);
    browser.msie || browser.chrome
}

/// A page that sends an old browser elsewhere (`msie_refresh`).
pub(super) fn refresh(location: &[u8]) -> Vec<u8> {
    let mut out = b"<html><head><meta http-equiv=\"Refresh\" content=\"0; URL=".to_vec();
    uri::escape(uri::Escape::Refresh, location, &mut out);
    out.extend_from_slice(b"\"></head><body></body></html>\r\n");
    out
}
