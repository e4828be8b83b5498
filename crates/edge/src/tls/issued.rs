//! `ssl_certificate $acme_certificate`: a certificate that is replaced while handshakes go on.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use weir_engine::tls::{CertifiedKey, Issued, ServerTls, SettingsError};

/// The names in `ssl_certificate` and `ssl_certificate_key` that stand for it.
const CERTIFICATE: [&str; 2] = ["$acme_certificate", "${acme_certificate}"];
const KEY: [&str; 2] = ["$acme_certificate_key", "${acme_certificate_key}"];

/// Whether a pair of names stands for the certificate that is ordered for the server.
pub(super) fn is_issued(certificate: &str, key: &str) -> bool {
    CERTIFICATE.contains(&certificate) && KEY.contains(&key)
}

/// A server's certificate that is ordered for it.
#[derive(Debug, Default)]
pub(super) struct IssuedKey {
    /// Set once the whole configuration is known; never in a server for which none is ordered.
    issued: OnceLock<Arc<Issued>>,
    /// The settings with the certificate of this number, so that handshakes make nothing.
    made: Mutex<Option<(u64, Arc<ServerTls>)>>,
}

impl IssuedKey {
    pub(super) fn bind(&self, issued: Arc<Issued>) {
        let _ = self.issued.set(issued);
    }

    /// The certificate in force.
    pub(super) fn key(&self) -> Option<CertifiedKey> {
        self.issued.get()?.current().map(|(key, _)| key)
    }

    /// The settings with the certificate in force.
    pub(super) fn settings(&self, plain: &ServerTls) -> Option<Arc<ServerTls>> {
        let issued = self.issued.get()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, settings)) = &*made
            && *number == issued.number()
        {
            return Some(Arc::clone(settings));
        }
        let (key, number) = issued.current()?;
        let settings = Arc::new(plain.with_keys(vec![key]));
        *made = Some((number, Arc::clone(&settings)));
        Some(settings)
    }
}

/// Why a connection has no settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// No certificate has been issued to the server yet.
    NotIssued,
    /// A file that variables name has a fault.
    Fault(SettingsError),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIssued => f.write_str("no certificate has been issued yet"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}
