//! The settings for TLS to upstreams, under `proxy_ssl_` and other prefixes
//! (<https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_verify>).

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use weir_conf::value::Pair;
use weir_conf::{Block, Cx, Fault, Inherit, Many, Slot, directives};
use weir_edge::tls::cache::FileCache;
use weir_edge::tls::commands::Commands;
use weir_edge::tls::files::FileSource;
use weir_edge::tls::values::{CertificateCache, Passwords, ProtocolSet};
use weir_edge::tls::{late, warn_of, warn_of_missing};
use weir_engine::tls::{ClientSettings, ClientTls, SettingsError};
use weir_script::Template;

use super::destination::Destination;

directives! {
    /// TLS to upstreams.
    pub struct UpstreamTls in [http, server, location] {
        /// Resumes TLS sessions with upstreams.
        "session_reuse" => session_reuse: bool = true,
        /// The protocol versions.
        "protocols" => protocols: ProtocolSet,
        /// The ciphers, in OpenSSL's syntax.
        "ciphers" as "ciphers" => ciphers: String = "DEFAULT".to_owned(),
        /// The server name to verify and send, in place of the host.
        "name" as "name" => name: Option<Template>,
        /// Sends the server name with SNI.
        "server_name" => server_name: bool = false,
        /// Verifies the upstream's certificate.
        "verify" => verify: bool = false,
        /// The maximum number of intermediate authorities in a certificate chain.
        "verify_depth" => verify_depth: u32 = 1,
        /// The trusted authorities.
        "trusted_certificate" as "file" => trusted_certificate: String,
        /// The certificate revocation lists.
        "crl" as "file" => crl: String,
        /// The certificate for upstreams; may have variables.
        "certificate" as "file" => certificate: Option<Template>,
        /// The key of the certificate for upstreams.
        "certificate_key" as "file" => certificate_key: Option<Template>,
        /// The cache of certificates whose names have variables.
        "certificate_cache" => certificate_cache: CertificateCache,
        /// The passwords of private keys, one on each line.
        "password_file" => passwords: Passwords,
        /// An OpenSSL configuration command.
        "conf_command" => conf_commands: Many<Pair>,
        // The prepared settings. Faults are reported where the settings are used.
        field context: Inherit<Option<Arc<Result<ClientContext, SettingsError>>>>,
    }
    finish = UpstreamTls::finish;
}

/// Settings prepared for handshakes.
pub struct ClientContext {
    pub(super) tls: ClientTls,
    /// The same with ALPN for HTTP/2, made when it is first needed.
    http2: OnceLock<ClientTls>,
    /// A certificate and a key whose names have variables.
    pub(super) computed: Option<(Template, Template)>,
    pub(super) passwords: Vec<Vec<u8>>,
    pub(super) prefix: PathBuf,
    pub(super) cache: Option<Arc<FileCache>>,
}

