//! Redirects, the server's name and early hints.

use weir_conf::{Slot, directives, keywords};

use super::value::Predicates;

/// Redirects, the server's name and early hints.
pub(crate) static REDIRECT: Slot<Redirect> = Slot::new();

keywords! {
    /// The detail of the server's name.
    pub enum ServerTokens {
        /// Name and version.
        "on" => On,
        /// Name.
        "off" => Off,
        /// Name, version and build.
        "build" => Build,
    }
}

directives! {
    /// Redirects, the server's name and early hints.
    pub struct Redirect in [http, server, location] {
        /// Adds scheme and host to redirects.
        "absolute_redirect" => absolute_redirect: bool = true,
        /// Uses the first server name in redirects, instead of `Host`.
        "server_name_in_redirect" => server_name_in_redirect: bool = false,
        /// Adds the port to redirects.
        "port_in_redirect" => port_in_redirect: bool = true,
        /// Shows the version in error pages and the `Server` field.
        "server_tokens" => server_tokens: ServerTokens = ServerTokens::On,
        /// Passes 103 responses of upstreams on, if any value is neither empty nor `0`.
        "early_hints" => early_hints: Predicates,
    }
}
