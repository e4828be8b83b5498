//! The server's side of TLS: the settings of one `server` block, compiled for handshakes.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::{
    CipherSuite, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    SupportedCipherSuite, sign,
};

use super::aead::{HEAD, LARGEST_FRAGMENT};
use super::hello;
use super::info::{Judged, TlsInfo};
use super::keys::CertifiedKey;
use super::names::Protocols;
use super::offer::{Missing, Offer};
use super::scope::Scope;
use super::session_cache::SessionCache;
use super::settings_error::SettingsError;
use super::tickets::Tickets;
use super::verify::certificate::Certificate;
use super::verify::{self, Judge, Purpose, Trust, Verdict};
use crate::clock;

/// `ssl_verify_client`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyClient {
    /// No certificate is requested.
    #[default]
    Off,
    /// Requests without a valid certificate are refused.
    On,
    /// A certificate is requested and, if sent, verified.
    Optional,
    /// Like [`Self::Optional`], but an unknown authority is accepted.
    OptionalNoCa,
}

/// The limit of early data in bytes, as in nginx.
const LONGEST_EARLY_DATA: u32 = 16 * 1024;

/// The number of sessions that a server without a session cache keeps for early data.
const EARLY_SESSIONS: usize = 4096;

/// The protocols offered by ALPN, in order of preference (RFC 7301). Empty: no ALPN.
pub type Alpn = &'static [&'static [u8]];

/// The settings of one `server` block.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// `ssl_certificate` and `ssl_certificate_key`, one for each kind of key.
    pub keys: Vec<CertifiedKey>,
    /// `ssl_protocols`, `ssl_ciphers`, `ssl_ecdh_curve`.
    pub offer: Offer,
    /// `ssl_prefer_server_ciphers`.
    pub prefer_server_ciphers: bool,
    /// `ssl_buffer_size`: the most plaintext in one record.
    pub buffer_size: usize,
    /// `ssl_session_tickets` and `_ticket_key`; `None` is off.
    pub tickets: Option<Tickets>,
    /// `ssl_session_cache`.
    pub cache: SessionCache,
    /// `ssl_early_data`: sessions are kept here and not in tickets, so that each of them serves
    /// early data once. Without sessions, there is no early data.
    pub early_data: bool,
    /// `ssl_session_timeout` in seconds: older sessions are not resumed.
    pub session_timeout: u32,
    /// Sessions are resumed only between servers with equal contexts, certificates and client
    /// authorities.
    pub context: Vec<u8>,
    /// `ssl_verify_client`.
    pub verify_client: VerifyClient,
    /// `ssl_client_certificate`: authorities that are advertised to clients.
    pub client_authorities: Vec<CertificateDer<'static>>,
    /// `ssl_trusted_certificate`: authorities whose names are not sent; and `ssl_crl`.
    pub trust: Trust,
    /// `ssl_verify_depth`.
    pub verify_depth: u32,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            offer: Offer::new(Protocols::DEFAULT, "HIGH:!aNULL:!MD5"),
            prefer_server_ciphers: false,
            buffer_size: 16 * 1024,
            tickets: Tickets::process(),
            cache: SessionCache::none(),
            early_data: false,
            session_timeout: 300,
            context: Vec::new(),
            verify_client: VerifyClient::Off,
            client_authorities: Vec::new(),
            trust: Trust::default(),
            verify_depth: 1,
        }
    }
}

/// An ALPN list and the configuration that offers it.
type Offering = (Alpn, Arc<ServerConfig>);

/// Compiled settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    /// The configuration for each ALPN list. The lists are constants of the program, so they are
    /// few.
    offering: Arc<Mutex<Vec<Offering>>>,
    keys: Arc<ServerKeys>,
    verify_client: VerifyClient,
    /// `None` if no certificate is requested.
    judge: Option<Judge>,
}

