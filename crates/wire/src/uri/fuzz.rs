//! Entry point for fuzzing, which tests call too.

use super::authority::{ProxyUrl, parse_host, parse_server};
use super::escape::{Escape, Unescape, escape, unescape};
use super::normalise::{Scan, normalise};
use super::redirect::parse_redirect;
use super::{arg, extension, split_args};

/// Arbitrary bytes as the target of a request, as the URI of a redirect and as a host.
///
/// # Panics
/// If a path leaves its root, if the two ways through a target disagree, or if what was escaped
/// does not come back.
pub fn fuzz_uri(data: &[u8]) {
    for merge_slashes in [false, true] {
        target(data, merge_slashes);
    }
    if let Ok((path, _)) = parse_redirect(data) {
        assert!(!climbs(&path) && !path.contains(&0));
    }
    for kind in [Escape::Uri, Escape::Args, Escape::UriComponent] {
        assert_eq!(unescaped(&escaped(kind, data)), data, "{kind:?}");
    }
    for kind in [Unescape::Uri, Unescape::Redirect] {
        assert!(unescape(kind, data, &mut Vec::new()) <= data.len());
    }
    let (path, args) = split_args(data);
    assert!(extension(path).len() <= path.len());
    let _ = args.and_then(|args| arg(args, b"a"));
    host(data);
}

fn target(data: &[u8], merge_slashes: bool) {
    let mut path = Vec::new();
    let found = normalise(data, merge_slashes, &mut path);
    let Ok(scan) = Scan::of(data) else { return };
    if !scan.needs_normalising() {
        let end = data.iter().position(|&byte| byte == b'?').unwrap_or(data.len());
        assert!(found.is_ok() && path == data[..end], "{}", data.escape_ascii());
    }
    let Ok(found) = found else { return };
    assert!(path.starts_with(b"/") && !climbs(&path) && !path.contains(&0));
    assert!(found.args.is_none_or(|args| args.start <= args.end && args.end <= data.len()));
    let mut again = Vec::new();
    assert!(normalise(&escaped(Escape::Uri, &path), merge_slashes, &mut again).is_ok());
    assert_eq!(again, path, "a path in its normal form stays as it is");
}

fn host(data: &[u8]) {
    let mut host = Vec::new();
    if parse_host(data, &mut host).is_ok() {
        assert!(!host.iter().any(|&byte| byte.is_ascii_uppercase() || byte <= b' '));
    }
    let text = String::from_utf8_lossy(data);
    let _ = parse_server(&text);
    if let Ok(url) = ProxyUrl::parse(&text) {
        assert!(text.ends_with(&url.uri));
    }
}

fn climbs(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|segment| segment == b"..")
}

fn escaped(kind: Escape, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    escape(kind, bytes, &mut out);
    out
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    unescape(Unescape::All, bytes, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_hosts() {
        for text in [
            "/",
            "//a/./../b",
            "/a%2fb?c#d",
            "/%",
            "/a/..",
            "/..",
            "?a",
            "http://a:80/b?c",
            "[::1]:80",
            "unix:/a:/b",
            "A.b.:1",
            "%41",
            "/a+b%00",
            "/%e9#",
        ] {
            fuzz_uri(text.as_bytes());
        }
    }
}
