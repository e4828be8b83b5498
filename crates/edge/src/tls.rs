//! TLS towards clients: the `ssl_` settings, the files that they and the `proxy_ssl_` settings
//! name, and the session caches.
//! <https://nginx.org/en/docs/http/ngx_http_ssl_module.html>

use std::sync::Arc;

use weir_conf::value::{Pair, Sec, Size};
use weir_conf::{Contexts, Cx, Fault, Many, Severity, Span, directives, keywords};
use weir_engine::tls::{Missing, VerifyClient};

pub mod cache;
pub mod commands;
pub mod files;
pub mod server;
pub mod sessions;
pub mod values;

pub use server::ServerContext;
use sessions::SessionCache;
use values::{CertificateCache, OcspCache, Passwords, ProtocolSet};

keywords! {
    /// `ssl_verify_client`.
    pub enum Verify {
        /// Nothing is asked for.
        "off" => Off,
        /// A certificate is needed.
        "on" => On,
        /// One is checked if there is one.
        "optional" => Optional,
        /// Likewise; an unknown authority is no fault.
        "optional_no_ca" => OptionalNoCa,
    }
}

keywords! {
    /// `ssl_ocsp`.
    pub enum Ocsp {
        /// Nobody is asked.
        "off" => Off,
        /// About every certificate.
        "on" => On,
        /// About the client's own.
        "leaf" => Leaf,
    }
}

directives! {
    /// TLS towards clients.
    pub struct Ssl in [http, server] {
        /// A certificate with its chain: a file, `data:` and PEM text, or text with variables.
        "ssl_certificate" as "file" => certificates: Many<String>,
        /// The key of the certificate at the same place in the order.
        "ssl_certificate_key" as "file" => keys: Many<String>,
        /// How long certificates stay in memory that variables name.
        "ssl_certificate_cache" => certificate_cache: CertificateCache,
        /// Not supported, ignored: keys for encrypted hellos.
        "ssl_ech_file" as "file" => ech_files: Many<String>,
        /// Passwords of private keys, a line each.
        "ssl_password_file" => passwords: Passwords,
        /// Not supported, ignored: certificates go out as they are.
        "ssl_certificate_compression" => certificate_compression: bool = false,
        /// Has no effect here: there are no ciphers that would use the parameters.
        "ssl_dhparam" as "file" => dhparam: Option<String>,
        /// The curves for the key exchange.
        "ssl_ecdh_curve" as "curve" => ecdh_curve: String = "auto".to_owned(),
        /// The protocols.
        "ssl_protocols" => protocols: ProtocolSet,
        /// The ciphers, in OpenSSL's words.
        "ssl_ciphers" as "ciphers" => ciphers: String = "HIGH:!aNULL:!MD5".to_owned(),
        /// The most plaintext that one record takes.
        "ssl_buffer_size" => buffer_size: Size = Size::k(16),
        /// Whether clients have to show certificates.
        "ssl_verify_client" => verify_client: Verify = Verify::Off,
        /// How many authorities may stand between a client's certificate and one that is trusted.
        "ssl_verify_depth" => verify_depth: u32 = 1,
        /// The authorities that clients are told of and that are trusted.
        "ssl_client_certificate" as "file" => client_certificate: String,
        /// More authorities that are trusted.
        "ssl_trusted_certificate" as "file" => trusted_certificate: String,
        /// Lists of revoked certificates.
        "ssl_crl" as "file" => crl: String,
        /// The order of the server's ciphers counts, not the client's.
        "ssl_prefer_server_ciphers" => prefer_server_ciphers: bool = false,
        /// Where sessions are kept.
        "ssl_session_cache" => session_cache: SessionCache,
        /// Sessions are also kept by clients, in tickets.
        "ssl_session_tickets" => session_tickets: bool = true,
        /// What tickets are encrypted with; the first is for new ones.
        "ssl_session_ticket_key" as "file" => session_ticket_keys: Many<String>,
        /// For how long a session may be resumed.
        "ssl_session_timeout" => session_timeout: Sec = Sec::seconds(300),
        /// Refused unless off: responders about clients' certificates cannot be asked.
        "ssl_ocsp" => ocsp: Ocsp = Ocsp::Off,
        /// Has no effect, as no responder is asked.
        "ssl_ocsp_responder" as "url" => ocsp_responder: Option<String>,
        /// Has no effect, as no responder is asked.
        "ssl_ocsp_cache" => ocsp_cache: OcspCache,
        /// Sends the responder's answer along, from `ssl_stapling_file`.
        "ssl_stapling" => stapling: bool = false,
        /// The answer, as the responder gave it.
        "ssl_stapling_file" as "file" => stapling_file: Option<String>,
        /// Has no effect, as no responder is asked.
        "ssl_stapling_responder" as "url" => stapling_responder: Option<String>,
        /// Has no effect: the file is sent as it is.
        "ssl_stapling_verify" => stapling_verify: bool = false,
        /// Not supported, ignored: clients send their requests after the handshake.
        "ssl_early_data" => early_data: bool = false,
        /// A setting in OpenSSL's own words.
        "ssl_conf_command" => conf_commands: Many<Pair>,
        /// Refuses handshakes for the names of this server.
        "ssl_reject_handshake" => reject_handshake: bool = false,
        // The settings made ready, where there is a certificate.
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
            // Its keys for session tickets are no other server's.
            cx.settle_alone();
        }
        self.context = built.map(Arc::new);
        Ok(())
    }

    /// What the engine calls `ssl_verify_client`.
    pub fn verify(&self) -> VerifyClient {
        match self.verify_client {
            Verify::Off => VerifyClient::Off,
            Verify::On => VerifyClient::On,
            Verify::Optional => VerifyClient::Optional,
            Verify::OptionalNoCa => VerifyClient::OptionalNoCa,
        }
    }
}

/// A fault that nginx tells without a place: it is found when all of `http {}` has been read.
pub fn late(message: impl Into<String>) -> Fault {
    Fault::new(message).nowhere()
}

/// Warnings that have been given, each of which is given once for a place.
#[derive(Default)]
struct Warned(std::collections::HashSet<(String, Option<Span>)>);

/// In a `finish`: warns once of something that is ignored, at the directive that wrote `field`.
pub fn warn_of(cx: &mut Cx<'_>, field: &str, message: &str) {
    let place = cx.origin(field);
    if cx.registry::<Warned>().0.insert((message.to_owned(), place)) {
        let fault = Fault::new(message);
        let fault = match place {
            Some(span) => fault.in_place(span),
            None => fault.nowhere(),
        };
        cx.error(fault.severity(Severity::Warn));
    }
}

/// Warns of what is offered in the configuration and cannot be.
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
