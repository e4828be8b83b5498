//! Host names with wildcards, for `server_name` and `map … hostnames`.
//!
//! The order is nginx's: the exact name, the longest leading wildcard (`*.example.com`,
//! `.example.com`), the longest trailing wildcard (`www.example.*`). Case is ignored.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Names up to this length are lower-cased on the stack.
const INLINE_NAME: usize = 256;

/// A table of names.
#[derive(Clone, Debug)]
pub struct Names<V> {
    exact: NameTable<V>,
    /// Leading wildcards, by the suffix after the wildcard's dot.
    heads: NameTable<Head<V>>,
    /// Trailing wildcards, by the prefix before the wildcard's dot.
    tails: NameTable<V>,
}

type NameTable<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<NameHasher>>;

#[derive(Clone, Debug)]
struct Head<V> {
    value: V,
    /// Written as `.example.com`: the suffix itself matches too.
    bare: bool,
}

/// The reason for a refused name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not a host name, or a misplaced wildcard.
    Invalid,
    /// A duplicate.
    Conflict,
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self {
            exact: NameTable::default(),
            heads: NameTable::default(),
            tails: NameTable::default(),
        }
    }
}

impl<V> Names<V> {
    /// Adds a literal name, in which asterisks have no meaning.
    ///
    /// # Errors
    /// [`Refused::Conflict`].
    pub(crate) fn add_exact(&mut self, name: &[u8], value: V) -> Result<(), Refused> {
        let name = name.to_ascii_lowercase().into_boxed_slice();
        let bare = self.heads.get(&name).is_some_and(|head| head.bare);
        if bare || self.exact.contains_key(&name) {
            return Err(Refused::Conflict);
        }
        self.exact.insert(name, value);
        Ok(())
    }

    /// Adds a name with an optional leading `*.` or `.`, or trailing `.*`.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Conflict`].
    pub fn add(&mut self, name: &[u8], value: V) -> Result<(), Refused> {
        let asterisks = name.iter().filter(|&&byte| byte == b'*').count();
        let dots = name.windows(2).any(|pair| pair == b"..");
        if asterisks > 1 || dots || name.contains(&0) {
            return Err(Refused::Invalid);
        }
        if name.len() > 1 && name[0] == b'.' {
            return self.add_head(&name[1..], value, true);
        }
        if name.len() > 2 && name.starts_with(b"*.") {
            return self.add_head(&name[2..], value, false);
        }
        if name.len() > 2 && name.ends_with(b".*") {
            return insert(&mut self.tails, &name[..name.len() - 2], value);
        }
        if asterisks > 0 {
            return Err(Refused::Invalid);
        }
        self.add_exact(name, value)
    }

    fn add_head(&mut self, suffix: &[u8], value: V, bare: bool) -> Result<(), Refused> {
        if bare && self.exact.contains_key(&*suffix.to_ascii_lowercase()) {
            return Err(Refused::Conflict);
        }
        insert(&mut self.heads, suffix, Head { value, bare })
    }

    /// The value for a name.
    pub fn find(&self, name: &[u8]) -> Option<&V> {
        let mut inline = [0; INLINE_NAME];
        let heap;
        let lower = match inline.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                &*lower
            }
            None => {
                heap = name.to_ascii_lowercase();
                &heap
            }
        };
        self.find_lower(lower)
    }

    /// The value for a name in lower case.
    pub fn find_lower(&self, name: &[u8]) -> Option<&V> {
        if let Some(value) = self.exact.get(name) {
            return Some(value);
        }
        if name.is_empty() {
            return None;
        }
        self.find_head(name).or_else(|| self.find_tail(name))
    }

    fn find_head(&self, name: &[u8]) -> Option<&V> {
        if self.heads.is_empty() {
            return None;
        }
        if let Some(head) = self.heads.get(name).filter(|head| head.bare) {
            return Some(&head.value);
        }
        memchr::memchr_iter(b'.', name)
            .find_map(|dot| self.heads.get(&name[dot + 1..]))
            .map(|head| &head.value)
    }

    fn find_tail(&self, name: &[u8]) -> Option<&V> {
        if self.tails.is_empty() {
            return None;
        }
        memchr::memrchr_iter(b'.', name).find_map(|dot| self.tails.get(&name[..dot]))
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.heads.is_empty() && self.tails.is_empty()
    }
}

fn insert<V>(table: &mut NameTable<V>, key: &[u8], value: V) -> Result<(), Refused> {
    let key = key.to_ascii_lowercase().into_boxed_slice();
    if table.contains_key(&key) {
        return Err(Refused::Conflict);
    }
    table.insert(key, value);
    Ok(())
}

/// A fast hash for short names. The keys come from the configuration, so clients cannot cause
/// collisions.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        let mut word = [0; 8];
        word[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.mix(u64::from_le_bytes(word) ^ (bytes.len() as u64) << 56);
    }

    fn write_usize(&mut self, _length: usize) {
        // The last word of a key includes its length.
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Names<u32> {
        let mut names = Names::default();
        for (value, name) in [
            (1, "Example.com"),
            (2, "*.example.com"),
            (3, "*.sub.example.com"),
            (4, ".org"),
            (5, "www.example.*"),
            (6, "www.*"),
            (7, ".net.org"),
        ] {
            names.add(name.as_bytes(), value).unwrap();
        }
        names
    }

    #[test]
    fn the_most_specific_name_wins() {
        let names = table();
        for (name, value) in [
            ("EXAMPLE.com", Some(1)),
            ("a.example.com", Some(2)),
            ("sub.example.com", Some(2)),
            ("a.sub.example.com", Some(3)),
            ("org", Some(4)),
            ("a.b.org", Some(4)),
            ("net.org", Some(7)),
            ("x.net.org", Some(7)),
            ("www.example.de", Some(5)),
            ("www.example", Some(6)),
            ("www", None),
            ("com", None),
            (".example.com", Some(2)),
            ("", None),
        ] {
            assert_eq!(names.find(name.as_bytes()).copied(), value, "{name}");
        }
        let long = [&[b'A'; 300][..], b".EXAMPLE.com"].concat();
        assert_eq!(names.find(&long), Some(&2));
    }

    #[test]
    fn what_conflicts_is_refused() {
        let mut names = table();
        assert_eq!(names.add(b".example.com", 9), Err(Refused::Conflict));
        assert_eq!(names.add(b"example.com", 9), Err(Refused::Conflict));
        assert_eq!(names.add(b"org", 9), Err(Refused::Conflict));
        assert_eq!(names.add(b"WWW.*", 9), Err(Refused::Conflict));
        for bad in ["a..b", "*", "*a.com", "a.*.com", "*.*", "a*"] {
            assert_eq!(names.add(bad.as_bytes(), 9), Err(Refused::Invalid), "{bad}");
        }
    }
}
