//! The server's name, as sent to clients.

/// The server's name, subject to `server_tokens`.
pub(crate) struct ProductName {
    /// With the version.
    pub full: &'static str,
    /// With the name of the build. Weir has none, so it equals `full`.
    pub build: &'static str,
    /// Without the version.
    pub short: &'static str,
}

/// The nginx release that Weir follows.
pub(crate) const NGINX_VERSION: &str = "1.31.5";

/// The name in `Server` and error pages: that of the nginx release that Weir follows, because
/// clients and scripts look at it.
pub(crate) const SERVER_NAME: ProductName =
    ProductName { full: "nginx/1.31.5", build: "nginx/1.31.5", short: "nginx" };
