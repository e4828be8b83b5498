//! A search for several patterns in a text that arrives in pieces.

/// Comparison ignores case.
#[inline]
fn lower(byte: u8) -> u8 {
    byte.to_ascii_lowercase()
}

/// The result of a search. Offsets are into the searched text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This pattern matches here.
    Match { start: usize, pattern: usize },
    /// The text from here to the end may be the beginning of a pattern.
    Partial { start: usize },
    /// No match.
    Nothing,
}

/// A set of patterns that are searched for at once, by Horspool's algorithm.
///
/// A window as long as the shortest pattern slides over the text. Its last byte tells how far it
/// may slide and, if it may not, which patterns to compare. Of patterns that match at the same
/// offset, the one written first wins.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    /// In lower case; none is empty.
    patterns: Vec<Vec<u8>>,
    shortest: usize,
    longest: usize,
    /// The shift for each last byte of the window; 0 where a pattern may match.
    slides: Box<[u32; 256]>,
    /// The patterns with each byte at the window's end, in order.
    candidates: Vec<Vec<u8>>,
}

/// The maximum number of patterns (nginx: 255).
pub(super) const MAX_PATTERNS: usize = 255;

impl Matcher {
    /// A matcher for at least one and at most [`MAX_PATTERNS`] patterns, none of them empty.
    pub(super) fn new(patterns: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut patterns: Vec<Vec<u8>> = patterns.into_iter().collect();
        patterns.iter_mut().for_each(|pattern| pattern.make_ascii_lowercase());
        debug_assert!(patterns.iter().all(|p| !p.is_empty()) && patterns.len() <= MAX_PATTERNS);
        let shortest = patterns.iter().map(Vec::len).min().unwrap_or(1);
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(1);
        let mut slides = Box::new([shortest as u32; 256]);
        let mut candidates = vec![Vec::new(); 256];
        for (at, pattern) in patterns.iter().enumerate() {
            for back in 0..shortest {
                let slide = &mut slides[usize::from(pattern[shortest - 1 - back])];
                *slide = (*slide).min(back as u32);
            }
            candidates[usize::from(pattern[shortest - 1])].push(at as u8);
        }
        Self { patterns, shortest, longest, slides, candidates }
    }

    /// The number of patterns.
    pub(super) fn len(&self) -> usize {
        self.patterns.len()
    }

    /// The length of a pattern in bytes.
    pub(super) fn length(&self, pattern: usize) -> usize {
        self.patterns[pattern].len()
    }

    /// The length of the longest pattern in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Searches `text` from offset `from` for patterns that are not `done`.
    pub(super) fn find(&self, text: &[u8], from: usize, done: &[bool]) -> Found {
        let mut start = from;
        while start + self.shortest <= text.len() {
            let last = usize::from(lower(text[start + self.shortest - 1]));
            let slide = self.slides[last] as usize;
            if slide > 0 {
                start += slide;
                continue;
            }
            for &at in &self.candidates[last] {
                let pattern = usize::from(at);
                if done.get(pattern).copied().unwrap_or(false) {
                    continue;
                }
                match self.compare(&text[start..], pattern) {
                    Compared::Whole => return Found::Match { start, pattern },
                    Compared::Cut => return Found::Partial { start },
                    Compared::Other => {}
                }
            }
            start += 1;
        }
        self.find_cut(text, start, done)
    }

    /// Finds the first offset from `start` at which the rest of `text` begins a pattern.
    fn find_cut(&self, text: &[u8], start: usize, done: &[bool]) -> Found {
        for start in start..text.len() {
            let begins = (0..self.patterns.len())
                .filter(|&at| !done.get(at).copied().unwrap_or(false))
                .any(|at| self.compare(&text[start..], at) != Compared::Other);
            if begins {
                return Found::Partial { start };
            }
        }
        Found::Nothing
    }

    fn compare(&self, text: &[u8], pattern: usize) -> Compared {
        let pattern = &self.patterns[pattern];
        let length = text.len().min(pattern.len());
        match text[..length].eq_ignore_ascii_case(&pattern[..length]) {
            false => Compared::Other,
            true if length == pattern.len() => Compared::Whole,
            true => Compared::Cut,
        }
    }
}

/// The result of comparing a pattern with the beginning of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    Whole,
    /// The text ends within the pattern.
    Cut,
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(patterns: &[&str]) -> Matcher {
        Matcher::new(patterns.iter().map(|p| p.as_bytes().to_vec()))
    }

    #[test]
    fn the_leftmost_then_the_first_written() {
        let m = matcher(&["bcd", "abc", "ab"]);
        assert_eq!(m.find(b"xxABCD", 0, &[]), Found::Match { start: 2, pattern: 1 });
        assert_eq!(m.find(b"xbcd", 0, &[]), Found::Match { start: 1, pattern: 0 });
        assert_eq!(m.find(b"xbcd", 0, &[true]), Found::Nothing);
        assert_eq!(m.find(b"xabc", 0, &[false, true]), Found::Match { start: 1, pattern: 2 });
    }

    #[test]
    fn partial_matches_at_the_end_are_reported() {
        let m = matcher(&["pattern", "tex"]);
        assert_eq!(m.find(b"a text", 0, &[]), Found::Match { start: 2, pattern: 1 });
        assert_eq!(m.find(b"a patt", 0, &[]), Found::Partial { start: 2 });
        assert_eq!(m.find(b"a pate", 0, &[]), Found::Partial { start: 4 });
        assert_eq!(m.find(b"a path", 0, &[]), Found::Nothing);
        assert_eq!(m.find(b"", 0, &[]), Found::Nothing);
    }

    #[test]
    fn agrees_with_a_plain_search() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let patterns: Vec<Vec<u8>> = (0..random.usize(1..5))
                .map(|_| (0..random.usize(1..5)).map(|_| random.u8(b'a'..=b'c')).collect())
                .collect();
            let text: Vec<u8> = (0..random.usize(0..20)).map(|_| random.u8(b'a'..=b'd')).collect();
            let plain = (0..text.len()).find_map(|start| {
                let at = patterns.iter().position(|p| {
                    let n = p.len().min(text.len() - start);
                    text[start..start + n] == p[..n]
                })?;
                Some(match patterns[at].len() <= text.len() - start {
                    true => Found::Match { start, pattern: at },
                    false => Found::Partial { start },
                })
            });
            let found = Matcher::new(patterns.clone()).find(&text, 0, &[]);
            match (plain, found) {
                // At the end of the text, a longer pattern written first is not waited for.
                (Some(Found::Partial { start }), Found::Match { start: other, .. }) => {
                    assert_eq!(start, other);
                }
                (plain, found) => {
                    assert_eq!(plain.unwrap_or(Found::Nothing), found, "{patterns:?} {text:?}");
                }
            }
        }
    }
}
