//! Priorities of RFC 7540 section 5.3: the stream that another one depends on, and its weight.

/// What a PRIORITY frame says, or HEADERS with such a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The stream that has to be served before; 0 for none.
    pub on: u32,
    /// Whether the streams that depended on that one depend on this one from now on.
    pub exclusive: bool,
    /// The share among streams that depend on the same: 1 to 256.
    pub weight: u16,
}

impl Dependency {
    /// The priority of a stream without another one (section 5.3.5).
    pub(crate) const DEFAULT: Self = Self { on: 0, exclusive: false, weight: 16 };

    /// Decodes five bytes of a payload.
    pub(crate) fn parse(bytes: [u8; 5]) -> Self {
        let [a, b, c, d, weight] = bytes;
        let on = u32::from_be_bytes([a, b, c, d]);
        Self {
            on: on & 0x7fff_ffff,
            exclusive: on & 0x8000_0000 != 0,
            weight: u16::from(weight) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bit_is_not_part_of_the_number() {
        let found = Dependency::parse([0x80, 0, 1, 3, 255]);
        assert_eq!(found, Dependency { on: 259, exclusive: true, weight: 256 });
        assert_eq!(Dependency::parse([0, 0, 0, 0, 15]), Dependency::DEFAULT);
    }
}
