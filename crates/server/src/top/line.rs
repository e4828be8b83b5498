//! Lines of text, cut and padded by the cells that characters take in a terminal.

use unicode_width::UnicodeWidthChar;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Head,
    Bad,
    Warn,
    Dim,
    Selected,
}

/// A line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

impl Line {
    /// A line without control characters: what a server says must not command the terminal.
    pub(super) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: harmless(&text.into()), style }
    }
}

/// A text without characters that command a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.replace(is_command, "?")
}

/// Whether a character moves others, or is not seen: controls, and Unicode's marks of direction,
/// joiners, tags and the like.
fn is_command(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}')
        || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(char, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The cells of a character.
pub(super) fn cells_of(char: char) -> usize {
    char.width().unwrap_or(0)
}

/// The cells of a text.
pub(super) fn cells(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

/// A text in at most so many cells; `~` stands for what is cut off.
pub(super) fn cut(text: &str, room: usize) -> String {
    if cells(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut left = room.saturating_sub(1);
    for char in text.chars() {
        match left.checked_sub(cells_of(char)) {
            Some(rest) => left = rest,
            None => break,
        }
        short.push(char);
    }
    if room > 0 {
        short.push('~');
    }
    short
}

/// A text in exactly so many cells, with spaces behind it.
pub(super) fn left(text: &str, room: usize) -> String {
    let mut text = cut(text, room);
    let more = room.saturating_sub(cells(&text));
    text.extend(std::iter::repeat_n(' ', more));
    text
}

/// A text in exactly so many cells, with spaces before it.
pub(super) fn right(text: &str, room: usize) -> String {
    let text = cut(text, room);
    format!("{}{text}", " ".repeat(room.saturating_sub(cells(&text))))
}

/// A number in five characters or so: `12`, `1.2k`, `34M`.
pub(super) fn short(value: f64) -> String {
    let mut value = value;
    for unit in ["", "k", "M", "G"] {
        if value < 9.95 && (value.fract() > 0.05 || !unit.is_empty()) {
            return format!("{value:.1}{unit}");
        }
        if value < 999.5 {
            return format!("{value:.0}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1}T")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_command_the_terminal() {
        assert_eq!(Line::new(Style::Plain, "a\u{202e}b\u{9b}c").text, "a?b?c");
        assert_eq!(Line::new(Style::Plain, "a\x1b[2Jb\n").text, "a?[2Jb?");
        assert_eq!(Line::new(Style::Plain, "\u{e0041}\u{ad}\u{61c}").text, "???");
    }

    #[test]
    fn texts_are_cut_and_padded_by_cells() {
        assert_eq!((left("abc", 5), right("abc", 5)), ("abc  ".to_owned(), "  abc".to_owned()));
        assert_eq!(
            (cut("abcdef", 4), cut("abc", 3), cut("abc", 0)),
            ("abc~".into(), "abc".into(), String::new())
        );
        // Characters of two cells, and one that combines.
        assert_eq!((cells("日本"), cells("e\u{301}")), (4, 1));
        assert_eq!((cut("日本語", 5), left("日本語", 4)), ("日本~".into(), "日~ ".to_owned()));
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.25, 3.0, 9.99, 12.4, 999.0, 1234.0, 56_789.0, 1.5e6, 2e9, 7e12];
        let shown = ["0", "0.2", "3", "10", "12", "999", "1.2k", "57k", "1.5M", "2.0G", "7.0T"];
        assert_eq!(numbers.map(short), shown);
    }
}
