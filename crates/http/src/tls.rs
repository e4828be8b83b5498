//! TLS with clients in http: the slot of its settings, and the checks of connections.

use weir_conf::Slot;
use weir_edge::tls::Ssl;

pub(crate) mod status;
pub(crate) mod verify;

/// The `ssl_` settings.
pub(crate) static SSL: Slot<Ssl> = Slot::new();
