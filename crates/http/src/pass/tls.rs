//! TLS to upstreams: the settings under `proxy_ssl_` and other prefixes, and the handshake
//! (<https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_verify>).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use weir_conf::value::Pair;
use weir_conf::{Cx, Fault, Inherit, Many, directives};
use weir_engine::connection::Conn;
use weir_engine::error_log::Level;
use weir_engine::tls::{ClientIdentity, ClientSettings, ClientTls, HandshakeError, connect};
use weir_script::Template;
use weir_upstream::Causes;

use super::Pass;
use super::attempt::{Failure, io_failed};
use super::made::Secured;
use crate::request::Request;
use weir_edge::tls::cache::FileCache;
use weir_edge::tls::commands::Commands;
use weir_edge::tls::files::Source;
use weir_edge::tls::values::{CertificateCache, Passwords, ProtocolSet};
use weir_edge::tls::{late, warn_of, warn_of_missing};

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
        field context: Inherit<Option<Arc<Result<ClientContext, String>>>>,
    }
    finish = UpstreamTls::finish;
}

/// Settings prepared for handshakes.
pub struct ClientContext {
    tls: ClientTls,
    /// A certificate and a key whose names have variables.
    computed: Option<(Template, Template)>,
    passwords: Vec<Vec<u8>>,
    prefix: PathBuf,
    cache: Option<Arc<FileCache>>,
}

impl UpstreamTls {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if parent.is_some_and(|parent| self.is_like(parent)) {
            return Ok(());
        }
        self.context = Some(Arc::new(ClientContext::build(self, cx)));
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
            Some(Err(fault)) => Err(late(fault.replace(PREFIX, prefix))),
            _ => Ok(()),
        }
    }
}

/// The placeholder for the directives' prefix in messages.
const PREFIX: &str = "{prefix}";

impl ClientContext {
    fn build(own: &UpstreamTls, cx: &mut Cx<'_>) -> Result<Self, String> {
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
                ));
            };
            if certificate.literal().is_some() && key.literal().is_some() {
                let key = String::from_utf8_lossy(key.source());
                let passwords = own.passwords.slices();
                settings.key = Some(Source::of(cx, |f| f.pair(&shown, &key, &passwords))?);
            } else {
                computed = Some((certificate.clone(), key.clone()));
            }
        }
        if let (Some(certificate), Some(key)) = (&commands.certificate, &commands.key) {
            let passwords = own.passwords.slices();
            settings.key = Some(Source::of(cx, |f| f.pair(certificate, key, &passwords))?);
        }
        if own.verify {
            if own.trusted_certificate.is_empty() {
                return Err(format!("no {PREFIX}ssl_trusted_certificate for {PREFIX}ssl_verify"));
            }
            settings.trust =
                Source::of(cx, |files| files.trust(&own.trusted_certificate, &own.crl))?;
        }
        let mut warnings = Vec::new();
        let tls = ClientTls::new(settings, &mut warnings)?;
        warn_of_missing(cx, &warnings);
        let prefix = cx.conf_path("");
        let (passwords, cache) = (own.passwords.0.clone(), own.certificate_cache.0.clone());
        Ok(Self { tls, computed, passwords, prefix, cache })
    }

    /// The settings for one request, if its certificate has to be computed.
    fn compute(&self, request: &mut Request) -> Result<Option<ClientTls>, String> {
        let Some((certificate, key)) = self.named(request) else { return Ok(None) };
        let cache = self.cache.as_deref();
        let key = Source::named(&self.prefix, cache, (&certificate, &key), &self.passwords)?;
        Ok(Some(self.tls.with_key(key)))
    }

    /// The certificate and the key named by variables, if there are any.
    fn named(&self, request: &mut Request) -> Option<(Vec<u8>, Vec<u8>)> {
        let (certificate, key) = self.computed.as_ref()?;
        let certificate = request.eval(certificate);
        (!certificate.is_empty()).then(|| (certificate, request.eval(key)))
    }

    /// The identity of connections for one request, if it can be determined.
    fn identity(&self, request: &mut Request) -> Option<ClientIdentity> {
        let Some((certificate, _)) = self.named(request) else { return Some(self.tls.identity()) };
        let chain = Source::named_chain(&self.prefix, self.cache.as_deref(), &certificate).ok()?;
        Some(self.tls.identity_with(&chain))
    }
}

/// The TLS parameters of a connection for this request; None if it could not be made.
pub(super) fn wanted(
    request: &mut Request,
    pass: &Pass<'_>,
    settings: &UpstreamTls,
) -> Option<Secured> {
    let Some(Ok(context)) = settings.context.as_deref() else { return None };
    let identity = context.identity(request)?;
    let name = context.tls.is_named().then(|| name(request, pass, settings));
    Some(Secured { identity, name })
}

/// The name in the upstream's certificate.
fn name(request: &mut Request, pass: &Pass<'_>, settings: &UpstreamTls) -> String {
    let name = match &settings.name {
        Some(template) => request.eval(template),
        None => pass.target.place.host.as_bytes().to_vec(),
    };
    String::from_utf8_lossy(without_port(&name)).into_owned()
}

const DOING: &str = "SSL handshaking to upstream";

/// Performs the handshake on a new connection if it uses TLS, and returns its parameters.
///
/// # Errors
/// The failure, which has been logged.
pub async fn handshake(
    request: &mut Request,
    pass: &Pass<'_>,
    conn: Conn,
) -> Result<(Conn, Option<Secured>), Failure> {
    let Some(settings) = pass.tls else { return Ok((conn, None)) };
    let Some(Ok(context)) = settings.context.as_deref() else {
        return Err(Failure::upstream(Causes::ERROR));
    };
    let name = name(request, pass, settings);
    let own = match context.compute(request) {
        Ok(own) => own,
        Err(fault) => {
            request.log_upstream(Level::Error, &format!("{fault} while {DOING}"));
            return Err(Failure::Own(500));
        }
    };
    let tls = own.as_ref().unwrap_or(&context.tls);
    let timeout = pass.settings.connect_timeout.0;
    match connect(conn, tls, &name, timeout).await {
        Ok(conn) => {
            let name = tls.is_named().then_some(name);
            Ok((conn, Some(Secured { identity: tls.identity(), name })))
        }
        Err(HandshakeError::TimedOut) => {
            let error = io::ErrorKind::TimedOut.into();
            Err(Failure::upstream(io_failed(request, &error, DOING, "")))
        }
        Err(error) => {
            request.log_upstream(Level::Error, &format!("{error} while {DOING}"));
            Err(Failure::upstream(Causes::ERROR))
        }
    }
}

/// A name without the port that `$proxy_host` or `$http_host` may have.
fn without_port(name: &[u8]) -> &[u8] {
    let start = match name.first() {
        Some(b'[') => name.iter().position(|&byte| byte == b']').unwrap_or(0),
        _ => 0,
    };
    let colon = name[start..].iter().position(|&byte| byte == b':');
    colon.map_or(name, |colon| &name[..start + colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_no_part_of_names() {
        for (given, name) in
            [("a.test:8080", "a.test"), ("a.test", "a.test"), ("[::1]:80", "[::1]"), ("", "")]
        {
            assert_eq!(without_port(given.as_bytes()), name.as_bytes());
        }
    }
}
