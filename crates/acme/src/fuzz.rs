//! Entry points for fuzzing: no answer of an authority may cause a panic, a line of the log that is
//! two, or a request that says something else.

use std::time::Duration;

use serde_json::Value;

use crate::url::AcmeUrl;
use crate::{duty, order, pair, renewal, session};

/// The limit of what a failure tells in bytes, its texts and their frame.
const LONGEST_FAILURE: usize = 64 << 10;

/// An answer: a field and a body, each in place of what an authority sends.
pub fn answer(bytes: &[u8]) {
    let (field, body) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, bytes),
    };
    wait(field);
    if let Some(url) = order::alternate(field) {
        check_url(&url);
    }
    check_url(&String::from_utf8_lossy(field));
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let failures = [session::problem(&value), Some(order::refused(&value, "invalid"))];
    for failure in failures.into_iter().flatten() {
        let said = failure.to_string();
        assert!(!said.chars().any(char::is_control), "{said:?}");
        assert!(said.len() <= LONGEST_FAILURE, "{} bytes", said.len());
    }
    for name in ["url", "finalize", "certificate", "newOrder"] {
        if let Ok(url) = order::link(&value, name) {
            check_url(&url.to_string());
        }
    }
    let _ = (order::status(&value), order::texts(&value, "authorizations"));
    if let Some(window) = duty::window(&value) {
        let due = renewal::due((0, 1), Some(window), 0.5);
        assert!(due <= window.end && due <= 1);
    }
    if let Some(pending) = pair::Pending::from_bytes(body) {
        assert_eq!(pair::Pending::from_bytes(&pending.to_bytes()), Some(pending));
    }
}

/// `Retry-After`.
fn wait(field: &[u8]) {
    let asked = session::retry_after(field, 1_000_000_000);
    for failures in [0, 1, 9, u32::MAX] {
        // Seven days, and a share of six hours.
        assert!(renewal::retry(failures, asked, 0.9) < Duration::from_secs(8 * 86_400));
    }
    assert!(renewal::ask_again(asked) <= Duration::from_secs(86_400));
}

/// A URL, whose parts become lines of a request.
fn check_url(text: &str) {
    let Some(url) = AcmeUrl::parse(text) else { return };
    for part in [&*url.path, &url.authority()] {
        assert!(!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()), "{part:?}");
    }
    assert!(url.path.starts_with('/') && !url.path.contains('#'), "{url:?}");
    let scheme = if url.is_secure { "https" } else { "http" };
    let again = AcmeUrl::parse(&format!("{scheme}://{}{}", url.authority(), url.path));
    let again = again.unwrap_or_else(|| panic!("{url:?}"));
    assert!(again.has_origin_of(&url) && again.path == url.path, "{again:?} {url:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_and_their_prefixes_are_taken() {
        for text in [
            "Sun, 06 Nov 1994 08:50:37 GMT\n{\"suggestedWindow\":{\"start\":\
             \"2025-01-02T04:00:00Z\",\"end\":\"2025-01-03T04:00:00Z\"}}",
            "<https://[::1]:14000/x?y#z>;rel=\"alternate\"\n{\"type\":\"urn:ietf:params:acme:error:\
             dns\",\"detail\":\"a\\nb\",\"subproblems\":[{\"type\":\"x\"}]}",
            "http://a\n{\"url\":\"http://a/b\",\"key\":\"c\"}",
        ] {
            (0..text.len()).for_each(|end| super::answer(&text.as_bytes()[..end]));
            super::answer(text.as_bytes());
        }
    }
}
