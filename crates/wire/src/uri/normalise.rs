//! Normalising: from a request's target to the path for location matching.

use std::ops::Range;

/// A target with a bad escape, an escaped NUL or an illegal byte, or that climbs above the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUri;

/// The state of a first pass over a target, which can be interrupted anywhere.
///
/// Most targets need no second pass: unless [`Scan::needs_normalising`], the path is the target
/// itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    state: State,
    normalise: bool,
    args: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// After a `/` of the path, where dots and slashes matter.
    #[default]
    Slash,
    Path,
    /// After `?`, or after a byte that requires normalising.
    Rest,
}

impl Scan {
    /// Scans a complete target, such as the `:path` of HTTP/2.
    pub fn of(target: &[u8]) -> Result<Self, InvalidUri> {
        let mut scan = Self::default();
        let whole = target.first() == Some(&b'/') && scan.feed(target, 1) == target.len();
        if whole { Ok(scan) } else { Err(InvalidUri) }
    }

    /// The scan of a target without a path (`http://host?args`), with its arguments at `args`.
    pub(crate) fn without_path(args: usize) -> Self {
        Self { state: State::Rest, normalise: true, args: Some(args) }
    }

    /// Continues over `buf[from..]` and returns the offset of the first byte that is not part of
    /// the target (a space, a control byte), or the length of `buf`. It begins after the target's
    /// first `/`.
    #[inline]
    pub fn feed(&mut self, buf: &[u8], from: usize) -> usize {
        let mut at = from;
        // The path `/` skips this loop.
        while buf.get(at).is_some_and(|&byte| byte != b' ') {
            at = self.skip(buf, at);
            // The byte that stopped the fast path is near.
            let near = buf.len().min(at + PIECE);
            let state = self.state;
            while at < near && (self.state == state || self.state != State::Rest) {
                let run = usual_run(&buf[at..near]);
                if run > 0 && self.state == State::Slash {
                    self.state = State::Path;
                }
                at += run;
                if at == near {
                    break;
                }
                if !self.special(buf[at], at) {
                    return at;
                }
                at += 1;
            }
        }
        at
    }

    /// Skips pieces without special bytes.
    #[inline]
    fn skip(&mut self, buf: &[u8], mut at: usize) -> usize {
        if self.state == State::Rest {
            while let Some(piece) = piece(buf, at).filter(|piece| is_plain_rest(piece)) {
                at += piece.len();
            }
            return at;
        }
        // `+` does not change the state: after `/+` the slash still counts.
        let before = at.checked_sub(1).and_then(|before| buf.get(before));
        if self.state == State::Slash && before != Some(&b'/') {
            return at;
        }
        let start = at;
        while let (Some(before), Some(piece)) = (piece(buf, at.wrapping_sub(1)), piece(buf, at))
            && is_plain_path(before, piece)
        {
            at += piece.len();
        }
        if at > start {
            self.state = if buf[at - 1] == b'/' { State::Slash } else { State::Path };
        }
        at
    }

    fn special(&mut self, byte: u8, at: usize) -> bool {
        if byte <= b' ' || byte == 0x7f {
            return false;
        }
        match (self.state, byte) {
            (State::Rest, b'#') => self.normalise = true,
            (State::Rest, _) | (_, b'+') => {}
            (_, b'?') => {
                self.args = Some(at + 1);
                self.state = State::Rest;
            }
            (_, b'%' | b'#') | (State::Slash, b'.' | b'/') => {
                self.normalise = true;
                self.state = State::Rest;
            }
            (State::Path, b'/') => self.state = State::Slash,
            _ => self.state = State::Path,
        }
        true
    }

    /// Whether the path must be made by [`normalise`].
    pub(crate) fn needs_normalising(&self) -> bool {
        self.normalise
    }

    /// The offset of the arguments, after the `?`. Unreliable if the target needs normalising,
    /// which finds them itself.
    pub fn args(&self) -> Option<usize> {
        self.args
    }
}

/// The results of [`normalise`] besides the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Normalised {
    /// The arguments as offsets into the target: after `?`, up to `#`. `None` without a `?`.
    pub args: Option<Range<usize>>,
    /// Whether the path had a `+`, in which case a proxy must send it escaped as it was.
    pub plus: bool,
}

