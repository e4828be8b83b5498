//! URIs named by an upstream or by Weir itself: `X-Accel-Redirect`, SSI includes.

use std::borrow::Cow;

use super::escape::{Unescape, unescape};
use super::split_args;

/// A URI that is empty, has a NUL, or climbs with `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsafeUri;

/// A decoded path and undecoded arguments.
pub type PathAndArgs<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// Splits a URI into its decoded path and its arguments; refuses one that could leave its location.
/// The path is not normalised.
pub fn parse_redirect(uri: &[u8]) -> Result<PathAndArgs<'_>, UnsafeUri> {
    let (path, args) = split_args(uri);
    check(path)?;
    if !path.contains(&b'%') {
        return Ok((Cow::Borrowed(path), args));
    }
    let mut decoded = Vec::with_capacity(path.len());
    unescape(Unescape::All, path, &mut decoded);
    check(&decoded)?;
    Ok((Cow::Owned(decoded), args))
}

fn check(path: &[u8]) -> Result<(), UnsafeUri> {
    let climbs = path.split(|&byte| byte == b'/').any(|segment| segment == b"..");
    if path.is_empty() || climbs || path.contains(&0) { Err(UnsafeUri) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_and_unsafe() {
        let (path, args) = parse_redirect(b"/a%20b/..c?x=%2e").expect("safe");
        assert_eq!((&path[..], args), (&b"/a b/..c"[..], Some(&b"x=%2e"[..])));
        for uri in
            ["", "?a", "..", "../a", "/a/../b", "/..", "/..?a", "/a/%2e%2e/b", "/a%00", "/a\0"]
        {
            assert_eq!(parse_redirect(uri.as_bytes()), Err(UnsafeUri), "{uri}");
        }
    }
}
