//! The client's side of TLS: the `proxy_ssl_*` settings, compiled for handshakes.

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, sign};

use super::keys::CertifiedKey;
use super::names::Protocols;
use super::offer::{Missing, Offer};
use super::resumption::Sessions;
use super::server::Alpn;
use super::settings_error::SettingsError;
use super::verify::{self, Judge, Purpose, Trust, Verdict};
use crate::clock;

/// The `proxy_ssl_*` settings of one location.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// `proxy_ssl_protocols`, `proxy_ssl_ciphers`.
    pub offer: Offer,
    /// `proxy_ssl_server_name`: whether the name is sent.
    pub server_name: bool,
    /// `proxy_ssl_session_reuse`.
    pub session_reuse: bool,
    /// `proxy_ssl_certificate` and `_key`.
    pub key: Option<CertifiedKey>,
    /// `proxy_ssl_verify`.
    pub verify: bool,
    /// `proxy_ssl_verify_depth`.
    pub verify_depth: u32,
    /// `proxy_ssl_trusted_certificate` and `proxy_ssl_crl`.
    pub trust: Trust,
    /// The protocols offered by ALPN.
    pub alpn: Vec<Vec<u8>>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            offer: Offer::new(Protocols::DEFAULT, "DEFAULT"),
            server_name: false,
            session_reuse: true,
            key: None,
            verify: false,
            verify_depth: 1,
            trust: Trust::default(),
            alpn: Vec::new(),
        }
    }
}

/// Compiled settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// `None` if certificates are not verified.
    judge: Option<Judge>,
    /// Digest of all settings except the certificate.
    common: [u8; DIGEST],
    identity: ClientIdentity,
}

/// The identity of a connection's settings: a digest of their values and of the files' contents.
/// Connections are interchangeable only if their identities are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIdentity([u8; DIGEST]);

const DIGEST: usize = 32;

impl ClientIdentity {
    fn new(common: &[u8; DIGEST], chain: &[CertificateDer<'_>]) -> Self {
        let mut digest = Parts::new();
        digest.add(common);
        chain.iter().for_each(|certificate| digest.add(certificate));
        Self(digest.finish())
    }
}

/// A digest over length-prefixed parts.
struct Parts(digest::Context);

impl Parts {
    fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn finish(self) -> [u8; DIGEST] {
        let mut bytes = [0; DIGEST];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }
}

impl ClientSettings {
    /// The digest of all settings except the certificate. The judge's identity, which is unique,
    /// stands for its trust anchors and revocation lists.
    fn digest(&self, judge: Option<&Judge>) -> [u8; DIGEST] {
        let mut digest = Parts::new();
        digest.add(format!("{:?}", self.offer).as_bytes());
        digest.add(format!("{:?}", self.alpn).as_bytes());
        digest.add(format!("{} {:?}", self.server_name, judge.map(Judge::identity)).as_bytes());
        digest.finish()
    }
}

impl ClientTls {
    /// Compiles the settings. Settings that rustls does not support are pushed to `warnings`.
    ///
    /// # Errors
    /// If no protocol or no cipher remains.
    pub fn new(
        settings: ClientSettings,
        warnings: &mut Vec<Missing>,
    ) -> Result<Self, SettingsError> {
        let (provider, versions) = settings.offer.ready(warnings)?;
        let judge = settings
            .verify
            .then(|| Judge::new(&settings.trust, Purpose::Server, settings.verify_depth));
        let common = settings.digest(judge.as_ref());
        let chain = settings.key.as_ref().map_or(&[][..], CertifiedKey::chain);
        let identity = ClientIdentity::new(&common, chain);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        let mut config = match settings.key {
            Some(key) => builder.with_client_cert_resolver(Arc::new(OneKey(key))),
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = settings.server_name;
        config.alpn_protocols = settings.alpn;
        // As in nginx, an upstream may select a protocol that was not offered.
        config.check_selected_alpn = false;
        config.resumption = if settings.session_reuse {
            Resumption::store(Arc::new(Sessions::default()))
        } else {
            Resumption::disabled()
        };
        Ok(Self { config: Arc::new(config), judge, common, identity })
    }

    /// Settings for a configuration that judges servers in the handshake.
    pub(super) fn unjudged(config: ClientConfig) -> Self {
        let common = [0; DIGEST];
        let identity = ClientIdentity::new(&common, &[]);
        Self { config: Arc::new(config), judge: None, common, identity }
    }

    /// The identity of the settings.
    pub fn identity(&self) -> ClientIdentity {
        self.identity
    }

    /// The identity of the settings with a certificate of this chain.
    pub fn identity_with(&self, chain: &[CertificateDer<'_>]) -> ClientIdentity {
        ClientIdentity::new(&self.common, chain)
    }

    /// Whether a connection is bound to the server name it was made for.
    pub fn is_named(&self) -> bool {
        self.verifies() || self.config.enable_sni
    }

    /// A copy with another certificate, for a request whose certificate is named by variables.
    #[must_use]
    pub fn with_key(&self, key: CertifiedKey) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        let identity = self.identity_with(key.chain());
        config.client_auth_cert_resolver = Arc::new(OneKey(key));
        Self { config: Arc::new(config), identity, ..self.clone() }
    }

    /// A copy that offers these protocols by ALPN.
    #[must_use]
    pub fn offering(&self, alpn: Alpn) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let mut digest = Parts::new();
        digest.add(&self.common);
        alpn.iter().for_each(|name| digest.add(name));
        let common = digest.finish();
        let mut both = Parts::new();
        both.add(&self.identity.0);
        both.add(&common);
        let identity = ClientIdentity(both.finish());
        Self { config: Arc::new(config), common, identity, ..self.clone() }
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn verifies(&self) -> bool {
        self.judge.is_some()
    }

    pub(super) fn judge(&self, chain: &[CertificateDer<'_>]) -> Verdict {
        match &self.judge {
            Some(judge) => judge.judge(chain, clock::wall_secs()),
            None => Verdict::Unchecked,
        }
    }
}

/// The same certificate for every server.
#[derive(Debug)]
pub(super) struct OneKey(pub(super) CertifiedKey);

impl ResolvesClientCert for OneKey {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<sign::CertifiedKey>> {
        self.0.key.key.choose_scheme(schemes).map(|_| Arc::clone(&self.0.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Accepts every server certificate whose key signed the handshake; verification follows in
/// [`verify`].
#[derive(Debug)]
pub(super) struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify::tls12_signature(message, certificate, signed)
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
}