impl ServerTls {
    /// Compiles the settings. Settings that rustls does not support are pushed to `warnings`.
    ///
    /// # Errors
    /// If no protocol or no cipher remains.
    pub fn new(
        settings: ServerSettings,
        warnings: &mut Vec<Missing>,
    ) -> Result<Self, SettingsError> {
        let (provider, versions) = settings.offer.ready(warnings)?;
        let suites = provider.cipher_suites.clone();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?;
        let scope = Scope::new(&settings);
        let mut trust = settings.trust;
        let builder = if settings.verify_client == VerifyClient::Off {
            builder.with_no_client_auth()
        } else {
            builder
                .with_client_cert_verifier(Arc::new(AnyClient::new(&settings.client_authorities)))
        };
        trust.anchors.extend(settings.client_authorities);
        let judge = (settings.verify_client != VerifyClient::Off)
            .then(|| Judge::new(&trust, Purpose::Client, settings.verify_depth));
        let keys =
            Arc::new(ServerKeys::new(settings.keys, &suites, settings.prefer_server_ciphers));
        let mut config = builder.with_cert_resolver(Arc::clone(&keys) as _);
        config.ignore_client_order = settings.prefer_server_ciphers;
        config.max_fragment_size = Some(fragment(settings.buffer_size));
        let early = settings.early_data && (settings.tickets.is_some() || settings.cache.keeps());
        let cache = match early && !settings.cache.keeps() {
            true => SessionCache::builtin(EARLY_SESSIONS),
            false => settings.cache,
        };
        config.session_storage = cache.within(&scope);
        match settings.tickets {
            _ if early => config.max_early_data_size = LONGEST_EARLY_DATA,
            Some(tickets) => config.ticketer = tickets.within(&scope),
            // Without ticket keys, a TLS 1.3 ticket is a key into the session cache.
            None if !cache.keeps() => config.send_tls13_tickets = 0,
            None => {}
        }
        let verify_client = settings.verify_client;
        Ok(Self { config: Arc::new(config), offering: Arc::default(), keys, verify_client, judge })
    }

    /// Settings with one key, for a configuration that judges clients in the handshake.
    pub(super) fn with_one_key(
        key: CertifiedKey,
        suites: &[SupportedCipherSuite],
        make: impl FnOnce(Arc<dyn ResolvesServerCert>) -> ServerConfig,
    ) -> Self {
        let keys = Arc::new(ServerKeys::new(vec![key], suites, false));
        let config = Arc::new(make(Arc::clone(&keys) as _));
        let verify_client = VerifyClient::On;
        Self { config, offering: Arc::default(), keys, verify_client, judge: None }
    }

    /// The maximum plaintext of a record, in bytes.
    pub(super) fn fragment(&self) -> usize {
        self.config.max_fragment_size.map_or(LARGEST_FRAGMENT, |size| size - HEAD)
    }

    /// A copy with other keys, for a connection whose `ssl_certificate` contains variables.
    #[must_use]
    pub fn with_keys(&self, keys: Vec<CertifiedKey>) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        let keys = Arc::new(self.keys.with(keys));
        config.cert_resolver = Arc::clone(&keys) as _;
        Self { config: Arc::new(config), offering: Arc::default(), keys, ..self.clone() }
    }

    /// Whether the server shares a TLS 1.3 suite with a client that offers these.
    pub(super) fn shares_tls13(&self, offered: &[CipherSuite]) -> bool {
        self.keys.shares_tls13(offered)
    }

    /// Whether clients may send early data.
    pub(super) fn takes_early_data(&self) -> bool {
        self.config.max_early_data_size > 0
    }

    /// `ssl_verify_client`.
    pub fn verify_client(&self) -> VerifyClient {
        self.verify_client
    }

    /// The configuration that offers these protocols.
    pub(super) fn config(&self, alpn: Alpn) -> Arc<ServerConfig> {
        if alpn.is_empty() {
            return Arc::clone(&self.config);
        }
        let mut offering = self.offering.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = offering.iter().find(|(own, _)| *own == alpn) {
            return Arc::clone(config);
        }
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let config = Arc::new(config);
        offering.push((alpn, Arc::clone(&config)));
        config
    }

    /// Judges a client's certificate chain, leaf first.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>]) -> Judged {
        match &self.judge {
            Some(judge) => Judged {
                verdict: judge.judge(chain, clock::wall_secs()),
                by: Some(judge.identity()),
            },
            None => Judged::default(),
        }
    }

    /// The valid path of a client's certificate to a trusted authority, the certificate first;
    /// `None` if there is none.
    pub fn path_of(&self, client: &TlsInfo) -> Option<Vec<CertificateDer<'static>>> {
        self.judge.as_ref()?.path(&client.certificates, clock::wall_secs())
    }

    /// The verdict on the certificate of a connected client by the rules of this server. The
    /// certificate is judged again if this server trusts other authorities or has other revocation
    /// lists than the previous judge.
    pub fn verdict_of(&self, client: &TlsInfo) -> Verdict {
        let by = self.judge.as_ref().map(Judge::identity);
        if by.is_some() && by != client.judged.get().by && !client.certificates.is_empty() {
            client.judged.set(self.judge(&client.certificates));
        }
        client.verdict()
    }
}

/// rustls's fragment size: it counts the record header and is bounded.
fn fragment(buffer_size: usize) -> usize {
    (buffer_size + HEAD).clamp(512, 16_384 + HEAD)
}

