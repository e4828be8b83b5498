//! A node's identity: its name, its key and certificate, the partners it has pinned, and the open
//! invitation of a further one.
//!
//! ```text
//! <state folder>/ha/          0700
//!   node                      the name; written last, so there is an identity if it is there
//!   pair                      the number of the pair, in hexadecimal
//!   key.pem  certificate.pem  0600, 0644
//!   peers/<name>.pem          the certificate of a partner: it is pinned
//!   invitation                the digest of a one-time secret, its end and its use
//! ```
//!
//! Every file is replaced by one rename. The master reads them and hands them to the worker.

use std::fmt;
use std::net::SocketAddr;

use weir_engine::digest::sha256;
use weir_engine::random::unguessable;
use weir_engine::tls::{
    CertificateDer, CertifiedKey, KeyError, SelfSigned, SettingsError, certificates_from_pem,
};

pub mod files;
mod invitation;
mod token;

pub use files::{Folder, FolderError};
pub use invitation::{Invitation, MOST_GUESSES, Refused};
pub use token::{Token, TokenError};

/// The longest name of a node.
pub const LONGEST_NAME: usize = 63;

/// The most nodes of a pair or cluster, the own one included.
pub const MOST_NODES: usize = 16;

/// Whether a text may name a node, as in the `ha` block: letters, digits, `-`, `_` and `.`, but
/// neither `-` nor `.` at the start. Names become file names.
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// A pinned partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its certificate in PEM.
    pub certificate: String,
}

impl Peer {
    /// The certificate as DER; `None` if the PEM is none.
    pub fn der(&self) -> Option<CertificateDer> {
        certificates_from_pem(self.certificate.as_bytes()).ok()?.into_iter().next()
    }
}

/// The identity of a node.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node's name.
    pub name: String,
    /// The number that all nodes of a pair have in common.
    pub pair: [u8; 16],
    /// The certificate in PEM.
    pub certificate: String,
    /// The private key in PEM.
    pub key: String,
    /// The partners.
    pub peers: Vec<Peer>,
    /// The latest invitation.
    pub invitation: Option<Invitation>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// A new identity, of a new pair unless `pair` is given.
    ///
    /// # Errors
    /// No key could be made.
    pub fn new(name: &str, pair: Option<[u8; 16]>) -> Result<Self, SettingsError> {
        let made = SelfSigned::new(&format!("weir node {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            pair: pair.unwrap_or_else(unguessable),
            certificate: made.certificate,
            key: made.key,
            peers: Vec::new(),
            invitation: None,
        })
    }

    /// The key with its certificate.
    ///
    /// # Errors
    /// A file is damaged.
    pub fn certified_key(&self) -> Result<CertifiedKey, KeyError> {
        CertifiedKey::from_pem(self.certificate.as_bytes(), self.key.as_bytes(), &[])
    }

    /// The SHA-256 digest of the own certificate.
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        let der = certificates_from_pem(self.certificate.as_bytes()).ok()?;
        Some(sha256(&[der.first()?]))
    }

    /// Opens an invitation for `lasting` seconds, in place of an earlier one, and returns the token
    /// for the node that joins. `address` is where this node listens for links.
    pub fn invite(&mut self, address: SocketAddr, now: u64, lasting: u64) -> Option<Token> {
        let (secret, fingerprint) = (unguessable(), self.fingerprint()?);
        let expires = now + lasting;
        self.invitation = Some(Invitation::new(&secret, expires));
        Some(Token { address, fingerprint, secret, expires })
    }

    /// The bytes for the worker.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let invitation = self.invitation.as_ref().map(Invitation::to_text).unwrap_or_default();
        let parts: [&[u8]; 6] = [
            self.name.as_bytes(),
            &self.pair,
            self.certificate.as_bytes(),
            self.key.as_bytes(),
            invitation.as_bytes(),
            &[],
        ];
        let peers = self.peers.iter().flat_map(|peer| [&peer.name, &peer.certificate]);
        for part in parts[..5].iter().copied().chain(peers.map(|text| text.as_bytes())) {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    /// Reads the bytes of [`Self::encode`]; `None` for others.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?);
            parts.push(rest.split_off(..length as usize)?);
        }
        let (own, peers) = parts.split_at_checked(5)?;
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).ok();
        let invitation = match own[4] {
            [] => None,
            written => Some(Invitation::from_text(std::str::from_utf8(written).ok()?)?),
        };
        let (pairs, []) = peers.as_chunks::<2>() else { return None };
        let peer = |[name, certificate]: &[&[u8]; 2]| {
            Some(Peer { name: text(name)?, certificate: text(certificate)? })
        };
        Some(Self {
            name: text(own[0])?,
            pair: own[1].try_into().ok()?,
            certificate: text(own[2])?,
            key: text(own[3])?,
            peers: pairs.iter().map(peer).collect::<Option<_>>()?,
            invitation,
        })
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a hexadecimal text of their length.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16).map(|digit| digit as u8);
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names() {
        for name in ["a", "node-1", "B_2", "9", "a.example"] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", "-a", "a/b", "..", ".a", "a b", "ä", &"x".repeat(64), "a\n"] {
            assert!(!is_name(text), "{text}");
        }
    }

    #[test]
    fn an_identity_survives_the_way_to_the_worker() {
        let mut identity = Identity::new("a", None).unwrap();
        assert_eq!(Identity::decode(&identity.encode()), Some(identity.clone()));
        let other = Identity::new("b", Some(identity.pair)).unwrap();
        identity.peers.push(Peer { name: other.name, certificate: other.certificate });
        identity.invite("127.0.0.1:7946".parse().unwrap(), 1000, 900).unwrap();
        let bytes = identity.encode();
        assert_eq!(Identity::decode(&bytes), Some(identity));
        for length in 0..bytes.len() {
            let _ = Identity::decode(&bytes[..length]);
        }
        assert_eq!(Identity::decode(b""), None);
    }

    #[test]
    fn hexadecimal_is_read_back() {
        assert_eq!(from_hex::<2>(&hex(&[0x0a, 0xff])), Some([0x0a, 0xff]));
        assert_eq!(from_hex::<2>("0aff0"), None);
        assert_eq!(from_hex::<1>("0g"), None);
        assert_eq!(from_hex::<1>("+1"), None);
    }
}
