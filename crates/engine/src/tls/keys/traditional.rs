//! Private keys encrypted in the traditional format: headers inside the PEM section name the cipher
//! (RFC 1421 section 4.6), and OpenSSL's EVP_BytesToKey(3) derives the key from the password.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivateSec1KeyDer};

/// The length of the password's salt: the start of the initialization vector.
const SALT: usize = 8;

const SEQUENCE: u8 = 0x30;

/// The key types of the format.
#[derive(Clone, Copy, Debug)]
enum KeyType {
    Rsa,
    Ec,
}

/// An encrypted key.
#[derive(Debug)]
pub(super) struct EncryptedKey {
    kind: KeyType,
    cipher: String,
    iv: Vec<u8>,
    body: Vec<u8>,
}

/// The encrypted key of a PEM file, if it has one.
pub(super) fn find(pem: &[u8]) -> Option<EncryptedKey> {
    let text = String::from_utf8_lossy(pem).replace('\r', "");
    let section = |name: &str| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {name}-----\n"))?;
        let (section, _) = rest.split_once(&format!("-----END {name}-----"))?;
        section.contains("Proc-Type: 4,ENCRYPTED").then(|| section.to_owned())
    };
    let rsa = section("RSA PRIVATE KEY").map(|section| (KeyType::Rsa, section));
    let (kind, section) =
        rsa.or_else(|| section("EC PRIVATE KEY").map(|section| (KeyType::Ec, section)))?;
    let (head, body) = section.split_once("\n\n")?;
    let info = head.lines().find_map(|line| line.strip_prefix("DEK-Info:"))?;
    let (cipher, iv) = info.trim().split_once(',')?;
    let body: String = body.split_ascii_whitespace().collect();
    let (cipher, body) = (cipher.to_owned(), STANDARD.decode(body).ok()?);
    Some(EncryptedKey { kind, cipher, iv: bytes(iv)?, body })
}

/// Decodes hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.trim().as_bytes().chunks(2).map(pair).collect()
}

impl EncryptedKey {
    /// Decrypts the key; `None` if the password is wrong or the cipher is not AES.
    pub(super) fn decrypt(&self, password: &[u8]) -> Option<PrivateKeyDer<'static>> {
        let (cipher, length) = match self.cipher.as_str() {
            "AES-128-CBC" => (&AES_128, 16),
            "AES-192-CBC" => (&AES_192, 24),
            "AES-256-CBC" => (&AES_256, 32),
            _ => return None,
        };
        let iv: [u8; 16] = self.iv.as_slice().try_into().ok()?;
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let secret = secret(password, self.iv.get(..SALT)?, length);
        let key = UnboundCipherKey::new(cipher, &secret).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut body = self.body.clone();
        let plain = key.decrypt(&mut body, context).ok()?;
        // A wrong password that leaves valid padding fails here.
        (plain.first() == Some(&SEQUENCE)).then_some(())?;
        let plain = plain.to_vec();
        Some(match self.kind {
            KeyType::Rsa => PrivatePkcs1KeyDer::from(plain).into(),
            KeyType::Ec => PrivateSec1KeyDer::from(plain).into(),
        })
    }
}

fn secret(password: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while all.len() < length {
        let digest = Md5::new().chain_update(&block).chain_update(password).chain_update(salt);
        block = digest.finalize().to_vec();
        all.extend_from_slice(&block);
    }
    all.truncate(length);
    all
}
