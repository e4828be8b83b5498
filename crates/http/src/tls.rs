//! TLS with clients in http: the slot of its settings, and the checks of connections.

use weir_conf::Slot;
use weir_edge::tls::Ssl;

pub mod verify;

/// The `ssl_` settings.
pub static SSL: Slot<Ssl> = Slot::new();
