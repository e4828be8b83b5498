//! Access control.

use weir_conf::value::Msec;
use weir_conf::{Cx, Fault, Node, Slot, directives, keywords};

/// Access control.
pub(crate) static ACCESS: Slot<Access> = Slot::new();

keywords! {
    /// The combination of several access checks.
    pub enum Satisfy {
        /// All must grant access.
        "all" => All,
        /// One is enough.
        "any" => Any,
    }
}

directives! {
    /// Access control.
    pub struct Access as AccessWritten in [http, server, location] {
        /// Whether all access checks must grant access, or one is enough.
        "satisfy" => satisfy: Satisfy = Satisfy::All,
        /// The delay of a 401 response, against timing attacks.
        "auth_delay" => auth_delay: Msec,
        /// Restricts the location to internal requests; others get 404.
        "internal" in [location] [0]: "" => set_internal,
        field internal: bool = false,
    }
}

fn set_internal(own: &mut AccessWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    match own.internal.replace(true) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}
