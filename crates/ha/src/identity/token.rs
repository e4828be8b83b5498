//! Join tokens: what one node prints and the other takes, in one word without characters that a
//! shell would read.

use std::fmt;
use std::net::SocketAddr;

use weir_engine::digest::sha256;

/// The start of every token, by which a person recognises it.
const PREFIX: &str = "weir-join-";

/// The version of the content, its first byte.
const VERSION: u8 = 1;

/// The bytes of the digest at the end: a token that was cut while it was copied is told apart from
/// one that is wrong.
const CHECK: usize = 4;

/// The longest token in bytes: a limit on the work with an argument.
const LONGEST: usize = 1024;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The content of a join token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Where the inviting node listens for links.
    pub address: SocketAddr,
    /// The SHA-256 digest of its certificate.
    pub fingerprint: [u8; 32],
    /// The one-time secret.
    pub secret: [u8; 16],
    /// The end of the invitation in seconds since 1970, by the inviting node's clock.
    pub expires: u64,
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It does not begin like one.
    Other,
    /// It is cut or changed.
    Damaged,
    /// It was made by a version of Weir with other tokens.
    Version(u8),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => write!(f, "this is no join token, which begins with \"{PREFIX}\""),
            Self::Damaged => f.write_str("the join token is not complete: copy it whole"),
            Self::Version(version) => {
                write!(f, "the join token is of version {version}, and this Weir reads {VERSION}")
            }
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Token {
    /// The word to print.
    pub fn to_word(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.expires.to_be_bytes());
        bytes.extend_from_slice(&self.fingerprint);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(self.address.to_string().as_bytes());
        let check = sha256(&[&bytes]);
        bytes.extend_from_slice(&check[..CHECK]);
        PREFIX.to_owned() + &to_base64(&bytes)
    }

    /// Reads a word.
    ///
    /// # Errors
    /// It is no token, or not a whole one.
    pub fn from_word(word: &str) -> Result<Self, TokenError> {
        let digits = word.trim().strip_prefix(PREFIX).ok_or(TokenError::Other)?;
        if digits.len() > LONGEST {
            return Err(TokenError::Other);
        }
        let bytes = from_base64(digits).ok_or(TokenError::Damaged)?;
        let (content, check) = bytes.split_last_chunk::<CHECK>().ok_or(TokenError::Damaged)?;
        if sha256(&[content])[..CHECK] != *check {
            return Err(TokenError::Damaged);
        }
        let mut rest = content;
        match rest.split_off_first() {
            Some(&VERSION) => {}
            other => return Err(TokenError::Version(other.copied().unwrap_or_default())),
        }
        Self::read(rest).ok_or(TokenError::Damaged)
    }

    fn read(mut rest: &[u8]) -> Option<Self> {
        let expires = u64::from_be_bytes(rest.split_off(..8)?.try_into().ok()?);
        let fingerprint = rest.split_off(..32)?.try_into().ok()?;
        let secret = rest.split_off(..16)?.try_into().ok()?;
        let address = std::str::from_utf8(rest).ok()?.parse().ok()?;
        Some(Self { address, fingerprint, secret, expires })
    }
}

/// Base64 with the alphabet for names of files (RFC 4648 section 5), without padding.
fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(ALPHABET[value as usize]));
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in chunk {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        let whole = bits << (6 * (4 - chunk.len()));
        let count = chunk.len().checked_sub(1).filter(|count| *count > 0)?;
        bytes.extend_from_slice(&whole.to_be_bytes()[1..=count]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(address: &str) -> Token {
        Token {
            address: address.parse().unwrap(),
            fingerprint: [0xfb; 32],
            secret: [7; 16],
            expires: 1_900_000_000,
        }
    }

    #[test]
    fn a_token_is_one_word_and_is_read_back() {
        for address in ["10.0.0.1:7946", "[2001:db8::1]:1", "[fe80::1%2]:7946"] {
            let token = token(address);
            let word = token.to_word();
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            assert!(word.bytes().all(safe), "{word}");
            assert_eq!(Token::from_word(&word).unwrap(), token);
            assert_eq!(Token::from_word(&format!(" {word}\n")).unwrap(), token);
        }
    }

    #[test]
    fn a_cut_or_changed_token_is_told_apart() {
        let word = token("10.0.0.1:7946").to_word();
        for length in PREFIX.len()..word.len() {
            assert_eq!(Token::from_word(&word[..length]), Err(TokenError::Damaged), "{length}");
        }
        for text in ["", "weir", "secret", "WEIR-JOIN-AA"] {
            assert_eq!(Token::from_word(text), Err(TokenError::Other));
        }
        let mut changed = word.clone().into_bytes();
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(Token::from_word(&changed), Err(TokenError::Damaged));
        assert_eq!(Token::from_word(&(word + &"A".repeat(2000))), Err(TokenError::Other));
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"\xff\xef", "_-8")]
        {
            assert_eq!(to_base64(bytes), text);
            assert_eq!(from_base64(text).unwrap(), bytes);
        }
        assert_eq!(from_base64("A"), None);
        assert_eq!(from_base64("A+=="), None);
    }
}
