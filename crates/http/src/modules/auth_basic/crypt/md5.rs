//! The MD5 scheme of crypt(3), `$1$`, and Apache's variant, `$apr1$`.

use ::md5::{Digest, Md5};

use super::encode;

/// The maximum length of a salt, in bytes.
const SALT_MAX: usize = 8;
const ROUNDS: usize = 1000;

/// The hash of `password` with the salt of `stored`, which begins with `magic`.
pub(super) fn crypt(magic: &[u8], password: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    let rest = stored.strip_prefix(magic)?;
    let end = rest.iter().take(SALT_MAX).position(|&byte| byte == b'$');
    let salt = &rest[..end.unwrap_or(rest.len().min(SALT_MAX))];
    let digest = stretch(first(magic, password, salt), password, salt);

    let mut out = [magic, salt, b"$"].concat();
    let byte = |at: usize| u32::from(digest[at]);
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        encode(byte(high) << 16 | byte(middle) << 8 | byte(low), 4, &mut out);
    }
    encode(byte(11), 2, &mut out);
    Some(out)
}

fn first(magic: &[u8], password: &[u8], salt: &[u8]) -> [u8; 16] {
    let mut alternate = Md5::new();
    for part in [password, salt, password] {
        alternate.update(part);
    }
    let alternate: [u8; 16] = alternate.finalize().into();

    let mut main = Md5::new();
    for part in [password, magic, salt] {
        main.update(part);
    }
    let mut left = password.len();
    while left > 0 {
        let taken = left.min(alternate.len());
        main.update(&alternate[..taken]);
        left -= taken;
    }
    let mut bits = password.len();
    while bits > 0 {
        // A bug of the original implementation, which has become part of the scheme.
        main.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    main.finalize().into()
}

fn stretch(mut digest: [u8; 16], password: &[u8], salt: &[u8]) -> [u8; 16] {
    for round in 0..ROUNDS {
        let odd = round & 1 == 1;
        let mut next = Md5::new();
        next.update(if odd { password } else { &digest });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest } else { password });
        digest = next.finalize().into();
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_may_be_short_and_end_at_a_dollar() {
        let hash = |stored: &[u8]| crypt(b"$1$", b"password", stored).unwrap();
        assert_eq!(hash(b"$1$"), b"$1$$I2o9Z7NcvQAKp7wyCTlia0");
        assert_eq!(hash(b"$1$salt$x"), b"$1$salt$qJH7.N4xYta3aEG/dfqo/0");
        assert_eq!(hash(b"$1$salt"), hash(b"$1$salt$"));
        assert!(hash(b"$1$123456789$").starts_with(b"$1$12345678$"));
    }
}
