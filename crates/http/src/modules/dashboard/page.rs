//! The page: HTML with its style and script inside. Their hashes are in its policy
//! (<https://www.w3.org/TR/CSP3/>), which permits nothing else, and no other host.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use sha2::{Digest, Sha256};
use weir_wire::header::Known;

use super::shared::Answer;
use crate::module::Verdict;
use crate::request::Request;

pub(super) const HTML: &str = include_str!("page.html");
pub(super) const STYLE: &str = include_str!("page.css");
const ICON: &[u8] = include_bytes!("icon.svg");

/// The parts of the script, in order. They are one script, so that they share their names.
pub(super) const SCRIPT: &[&str] = &[
    include_str!("page/basics.js"),
    include_str!("page/draw.js"),
    include_str!("page/wrong.js"),
    include_str!("page/traffic.js"),
    include_str!("page/upstreams.js"),
    include_str!("page/servers.js"),
    include_str!("page/edits.js"),
    include_str!("page/requests.js"),
    include_str!("page/under_way.js"),
    include_str!("page/sections.js"),
    include_str!("page/vitals.js"),
    include_str!("page/pair.js"),
    include_str!("page/main.js"),
];

struct Page {
    answer: Answer,
    policy: String,
    etag: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let script = format!("\"use strict\";\n{}", SCRIPT.concat());
    let html = HTML.replacen("/*STYLE*/", STYLE, 1).replacen("/*SCRIPT*/", &script, 1);
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(&script),
        hash(STYLE)
    );
    let etag = format!("\"{}\"", &hash(&html)[..22]);
    let answer = Answer::new(200, html.into_bytes(), Compression::best());
    Page { answer, policy, etag }
});

/// Sends the page.
pub(super) async fn send(request: &mut Request) -> Verdict {
    let page = &*PAGE;
    let headers = &mut request.response.headers;
    headers.push(b"Content-Security-Policy", page.policy.as_bytes());
    headers.push(b"Referrer-Policy", b"no-referrer");
    headers.set(Known::ETag, page.etag.as_bytes());
    super::send(request, &page.answer, b"text/html; charset=utf-8").await
}

/// Sends the icon.
pub(super) async fn send_icon(request: &mut Request) -> Verdict {
    request.response.headers.set(Known::CacheControl, b"max-age=86400");
    request.send_all(200, b"image/svg+xml", ICON.to_vec()).await
}
