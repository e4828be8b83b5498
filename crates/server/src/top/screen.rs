//! The terminal: its size, its keys, and the page on it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use weir_sys::signal::{self, Signals};
use weir_sys::terminal::{self, RawMode};
use weir_sys::wait;

use crate::signals::{CONT, HUP, INT, QUIT, TERM, TSTP, WINCH};

use super::keyboard::{self, Key};
use super::line::{Line, Style, cells_of};

/// The size of a terminal that does not say.
const USUAL: (usize, usize) = (80, 24);

/// The alternate page without a cursor, on which long lines do not go on below, and back.
const OPEN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const CLOSE: &str = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The longest wait for the rest of a key.
const REST: Duration = Duration::from_millis(50);

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Key(Key),
    /// The time is up.
    Time,
    /// There is an answer.
    Answer,
    /// The terminal may have another size, or another page.
    Changed,
    /// Nobody types any more.
    End,
}

/// The terminal of standard input and output. Dropping it restores it.
pub(super) struct Screen {
    /// `None` while the terminal is another program's.
    mode: Option<RawMode<'static>>,
    signals: Signals,
    size: (usize, usize),
    /// Whether lines have colours (`NO_COLOR`, no-color.org).
    has_colours: bool,
    /// Whether the terminal has other characters than those of ASCII.
    has_unicode: bool,
    /// Bytes of keys that came with others, or in part.
    typed: Vec<u8>,
    /// The moment at which what was typed in part is all there is.
    late: Option<Instant>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn open() -> io::Result<Self> {
        let signals = Signals::block(&[HUP, INT, QUIT, TERM, TSTP, CONT, WINCH])?;
        let mode = Some(RawMode::enter(terminal::input())?);
        print(OPEN);
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let has_unicode = is_unicode(|name| std::env::var(name).ok());
        let (typed, late) = (Vec::new(), None);
        Ok(Self { mode, signals, size: USUAL, has_colours, has_unicode, typed, late })
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
            let text = fitting(&line.text, columns, self.has_unicode);
            // Writing to a String cannot fail.
            let _ = write!(out, "\x1b[{code}m{text}\x1b[0m\x1b[K");
        }
        out.push_str("\x1b[J");
        print(&out);
    }

    /// Gives the terminal back, stops as a program does that is told to by Ctrl-Z, and takes the
    /// terminal again.
    ///
    /// # Errors
    /// There is no terminal any more.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.mode = None;
        print(CLOSE);
        signal::stop()?;
        self.take_again()
    }

    /// Takes the terminal after another program may have had it.
    fn take_again(&mut self) -> io::Result<()> {
        // What was set before is what is restored in the end.
        if self.mode.is_none() {
            self.mode = Some(RawMode::enter(terminal::input())?);
        } else if let Some(mode) = &self.mode {
            mode.enter_again()?;
        }
        print(OPEN);
        Ok(())
    }

    /// Waits for a key or until `bell` is readable, at most for a time.
    pub(super) fn event(&mut self, timeout: Duration, bell: BorrowedFd<'_>) -> Event {
        let now = Instant::now();
        let is_late = self.late.is_some_and(|late| now >= late);
        if let Some(key) = keyboard::key(&mut self.typed, is_late) {
            self.late = None;
            return Event::Key(key);
        }
        let rest = match (self.typed.is_empty(), self.late) {
            (true, _) => None,
            (false, late) => Some(late.unwrap_or(now + REST)),
        };
        self.late = rest;
        let wait = rest.map_or(timeout, |rest| timeout.min(rest.saturating_duration_since(now)));
        match wait::readable(&[self.signals.as_fd(), terminal::input(), bell], Some(wait)) {
            Ok(ready) if ready[0] => self.signalled(),
            Ok(ready) if ready[1] => match terminal::read() {
                Ok(bytes) if !bytes.is_empty() => {
                    self.typed.extend(bytes);
                    self.late = None;
                    self.event(Duration::ZERO, bell)
                }
                _ => Event::End,
            },
            Ok(ready) if ready[2] => Event::Answer,
            Ok(_) if wait < timeout => Event::Changed,
            Ok(_) => Event::Time,
            Err(_) => Event::End,
        }
    }

    fn signalled(&mut self) -> Event {
        match self.signals.next() {
            Ok(Some(signal)) => match signal.number {
                TSTP if self.suspend().is_ok() => Event::Changed,
                CONT if self.take_again().is_ok() => Event::Changed,
                WINCH => Event::Changed,
                _ => Event::End,
            },
            Ok(None) => Event::Changed,
            Err(_) => Event::End,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print(CLOSE);
    }
}

/// A text in at most so many cells, in ASCII if the terminal has nothing else.
fn fitting(text: &str, columns: usize, has_unicode: bool) -> String {
    let mut left = columns;
    let mut fitting = String::new();
    for char in text.chars() {
        let cells = cells_of(char);
        match left.checked_sub(cells) {
            Some(rest) => left = rest,
            None => break,
        }
        match has_unicode || char.is_ascii() {
            true => fitting.push(char),
            false => fitting.extend(std::iter::repeat_n('?', cells)),
        }
    }
    fitting
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_in_any_locale() {
        assert_eq!(fitting("a\u{65e5}\u{672c}b", 4, true), "a\u{65e5}");
        assert_eq!(fitting("a\u{65e5}\u{672c}b", 6, false), "a????b");
        assert_eq!(fitting("e\u{301}x", 2, true), "e\u{301}x");
        assert_eq!(fitting("e\u{301}x", 2, false), "ex");
    }

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
}
