//! TLS with clients: the `ssl_` settings, the files that they and the `proxy_ssl_` settings
//! name, and the session caches.
//! <https://nginx.org/en/docs/http/ngx_http_ssl_module.html>

use std::sync::Arc;

use weir_conf::value::{Pair, Sec, Size};
use weir_conf::{Contexts, Cx, Fault, Many, Span, directives, keywords};
use weir_engine::tls::{Missing, ServerSettings, VerifyClient};

use crate::ocsp::cache::OcspCache;

pub mod cache;
pub mod commands;
pub mod files;
mod issued;
pub mod server;
pub mod sessions;
mod status;
pub mod values;

pub use issued::Unready;
pub use server::ServerContext;
use sessions::SessionCache;
use values::{CertificateCache, Passwords, ProtocolSet};

keywords! {
    /// `ssl_verify_client`.
    pub enum Verify {
        /// No certificate is requested.
        "off" => Off,
        /// A valid certificate is required.
        "on" => On,
        /// A certificate is verified if there is one.
        "optional" => Optional,
        /// A certificate is verified if there is one, but may be from an unknown authority.
        "optional_no_ca" => OptionalNoCa,
    }
}

keywords! {
    /// `ssl_ocsp`.
    pub enum Ocsp {
        /// No check.
        "off" => Off,
        /// For all certificates of a chain.
        "on" => On,
        /// For the client's certificate only.
        "leaf" => Leaf,
    }
}

directives! {
    /// TLS with clients.
    pub struct Ssl in [http, server] {
        /// A certificate with its chain: a file, PEM text after `data:`, or a name with variables.
        "ssl_certificate" as "file" => certificates: Many<String>,
        /// The key of the certificate in the same position.
        "ssl_certificate_key" as "file" => keys: Many<String>,
        /// The cache of certificates whose names have variables.
        "ssl_certificate_cache" => certificate_cache: CertificateCache,
        /// Not supported, ignored: keys for encrypted hellos.
        "ssl_ech_file" as "file" => ech_files: Many<String>,
        /// The passwords of private keys, one on each line.
        "ssl_password_file" => passwords: Passwords,
        /// Not supported, ignored: certificates are sent uncompressed.
        "ssl_certificate_compression" => certificate_compression: bool = false,
        /// Has no effect: no cipher uses the parameters.
        "ssl_dhparam" as "file" => dhparam: Option<String>,
        /// The curves for key exchange.
        "ssl_ecdh_curve" as "curve" => ecdh_curve: String = "auto".to_owned(),
        /// The protocol versions.
        "ssl_protocols" => protocols: ProtocolSet,
        /// The ciphers, in OpenSSL's syntax.
        "ssl_ciphers" as "ciphers" => ciphers: String = "HIGH:!aNULL:!MD5".to_owned(),
        /// The maximum length of plaintext in a record.
        "ssl_buffer_size" => buffer_size: Size = Size::k(16),
        /// Whether clients are asked for certificates.
        "ssl_verify_client" => verify_client: Verify = Verify::Off,
        /// The maximum number of intermediate authorities in a client's certificate chain.
        "ssl_verify_depth" => verify_depth: u32 = 1,
        /// The trusted authorities, whose names are sent to clients.
        "ssl_client_certificate" as "file" => client_certificate: String,
        /// Additional trusted authorities, whose names are not sent.
        "ssl_trusted_certificate" as "file" => trusted_certificate: String,
        /// The certificate revocation lists.
        "ssl_crl" as "file" => crl: String,
        /// Prefers the server's order of ciphers to the client's.
        "ssl_prefer_server_ciphers" => prefer_server_ciphers: bool = false,
        /// The cache of sessions.
        "ssl_session_cache" => session_cache: SessionCache,
        /// Also stores sessions with clients, in tickets.
        "ssl_session_tickets" => session_tickets: bool = true,
        /// The keys of session tickets. The first one encrypts new tickets.
        "ssl_session_ticket_key" as "file" => session_ticket_keys: Many<String>,
        /// The time during which a session can be resumed.
        "ssl_session_timeout" => session_timeout: Sec = Sec::seconds(300),
        /// Asks OCSP responders whether clients' certificates are revoked. A client whose status
        /// cannot be found out is refused.
        "ssl_ocsp" => ocsp: Ocsp = Ocsp::Off,
        /// The responder to ask about clients, instead of those that their certificates name.
        "ssl_ocsp_responder" as "url" => ocsp_responder: Option<String>,
        /// The cache of answers about clients.
        "ssl_ocsp_cache" => ocsp_cache: OcspCache,
        /// Sends an OCSP response with the certificate: that of a responder, or that in
        /// `ssl_stapling_file`. The issuer is in the certificate's chain or in
        /// `ssl_trusted_certificate`.
        "ssl_stapling" => stapling: bool = false,
        /// The OCSP response, instead of a responder's.
        "ssl_stapling_file" as "file" => stapling_file: Option<String>,
        /// The responder to ask, instead of the one that the certificate names.
        "ssl_stapling_responder" as "url" => stapling_responder: Option<String>,
        /// Checks that the response is signed by the authority, by its delegate, or with a
        /// certificate of the chain.
        "ssl_stapling_verify" => stapling_verify: bool = false,
        /// Accepts requests before the end of a handshake with TLS 1.3. They may be repeated by an
        /// attacker, within limits: a session is used once.
        "ssl_early_data" => early_data: bool = false,
        /// An OpenSSL configuration command.
        "ssl_conf_command" => conf_commands: Many<Pair>,
        /// Refuses handshakes for the names of this server.
        "ssl_reject_handshake" => reject_handshake: bool = false,
        // The prepared settings, if there is a certificate.
        field context: weir_conf::Local<Option<Arc<ServerContext>>>,
    }
    finish = Ssl::finish;
}

