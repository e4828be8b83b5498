//! The client's side of TLS: `proxy_ssl_*`, made ready for handshakes.

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
use super::verify::{self, Judge, Purpose, Trust, Verdict};
use crate::clock;

/// The `proxy_ssl_*` settings of one place.
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
    /// What is offered with ALPN.
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

/// Settings made ready for handshakes. Cheap to share.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// None where nobody wants certificates checked.
    judge: Option<Judge>,
    /// Digest of everything but the certificate.
    common: [u8; DIGEST],
    identity: ClientIdentity,
}

/// The settings that a connection was made with, by value: a digest of them and of the files'
/// content. Connections are alike only if theirs are equal.
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

/// A digest of parts, each with its length.
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
    /// Everything but the certificate that makes one connection differ from another. A judge's
    /// identity stands for what it believes, and is nobody else's.
    fn digest(&self, judge: Option<&Judge>) -> [u8; DIGEST] {
        let mut digest = Parts::new();
        digest.add(format!("{:?}", self.offer).as_bytes());
        digest.add(format!("{:?}", self.alpn).as_bytes());
        digest.add(format!("{} {:?}", self.server_name, judge.map(Judge::identity)).as_bytes());
        digest.finish()
    }
}

impl ClientTls {
    /// Makes settings ready. What OpenSSL has and rustls has not is pushed to `warnings`.
    ///
    /// # Errors
    /// If no protocol or no cipher remains.
    pub fn new(settings: ClientSettings, warnings: &mut Vec<Missing>) -> Result<Self, String> {
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
        // An upstream that picks what was not offered is as nginx finds it.
        config.check_selected_alpn = false;
        config.resumption = if settings.session_reuse {
            Resumption::store(Arc::new(Sessions::default()))
        } else {
            Resumption::disabled()
        };
        Ok(Self { config: Arc::new(config), judge, common, identity })
    }

    /// What the settings come to.
    pub fn identity(&self) -> ClientIdentity {
        self.identity
    }

    /// What they would come to with a certificate that has this chain.
    pub fn identity_with(&self, chain: &[CertificateDer<'_>]) -> ClientIdentity {
        ClientIdentity::new(&self.common, chain)
    }

    /// Whether it matters to a connection which name it was made for.
    pub fn is_named(&self) -> bool {
        self.verifies() || self.config.enable_sni
    }

    /// The same with a certificate that variables have named for one request.
    #[must_use]
    pub fn with_key(&self, key: CertifiedKey) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        let identity = self.identity_with(key.chain());
        config.client_auth_cert_resolver = Arc::new(OneKey(key));
        Self { config: Arc::new(config), identity, ..self.clone() }
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

#[derive(Debug)]
struct OneKey(CertifiedKey);

impl ResolvesClientCert for OneKey {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<sign::CertifiedKey>> {
        self.0.0.key.choose_scheme(schemes).map(|_| Arc::clone(&self.0.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Takes any server certificate whose key has signed the handshake; see [`verify`].
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
