//! Priorities (RFC 9218): urgency, and whether a response is of use in parts.

/// The priority of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Priority {
    /// From 0, the first to be sent, to 7.
    pub urgency: u8,
    /// Whether the stream takes turns with others of its urgency.
    pub incremental: bool,
}

/// The urgency of streams that have no other.
const DEFAULT_URGENCY: u8 = 3;

/// The number of urgencies.
pub(crate) const URGENCIES: usize = 8;

impl Priority {
    /// The priority of a stream whose peer has not said any. RFC 9218 section 4.2 would have it
    /// sent as a whole, but a client that knows nothing of priorities must not have one endless
    /// response before all others.
    pub(crate) const UNKNOWN: Self = Self { urgency: DEFAULT_URGENCY, incremental: true };

    /// Decodes a `Priority` field: a dictionary of structured fields (RFC 9651), of which `u` and
    /// `i` are used. What is not understood is as if absent.
    pub(crate) fn parse(value: &[u8]) -> Self {
        let mut priority = Self { urgency: DEFAULT_URGENCY, incremental: false };
        for member in value.split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            let item = member.split(|&byte| byte == b';').next().unwrap_or_default();
            match item.trim_ascii_end() {
                [b'u', b'=', urgency @ b'0'..=b'7'] => priority.urgency = urgency - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let cases: &[(&str, u8, bool)] = &[
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i,u=5", 5, true),
            ("u=1,i=?0", 1, false),
            ("i, i=?0", 3, false),
            ("u=2;x=1, i;y", 2, true),
            ("u=8, i=1", 3, false),
            ("u=-1, u=\"3\", u", 3, false),
            ("u=1, u=4", 4, false),
            ("other=\"a\", u=6", 6, false),
            (",,;;=", 3, false),
        ];
        for &(value, urgency, incremental) in cases {
            assert_eq!(
                Priority::parse(value.as_bytes()),
                Priority { urgency, incremental },
                "{value}"
            );
        }
    }
}
