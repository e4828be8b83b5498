//! Password hashes: Apache's (`$apr1$`), LDAP's (`{SHA}`, `{SSHA}`, `{PLAIN}`) and those of
//! crypt(3): DES, `$1$`, `$2a$` to `$2y$`, `$5$`, `$6$`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

mod des;
mod md5;
mod sha2;

/// The result of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// The password has this hash.
    Match,
    /// The password has another hash, or the hash is malformed.
    Mismatch,
    /// The hash scheme is not supported (`$y$`, `$7$`, `$sha1$`, `_`).
    Unknown,
}

impl From<bool> for Verified {
    fn from(matches: bool) -> Self {
        if matches { Self::Match } else { Self::Mismatch }
    }
}

/// Checks `password` against the hash `stored`. Deliberately slow hashes are computed on another
/// thread, so that other requests do not wait for them.
pub(super) async fn verify(password: Vec<u8>, stored: Vec<u8>) -> Verified {
    if stored.starts_with(b"{") {
        return matches(&password, &stored).into();
    }
    if is_unknown(&stored) {
        return Verified::Unknown;
    }
    let matches = weir_engine::event_loop::on_a_thread(move || matches(&password, &stored));
    // If that thread dies, the password counts as wrong.
    matches.await.unwrap_or(false).into()
}

fn is_unknown(stored: &[u8]) -> bool {
    let known: [&[u8]; 5] = [b"$apr1$", b"$1$", b"$2", b"$5$", b"$6$"];
    matches!(stored.first(), Some(b'$' | b'_')) && !known.iter().any(|k| stored.starts_with(k))
}

/// Whether a hash asks for more time than usual hashes do: for more rounds of SHA-2, or for a cost
/// of bcrypt above its least two.
#[cfg(any(test, fuzzing))]
pub(super) fn is_slow(stored: &[u8]) -> bool {
    const COST: u32 = 5;
    if stored.starts_with(b"$2") {
        let parts = std::str::from_utf8(stored).ok().and_then(|text| text.parse().ok());
        return parts.is_some_and(|parts: bcrypt::HashParts| parts.get_cost() > COST);
    }
    sha2::Recipe::parse(stored).is_some_and(|recipe| recipe.count > sha2::ROUNDS)
}

/// Checks a password on the calling thread. A NUL ends the password, as in C.
pub(super) fn matches(password: &[u8], stored: &[u8]) -> bool {
    let end = password.iter().position(|&byte| byte == 0).unwrap_or(password.len());
    let password = &password[..end];
    if let Some(plain) = stored.strip_prefix(b"{PLAIN}") {
        return same(plain, password);
    }
    if let Some(encoded) = stored.strip_prefix(b"{SSHA}") {
        return salted_sha(password, encoded);
    }
    if let Some(encoded) = stored.strip_prefix(b"{SHA}") {
        return same(encoded, STANDARD.encode(Sha1::digest(password)).as_bytes());
    }
    let computed = match stored {
        [b'$', b'a', b'p', b'r', b'1', b'$', ..] => md5::crypt(b"$apr1$", password, stored),
        [b'$', b'1', b'$', ..] => md5::crypt(b"$1$", password, stored),
        [b'$', b'5', b'$', ..] | [b'$', b'6', b'$', ..] => sha2::crypt(password, stored),
        [b'$', b'2', ..] => {
            let stored = std::str::from_utf8(stored).ok();
            return stored.is_some_and(|text| bcrypt::verify(password, text).unwrap_or(false));
        }
        [b'$' | b'_', ..] => None,
        _ => des::crypt(password, stored),
    };
    computed.is_some_and(|computed| same(&computed, stored))
}

/// `{SSHA}`: base64 of SHA1(password, salt) and the salt.
fn salted_sha(password: &[u8], encoded: &[u8]) -> bool {
    const DIGEST: usize = 20;
    let Ok(decoded) = STANDARD.decode(encoded) else { return false };
    let Some((digest, salt)) = decoded.split_at_checked(DIGEST) else { return false };
    same(digest, &Sha1::new().chain_update(password).chain_update(salt).finalize())
}

/// Compares in constant time.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The alphabet of crypt(3).
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends `digits` characters of six bits each, lowest first.
fn encode(mut bits: u32, digits: usize, out: &mut Vec<u8>) {
    for _ in 0..digits {
        out.push(ALPHABET[(bits & 0x3f) as usize]);
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_every_kind() {
        // Made with openssl passwd, htpasswd and crypt(3).
        let good = [
            "$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.",
            "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
            "{PLAIN}password",
            "{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "sa3tHJ3/KuYvI",
        ];
        for stored in good {
            assert!(matches(b"password", stored.as_bytes()), "{stored}");
            assert!(matches(b"password\0x", stored.as_bytes()), "{stored}");
            assert!(!matches(b"passwork", stored.as_bytes()), "{stored}");
        }
    }

    #[test]
    fn slow_hashes() {
        for (stored, slow) in [
            ("$6$rounds=5001$abc$", true),
            ("$5$rounds=5000$abc$", false),
            ("$6$abc$", false),
            ("$2y$06$abcdefghijklmnopqrstuughE8Ev8uGFaUgY2cNEySvxngrb/Jzdm", true),
            ("$2y$05$abcdefghijklmnopqrstuughE8Ev8uGFaUgY2cNEySvxngrb/Jzdm", false),
            ("$2y$31$short", false),
            ("ab", false),
        ] {
            assert_eq!(is_slow(stored.as_bytes()), slow, "{stored}");
        }
    }

    #[test]
    fn kinds() {
        for stored in ["$y$j9T$salt$hash", "$7$CU", "_J9..abcd", "$"] {
            assert!(is_unknown(stored.as_bytes()), "{stored}");
        }
        assert!(!is_unknown(b"$2b$05$") && !is_unknown(b"ab"));
    }

    #[test]
    fn broken_hashes_match_no_password() {
        for stored in [
            "",
            "x",
            "$",
            "$1$",
            "$5$",
            "$6$rounds=",
            "$2y$",
            "$2y$05$short",
            "$apr1$",
            "{SSHA}",
            "{SSHA}_____wQadOA1e+/f+T+H3eCQQhRzYWx0",
            "{SHA}Zm9vCg==",
            "$y$j9T$a$b",
            "_J9..",
        ] {
            assert!(!matches(b"1", stored.as_bytes()), "{stored}");
            assert!(!matches(b"", stored.as_bytes()), "{stored}");
        }
    }
}
