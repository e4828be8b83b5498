//! `split_clients`: a value by the hash of a key, in given shares.

use weir_conf::Fault;

/// The whole in hundredths of a percent.
const WHOLE: u32 = 10_000;

/// Values with their shares.
#[derive(Clone, Debug)]
pub struct SplitClients<V> {
    shares: Vec<Share<V>>,
}

#[derive(Clone, Debug)]
struct Share<V> {
    /// The upper bound of the hashes in this share, exclusive; 0 for all that are left.
    below: u32,
    value: V,
}

impl<V> Default for SplitClients<V> {
    fn default() -> Self {
        Self { shares: Vec::new() }
    }
}

impl<V> SplitClients<V> {
    /// Adds a share as written (`0.5%`, `*`) and its value. [`SplitClients::finish`] must follow
    /// the last one.
    ///
    /// # Errors
    /// nginx's wording for a bad share.
    pub fn push(&mut self, share: &[u8], value: V) -> Result<(), Fault> {
        self.shares.push(Share { below: percent(share)?, value });
        Ok(())
    }

    /// Turns the shares into thresholds, with nginx's rounding.
    ///
    /// # Errors
    /// nginx's wording for a total over 100 %.
    pub fn finish(mut self) -> Result<Self, Fault> {
        let mut sum = 0u32;
        let mut last = 0u32;
        for share in &mut self.shares {
            sum = if share.below == 0 { WHOLE } else { sum.saturating_add(share.below) };
            if sum > WHOLE {
                return Err("percent total is greater than 100%".into());
            }
            if sum == WHOLE {
                share.below = 0;
                continue;
            }
            let width = u64::from(share.below) * 0xffff_ffff / u64::from(WHOLE);
            last = last.wrapping_add(u32::try_from(width).unwrap_or(u32::MAX));
            share.below = last;
        }
        Ok(self)
    }

    /// The value for a key.
    pub fn find(&self, key: &[u8]) -> Option<&V> {
        let hash = murmur2(key);
        let share = self.shares.iter().find(|share| share.below == 0 || hash < share.below)?;
        Some(&share.value)
    }
}

/// Parses a share in hundredths of a percent; 0 for the asterisk.
pub(crate) fn percent(text: &[u8]) -> Result<u32, Fault> {
    if text == b"*" {
        return Ok(0);
    }
    text.strip_suffix(b"%").and_then(fixed_point).filter(|&value| value != 0).ok_or_else(|| {
        let text = String::from_utf8_lossy(text);
        Fault::new(format!("invalid percent value \"{text}\""))
    })
}

/// Parses a number with up to two decimals, in hundredths.
fn fixed_point(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u32;
    let mut places = 2;
    let mut dot = false;
    for &byte in text {
        if places == 0 || byte == b'.' && dot {
            return None;
        }
        match byte {
            b'.' => dot = true,
            b'0'..=b'9' => {
                value = value.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
                places -= u32::from(dot);
            }
            _ => return None,
        }
    }
    Some(value.saturating_mul(10u32.pow(places)))
}

/// MurmurHash2 with seed 0, as nginx computes it.
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    #[expect(clippy::cast_possible_truncation, reason = "the hash starts from the low 32 bits")]
    let mut hash = data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(rows: &[(&'static str, u8)]) -> Result<SplitClients<u8>, Fault> {
        let mut split = SplitClients::default();
        for (share, value) in rows {
            split.push(share.as_bytes(), *value)?;
        }
        split.finish()
    }

    #[test]
    fn shares_are_worded_and_summed_as_in_nginx() {
        for bad in ["", "%", "0%", "5", "1.234%", "a%", "1..2%", "-1%"] {
            let error = build(&[(bad, 1)]).unwrap_err();
            assert_eq!(error, Fault::new(format!("invalid percent value \"{bad}\"")));
        }
        let over = build(&[("60%", 1), ("40.01%", 2)]).unwrap_err();
        assert_eq!(over, Fault::new("percent total is greater than 100%"));
        assert!(build(&[("60%", 1), ("40%", 2)]).is_ok());
        assert!(build(&[("99.99%", 1), ("*", 2)]).is_ok());
        assert!(build(&[("*", 1), ("1%", 2)]).is_err());
    }

    #[test]
    fn thresholds() {
        let split = build(&[("0.5%", 1), ("2%", 2), ("*", 3)]).unwrap();
        let below: Vec<_> = split.shares.iter().map(|share| share.below).collect();
        assert_eq!(below, [21_474_836, 21_474_836 + 85_899_345, 0]);
    }

    #[test]
    fn the_hash_is_nginx_s() {
        for (text, hash) in [
            ("", 0),
            ("a", 2_456_313_694),
            ("ab", 446_775_395),
            ("abc", 324_500_635),
            ("abcd", 646_393_889),
            ("127.0.0.1", 3_054_706_065),
            ("http://example.com/path?x=1", 1_964_296_203),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash, "{text}");
        }
    }
}
