//! TLS between machines that know each other's certificates by their bytes: version 1.3 alone, a
//! certificate on both sides, no authority, no dates, no resumption.
//!
//! A session that was resumed would outlive the removal of a pin, so there is none. The signature
//! of each handshake proves that the peer has the key of the certificate now: a recorded handshake
//! proves nothing.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName,
    Error, ServerConfig, SignatureScheme,
};

use super::client::{ClientTls, OneKey};
use super::handshake::HandshakeError;
use super::keys::CertifiedKey;
use super::names::Protocols;
use super::offer::Offer;
use super::server::ServerTls;
use super::settings_error::SettingsError;
use super::verify;

/// The peers that are accepted.
#[derive(Clone, Debug)]
pub enum Pins {
    /// Those with one of these certificates.
    These(Vec<CertificateDer<'static>>),
    /// The peer whose certificate has this SHA-256 digest.
    Digest([u8; 32]),
    /// Any peer that has a certificate. The caller has to judge it.
    Any,
}

impl Pins {
    fn accept(&self, certificate: &CertificateDer<'_>) -> bool {
        match self {
            Self::These(known) => known.iter().any(|one| one.as_ref() == certificate.as_ref()),
            Self::Digest(digest) => crate::digest::sha256(&[certificate]) == *digest,
            Self::Any => true,
        }
    }

    /// Judges a peer's certificate.
    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.accept(certificate) {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }
}

impl ServerTls {
    /// The accepting side.
    ///
    /// # Errors
    /// rustls refused the settings.
    pub fn pinned(key: CertifiedKey, pins: Pins) -> Result<Self, SettingsError> {
        let (provider, versions) = offer().ready(&mut Vec::new())?;
        let suites = provider.cipher_suites.clone();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(Arc::new(Verifier(pins)));
        let make = |keys: Arc<dyn ResolvesServerCert>| {
            let mut config = builder.with_cert_resolver(keys);
            config.send_tls13_tickets = 0;
            config
        };
        Ok(Self::with_one_key(key, &suites, make))
    }
}

impl ClientTls {
    /// The connecting side, which offers this protocol by ALPN.
    ///
    /// # Errors
    /// rustls refused the settings.
    pub fn pinned(key: CertifiedKey, pins: Pins, protocol: &[u8]) -> Result<Self, SettingsError> {
        let (provider, versions) = offer().ready(&mut Vec::new())?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier(pins)))
            .with_client_cert_resolver(Arc::new(OneKey(key)));
        config.enable_sni = false;
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self::unjudged(config))
    }
}

impl HandshakeError {
    /// Whether the peer's certificate was refused, or it had none.
    pub fn is_about_pins(&self) -> bool {
        matches!(
            self,
            Self::Tls(
                Error::InvalidCertificate(_)
                    | Error::NoCertificatesPresented
                    | Error::AlertReceived(
                        AlertDescription::AccessDenied | AlertDescription::CertificateRequired
                    )
            )
        )
    }
}

fn offer() -> Offer {
    Offer::new(Protocols { obsolete: false, tls12: false, tls13: true }, "DEFAULT")
}

/// The methods about signatures that both verifiers have: TLS 1.3's alone.
macro_rules! signatures_of_tls13 {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("only TLS 1.3 is offered".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify::tls13_signature(message, certificate, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            verify::algorithms().supported_schemes()
        }
    };
}

/// Accepts pinned certificates whose key signed the handshake.
#[derive(Debug)]
struct Verifier(Pins);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.judge(end_entity).map(|()| ServerCertVerified::assertion())
    }

    signatures_of_tls13!();
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.judge(end_entity).map(|()| ClientCertVerified::assertion())
    }

    signatures_of_tls13!();
}

#[cfg(test)]
mod tests;
