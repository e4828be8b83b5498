//! Keys of responses: their digests, the names of files, and variants (`Vary`).

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};

use super::file::KEY_DIGEST;

/// The MD5 digest of a key, or of a key with the request fields that `Vary` names. As in nginx, its
/// hexadecimal form is the name of the file, which scripts that purge rely on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest(pub(crate) [u8; KEY_DIGEST]);

impl Digest {
    /// The digest of a key.
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(Md5::digest(key).into())
    }

    /// The digest in a file's name. None if it is not the name of a cached response.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        let mut digest = [0; KEY_DIGEST];
        if name.len() != 2 * KEY_DIGEST {
            return None;
        }
        for (byte, digits) in digest.iter_mut().zip(name.chunks_exact(2)) {
            *byte = hexadecimal(digits[0])? << 4 | hexadecimal(digits[1])?;
        }
        Some(Self(digest))
    }

    /// The path of the file below `folder`. Each level is named by the last digits that no level
    /// before it has taken.
    pub(crate) fn path(&self, folder: &Path, levels: Levels) -> PathBuf {
        let name = self.name();
        let folder = folder.as_os_str();
        let mut path = Vec::with_capacity(folder.len() + name.len() + 3 * Levels::MOST + 1);
        path.extend_from_slice(folder.as_bytes());
        let mut end = name.len();
        for level in levels.digits() {
            path.push(b'/');
            path.extend_from_slice(&name[end - level..end]);
            end -= level;
        }
        path.push(b'/');
        path.extend_from_slice(&name);
        OsString::from_vec(path).into()
    }

    /// The hexadecimal digits.
    fn name(&self) -> [u8; 2 * KEY_DIGEST] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = [0; 2 * KEY_DIGEST];
        for (pair, byte) in name.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        name
    }

    /// The digest of the variant of this main key for a request with `fields`. `vary` is the value
    /// of the response's `Vary`. With `by_meaning`, lines of one field count as one, and the case
    /// of lists of charsets, codings and languages does not matter (RFC 9111 section 4.1).
    pub(crate) fn variant<'f, V>(
        &self,
        vary: &[u8],
        by_meaning: bool,
        fields: impl Fn(&[u8]) -> V,
    ) -> Self
    where
        V: Iterator<Item = &'f [u8]>,
    {
        let mut md5 = Md5::new_with_prefix(self.0);
        for name in words(vary) {
            let name = name.to_ascii_lowercase();
            md5.update(&name);
            md5.update(b":");
            let parted = matches!(
                name.as_slice(),
                b"accept-charset" | b"accept-encoding" | b"accept-language"
            );
            let mut first = true;
            for value in fields(&name) {
                let mut add = |part: &[u8]| {
                    if !std::mem::take(&mut first) {
                        md5.update(if by_meaning && !parted { &b", "[..] } else { b"," });
                    }
                    match by_meaning && parted {
                        true => md5.update(part.to_ascii_lowercase()),
                        false => md5.update(part),
                    }
                };
                match parted {
                    true => words(value).for_each(add),
                    false => add(value),
                }
            }
            md5.update(b"\r\n");
        }
        Self(md5.finalize().into())
    }
}

/// The items of a list without its commas and blanks.
fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| matches!(byte, b',' | b' ')).filter(|word| !word.is_empty())
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.name()).unwrap_or_default())
    }
}

/// `levels`: the number of hexadecimal digits that name each level of folders, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Levels([u8; Self::MOST]);

impl Levels {
    /// The maximum number of levels.
    pub(crate) const MOST: usize = 3;

