//! The parameters that a handshake negotiated, for the `$ssl_*` variables. Kept as numbers and
//! named only on request.

use std::cell::Cell;
use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion};

use super::verify::{Identity, Verdict};
use super::{ciphers, names};

/// A finished handshake.
#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// `$ssl_protocol`: `TLSv1.3`.
    pub protocol: &'static str,
    /// The negotiated cipher suite.
    pub(super) suite: Option<CipherSuite>,
    pub(super) group: Option<NamedGroup>,
    /// The client's offer.
    pub(super) suites: Box<[CipherSuite]>,
    pub(super) groups: Box<[NamedGroup]>,
    /// `$ssl_server_name`: the name as the client sent it.
    pub server_name: Option<Vec<u8>>,
    /// `$ssl_alpn_protocol`.
    pub alpn: Option<Vec<u8>>,
    /// The session ID of the server hello.
    pub(super) session_id: Box<[u8]>,
    /// `$ssl_session_reused` is `r` if so, else `.`.
    pub resumed: bool,
    /// The handshake is not finished: what the client sends may be a replay (`$ssl_early_data`).
    pub early: Cell<bool>,
    /// The client offered early data to a server that takes it.
    pub(super) offered_early: bool,
    /// The peer's certificate chain as DER, leaf first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The latest verdict on the peer's certificate.
    pub(super) judged: Cell<Judged>,
    /// What OCSP responders say of it.
    pub ocsp: Cell<OcspStatus>,
    /// The number of the rules by which they were asked; zero if they were not.
    pub ocsp_by: Cell<u64>,
}

/// What OCSP responders say of a client's certificate (`ssl_ocsp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OcspStatus {
    /// It is not revoked, or nobody has to be asked.
    #[default]
    Fine,
    /// A responder has to be asked before the next request.
    ToAsk,
    /// It is revoked.
    Revoked,
    /// The responder does not know it.
    Unknown,
    /// There was no answer.
    Failed,
}

impl OcspStatus {
    /// Why the certificate is refused, in nginx's words.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Fine => None,
            Self::Revoked => Some("certificate revoked"),
            Self::Unknown => Some("certificate status unknown"),
            Self::ToAsk | Self::Failed => Some("certificate status request failed"),
        }
    }
}

/// A verdict on a certificate chain and the identity of the judge that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) by: Option<Identity>,
}

impl TlsInfo {
    /// The information available after the client hello alone.
    pub fn before(server_name: Option<&[u8]>) -> Self {
        Self { server_name: server_name.map(<[u8]>::to_vec), ..Self::default() }
    }

    /// Reads everything except the verdict and the fields of the client hello.
    pub(super) fn of(tls: &rustls::Connection) -> Self {
        Self {
            protocol: tls.protocol_version().map_or("", protocol_name),
            suite: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
            group: tls.negotiated_key_exchange_group().map(|group| group.name()),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            certificates: tls.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The latest verdict on the peer's certificate.
    pub fn verdict(&self) -> Verdict {
        self.judged.get().verdict
    }

    /// `$ssl_cipher`: OpenSSL's name of the cipher.
    pub fn cipher(&self) -> String {
        self.suite.map(ciphers::name).unwrap_or_default()
    }

    /// `$ssl_ciphers`: the client's ciphers by OpenSSL's names, joined by colons.
    pub fn ciphers(&self) -> String {
        let suites = self.suites.iter().copied();
        join(suites.filter(|&suite| !is_grease(u16::from(suite))).map(ciphers::name))
    }

    /// `$ssl_curve`: OpenSSL's name of the key exchange group.
    pub fn curve(&self) -> String {
        self.group.map(names::curve_name).unwrap_or_default()
    }

    /// `$ssl_curves`: the client's groups by OpenSSL's names, joined by colons.
    pub fn curves(&self) -> String {
        let groups = self.groups.iter().copied();
        join(groups.filter(|&group| !is_grease(u16::from(group))).map(names::curve_name))
    }

    /// `$ssl_session_id` in hexadecimal.
    pub fn session_id(&self) -> String {
        self.session_id.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The peer's own certificate as DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificates.first().map(AsRef::as_ref)
    }

    /// `$ssl_client_verify`: `SUCCESS`, `FAILED:reason` or `NONE`.
    pub fn client_verify(&self) -> String {
        match (self.verdict(), self.certificates.is_empty()) {
            (_, true) => "NONE".to_owned(),
            (Verdict::Invalid(fault), _) => format!("FAILED:{}", fault.text),
            _ => match self.ocsp.get().refusal() {
                Some(why) => format!("FAILED:{why}"),
                None => "SUCCESS".to_owned(),
            },
        }
    }
}

fn join(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(":")
}

/// Whether the value is GREASE (RFC 8701) or the renegotiation signalling suite (RFC 5746).
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff || value == 0x00ff
}

fn protocol_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "unknown",
    }
}
