//! What a handshake has agreed on, for the `$ssl_*` variables.

use super::ciphers;
use super::names;
use super::verify::Verdict;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion};

/// A finished handshake.
#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// `$ssl_protocol`: `TLSv1.3`.
    pub protocol: &'static str,
    /// `$ssl_cipher`, by OpenSSL's name.
    pub cipher: String,
    /// `$ssl_ciphers`: what the client offered, joined by colons.
    pub ciphers: String,
    /// `$ssl_curve`: the group of the key exchange, by OpenSSL's name.
    pub curve: String,
    /// `$ssl_curves`: what the client offered, joined by colons.
    pub curves: String,
    /// `$ssl_server_name`: what the client asked for, in lower case.
    pub server_name: Option<String>,
    /// `$ssl_alpn_protocol`.
    pub alpn: Option<Vec<u8>>,
    /// `$ssl_session_id`: hexadecimal digits, as the server's hello gives it.
    pub session_id: String,
    /// `$ssl_session_reused` is `r` if so, else `.`.
    pub resumed: bool,
    /// The peer's certificates as DER, its own first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What the check of the peer's certificate gave.
    pub verdict: Verdict,
}

impl TlsInfo {
    /// Reads everything but the verdict and what only a client's hello tells.
    pub(super) fn of(tls: &rustls::Connection) -> Self {
        let curve = tls.negotiated_key_exchange_group();
        Self {
            protocol: tls.protocol_version().map_or("", protocol_name),
            cipher: tls
                .negotiated_cipher_suite()
                .map(|suite| ciphers::name(suite.suite()))
                .unwrap_or_default(),
            curve: curve.map(|group| names::curve_name(group.name())).unwrap_or_default(),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            certificates: tls.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The peer's own certificate as DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificates.first().map(AsRef::as_ref)
    }

    /// `$ssl_client_verify`: `SUCCESS`, `FAILED:reason` or `NONE`.
    pub fn client_verify(&self) -> String {
        match (&self.verdict, self.certificates.is_empty()) {
            (_, true) => "NONE".to_owned(),
            (Verdict::Invalid(fault), _) => format!("FAILED:{}", fault.text),
            _ => "SUCCESS".to_owned(),
        }
    }
}

/// The offers of a client's hello, by OpenSSL's names.
pub(super) fn offered_ciphers(suites: &[CipherSuite]) -> String {
    join(
        suites
            .iter()
            .filter(|suite| !is_grease(u16::from(**suite)))
            .map(|suite| ciphers::name(*suite)),
    )
}

pub(super) fn offered_curves(groups: &[NamedGroup]) -> String {
    join(
        groups
            .iter()
            .filter(|group| !is_grease(u16::from(**group)))
            .map(|group| names::curve_name(*group)),
    )
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
