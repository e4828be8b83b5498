//! Certificates that are replaced while handshakes go on: those that an authority issues to Weir
//! itself.

use std::sync::{PoisonError, RwLock};

use super::keys::CertifiedKey;

/// The certificate in force, if there is one yet. All servers with it share it.
#[derive(Debug, Default)]
pub struct Issued(RwLock<InForce>);

#[derive(Debug, Default)]
struct InForce {
    key: Option<CertifiedKey>,
    /// Counts the replacements.
    number: u64,
}

impl Issued {
    /// Puts a certificate with its key in force.
    pub fn set(&self, key: CertifiedKey) {
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        own.key = Some(key);
        own.number += 1;
    }

    /// The certificate in force, and a number that tells it from earlier ones.
    pub fn current(&self) -> Option<(CertifiedKey, u64)> {
        let own = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some((own.key.clone()?, own.number))
    }

    /// The number of the certificate in force; 0 if there is none.
    pub fn number(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).number
    }
}
