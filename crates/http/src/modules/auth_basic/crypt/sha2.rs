//! The SHA-256 and SHA-512 schemes of crypt(3): `$5$` and `$6$`, with an optional `rounds=N$`.

use sha_crypt::{Params, sha256_crypt, sha512_crypt};

use super::encode;

/// The maximum length of a salt, in bytes.
const SALT_MAX: usize = 16;
/// The number of rounds without `rounds=`.
pub(super) const ROUNDS: u32 = 5000;

/// What a stored hash says about its making.
pub(super) struct Recipe<'s> {
    /// `$5$` or `$6$`.
    magic: &'s [u8],
    /// The number of rounds as written.
    rounds: Option<&'s str>,
    /// The number of rounds.
    pub(super) count: u32,
    salt: &'s [u8],
}

impl<'s> Recipe<'s> {
    /// The recipe of `stored`; None if it has no number of rounds where one is announced.
    pub(super) fn parse(stored: &'s [u8]) -> Option<Self> {
        let (magic, rest) = stored.split_at_checked(3)?;
        let (rounds, rest) = match rest.strip_prefix(b"rounds=") {
            Some(rest) => {
                let end = rest.iter().position(|&byte| byte == b'$')?;
                (Some(std::str::from_utf8(&rest[..end]).ok()?), &rest[end + 1..])
            }
            None => (None, rest),
        };
        let count = rounds.map_or(Ok(ROUNDS), str::parse).ok()?;
        let end = rest.iter().take(SALT_MAX).position(|&byte| byte == b'$');
        let salt = &rest[..end.unwrap_or(rest.len().min(SALT_MAX))];
        Some(Self { magic, rounds, count, salt })
    }
}

/// The hash of `password` with the salt and the rounds of `stored`; None if they are invalid.
pub(super) fn crypt(password: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    let Recipe { magic, rounds, count, salt } = Recipe::parse(stored)?;
    let params = Params::new(count).ok()?;
    let shown = rounds.map(|rounds| format!("rounds={rounds}$")).unwrap_or_default();
    let mut out = [magic, shown.as_bytes(), salt, b"$"].concat();
    if magic == b"$5$" {
        encode_256(&sha256_crypt(password, salt, params), &mut out);
    } else {
        encode_512(&sha512_crypt(password, salt, params), &mut out);
    }
    Some(out)
}

/// The digest in groups of three bytes, one of each third. From group to group, the bytes move on
/// by one and the thirds change places.
fn encode_256(digest: &[u8; 32], out: &mut Vec<u8>) {
    let byte = |at: usize| u32::from(digest[at]);
    let [mut high, mut middle, mut low] = [0, 10, 20];
    for _ in 0..10 {
        encode(byte(high) << 16 | byte(middle) << 8 | byte(low), 4, out);
        [high, middle, low] = [low + 1, high + 1, middle + 1];
    }
    encode(byte(31) << 8 | byte(30), 3, out);
}

/// As [`encode_256`], with the thirds in the other order.
fn encode_512(digest: &[u8; 64], out: &mut Vec<u8>) {
    let byte = |at: usize| u32::from(digest[at]);
    let [mut high, mut middle, mut low] = [0, 21, 42];
    for _ in 0..21 {
        encode(byte(high) << 16 | byte(middle) << 8 | byte(low), 4, out);
        [high, middle, low] = [middle + 1, low + 1, high + 1];
    }
    encode(byte(63), 2, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_crypt_3() {
        let good = [
            "$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC.",
            "$5$rounds=1234$saltstringtoolon$qtUQI3AD3Dg2QRPTpNzQ0iScauoOKnbv3PI0rCgKVE6",
            "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2\
             xS0ktL3nh/",
            "$6$rounds=2000$abc$5mHBfr8W2PnxRneiVZAt5a8FBXeRZi49oZDKgGHDKDPKcrkxjVG0YGb4HlUe8mr64MznI\
             A8tI7hJzAQNkrGGo.",
        ];
        for stored in good {
            assert_eq!(crypt(b"password", stored.as_bytes()).unwrap(), stored.as_bytes());
        }
        assert_eq!(crypt(b"password", b"$5$rounds=10$abc$"), None);
    }
}
