//! `JSON {…}`: the JSON form of the message, read in place. Names may be written as in the
//! definition or in lower camel case, and numbers may be strings.

use super::{ITEMS, MAPS, MAX_ITEMS, Reading, number};

/// Reads an object with the fields of a report, and nothing after it.
pub(super) fn read(text: &[u8], into: &mut Reading<'_>) -> Option<()> {
    let mut left = Left(text);
    let mut seen = Seen::default();
    left.object(|left, name| {
        let is_it =
            |(snake, camel): &&(&str, &str)| name == snake.as_bytes() || name == camel.as_bytes();
        if let Some((item, _)) = ITEMS.iter().find(is_it) {
            seen.add(item.as_bytes())?;
            // A missing value is a default.
            let value = left.value()?;
            return value.map_or(Some(()), |value| into.add(None, item.as_bytes(), value));
        }
        let (map, _) = MAPS.iter().find(is_it)?;
        seen.add(map.as_bytes())?;
        if left.take_word(b"null") {
            return Some(());
        }
        let mut keys = Seen::default();
        left.object(|left, key| {
            keys.add(key)?;
            let value = left.value()??;
            into.add(Some(map), key, value)
        })
    })?;
    left.blanks();
    left.0.is_empty().then_some(())
}

/// The names of an object so far.
struct Seen<'a> {
    names: [&'a [u8]; MAX_ITEMS],
    count: usize,
}

impl Default for Seen<'_> {
    fn default() -> Self {
        Self { names: [&[]; MAX_ITEMS], count: 0 }
    }
}

impl<'a> Seen<'a> {
    /// Adds a name that is new.
    fn add(&mut self, name: &'a [u8]) -> Option<()> {
        if self.names[..self.count].contains(&name) {
            return None;
        }
        *self.names.get_mut(self.count)? = name;
        self.count += 1;
        Some(())
    }
}

/// The text that is left to read.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Takes a byte after blanks, if it is next.
    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        match self.0.strip_prefix(&[byte]) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take_word(&mut self, word: &[u8]) -> bool {
        self.blanks();
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Reads an object; `member` reads the value of a name.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.take(b'{').then_some(())?;
        if self.take(b'}') {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.take(b':').then_some(())?;
            member(self, name)?;
            if self.take(b'}') {
                return Some(());
            }
            self.take(b',').then_some(())?;
        }
    }

    /// The inside of a string as written: escapes are kept.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"').then_some(())?;
        let mut at = 0;
        loop {
            match *self.0.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                byte if byte < b' ' => return None,
                _ => at += 1,
            }
        }
        let (inside, rest) = self.0.split_at(at);
        self.0 = &rest[1..];
        Some(inside)
    }

    /// A number, or a string with one. `Some(None)` is `null`.
    #[allow(clippy::option_option, reason = "null is a valid value")]
    fn value(&mut self) -> Option<Option<f64>> {
        self.blanks();
        if self.take_word(b"null") {
            return Some(None);
        }
        if self.0.first() == Some(&b'"') {
            return number(self.string()?).map(Some);
        }
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b' ' | b'\t');
        let (text, rest) = self.0.split_at(self.0.iter().position(is_end)?);
        self.0 = rest;
        number(text).map(Some)
    }
}
