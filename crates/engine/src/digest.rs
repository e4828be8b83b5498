//! Digests and comparisons for secrets, by aws-lc.

use aws_lc_rs::{constant_time, digest};

/// The SHA-256 digest of the parts in a row.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// Whether two secrets are equal; the time does not tell where they differ.
pub fn same_secret(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of FIPS 180-2, appendix B.1.
    #[test]
    fn a_digest_covers_the_parts_in_a_row() {
        let digest = sha256(&[b"a", b"", b"bc"]);
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert!(same_secret(&digest, &sha256(&[b"abc"])));
        assert!(!same_secret(&digest, &sha256(&[b"abd"])) && !same_secret(b"a", b"ab"));
    }
}
