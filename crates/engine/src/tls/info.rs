//! What a handshake has agreed on, for the `$ssl_*` variables. It is kept as numbers, which get
//! their names when somebody asks.

use std::cell::Cell;
use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion};

use super::handshake::ClientHello;
use super::server::ServerTls;
use super::verify::{Identity, Verdict};
use super::{ciphers, names};

/// A finished handshake.
#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// `$ssl_protocol`: `TLSv1.3`.
    pub protocol: &'static str,
    /// What was agreed on.
    pub(super) suite: Option<CipherSuite>,
    pub(super) group: Option<NamedGroup>,
    /// What the client offered.
    pub(super) suites: Box<[CipherSuite]>,
    pub(super) groups: Box<[NamedGroup]>,
    /// `$ssl_server_name`: what the client asked for, as it wrote it.
    pub server_name: Option<Vec<u8>>,
    /// `$ssl_alpn_protocol`.
    pub alpn: Option<Vec<u8>>,
    /// The session's id as the server's hello gives it.
    pub(super) session_id: Box<[u8]>,
    /// `$ssl_session_reused` is `r` if so, else `.`.
    pub resumed: bool,
    /// The peer's certificates as DER, its own first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What the last check of the peer's certificate gave.
    pub(super) judged: Cell<Judged>,
}

/// What a check of certificates gave, and who has checked them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) by: Option<Identity>,
}

impl TlsInfo {
    /// What is known when nothing but a client's hello has come.
    pub fn before(hello: &ClientHello<'_>) -> Self {
        Self { server_name: hello.server_name.map(<[u8]>::to_vec), ..Self::default() }
    }

    /// Reads everything but the verdict and what only a client's hello tells.
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

    /// What the last check of the peer's certificate gave.
    pub fn verdict(&self) -> Verdict {
        self.judged.get().verdict
    }

    /// What `server` holds of the peer's certificate, which is judged anew if those who are
    /// believed there, or the lists of whom is not, are others than when it was judged.
    pub fn verdict_by(&self, server: &ServerTls) -> Verdict {
        let by = server.judged_by();
        if by.is_some() && by != self.judged.get().by && !self.certificates.is_empty() {
            self.judged.set(server.judge(&self.certificates));
        }
        self.verdict()
    }

    /// `$ssl_cipher`, by OpenSSL's name.
    pub fn cipher(&self) -> String {
        self.suite.map(ciphers::name).unwrap_or_default()
    }

    /// `$ssl_ciphers`: what the client offered, by OpenSSL's names, joined by colons.
    pub fn ciphers(&self) -> String {
        let suites = self.suites.iter().copied();
        join(suites.filter(|&suite| !is_grease(u16::from(suite))).map(ciphers::name))
    }

    /// `$ssl_curve`: the group of the key exchange, by OpenSSL's name.
    pub fn curve(&self) -> String {
        self.group.map(names::curve_name).unwrap_or_default()
    }

    /// `$ssl_curves`: what the client offered, by OpenSSL's names, joined by colons.
    pub fn curves(&self) -> String {
        let groups = self.groups.iter().copied();
        join(groups.filter(|&group| !is_grease(u16::from(group))).map(names::curve_name))
    }

    /// `$ssl_session_id`, in hexadecimal digits.
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
            _ => "SUCCESS".to_owned(),
        }
    }
}

fn join(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(":")
}

/// Values that mean nothing, which clients send so that servers stay tolerant (RFC 8701); and
/// the signalling value of RFC 5746.
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
