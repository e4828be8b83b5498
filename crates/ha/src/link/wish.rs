//! The wishes to join and to leave, and their answers. A wish has a connection of its own, on which
//! the node sends one frame and gets one back.
//!
//! ```text
//!   wish    "WEIR"  version (u16)  name (length byte before it)  secret (16; zero to leave)
//!   answer  0  reason as text                                          ─ no
//!           1  number of the pair (16)  name (length byte before it)  the ha block as text  ─ yes
//! ```

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use weir_engine::tls::{CertificateDer, ClientTls, HandshakeError, Pins, certificate_pem};
use weir_engine::{Addr, Conn, ConnectOptions, connect, timer, tls};

use super::frame::{self, Decoder, Kind, LARGEST};
use super::{JOIN, LEAVE};
use crate::identity::{Identity, Peer, Token, is_name};

const MAGIC: &[u8; 4] = b"WEIR";

/// The version of wishes.
const VERSION: u16 = 1;

/// The time for a wish with its answer. The other node's master has to write files.
const PATIENCE: Duration = Duration::from_secs(20);

/// The wish of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// The secret of the token.
    pub secret: [u8; 16],
}

/// The answer to a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No, for this reason.
    No(String),
    /// Yes.
    Yes {
        /// The number of the pair.
        pair: [u8; 16],
        /// The name of the node that answers.
        name: String,
        /// Its `ha` block.
        block: String,
    },
}

impl Wish {
    /// The content of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        put_text(&mut out, &self.name);
        out.extend_from_slice(&self.secret);
        out
    }

    /// Reads a wish; `None` for other bytes.
    pub fn decode(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        if rest.split_off(..4)? != MAGIC || rest.split_off(..2)? != VERSION.to_be_bytes() {
            return None;
        }
        let name = take_name(rest)?;
        Some(Self { name, secret: rest.split_off(..16)?.try_into().ok()? })
    }
}

impl Answer {
    /// The content of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::No(reason) => {
                out.push(0);
                out.extend_from_slice(reason.as_bytes());
            }
            Self::Yes { pair, name, block } => {
                out.push(1);
                out.extend_from_slice(pair);
                put_text(&mut out, name);
                out.extend_from_slice(block.as_bytes());
            }
        }
        out.truncate(LARGEST);
        out
    }

    /// Reads an answer; `None` for other bytes.
    pub fn decode(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        let shown = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.chars().filter(|one| *one == '\n' || !one.is_control()).collect()
        };
        match rest.split_off_first()? {
            0 => Some(Self::No(shown(rest))),
            1 => {
                let pair = rest.split_off(..16)?.try_into().ok()?;
                let name = take_name(rest)?;
                Some(Self::Yes { pair, name, block: shown(rest) })
            }
            _ => None,
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn take_name(rest: &mut &[u8]) -> Option<String> {
    let length = usize::from(*rest.split_off_first()?);
    let name = std::str::from_utf8(rest.split_off(..length)?).ok()?;
    is_name(name).then(|| name.to_owned())
}

/// Why a wish was not granted.
#[derive(Debug)]
pub enum WishError {
    /// The node could not be reached.
    Connect(SocketAddr, io::Error),
    /// TLS failed.
    Tls(SocketAddr, HandshakeError),
    /// The node closed the connection before it answered: it invites nobody, or does not know this
    /// node.
    Closed(SocketAddr),
    /// The answer is no answer.
    Garbled(SocketAddr),
    /// The node says no, with this reason.
    No(String),
    /// The own key cannot be used.
    Key(String),
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(address, error) => write!(
                f,
                "cannot connect to {address} ({error}): check that Weir runs there with its \"ha\" \
                 block, and that no firewall is between"
            ),
            Self::Tls(address, error) if error.is_about_pins() => write!(
                f,
                "{address} has another certificate than expected: it is not the node that printed \
                 the token, or that node has a new identity"
            ),
            Self::Tls(address, error) => {
                write!(f, "{address} does not speak as a node of a pair ({error})")
            }
            Self::Closed(address) => write!(
                f,
                "{address} closed the connection: no invitation is open there, or it does not know \
                 this node; its error log has the reason"
            ),
            Self::Garbled(address) => write!(f, "{address} gave no answer that this Weir knows"),
            Self::No(reason) => f.write_str(reason),
            Self::Key(reason) => write!(f, "the key of this node cannot be used: {reason}"),
        }
    }
}

/// What a node gets that may join.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// The number of the pair.
    pub pair: [u8; 16],
    /// The inviting node, to be pinned.
    pub peer: Peer,
    /// Its `ha` block.
    pub block: String,
}

