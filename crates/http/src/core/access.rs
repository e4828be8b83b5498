//! Who may enter a location.

use weir_conf::value::Msec;
use weir_conf::{Cx, Fault, Node, Slot, directives, keywords};

/// Who may enter a location.
pub static ACCESS: Slot<Access> = Slot::new();

keywords! {
    /// How several access checks combine.
    pub enum Satisfy {
        /// All must agree.
        "all" => All,
        /// One is enough.
        "any" => Any,
    }
}

directives! {
    /// Who may enter a location.
    pub struct Access as AccessWritten in [http, server, location] {
        /// Whether all access checks must agree, or one is enough.
        "satisfy" => satisfy: Satisfy = Satisfy::All,
        /// How long an answer 401 is held back, against guessing by timing.
        "auth_delay" => auth_delay: Msec,
        /// The location is for internal requests only; others get 404.
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