impl UpstreamTls {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if parent.is_some_and(|parent| self.is_like(parent)) {
            return Ok(());
        }
        self.context = Some(Arc::new(ClientContext::build(self, cx)));
        Ok(())
    }

    /// Reports faults of the settings in `slot` of every block inside `block` whose `…_pass` may
    /// need them.
    ///
    /// # Errors
    /// As for [`UpstreamTls::check`].
    pub fn check_users(
        block: &Block,
        slot: &'static Slot<Self>,
        prefix: &str,
        destination: fn(&Block) -> Option<&Destination>,
    ) -> Result<(), Fault> {
        for inner in &block.blocks {
            let secured = match destination(inner) {
                Some(Destination::Fixed { scheme, .. }) => scheme.tls,
                Some(Destination::Computed(_)) => true,
                None => false,
            };
            if secured {
                let settings = &inner.settings;
                let place = settings.origin(slot, "certificate");
                let place = place.or_else(|| settings.origin(slot, "trusted_certificate"));
                settings.get(slot).check(prefix).map_err(|fault| fault.caret_at_least(place))?;
            }
            Self::check_users(inner, slot, prefix, destination)?;
        }
        Ok(())
    }

    /// Whether another level's context can be shared, with its sessions.
    fn is_like(&self, other: &Self) -> bool {
        self.session_reuse == other.session_reuse
            && self.protocols == other.protocols
            && self.ciphers == other.ciphers
            && self.server_name == other.server_name
            && self.verify == other.verify
            && self.verify_depth == other.verify_depth
            && self.trusted_certificate == other.trusted_certificate
            && self.crl == other.crl
            && self.certificate == other.certificate
            && self.certificate_key == other.certificate_key
            && self.passwords.0 == other.passwords.0
            && self.certificate_cache.is_like(&other.certificate_cache)
            && self.conf_commands == other.conf_commands
    }

    /// Reports faults of the settings, which are now needed. `prefix` is that of the directives'
    /// names.
    ///
    /// # Errors
    /// nginx's message.
    pub fn check(&self, prefix: &str) -> Result<(), Fault> {
        match self.context.as_deref() {
            Some(Err(fault)) => Err(late(fault.to_string().replace(PREFIX, prefix))),
            _ => Ok(()),
        }
    }
}

/// The name of HTTP/2 over TLS in ALPN.
pub(super) const HTTP2: &[u8] = b"h2";

/// The placeholder for the directives' prefix in messages.
const PREFIX: &str = "{prefix}";

impl ClientContext {
    /// The settings for a protocol.
    pub(super) fn tls(&self, is_http2: bool) -> &ClientTls {
        match is_http2 {
            false => &self.tls,
            true => self.http2.get_or_init(|| self.tls.offering(&[HTTP2])),
        }
    }

    fn build(own: &UpstreamTls, cx: &mut Cx<'_>) -> Result<Self, SettingsError> {
        let commands = Commands::read(&own.conf_commands)?;
        for message in &commands.ignored {
            warn_of(cx, "conf_commands", message);
        }
        let mut settings = ClientSettings {
            offer: commands.offer(own.protocols.0, &own.ciphers, "auto"),
            server_name: own.server_name,
            session_reuse: own.session_reuse,
            verify: own.verify,
            verify_depth: own.verify_depth,
            ..ClientSettings::default()
        };
        let mut computed = None;
        if let Some(certificate) = own.certificate.as_ref().filter(|own| !own.is_empty()) {
            let shown = String::from_utf8_lossy(certificate.source());
            let Some(key) = &own.certificate_key else {
                return Err(format!(
                    "no \"{PREFIX}ssl_certificate_key\" is defined for certificate \"{shown}\""
                )
                .into());
            };
            if certificate.literal().is_some() && key.literal().is_some() {
                let key = String::from_utf8_lossy(key.source());
                let passwords = own.passwords.slices();
                settings.key = Some(FileSource::of(cx, |f| f.pair(&shown, &key, &passwords))?);
            } else {
                computed = Some((certificate.clone(), key.clone()));
            }
        }
        if let (Some(certificate), Some(key)) = (&commands.certificate, &commands.key) {
            let passwords = own.passwords.slices();
            settings.key = Some(FileSource::of(cx, |f| f.pair(certificate, key, &passwords))?);
        }
        if own.verify {
            if own.trusted_certificate.is_empty() {
                return Err(
                    format!("no {PREFIX}ssl_trusted_certificate for {PREFIX}ssl_verify").into()
                );
            }
            settings.trust =
                FileSource::of(cx, |files| files.trust(&own.trusted_certificate, &own.crl))?;
        }
        let mut warnings = Vec::new();
        let tls = ClientTls::new(settings, &mut warnings)?;
        warn_of_missing(cx, &warnings);
        let prefix = cx.conf_path("");
        let (passwords, cache) = (own.passwords.0.clone(), own.certificate_cache.0.clone());
        let http2 = OnceLock::new();
        Ok(Self { tls, http2, computed, passwords, prefix, cache })
    }
}
