//! The protocols, ciphers and groups offered to a client or an upstream.

use std::fmt;
use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::ciphers;
use super::names::{self, Protocols, Versions};
use super::settings_error::SettingsError;

/// A setting that OpenSSL supports and rustls does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Protocol versions below TLS 1.2.
    Protocols,
    /// The named ciphers.
    Ciphers(String),
    /// Every TLS 1.2 cipher of the list.
    AllCiphers,
    /// The named group.
    Curve(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocols => {
                f.write_str("protocols older than TLSv1.2 are not supported, ignored")
            }
            Self::Ciphers(names) => write!(f, "the ciphers \"{names}\" are not supported, ignored"),
            Self::AllCiphers => f.write_str(
                "none of the ciphers is supported, TLSv1.2 is not served; TLSv1.3 is unaffected",
            ),
            Self::Curve(name) => write!(f, "the curve \"{name}\" is not supported, ignored"),
        }
    }
}

/// Protocols, ciphers and curves.
#[derive(Clone, Debug)]
pub struct Offer {
    /// `ssl_protocols`.
    pub protocols: Protocols,
    /// `ssl_ciphers`, a cipher string of OpenSSL.
    pub ciphers: String,
    /// The TLS 1.3 cipher suites (`ssl_conf_command Ciphersuites`), joined by colons; `None` means
    /// all.
    pub ciphersuites: Option<String>,
    /// `ssl_ecdh_curve`: curves joined by colons, or `auto`.
    pub curves: String,
}

impl Offer {
    /// An offer of all curves and all TLS 1.3 suites.
    pub fn new(protocols: Protocols, ciphers: &str) -> Self {
        Self { protocols, ciphers: ciphers.into(), ciphersuites: None, curves: "auto".into() }
    }

    /// Converts the offer to rustls's types. Unsupported settings are pushed to `warnings`.
    ///
    /// # Errors
    /// If no protocol or no cipher remains.
    pub(super) fn ready(
        &self,
        warnings: &mut Vec<Missing>,
    ) -> Result<(Arc<CryptoProvider>, Versions), SettingsError> {
        let suites = self.ciphersuites.as_deref();
        let mut cipher_suites = ciphers::select(&self.ciphers, suites, warnings)?;
        // Suites of a disabled version must not count when a certificate is chosen.
        cipher_suites.retain(|suite| match suite {
            SupportedCipherSuite::Tls12(_) => self.protocols.tls12,
            SupportedCipherSuite::Tls13(_) => self.protocols.tls13,
        });
        let provider = CryptoProvider {
            cipher_suites,
            kx_groups: names::curves(&self.curves, warnings)?,
            ..aws_lc_rs::default_provider()
        };
        let versions = self.protocols.versions();
        if self.protocols.obsolete {
            warnings.push(Missing::Protocols);
        }
        if versions.iter().all(|one| one.version == rustls::ProtocolVersion::TLSv1_2)
            && provider.cipher_suites.is_empty()
            && !versions.is_empty()
        {
            return Err("none of the ciphers is supported".into());
        }
        if versions.is_empty() {
            return Err("none of the protocols is supported; TLSv1.2 and TLSv1.3 are".into());
        }
        Ok((Arc::new(provider), versions))
    }
}
