//! Unpredictable randomness.

use weir_sys::random;

/// Unpredictable bytes, for example for the IDs of DNS queries.
///
/// They are the system's. The generator of aws-lc gathers entropy of its own before its first
/// bytes: a loop that asks stands still for 35 ms then.
pub fn unguessable<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if random::fill(&mut bytes).is_err() {
        let filled = aws_lc_rs::rand::fill(&mut bytes);
        filled.expect("aws-lc waits for the system's seed, and fails no more once it has it");
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_equal() {
        assert_ne!(super::unguessable::<16>(), super::unguessable::<16>());
    }
}