/// The keys of a server; each client gets one that its offer supports.
#[derive(Debug)]
struct ServerKeys {
    keys: Vec<CertifiedKey>,
    /// The server's own suites, in its order.
    suites: Vec<SupportedCipherSuite>,
    prefer_own: bool,
}

impl ServerKeys {
    fn new(keys: Vec<CertifiedKey>, suites: &[SupportedCipherSuite], prefer_own: bool) -> Self {
        // As in OpenSSL, the last key of each type wins.
        let last = |at: usize| !keys[at + 1..].iter().any(|later| later.is_like(&keys[at]));
        let mut keys: Vec<_> =
            (0..keys.len()).filter(|&at| last(at)).map(|at| keys[at].clone()).collect();
        // OpenSSL's order of signatures, used with `ssl_prefer_server_ciphers`.
        keys.sort_by_key(CertifiedKey::is_rsa);
        Self { keys, suites: suites.to_vec(), prefer_own }
    }

    /// The same settings with other keys.
    fn with(&self, keys: Vec<CertifiedKey>) -> Self {
        Self::new(keys, &self.suites, self.prefer_own)
    }

    /// Whether the offer contains one of the server's TLS 1.3 suites.
    fn shares_tls13(&self, offered: &[CipherSuite]) -> bool {
        let mut own = self.suites.iter().filter(|suite| suite.tls13().is_some());
        own.any(|suite| offered.contains(&suite.suite()))
    }

    /// The key for TLS 1.3, by the order of signature schemes (RFC 8446 section 4.4.2.2).
    fn by_signature(&self, schemes: &[SignatureScheme]) -> Option<&CertifiedKey> {
        let signs = |key: &CertifiedKey, schemes: &[SignatureScheme]| {
            key.key.key.choose_scheme(schemes).is_some()
        };
        if self.prefer_own {
            return self.keys.iter().find(|key| signs(key, schemes));
        }
        let mut schemes = schemes.iter().filter(|&&scheme| is_for_tls13(scheme));
        schemes.find_map(|&scheme| self.keys.iter().find(|key| signs(key, &[scheme])))
    }

    /// The key for TLS 1.2, by the first shared suite that has a key.
    fn by_suite(
        &self,
        offered: &[CipherSuite],
        schemes: &[SignatureScheme],
    ) -> Option<&CertifiedKey> {
        let key = |suite: &SupportedCipherSuite| {
            let fits = |key: &&CertifiedKey| {
                key.key.key.choose_scheme(schemes).is_some()
                    && suite.usable_for_signature_algorithm(key.key.key.algorithm())
            };
            self.keys.iter().find(fits)
        };
        let own = self.suites.iter().filter(|suite| suite.tls13().is_none());
        if self.prefer_own {
            return own.filter(|suite| offered.contains(&suite.suite())).find_map(key);
        }
        offered
            .iter()
            .find_map(|&wanted| own.clone().find(|suite| suite.suite() == wanted).and_then(key))
    }
}

impl ResolvesServerCert for ServerKeys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<sign::CertifiedKey>> {
        let (schemes, offered) = (hello.signature_schemes(), hello.cipher_suites());
        let key = match self.shares_tls13(offered) {
            true => self.by_signature(schemes),
            false => self.by_suite(offered, schemes),
        };
        key.map(CertifiedKey::for_handshake)
    }
}

/// Whether TLS 1.3 handshakes may use the scheme. The others sign certificates only (RFC 8446
/// section 4.2.3).
fn is_for_tls13(scheme: SignatureScheme) -> bool {
    use SignatureScheme as S;
    let old = [S::RSA_PKCS1_SHA1, S::RSA_PKCS1_SHA256, S::RSA_PKCS1_SHA384, S::RSA_PKCS1_SHA512];
    !old.contains(&scheme)
}

/// Accepts every client certificate whose key signed the handshake; verification follows in
/// [`verify`].
#[derive(Debug)]
struct AnyClient {
    hints: Vec<DistinguishedName>,
}

impl AnyClient {
    fn new(authorities: &[CertificateDer<'static>]) -> Self {
        let hint = |der: &CertificateDer<'_>| {
            let certificate = Certificate::read(der)?;
            Some(DistinguishedName::in_sequence(certificate.raw_subject()))
        };
        let mut hints: Vec<DistinguishedName> = Vec::new();
        for name in authorities.iter().filter_map(hint) {
            if !hints.iter().any(|known| known.as_ref() == name.as_ref()) {
                hints.push(name);
            }
        }
        Self { hints }
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        // TLS 1.2 signs the handshake messages, not their hash.
        verify::tls12_signature(&hello::restored(message), certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify::tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        verify::algorithms().supported_schemes()
    }
}
