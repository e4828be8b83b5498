//! TLS for both sides of the proxy: rustls with aws-lc-rs behind nginx's settings, which speak
//! OpenSSL's names.

mod aead;
mod ciphers;
mod client;
mod der;
mod handshake;
mod hkdf;
mod info;
mod keys;
mod names;
mod offer;
mod records;
mod server;
pub(crate) mod session;
mod tickets;
mod verify;
mod wording;
pub mod x509;

/// A certificate as DER.
pub type CertificateDer = rustls::pki_types::CertificateDer<'static>;

pub use client::{ClientSettings, ClientTls};
pub use handshake::{ClientHello, HandshakeError, accept, connect};
pub use info::TlsInfo;
pub use keys::{CertifiedKey, KeyError, certificates_from_pem, crls_from_pem};
pub use names::{Protocols, Versions};
pub use offer::Offer;
pub use server::{ServerSettings, ServerTls, VerifyClient};
pub use tickets::{SessionCache, Tickets};
pub use verify::{Fault, Revocation, Trust, Verdict};

#[cfg(test)]
mod tests;
