//! Keys out of the bytes that a terminal sends for them.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-Z.
    Suspend,
    /// Another one.
    Unknown,
}

const SEQUENCES: [(&[u8], Key); 16] = [
    (b"\x1b[A", Key::Up),
    (b"\x1b[B", Key::Down),
    (b"\x1b[C", Key::Right),
    (b"\x1b[D", Key::Left),
    (b"\x1bOA", Key::Up),
    (b"\x1bOB", Key::Down),
    (b"\x1bOC", Key::Right),
    (b"\x1bOD", Key::Left),
    (b"\x1b[5~", Key::PageUp),
    (b"\x1b[6~", Key::PageDown),
    (b"\x1b[H", Key::Home),
    (b"\x1b[F", Key::End),
    (b"\x1bOH", Key::Home),
    (b"\x1bOF", Key::End),
    (b"\x1b[1~", Key::Home),
    (b"\x1b[4~", Key::End),
];

/// The length of the longest sequence that is waited for.
const LONGEST: usize = 16;

/// Takes the first key out of typed bytes; `None` if it is not there as a whole. `is_late` says
/// that no more bytes have come for a while, so that what looks like a beginning is all there is.
pub(super) fn key(typed: &mut Vec<u8>, is_late: bool) -> Option<Key> {
    let (length, key) = first(typed, is_late)?;
    typed.drain(..length.min(typed.len()));
    Some(key)
}

fn first(typed: &[u8], is_late: bool) -> Option<(usize, Key)> {
    if let [0x1b, b'[' | b'O', ..] = typed {
        return sequence(typed, is_late);
    }
    match typed {
        [] => None,
        [0x1b] if !is_late => None,
        [0x1b, ..] => Some((1, Key::Escape)),
        _ => char(typed, is_late),
    }
}

/// A sequence of the kinds CSI and SS3 (ECMA-48), which ends with its first byte from `@` on.
fn sequence(typed: &[u8], is_late: bool) -> Option<(usize, Key)> {
    let end = typed[2..].iter().position(|byte| (0x40..=0x7e).contains(byte));
    let length = match end {
        Some(end) => end + 3,
        None if is_late || typed.len() > LONGEST => typed.len(),
        None => return None,
    };
    let known = SEQUENCES.iter().find(|(bytes, _)| *bytes == &typed[..length]);
    Some((length, known.map_or(Key::Unknown, |(_, key)| *key)))
}

/// A character in UTF-8.
fn char(typed: &[u8], is_late: bool) -> Option<(usize, Key)> {
    let wanted = match typed[0] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    let Some(bytes) = typed.get(..wanted) else {
        return is_late.then_some((typed.len(), Key::Unknown));
    };
    let Some(first) = std::str::from_utf8(bytes).ok().and_then(|text| text.chars().next()) else {
        return Some((1, Key::Unknown));
    };
    let key = match first {
        '\r' | '\n' => Key::Enter,
        '\x7f' | '\x08' => Key::Backspace,
        '\x03' | '\x04' => Key::Char('q'),
        '\x1a' => Key::Suspend,
        '\t' => Key::Right,
        other if other.is_control() => Key::Unknown,
        other => Key::Char(other),
    };
    Some((wanted, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], is_late: bool) -> (Vec<Key>, usize) {
        let mut typed = bytes.to_vec();
        let keys = std::iter::from_fn(|| key(&mut typed, is_late)).collect();
        (keys, typed.len())
    }

    #[test]
    fn keys_come_one_by_one() {
        let end = Key::Char('q');
        let keys = [Key::Up, end, Key::PageDown, end, Key::Enter, Key::Suspend];
        assert_eq!(all(b"\x1b[Aq\x1b[6~\x03\r\x1a", false), (keys.to_vec(), 0));
        let keys = [Key::Unknown, Key::Char('x'), Key::Unknown, Key::Char('\u{e9}')];
        assert_eq!(all(b"\x1b[15~x\x00\xc3\xa9", false), (keys.to_vec(), 0));
        // Bytes that are no text cost only themselves.
        assert_eq!(all(b"\xc3q", false), (vec![Key::Unknown, end], 0));
        assert_eq!(all(b"\xffq", false), (vec![Key::Unknown, end], 0));
    }

    #[test]
    fn a_key_that_has_come_in_part_is_waited_for() {
        for part in [&b"\x1b"[..], b"\x1b[", b"\x1b[1", b"\xc3", b"\xe2\x82"] {
            assert_eq!(all(part, false), (vec![], part.len()));
        }
        assert_eq!(all(b"\x1b", true), (vec![Key::Escape], 0));
        assert_eq!(all(b"\x1b[1", true), (vec![Key::Unknown], 0));
        assert_eq!(all(b"\xe2\x82", true), (vec![Key::Unknown], 0));
        assert_eq!(all(b"\x1b[1111111111111111111", false), (vec![Key::Unknown], 0));
    }
}
