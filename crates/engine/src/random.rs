//! Unpredictable randomness, from the generator of aws-lc, which the system seeds.

/// Unpredictable bytes, for example for the IDs of DNS queries.
pub fn unguessable<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.expect("aws-lc waits for the system's seed, and fails no more once it has it");
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_equal() {
        assert_ne!(super::unguessable::<16>(), super::unguessable::<16>());
    }
}
