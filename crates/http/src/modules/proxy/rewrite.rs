//! `proxy_redirect`, `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`: fields of
//! the response that name the upstream, rewritten to name us.

use weir_conf::{Cx, Fault, Node};

use super::ProxyWritten;
use crate::request::Request;
use crate::route::Location;

/// One `proxy_redirect`.
#[derive(Clone, Debug)]
pub(crate) struct RedirectRule;

/// One `proxy_cookie_domain` or `proxy_cookie_path`.
#[derive(Clone, Debug)]
pub(crate) struct CookieRule;

/// One `proxy_cookie_flags`.
#[derive(Clone, Debug)]
pub(crate) struct CookieFlags;

pub(super) fn set_redirect(_: &mut ProxyWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    Ok(())
}
pub(super) fn set_cookie_domain(
    _: &mut ProxyWritten,
    _: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    Ok(())
}
pub(super) fn set_cookie_path(_: &mut ProxyWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    Ok(())
}
pub(super) fn set_cookie_flags(
    _: &mut ProxyWritten,
    _: &Node,
    _: &mut Cx<'_>,
) -> Result<(), Fault> {
    Ok(())
}

/// The value of `Location` as the client sees it; None leaves it.
pub(super) fn redirect(_: &Location, _: &mut Request, _: &[u8]) -> Option<Vec<u8>> {
    None
}

/// The value of `Set-Cookie` as the client sees it; None leaves it.
pub(super) fn cookie(_: &Location, _: &mut Request, _: &[u8]) -> Option<Vec<u8>> {
    None
}
