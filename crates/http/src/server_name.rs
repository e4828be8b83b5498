//! The server's own name, as clients see it.

/// The name in as much detail as `server_tokens` allows.
pub struct ServerName {
    /// With the version.
    pub full: &'static str,
    /// With the name of the build. This program has none, so it is `full`.
    pub build: &'static str,
    /// Without the version.
    pub short: &'static str,
}

/// The nginx release whose behaviour is followed.
pub const NGINX_VERSION: &str = "1.31.5";

/// `Server` and the foot of error pages: the nginx release whose behaviour is followed, because
/// clients and scripts look at it.
pub const SERVER_NAME: ServerName =
    ServerName { full: "nginx/1.31.5", build: "nginx/1.31.5", short: "nginx" };