    /// Parses `1:2:2`; an empty text means no levels.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut levels = Self::default();
        if text.is_empty() {
            return Some(levels);
        }
        for (at, level) in text.split(|&byte| byte == b':').enumerate() {
            *levels.0.get_mut(at)? = match level {
                b"1" => 1,
                b"2" => 2,
                _ => return None,
            };
        }
        Some(levels)
    }

    /// The numbers of digits, as the index file has them.
    pub(crate) fn to_bytes(self) -> [u8; Self::MOST] {
        self.0
    }

    /// The number of levels.
    pub(crate) fn depth(self) -> usize {
        self.digits().count()
    }

    fn digits(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().take_while(|&level| level > 0).map(usize::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> Levels {
        Levels::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn files_are_named_as_in_nginx() {
        let digest = Digest::of(b"b");
        assert_eq!(digest.to_string(), "92eb5ffee6ae2fec3ad71c777531578f");
        let path = |text| digest.path(Path::new("/c"), levels(text));
        assert_eq!(path(""), Path::new("/c/92eb5ffee6ae2fec3ad71c777531578f"));
        assert_eq!(path("1:2"), Path::new("/c/f/78/92eb5ffee6ae2fec3ad71c777531578f"));
        assert_eq!(path("2:1:2"), Path::new("/c/8f/7/15/92eb5ffee6ae2fec3ad71c777531578f"));
        assert_eq!(Digest::from_name(digest.to_string().as_bytes()), Some(digest));
        for other in ["", "92", "92eb5ffee6ae2fec3ad71c777531578F", &"0".repeat(34)] {
            assert_eq!(Digest::from_name(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn levels_are_one_or_two_digits() {
        for wrong in ["3", "0", "1:", ":1", "1:2:1:2", "12", "x"] {
            assert_eq!(Levels::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(levels("1:2").depth(), 2);
    }

    /// The values of the fields of a request.
    fn variant(vary: &str, fields: &[(&str, &str)]) -> Digest {
        variant_of(vary, false, fields)
    }

    fn variant_of(vary: &str, by_meaning: bool, fields: &[(&str, &str)]) -> Digest {
        Digest::of(b"k").variant(vary.as_bytes(), by_meaning, |name: &[u8]| {
            let name = name.to_vec();
            let same = fields.iter().filter(move |(known, _)| known.as_bytes() == name);
            same.map(|(_, value)| value.as_bytes())
        })
    }

    #[test]
    fn variants_differ_by_the_fields_named() {
        let gzip = variant("Accept-Encoding", &[("accept-encoding", "gzip, br")]);
        for (same, fields) in [
            ("accept-encoding", [("accept-encoding", "gzip,br")]),
            (" ,Accept-Encoding, ", [("accept-encoding", "gzip ,  br")]),
        ] {
            assert_eq!(variant(same, &fields), gzip);
        }
        assert_ne!(variant("Accept-Encoding", &[("accept-encoding", "br, gzip")]), gzip);
        assert_ne!(variant("Accept-Encoding", &[]), gzip);
        // Blanks of other fields matter.
        let two = variant("x-a, x-b", &[("x-a", "1"), ("x-b", "a, b")]);
        assert_ne!(variant("x-a, x-b", &[("x-a", "1"), ("x-b", "a,b")]), two);
        assert_ne!(variant("x-a, x-b", &[("x-a", "1:"), ("x-b", "a, b")]), two);
    }

    #[test]
    fn variants_may_be_told_by_meaning() {
        let is_same = |by_meaning, one: &[(&str, &str)], other: &[(&str, &str)]| {
            let vary = "x-a, accept-language";
            variant_of(vary, by_meaning, one) == variant_of(vary, by_meaning, other)
        };
        for (one, other) in [
            (&[("x-a", "1, 2")][..], &[("x-a", "1"), ("x-a", "2")][..]),
            (&[("accept-language", "en, de")], &[("accept-language", "EN,dE")]),
        ] {
            assert!(is_same(true, one, other), "{one:?} {other:?}");
            assert!(!is_same(false, one, other), "{one:?} {other:?}");
        }
        // What blanks and case mean in other fields is not known.
        for other in ["1,2", "1 , 2", "2, 1"] {
            assert!(!is_same(true, &[("x-a", "1, 2")], &[("x-a", other)]), "{other}");
        }
        assert!(!is_same(true, &[("x-a", "a")], &[("x-a", "A")]));
    }
}
