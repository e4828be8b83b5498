//! Password-encrypted private keys: PKCS #8 with PBES2 (RFC 8018 section 6.2), OpenSSL's default
//! since version 3.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The maximum iteration count; more would delay the start by minutes, and a fuzzer has less time.
const MOST_ROUNDS: u32 = if cfg!(fuzzing) { 5000 } else { 50_000_000 };

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const HMAC_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x07];
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
const HMAC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0a];
const HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0b];
const AES_128_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
const AES_192_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x16];
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;

/// The decoded PEM section of an encrypted key, if the file has one.
pub(super) fn find(pem: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// Decrypts the key; `None` if the password is wrong or the scheme unsupported.
pub(super) fn decrypt(der: &[u8], password: &[u8]) -> Option<PrivateKeyDer<'static>> {
    let (info, _) = take(der, SEQUENCE)?;
    let (algorithm, rest) = take(info, SEQUENCE)?;
    let (sealed, _) = take(rest, OCTETS)?;
    let (oid, parameters) = take(algorithm, OID)?;
    if oid != PBES2 {
        return None;
    }
    let (parameters, _) = take(parameters, SEQUENCE)?;
    let (derivation, scheme) = take(parameters, SEQUENCE)?;
    let (scheme, _) = take(scheme, SEQUENCE)?;
    let (cipher, iv) = take(scheme, OID)?;
    let (iv, _) = take(iv, OCTETS)?;
    let (cipher, length) = match cipher {
        AES_128_CBC => (&AES_128, 16),
        AES_192_CBC => (&AES_192, 24),
        AES_256_CBC => (&AES_256, 32),
        _ => return None,
    };
    let iv: [u8; 16] = iv.try_into().ok()?;
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let mut secret = [0; 32];
    let secret = &mut secret[..length];
    derive(derivation, password, secret)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(cipher, secret).ok()?);
    let mut bytes = sealed.to_vec();
    let plain = key.ok()?.decrypt(&mut bytes, context).ok()?;
    // A wrong password that leaves valid padding fails here.
    take(plain, SEQUENCE)?;
    Some(PrivatePkcs8KeyDer::from(plain.to_vec()).into())
}

fn derive(derivation: &[u8], password: &[u8], secret: &mut [u8]) -> Option<()> {
    let (oid, parameters) = take(derivation, OID)?;
    if oid != PBKDF2 {
        return None;
    }
    let (parameters, _) = take(parameters, SEQUENCE)?;
    let (salt, rest) = take(parameters, OCTETS)?;
    let (rounds, mut rest) = take(rest, INTEGER)?;
    let rounds = rounds.iter().try_fold(0_u32, |number, &byte| {
        number.checked_mul(256).map(|number| number + u32::from(byte))
    })?;
    if let Some((_, behind)) = take(rest, INTEGER) {
        rest = behind;
    }
    let algorithm = match take(rest, SEQUENCE) {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some((prf, _)) => match take(prf, OID)?.0 {
            HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
            HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
            HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
            HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return None,
        },
    };
    let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= MOST_ROUNDS)?;
    pbkdf2::derive(algorithm, rounds, salt, password, secret);
    Some(())
}

/// Splits off one DER element of the given tag: its content and the bytes after it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
        _ => return None,
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(len)
}