/// Writes the path of `target` to `out`, with escapes decoded, `.` and `..` resolved and, if
/// `merge_slashes`, runs of `/` merged. A fragment ends it.
///
/// Escaped `/` and `.` count like plain ones; escaped `?`, `#` and `%` are bytes of the path.
/// `/a/..` becomes `/`; `/..` is refused.
pub fn normalise(
    target: &[u8],
    merge_slashes: bool,
    out: &mut Vec<u8>,
) -> Result<Normalised, InvalidUri> {
    let mut walk = Walk { base: out.len(), out, merge_slashes, place: Place::Usual, plus: false };
    if target.first() == Some(&b'?') {
        walk.out.push(b'/');
    }
    let mut args = None;
    walk.out.reserve(target.len());
    let mut at = 0;
    loop {
        let run = usual_run(&target[at..]);
        if run > 0 {
            walk.out.extend_from_slice(&target[at..at + run]);
            walk.place = Place::Usual;
            at += run;
        }
        let Some(&byte) = target.get(at) else { break };
        at += 1;
        match byte {
            b'?' => {
                let end = memchr::memchr(b'#', &target[at..]).map_or(target.len(), |n| at + n);
                args = Some(at..end);
                break;
            }
            b'#' => break,
            b'%' => {
                let byte = hex_pair(target.get(at..at + 2)).ok_or(InvalidUri)?;
                at += 2;
                match byte {
                    0 => return Err(InvalidUri),
                    b'%' | b'#' | b'?' => {
                        walk.place = Place::Usual;
                        walk.out.push(byte);
                    }
                    _ => walk.byte(byte)?,
                }
            }
            _ => walk.byte(byte)?,
        }
    }
    walk.finish()?;
    Ok(Normalised { args, plus: walk.plus })
}

/// The position in the current segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Usual,
    Slash,
    Dot,
    DotDot,
}

struct Walk<'a> {
    out: &'a mut Vec<u8>,
    /// The length of `out` before the path, which limits `..`.
    base: usize,
    merge_slashes: bool,
    place: Place,
    plus: bool,
}

impl Walk<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) -> Result<(), InvalidUri> {
        match (self.place, byte) {
            (Place::Slash, b'/') => {
                if !self.merge_slashes {
                    self.out.push(byte);
                }
            }
            (Place::Usual, b'/') => {
                self.out.push(byte);
                self.place = Place::Slash;
            }
            (Place::Dot | Place::DotDot, b'/') => {
                self.finish()?;
                self.place = Place::Slash;
            }
            (Place::Slash, b'.') => {
                self.out.push(byte);
                self.place = Place::Dot;
            }
            (Place::Dot, b'.') => {
                self.out.push(byte);
                self.place = Place::DotDot;
            }
            _ => {
                self.plus |= byte == b'+';
                self.out.push(byte);
                self.place = Place::Usual;
            }
        }
        Ok(())
    }

    /// Resolves a `.` or `..` at the end of the path so far.
    fn finish(&mut self) -> Result<(), InvalidUri> {
        match self.place {
            Place::Dot => {
                self.out.pop();
            }
            Place::DotDot => {
                let parent =
                    self.out.len().checked_sub(3).filter(|&n| n > self.base).ok_or(InvalidUri)?;
                let slash = self.out[self.base..parent].iter().rposition(|&b| b == b'/');
                self.out.truncate(self.base + slash.ok_or(InvalidUri)? + 1);
            }
            Place::Usual | Place::Slash => {}
        }
        Ok(())
    }
}

/// The number of bytes that are checked at once: a register of any processor.
const PIECE: usize = 16;

#[inline]
fn piece(buf: &[u8], at: usize) -> Option<&[u8; PIECE]> {
    buf.get(at..)?.first_chunk()
}

/// Whether a piece of a path has no byte that ends it, is escaped or needs resolving. `before` is
/// the piece one byte earlier.
#[inline]
fn is_plain_path(before: &[u8; PIECE], piece: &[u8; PIECE]) -> bool {
    // Without an early exit the compiler vectorises this loop.
    let mut odd = false;
    for i in 0..PIECE {
        let (last, byte) = (before[i], piece[i]);
        let ends = (byte <= b' ') | (byte == 0x7f) | (byte == b'?') | (byte == b'#');
        let after_slash = (last == b'/') & ((byte == b'/') | (byte == b'.'));
        odd |= ends | after_slash | (byte == b'%') | (byte == b'+');
    }
    !odd
}