impl Ssl {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        const SERVERS: Contexts = Contexts::SERVER.union(Contexts::STREAM_SERVER);
        if !cx.context().intersects(SERVERS) {
            return Ok(());
        }
        let built = ServerContext::build(self, cx).map_err(|fault| {
            let key = ["certificate key", "PrivateKey"];
            let key = key.iter().any(|words| fault.message("").contains(words));
            fault.caret_at_least(cx.origin(if key { "keys" } else { "certificates" }))
        })?;
        if built.is_some() {
            // Its keys for session tickets are not shared with other servers.
            cx.settle_alone();
        }
        self.context = built.map(Arc::new);
        Ok(())
    }

    /// The settings that need no files, in the engine's types.
    fn plain(&self) -> ServerSettings {
        ServerSettings {
            prefer_server_ciphers: self.prefer_server_ciphers,
            buffer_size: usize::try_from(self.buffer_size.0).unwrap_or(usize::MAX),
            verify_client: self.verify(),
            verify_depth: self.verify_depth,
            early_data: self.early_data,
            session_timeout: u32::try_from(self.session_timeout.0.as_secs()).unwrap_or(u32::MAX),
            context: self.certificates.join("\n").into_bytes(),
            ..ServerSettings::default()
        }
    }

    /// The value of `ssl_verify_client` in the engine's type.
    pub fn verify(&self) -> VerifyClient {
        match self.verify_client {
            Verify::Off => VerifyClient::Off,
            Verify::On => VerifyClient::On,
            Verify::Optional => VerifyClient::Optional,
            Verify::OptionalNoCa => VerifyClient::OptionalNoCa,
        }
    }
}

/// A fault without a position, as nginx reports those found at the end of `http {}`.
pub fn late(message: impl Into<String>) -> Fault {
    Fault::new(message).nowhere()
}

/// The warnings given, each of them once for a position.
#[derive(Default)]
struct Warned(std::collections::HashSet<(String, Option<Span>)>);

/// For a `finish`: warns that a setting is ignored, at the directive that wrote `field`, once for
/// all directives with the same warning.
pub fn warn_of(cx: &mut Cx<'_>, field: &str, message: &str) {
    let place = cx.origin(field);
    if cx.registry::<Warned>().0.insert((message.to_owned(), place)) {
        cx.no_effect_at(place, message);
    }
}

/// Warns about configured parts of the offer that are not available.
pub fn warn_of_missing(cx: &mut Cx<'_>, missing: &[Missing]) {
    for one in missing {
        let field = match one {
            Missing::Protocols => "protocols",
            Missing::Ciphers(_) | Missing::AllCiphers => "ciphers",
            Missing::Curve(_) => "ecdh_curve",
        };
        let written = cx.origin(field).is_some();
        warn_of(cx, if written { field } else { "conf_commands" }, &one.to_string());
    }
}