/// Asks the node of a token to let `identity` in.
///
/// # Errors
/// It is not let in, for this reason.
pub async fn join(token: &Token, identity: &Identity) -> Result<Welcome, WishError> {
    let wish = Wish { name: identity.name.clone(), secret: token.secret };
    let pins = Pins::Digest(token.fingerprint);
    let (answer, certificate) = ask(token.address, None, identity, pins, JOIN, &wish).await?;
    match answer {
        Answer::No(reason) => Err(WishError::No(reason)),
        Answer::Yes { pair, name, block } => {
            let peer = Peer { name, certificate: certificate_pem(&certificate) };
            Ok(Welcome { pair, peer, block })
        }
    }
}

/// Tells a partner that the node leaves, from the node's own address.
///
/// # Errors
/// The partner could not be told.
pub async fn leave(
    address: SocketAddr,
    from: Option<SocketAddr>,
    peer: &Peer,
    identity: &Identity,
) -> Result<(), WishError> {
    let wish = Wish { name: identity.name.clone(), secret: [0; 16] };
    let pins = Pins::These(peer.der().into_iter().collect());
    match ask(address, from, identity, pins, LEAVE, &wish).await?.0 {
        Answer::No(reason) => Err(WishError::No(reason)),
        Answer::Yes { .. } => Ok(()),
    }
}

/// Sends a wish, and returns the answer and the certificate of its sender.
async fn ask(
    address: SocketAddr,
    from: Option<SocketAddr>,
    identity: &Identity,
    pins: Pins,
    protocol: &[u8],
    wish: &Wish,
) -> Result<(Answer, CertificateDer), WishError> {
    let key = |error: &dyn fmt::Display| WishError::Key(error.to_string());
    let own = identity.certified_key().map_err(|error| key(&error))?;
    let client = ClientTls::pinned(own, pins, protocol).map_err(|error| key(&error))?;
    let options = ConnectOptions { bind: from, ..ConnectOptions::default() };
    let conn = connect(&Addr::Inet(address), &options, PATIENCE).await;
    let conn = conn.map_err(|error| WishError::Connect(address, error.into()))?;
    let shaken = tls::connect(conn, &client, "", PATIENCE).await;
    let mut conn = shaken.map_err(|error| WishError::Tls(address, error))?;
    let certificate = conn.tls().and_then(|info| info.certificates.first().cloned());
    let certificate = certificate.ok_or(WishError::Garbled(address))?;
    let mut bytes = Vec::new();
    frame::put(&mut bytes, Kind::Wish, false, &wish.encode());
    // A failure shows in the answer.
    let _ = conn.send_all(&[&bytes], PATIENCE).await;
    let answer = read_one(&mut conn, Kind::Answer, PATIENCE).await;
    let content = answer.map_err(|_| WishError::Closed(address))?;
    conn.close();
    let answer = content.and_then(|content| Answer::decode(&content));
    Ok((answer.ok_or(WishError::Garbled(address))?, certificate))
}

/// Receives one frame of a kind; `None` if it is another.
pub(super) async fn read_one(
    conn: &mut Conn,
    kind: Kind,
    patience: Duration,
) -> io::Result<Option<Vec<u8>>> {
    let mut decoder = Decoder::default();
    let read = async {
        loop {
            match decoder.take() {
                Ok(Some(frame)) if frame.kind == kind && !frame.more => {
                    return Ok(Some(frame.content.to_vec()));
                }
                Ok(None) => {}
                _ => return Ok(None),
            }
            if conn.recv(decoder.room(), LARGEST, patience).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
    };
    timer::timeout(patience, read).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_and_answers_are_read_back() {
        let wish = Wish { name: "b".to_owned(), secret: [7; 16] };
        assert_eq!(Wish::decode(&wish.encode()), Some(wish.clone()));
        let no = Answer::No("not now".to_owned());
        assert_eq!(Answer::decode(&no.encode()), Some(no));
        let (pair, name, block) = ([1; 16], "a".to_owned(), "ha {\n}\n".to_owned());
        let yes = Answer::Yes { pair, name, block };
        assert_eq!(Answer::decode(&yes.encode()), Some(yes.clone()));
        for length in 0..wish.encode().len() {
            assert_eq!(Wish::decode(&wish.encode()[..length]), None);
        }
        for bytes in [&b""[..], b"\x02", b"\x01short"] {
            assert_eq!(Answer::decode(bytes), None);
        }
        let forged = Wish { name: "../b".to_owned(), ..wish };
        assert_eq!(Wish::decode(&forged.encode()), None);
        let hostile = Answer::No("\x1b[2Jno".to_owned());
        assert_eq!(Answer::decode(&hostile.encode()), Some(Answer::No("[2Jno".to_owned())));
    }
}
