//! Request targets and URLs: normalising, escaping, hosts.

mod authority;
mod escape;
pub mod fuzz;
mod normalise;
mod redirect;

pub use authority::{Host, HostError, InvalidHost, ProxyUrl, Scheme, parse_host, parse_server};
pub use escape::{Escape, Unescape, escape, escape_html, unescape};
pub(crate) use normalise::hex_digit;
pub use normalise::{InvalidUri, Normalised, Scan, normalise};
pub use redirect::{PathAndArgs, UnsafeUri, parse_redirect};

/// The text after the last dot of the last segment; empty if there is no dot, or if it begins the
/// segment. The first two bytes are skipped, since a path begins with a slash.
pub fn extension(path: &[u8]) -> &[u8] {
    for i in (2..path.len()).rev() {
        match path[i] {
            b'/' => break,
            b'.' if path[i - 1] != b'/' => return &path[i + 1..],
            _ => {}
        }
    }
    &[]
}

/// Splits `uri` at its first `?` into path and arguments; `None` without a `?`.
pub fn split_args(uri: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', uri) {
        Some(at) => (&uri[..at], Some(&uri[at + 1..])),
        None => (uri, None),
    }
}

/// The undecoded value of the first argument `name`, ignoring case, as `$arg_name`.
pub fn arg<'a>(args: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if name.is_empty() {
        return None;
    }
    args.split(|&b| b == b'&').find_map(|pair| {
        let value = pair.get(name.len() + 1..)?;
        (pair[name.len()] == b'=' && pair[..name.len()].eq_ignore_ascii_case(name)).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions() {
        assert_eq!(extension(b"/a.b/c.html"), b"html");
        assert_eq!(extension(b"/a.b/c"), b"");
        assert_eq!(extension(b"/.htaccess"), b"");
        assert_eq!(extension(b"/"), b"");
        assert_eq!(extension(b"a.html"), b"");
    }

    #[test]
    fn arguments() {
        assert_eq!(arg(b"a=1&Bc=2&bc=3", b"bc"), Some(&b"2"[..]));
        assert_eq!(arg(b"abc=2", b"bc"), None);
        assert_eq!(arg(b"bc", b"bc"), None);
        assert_eq!(arg(b"bc=", b"bc"), Some(&b""[..]));
    }
}
