//! What the server says of itself, and how it writes the addresses of redirects.

use weir_conf::{Slot, directives, keywords};

use super::value::Predicates;

/// What the server says of itself, and how it writes the addresses of redirects.
pub static REDIRECT: Slot<Redirect> = Slot::new();

keywords! {
    /// How much the server says of itself.
    pub enum ServerTokens {
        /// Its name and version.
        "on" => On,
        /// Its name.
        "off" => Off,
        /// Its name, version and build.
        "build" => Build,
    }
}

directives! {
    /// What the server says of itself, and how it writes the addresses of redirects.
    pub struct Redirect in [http, server, location] {
        /// Writes redirects with scheme and host.
        "absolute_redirect" => absolute_redirect: bool = true,
        /// Takes the first server name for the host of a redirect instead of the Host field.
        "server_name_in_redirect" => server_name_in_redirect: bool = false,
        /// Writes the port into redirects.
        "port_in_redirect" => port_in_redirect: bool = true,
        /// Shows the version in error pages and in the Server field.
        "server_tokens" => server_tokens: ServerTokens = ServerTokens::On,
        /// Passes an upstream's 103 answers on when one of the values holds.
        "early_hints" => early_hints: Predicates,
    }
}
