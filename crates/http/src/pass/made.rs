//! The parameters of a connection to an upstream. A kept connection serves only requests that would
//! make an equal one: with the same TLS settings, certificate and name, from the same local
//! address. They are compared by value, across reloads and between locations that share an
//! upstream.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use weir_engine::connection::connect::ConnectOptions;
use weir_engine::tls::ClientIdentity;
use weir_upstream::Made;

use super::course::Pass;
use super::{connect, handshake};
use crate::request::Request;

/// The random key of the hashes, against provoked collisions.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The TLS parameters: the settings, and the name if it matters to the connection.
#[derive(Hash)]
pub(crate) struct Secured {
    pub(super) identity: ClientIdentity,
    pub(super) name: Option<String>,
}

/// The parameters of a new connection for this request. None if they cannot be determined, so that
/// no kept connection fits.
pub(crate) fn wanted(request: &mut Request, pass: &Pass<'_>) -> Option<Made> {
    let secured = match pass.tls {
        Some(settings) => Some(handshake::wanted(request, pass, settings)?),
        None => None,
    };
    if secured.is_none() && !connect::has_options(pass) {
        return Some(Made::default());
    }
    let options = connect::connect_options(request, pass);
    Some(of(&options, secured.as_ref()))
}

/// The parameters that a connection was made with.
pub(crate) fn of(options: &ConnectOptions, secured: Option<&Secured>) -> Made {
    if secured.is_none() && *options == ConnectOptions::default() {
        return Made::default();
    }
    let mut hasher = KEY.build_hasher();
    options.hash(&mut hasher);
    secured.hash(&mut hasher);
    Made(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_connection_has_default_properties() {
        assert_eq!(of(&ConnectOptions::default(), None), Made::default());
    }

    #[test]
    fn another_source_makes_another_connection() {
        let from = |text: &str| ConnectOptions {
            bind: Some(text.parse().unwrap()),
            ..ConnectOptions::default()
        };
        let one = of(&from("127.0.0.1:0"), None);
        assert_eq!(one, of(&from("127.0.0.1:0"), None));
        assert_ne!(one, of(&from("127.0.0.2:0"), None));
        assert_ne!(one, of(&ConnectOptions { transparent: true, ..from("127.0.0.1:0") }, None));
        assert_ne!(one, Made::default());
    }
}
