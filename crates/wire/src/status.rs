//! Counters of status codes: known codes have a counter each, and the other codes of a class share
//! one.

/// The codes with a counter of their own, in ascending order: those registered with IANA (RFC 9110,
/// section 16.2), and nginx's own.
const KNOWN: [u16; 71] = [
    100, 101, 102, 103, 104, //
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, //
    300, 301, 302, 303, 304, 305, 307, 308, //
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
    421, 422, 423, 424, 425, 426, 428, 429, 431, 444, 451, 494, 495, 496, 497, 498, 499, //
    500, 501, 502, 503, 504, 505, 506, 507, 508, 509, 510, 511,
];

/// The number of classes, 1xx to 5xx.
pub const CLASSES: usize = 5;

/// The number of counters: one per known code, then one per class.
pub const PLACES: usize = KNOWN.len() + CLASSES;

const FIRST: u16 = 100;

/// The counter of each code from 100 to 599.
const PLACE: [u8; 500] = {
    let mut places = [0; 500];
    let mut code = 0;
    while code < places.len() {
        places[code] = (KNOWN.len() + code / 100) as u8;
        code += 1;
    }
    let mut known = 0;
    while known < KNOWN.len() {
        places[(KNOWN[known] - FIRST) as usize] = known as u8;
        known += 1;
    }
    places
};

/// The index of a code's counter, below [`PLACES`]. Invalid codes count as the nearest class.
pub fn place(code: u16) -> usize {
    // 199 and 599 are unassigned, so they can represent codes out of range.
    let code = if code < FIRST { 199 } else { code.min(599) };
    usize::from(PLACE[usize::from(code - FIRST)])
}

/// Responses by class and by code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responses {
    /// The responses by class, 1xx to 5xx.
    pub classes: [u64; CLASSES],
    /// The counted known codes, in ascending order.
    pub codes: Vec<(u16, u64)>,
}

impl Responses {
    /// The responses from all counters; missing counters are zero.
    pub fn from_places(counts: &[u64]) -> Self {
        let mut responses = Self::default();
        for (&code, &count) in KNOWN.iter().zip(counts).filter(|(_, count)| **count > 0) {
            responses.classes[usize::from(code / 100 - 1)] += count;
            responses.codes.push((code, count));
        }
        let others = counts.get(KNOWN.len()..).unwrap_or_default();
        for (class, count) in responses.classes.iter_mut().zip(others) {
            *class += count;
        }
        responses
    }

    /// The number of all responses.
    pub fn total(&self) -> u64 {
        self.classes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_counts_once_and_in_its_class() {
        for code in 0..=u16::MAX {
            let mut counts = [0; PLACES];
            counts[place(code)] = 3;
            let responses = Responses::from_places(&counts);
            let class = usize::from(code / 100).clamp(1, CLASSES);
            assert_eq!(responses.classes[class - 1], 3, "{code}");
            assert_eq!(responses.total(), 3);
            let known = KNOWN.contains(&code);
            assert_eq!(responses.codes, if known { vec![(code, 3)] } else { vec![] }, "{code}");
        }
    }

    #[test]
    fn known_codes_ascend() {
        assert!(KNOWN.is_sorted_by(|one, two| one < two));
        assert_eq!(Responses::from_places(&[]), Responses::default());
    }
}
