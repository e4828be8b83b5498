//! Hosts: the request or session for which a value is computed.

use crate::{Captures, VarId};

/// Provides the values of variables and captures.
pub trait Host {
    /// Appends a variable's value to `out`. False if the variable has no value.
    fn variable(&mut self, id: VarId, out: &mut Vec<u8>) -> bool;

    /// Appends the `n`th capture (1 to 9) to `out`. False if there is none.
    fn capture(&mut self, n: usize, out: &mut Vec<u8>) -> bool;
}

/// A [`Host`] that also stores the captures of matches.
pub trait Scope: Host {
    /// The captures behind `$1` to `$9`.
    fn captures(&mut self) -> &mut Captures;

    /// Sets the variable of a named capture.
    fn assign(&mut self, id: VarId, value: &[u8]);
}

/// Nothing to ask: for tests, and for values that must not depend on a request.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;
    use std::collections::HashMap;

    /// A host with preset variables.
    #[derive(Default)]
    pub(crate) struct Fake {
        pub(crate) values: HashMap<VarId, Vec<u8>>,
        pub(crate) captures: Captures,
    }

    impl Host for Fake {
        fn variable(&mut self, id: VarId, out: &mut Vec<u8>) -> bool {
            let value = self.values.get(&id);
            out.extend_from_slice(value.map_or(b"", Vec::as_slice));
            value.is_some()
        }

        fn capture(&mut self, n: usize, out: &mut Vec<u8>) -> bool {
            let value = self.captures.get(n);
            out.extend_from_slice(value.unwrap_or_default());
            value.is_some()
        }
    }

    impl Scope for Fake {
        fn captures(&mut self) -> &mut Captures {
            &mut self.captures
        }

        fn assign(&mut self, id: VarId, value: &[u8]) {
            self.values.insert(id, value.to_vec());
        }
    }
}