/// Whether a piece after the path has neither an end nor a `#`.
#[inline]
fn is_plain_rest(piece: &[u8; PIECE]) -> bool {
    let mut odd = false;
    for &byte in piece {
        odd |= (byte <= b' ') | (byte == 0x7f) | (byte == b'#');
    }
    !odd
}

pub(super) fn hex_pair(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The length of the run of bytes that are literal anywhere in a path.
#[inline]
fn usual_run(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| USUAL[byte as usize]).count()
}

static USUAL: [bool; 256] = usual();

const fn usual() -> [bool; 256] {
    let mut table = [true; 256];
    let mut i = 0;
    while i <= b' ' as usize {
        table[i] = false;
        i += 1;
    }
    let special = b"?/.+%#\x7f";
    i = 0;
    while i < special.len() {
        table[special[i] as usize] = false;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(target: &str, merge: bool) -> Option<String> {
        let mut out = b"kept".to_vec();
        normalise(target.as_bytes(), merge, &mut out).ok()?;
        Some(String::from_utf8_lossy(out.strip_prefix(b"kept").expect("prefix stays")).into_owned())
    }

    #[test]
    fn paths() {
        for (target, expected) in [
            ("/", Some("/")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/..", Some("/")),
            ("/a/b/..", Some("/a/")),
            ("/a/.", Some("/a/")),
            ("/.", Some("/")),
            ("/..", None),
            ("/../a", None),
            ("/a/../../b", None),
            ("/..?x", None),
            ("/..#x", None),
            ("//", Some("/")),
            ("//a///b", Some("/a/b")),
            ("/x/%2e%2e/a", Some("/a")),
            ("/x/.%2E/a", Some("/a")),
            ("/x/..%2fa", Some("/a")),
            ("/%2fa", Some("/a")),
            ("/%61", Some("/a")),
            ("/a%00", None),
            ("/a%0", None),
            ("/a%", None),
            ("/a%zz", None),
            ("/%252e", Some("/%2e")),
            ("/a%3fb", Some("/a?b")),
            ("/a%23b#c", Some("/a#b")),
            ("/a#b?c", Some("/a")),
            ("/...", Some("/...")),
            ("/.../", Some("/.../")),
            ("/..a", Some("/..a")),
            ("/a..", Some("/a..")),
            ("/./", Some("/")),
            ("/x/..;/a", Some("/x/..;/a")),
            ("?a", Some("/")),
        ] {
            assert_eq!(path(target, true).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn slashes_kept() {
        assert_eq!(path("//a//b", false).as_deref(), Some("//a//b"));
        assert_eq!(path("//../a", false).as_deref(), Some("/a"));
        assert_eq!(path("/a//../b", false).as_deref(), Some("/a/b"));
        assert_eq!(path("/a//../b", true).as_deref(), Some("/b"));
    }

    #[test]
    fn arguments_end_at_the_fragment() {
        let mut out = Vec::new();
        let found = normalise(b"/a+?b#c", true, &mut out).expect("valid");
        assert_eq!(found, Normalised { args: Some(4..5), plus: true });
    }

    #[test]
    fn a_scan_that_finds_nothing_to_do_agrees_with_normalising() {
        let alphabet = b"/.?#%2e+a";
        let mut simple = 0;
        for seed in 0..9_usize.pow(5) {
            let mut target = vec![b'/'];
            target.extend((0..5).map(|i| alphabet[seed / 9_usize.pow(i) % 9]));
            let scan = Scan::of(&target).expect("no byte stops it");
            if scan.needs_normalising() {
                continue;
            }
            simple += 1;
            let mut out = Vec::new();
            let found = normalise(&target, true, &mut out).expect("nothing to refuse");
            let end = scan.args().map_or(target.len(), |args| args - 1);
            assert_eq!(out, &target[..end]);
            assert_eq!(found.args, scan.args().map(|args| args..target.len()));
        }
        assert!(simple > 1000);
    }
}
