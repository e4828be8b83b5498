//! Sets of names, built once and tested per field.

use super::{Known, Seen};

/// Names of fields, ignoring case: ids of known names, and text of others.
#[derive(Clone, Debug, Default)]
pub struct NameSet {
    known: Seen,
    others: Vec<Box<[u8]>>,
}

impl NameSet {
    /// Adds a name; returns whether it was new.
    pub fn insert(&mut self, name: &[u8]) -> bool {
        let known = Known::from_name(name);
        if known != Known::Other {
            return self.known.insert(known);
        }
        let new = !self.contains(name, known);
        if new {
            self.others.push(name.into());
        }
        new
    }

    /// Whether the set has the name, whose id is `known`.
    #[inline]
    pub fn contains(&self, name: &[u8], known: Known) -> bool {
        match known {
            Known::Other => self.others.iter().any(|other| name.eq_ignore_ascii_case(other)),
            known => self.known.contains(known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_an_id_are_told_apart() {
        let mut names = NameSet::default();
        assert!(names.insert(b"hOST") && !names.insert(b"Host"));
        assert!(names.insert(b"X-Mine") && !names.insert(b"x-mine"));
        let has = |name: &[u8]| names.contains(name, Known::from_name(name));
        assert!(has(b"host") && has(b"X-MINE"));
        assert!(!has(b"Server") && !has(b"X-Min"));
    }
}
