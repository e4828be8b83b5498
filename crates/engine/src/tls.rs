//! TLS for both sides of the proxy: rustls with aws-lc-rs, configured by nginx's directives with
//! OpenSSL's names.

mod aead;
mod ciphers;
mod client;
pub mod counters;
mod der;
pub mod fuzz;
mod handshake;
mod hello;
mod hkdf;
pub(crate) mod info;
mod issued;
mod keys;
mod names;
mod offer;
mod pinned;
mod private_key;
mod records;
mod resumption;
mod scope;
mod self_signed;
mod server;
pub(crate) mod session;
mod session_cache;
mod settings_error;
pub mod shared_tickets;
mod signature;
mod signing_request;
mod staple;
mod tickets;
mod verify;
mod wording;
pub mod x509;

/// A certificate as DER.
pub type CertificateDer = rustls::pki_types::CertificateDer<'static>;

pub use client::{ClientIdentity, ClientSettings, ClientTls};
pub use handshake::{ClientHello, HandshakeError, accept, connect};
pub use info::{OcspStatus, TlsInfo};
pub use issued::Issued;
pub use keys::{CertifiedKey, KeyError, certificates_from_pem, crls_from_pem};
pub use names::{Protocols, Versions};
pub use offer::{Missing, Offer};
pub use pinned::Pins;
pub use private_key::{KeyKind, PrivateKey, PublicNumbers, hmac_sha256};
pub use self_signed::{SelfSigned, certificate_pem};
pub use server::{Alpn, ServerSettings, ServerTls, VerifyClient};
pub use session_cache::{SessionCache, cached_session_bytes};
pub use settings_error::SettingsError;
pub use signature::is_signed_by;
pub use signing_request::signing_request;
pub use staple::Staple;
pub use tickets::Tickets;
pub use verify::ocsp;
pub use verify::{Fault, Revocation, Trust, Verdict};

#[cfg(test)]
mod tests;
