//! OCSP responses that a server staples to its certificates, replaced while handshakes go on.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::sign;

use crate::clock;

/// The response in force about one certificate. All servers with the certificate share it.
#[derive(Debug, Default)]
pub struct Staple(RwLock<Option<Arc<Fresh>>>);

/// A response and its end.
#[derive(Debug)]
struct Fresh {
    response: Vec<u8>,
    /// In seconds since 1970, the last one included; `None` without an end.
    until: Option<i64>,
}

impl Staple {
    /// Replaces the response, which is in DER. `until` is its last second since 1970, if it ends.
    pub fn set(&self, response: Vec<u8>, until: Option<i64>) {
        let fresh = Arc::new(Fresh { response, until });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
    }

    /// The response, if it has not expired at `now`.
    fn at(&self, now: i64) -> Option<Arc<Fresh>> {
        let fresh = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        fresh.until.is_none_or(|until| until >= now).then_some(fresh)
    }
}

/// The responses for one certificate with its key.
#[derive(Clone, Debug)]
pub(super) struct Stapling {
    staple: Arc<Staple>,
    /// The key with the last response, so that handshakes copy neither.
    attached: Arc<Mutex<Option<Attached>>>,
}

type Attached = (Arc<Fresh>, Arc<sign::CertifiedKey>);

impl Stapling {
    pub(super) fn new(staple: Arc<Staple>) -> Self {
        Self { staple, attached: Arc::default() }
    }

    /// The key with the response in force, if there is one.
    pub(super) fn attached(&self, key: &sign::CertifiedKey) -> Option<Arc<sign::CertifiedKey>> {
        let fresh = self.staple.at(clock::wall_secs())?;
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((own, key)) = &*attached
            && Arc::ptr_eq(own, &fresh)
        {
            return Some(Arc::clone(key));
        }
        let mut key = key.clone();
        key.ocsp = Some(fresh.response.clone());
        let key = Arc::new(key);
        *attached = Some((fresh, Arc::clone(&key)));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_used_up_to_its_last_second() {
        let staple = Staple::default();
        assert!(staple.at(0).is_none());
        staple.set(vec![1], Some(100));
        assert_eq!(staple.at(100).unwrap().response, [1]);
        assert!(staple.at(101).is_none());
        staple.set(vec![2], None);
        assert_eq!(staple.at(i64::MAX).unwrap().response, [2]);
    }
}
