//! TLS to clients in `stream {}` and `mail {}`, which is only checked.

use weir_conf::value::{Msec, Pair, Sec};
use weir_conf::{Cx, Fault, Many, directives, keywords};

use super::servers::{Alpn, ServerPorts};
use weir_edge::ocsp::cache::OcspCache;
use weir_edge::tls::files::FileSource;
use weir_edge::tls::sessions::SessionCache;
use weir_edge::tls::values::{CertificateCache, Passwords, ProtocolSet};
use weir_edge::tls::{Ocsp, Verify, late};

directives! {
    /// TLS in `stream {}`.
    pub(super) struct StreamTls in [stream, stream_server] {
        "ssl_handshake_timeout" => ssl_handshake_timeout: Msec = Msec::seconds(60),
        "ssl_certificate" => ssl_certificate: Many<String>,
        "ssl_certificate_key" => ssl_certificate_key: Many<String>,
        "ssl_certificate_cache" => ssl_certificate_cache: CertificateCache,
        "ssl_ech_file" => ssl_ech_file: Many<String>,
        "ssl_password_file" => ssl_password_file: Passwords,
        "ssl_certificate_compression" => ssl_certificate_compression: bool,
        "ssl_dhparam" => ssl_dhparam: String,
        "ssl_ecdh_curve" => ssl_ecdh_curve: String,
        "ssl_protocols" => ssl_protocols: ProtocolSet,
        "ssl_ciphers" => ssl_ciphers: String,
        "ssl_verify_client" => ssl_verify_client: Verify = Verify::Off,
        "ssl_verify_depth" => ssl_verify_depth: u64,
        "ssl_client_certificate" => ssl_client_certificate: String,
        "ssl_trusted_certificate" => ssl_trusted_certificate: String,
        "ssl_prefer_server_ciphers" => ssl_prefer_server_ciphers: bool,
        "ssl_session_cache" => ssl_session_cache: SessionCache,
        "ssl_session_tickets" => ssl_session_tickets: bool,
        "ssl_session_ticket_key" => ssl_session_ticket_key: Many<String>,
        "ssl_session_timeout" => ssl_session_timeout: Sec = Sec::seconds(300),
        "ssl_crl" => ssl_crl: String,
        "ssl_ocsp" => ssl_ocsp: Ocsp = Ocsp::Off,
        "ssl_ocsp_responder" => ssl_ocsp_responder: String,
        "ssl_ocsp_cache" => ssl_ocsp_cache: OcspCache,
        "ssl_stapling" => ssl_stapling: bool,
        "ssl_stapling_file" => ssl_stapling_file: String,
        "ssl_stapling_responder" => ssl_stapling_responder: String,
        "ssl_stapling_verify" => ssl_stapling_verify: bool,
        "ssl_conf_command" => ssl_conf_command: Many<Pair>,
        "ssl_reject_handshake" => ssl_reject_handshake: bool,
        "ssl_alpn" => ssl_alpn: Option<Alpn>,
    }
    finish = StreamTls::finish;
}

impl StreamTls {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        use weir_conf::Contexts;
        if cx.context() != Contexts::STREAM_SERVER {
            return Ok(());
        }
        if let Some(last) = self.ssl_certificate.last()
            && self.ssl_certificate_key.len() < self.ssl_certificate.len()
        {
            return Err(no_key(last));
        }
        if self.ssl_certificate.is_empty()
            && !self.ssl_reject_handshake
            && let Some(place) = ServerPorts::with_tls(cx)
        {
            return Err(no_certificate("listen ... ssl", &place));
        }
        load(&self.ssl_certificate, &self.ssl_certificate_key, &self.ssl_password_file, cx)
    }
}

keywords! {
    /// `starttls`.
    pub(super) enum StartTls {
        "off" => Off,
        "on" => On,
        "only" => Only,
    }
}

directives! {
    /// TLS in `mail {}`.
    pub(super) struct MailTls in [mail, mail_server] {
        "starttls" => starttls: StartTls = StartTls::Off,
        "ssl_certificate" => ssl_certificate: Many<String>,
        "ssl_certificate_key" => ssl_certificate_key: Many<String>,
        "ssl_password_file" => ssl_password_file: Passwords,
        "ssl_certificate_compression" => ssl_certificate_compression: bool,
        "ssl_dhparam" => ssl_dhparam: String,
        "ssl_ecdh_curve" => ssl_ecdh_curve: String,
        "ssl_protocols" => ssl_protocols: ProtocolSet,
        "ssl_ciphers" => ssl_ciphers: String,
        "ssl_prefer_server_ciphers" => ssl_prefer_server_ciphers: bool,
        "ssl_session_cache" => ssl_session_cache: SessionCache,
        "ssl_session_tickets" => ssl_session_tickets: bool,
        "ssl_session_ticket_key" => ssl_session_ticket_key: Many<String>,
        "ssl_session_timeout" => ssl_session_timeout: Sec = Sec::seconds(300),
        "ssl_verify_client" => ssl_verify_client: Verify = Verify::Off,
        "ssl_verify_depth" => ssl_verify_depth: u64,
        "ssl_client_certificate" => ssl_client_certificate: String,
        "ssl_trusted_certificate" => ssl_trusted_certificate: String,
        "ssl_crl" => ssl_crl: String,
        "ssl_conf_command" => ssl_conf_command: Many<Pair>,
    }
    finish = MailTls::finish;
}

impl MailTls {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        use weir_conf::Contexts;
        if cx.context() != Contexts::MAIL_SERVER {
            return Ok(());
        }
        let (mode, place) = match ServerPorts::with_tls(cx) {
            Some(place) => ("listen ... ssl", place),
            None if self.starttls != StartTls::Off => {
                let place = cx.origin("starttls").map(|span| cx.sources().place(span));
                ("starttls", place.unwrap_or_default())
            }
            None => return Ok(()),
        };
        let Some(last) = self.ssl_certificate.last() else {
            return Err(no_certificate(mode, &place));
        };
        if self.ssl_certificate_key.is_empty() {
            return Err(Fault::new(format!(
                "no \"ssl_certificate_key\" is defined for the \"{mode}\" directive{place}"
            ))
            .nowhere());
        }
        if self.ssl_certificate_key.len() < self.ssl_certificate.len() {
            return Err(Fault::new(format!(
                "no \"ssl_certificate_key\" is defined for certificate \"{last}\" and the \
                 \"{mode}\" directive{place}"
            ))
            .nowhere());
        }
        load(&self.ssl_certificate, &self.ssl_certificate_key, &self.ssl_password_file, cx)
    }
}

/// Loads certificates and keys, to check them.
fn load(
    certificates: &[String],
    keys: &[String],
    passwords: &Passwords,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    let named = certificates.iter().chain(keys);
    if named.into_iter().any(|name| name.contains('$')) {
        return Ok(());
    }
    let passwords = passwords.slices();
    for (certificate, key) in certificates.iter().zip(keys) {
        FileSource::of(cx, |files| files.pair(certificate, key, &passwords))
            .map_err(|why| late(why).caret_at_least(cx.origin("ssl_certificate")))?;
    }
    Ok(())
}

fn no_key(certificate: &str) -> Fault {
    let message =
        format!("no \"ssl_certificate_key\" is defined for certificate \"{certificate}\"");
    Fault::new(message).nowhere()
}

/// `place` is ` in FILE:LINE`.
fn no_certificate(mode: &str, place: &str) -> Fault {
    let message = format!("no \"ssl_certificate\" is defined for the \"{mode}\" directive{place}");
    Fault::new(message).nowhere()
}
