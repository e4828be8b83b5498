//! TLS towards an upstream: the settings under `proxy_ssl_` and other prefixes, and the handshake
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
    /// TLS towards upstreams.
    pub struct UpstreamTls in [http, server, location] {
        /// Resumes sessions with upstreams.
        "session_reuse" => session_reuse: bool = true,
        /// The protocols.
        "protocols" => protocols: ProtocolSet,
        /// The ciphers, in OpenSSL's words.
        "ciphers" as "ciphers" => ciphers: String = "DEFAULT".to_owned(),
        /// The name that the certificate is checked for and that is sent, if not the host's.
        "name" as "name" => name: Option<Template>,
        /// Tells the upstream the name.
        "server_name" => server_name: bool = false,
        /// Checks the upstream's certificate.
        "verify" => verify: bool = false,
        /// How many authorities may stand between the certificate and one that is trusted.
        "verify_depth" => verify_depth: u32 = 1,
        /// The authorities that are trusted.
        "trusted_certificate" as "file" => trusted_certificate: String,
        /// Lists of revoked certificates.
        "crl" as "file" => crl: String,
        /// The certificate to show to upstreams; may have variables.
        "certificate" as "file" => certificate: Option<Template>,
        /// Its key.
        "certificate_key" as "file" => certificate_key: Option<Template>,
        /// How long certificates stay in memory that variables name.
        "certificate_cache" => certificate_cache: CertificateCache,
        /// Passwords of private keys, a line each.
        "password_file" => passwords: Passwords,
        /// A setting in OpenSSL's own words.
        "conf_command" => conf_commands: Many<Pair>,
        // The settings made ready; what is wrong with them is told where they are needed.
        field context: Inherit<Option<Arc<Result<ClientContext, String>>>>,
    }
    finish = UpstreamTls::finish;
}

/// Settings made ready for handshakes.
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

    /// Whether another level's context, and the sessions with it, can serve here.
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

    /// Says what is wrong with the settings, now that they are needed. `prefix` is that of the
    /// directives' names.
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

/// Stands for the prefix of the directives in messages.
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

    /// The certificate and the key that variables name, if there are any.
    fn named(&self, request: &mut Request) -> Option<(Vec<u8>, Vec<u8>)> {
        let (certificate, key) = self.computed.as_ref()?;
        let certificate = request.eval(certificate);
        (!certificate.is_empty()).then(|| (certificate, request.eval(key)))
    }

    /// What the settings come to for one request, if that can be said.
    fn identity(&self, request: &mut Request) -> Option<ClientIdentity> {
        let Some((certificate, _)) = self.named(request) else { return Some(self.tls.identity()) };
        let chain = Source::named_chain(&self.prefix, self.cache.as_deref(), &certificate).ok()?;
        Some(self.tls.identity_with(&chain))
    }
}

/// What a connection would be made with for this request; None if it could not be made.
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

/// The name that the upstream's certificate is for.
fn name(request: &mut Request, pass: &Pass<'_>, settings: &UpstreamTls) -> String {
    let name = match &settings.name {
        Some(template) => request.eval(template),
        None => pass.target.place.host.as_bytes().to_vec(),
    };
    String::from_utf8_lossy(without_port(&name)).into_owned()
}

const DOING: &str = "SSL handshaking to upstream";

/// Shakes hands on a new connection, if the protocol wants it; what it was made with then.
///
/// # Errors
/// Why it failed; it has been logged.
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
