//! The terminal: its size, its keys, and the page on it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use weir_sys::signal::Signals;
use weir_sys::terminal::{self, RawMode};
use weir_sys::wait;

use crate::signals;

use super::view::{Line, Style};

/// The size of a terminal that does not say.
const USUAL: (usize, usize) = (80, 24);

/// The alternate page without a cursor, on which long lines do not go on below, and back.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The longest wait without a look at the size.
const LOOK: Duration = Duration::from_millis(500);

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
    Enter,
    Escape,
    Backspace,
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Key(Key),
    /// The time is up.
    Time,
    /// The terminal may have another size.
    Resized,
    /// Nobody types any more.
    End,
}

/// The terminal of standard input and output. Dropping it restores it.
pub(super) struct Screen {
    _mode: RawMode<'static>,
    /// Those that end the program, so that it can restore the terminal.
    signals: Signals,
    size: (usize, usize),
    /// Whether lines have colours (`NO_COLOR`, no-color.org).
    has_colours: bool,
    /// Whether the terminal has other characters than those of ASCII.
    has_unicode: bool,
    /// Keys that came with others.
    typed: Vec<u8>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn open() -> io::Result<Self> {
        let signals = Signals::block(&signals::ENDING[..4])?;
        let mode = RawMode::enter(terminal::input())?;
        print(OPEN);
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let has_unicode = is_unicode(|name| std::env::var(name).ok());
        let typed = Vec::new();
        Ok(Self { _mode: mode, signals, size: USUAL, has_colours, has_unicode, typed })
    }

    /// Its columns and rows.
    pub(super) fn size(&mut self) -> (usize, usize) {
        self.size = terminal::size(io::stdout()).unwrap_or(USUAL);
        self.size
    }

    /// Draws a page in place of the one before.
    pub(super) fn draw(&self, lines: &[Line]) {
        let (columns, rows) = self.size;
        let mut out = String::from("\x1b[H");
        for (at, line) in lines.iter().take(rows).enumerate() {
            if at > 0 {
                out.push_str("\r\n");
            }
            let code = match line.style {
                Style::Plain => "0",
                Style::Head => "0;1",
                Style::Bad if self.has_colours => "0;31",
                Style::Warn if self.has_colours => "0;33",
                Style::Bad => "0;1",
                Style::Warn => "0;4",
                Style::Dim => "0;2",
                Style::Selected => "0;7",
            };
            let known = |char: char| if self.has_unicode || char.is_ascii() { char } else { '?' };
            let text: String = line.text.chars().take(columns).map(known).collect();
            // Writing to a String cannot fail.
            let _ = write!(out, "\x1b[{code}m{text}\x1b[0m\x1b[K");
        }
        out.push_str("\x1b[J");
        print(&out);
    }

    /// Waits for a key, at most for a time.
    pub(super) fn event(&mut self, timeout: Duration) -> Event {
        if self.typed.is_empty() {
            let wait = timeout.min(LOOK);
            match wait::readable(&[self.signals.as_fd(), terminal::input()], Some(wait)) {
                Ok(ready) if ready[0] => return Event::End,
                Ok(ready) if ready[1] => match terminal::read() {
                    Ok(bytes) if !bytes.is_empty() => self.typed.extend(bytes),
                    _ => return Event::End,
                },
                Ok(_) if wait == timeout => return Event::Time,
                Ok(_) => return Event::Resized,
                Err(_) => return Event::End,
            }
        }
        match key(&mut self.typed) {
            Some(key) => Event::Key(key),
            None => Event::Resized,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print(CLOSE);
    }
}

/// Whether the locale has UTF-8: the first of its variables that is set says so (setlocale(3)).
fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = names.filter_map(variable).find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// A terminal that has gone takes no more pages; its input says so.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Takes the first key out of typed bytes; `None` for bytes that are no key.
fn key(typed: &mut Vec<u8>) -> Option<Key> {
    const SEQUENCES: [(&[u8], Key); 8] = [
        (b"\x1b[A", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1b[C", Key::Right),
        (b"\x1b[D", Key::Left),
        (b"\x1bOA", Key::Up),
        (b"\x1bOB", Key::Down),
        (b"\x1b[5~", Key::PageUp),
        (b"\x1b[6~", Key::PageDown),
    ];
    if let Some((bytes, key)) = SEQUENCES.iter().find(|(bytes, _)| typed.starts_with(bytes)) {
        typed.drain(..bytes.len());
        return Some(*key);
    }
    if typed.starts_with(b"\x1b[") {
        // Another key of that kind: all that came with it is dropped.
        typed.clear();
        return None;
    }
    let text = String::from_utf8_lossy(typed).into_owned();
    let first = text.chars().next()?;
    typed.drain(..first.len_utf8().min(typed.len()));
    Some(match first {
        '\r' | '\n' => Key::Enter,
        '\x1b' => Key::Escape,
        '\x7f' | '\x08' => Key::Backspace,
        '\x03' | '\x04' => Key::Char('q'),
        '\t' => Key::Right,
        other => Key::Char(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_tells_the_locale() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<_> =
                set.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            is_unicode(|name| {
                set.iter().find(|(it, _)| *it == name).map(|(_, value)| value.clone())
            })
        };
        assert!(of(&[("LANG", "de_DE.UTF-8")]) && of(&[("LC_ALL", ""), ("LANG", "C.utf8")]));
        assert!(!of(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]) && !of(&[]));
    }

    #[test]
    fn keys_come_one_by_one() {
        let mut typed = b"\x1b[Aq\x1b[6~\x03\r".to_vec();
        let keys: Vec<_> = std::iter::from_fn(|| key(&mut typed)).collect();
        let end = Key::Char('q');
        assert_eq!(keys, [Key::Up, end, Key::PageDown, end, Key::Enter]);
        let mut unknown = b"\x1b[15~".to_vec();
        assert_eq!((key(&mut unknown), unknown.len()), (None, 0));
    }
}
