//! Advice about a refused directive: likely mistakes and their place.
//!
//! Only the terminal form changes: the caret, the hint and the label. The one-line form stays
//! nginx's.

use super::lookup::Known;
use super::walk::Walk;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Word};
use crate::source::Span;
use crate::suggest;
use crate::table::Row;

impl Walk<'_> {
    /// Adds advice to the fatal messages about this directive, from index `from` on.
    pub(super) fn advise(&mut self, from: usize, node: &Node, known: Option<Known>) {
        let odd = foreign(node).is_some() || comment(node).is_some();
        let unended = if odd { None } else { self.unended(node) };
        let first = known.and_then(|known| self.state.first_like(known));
        let told = self.state.diagnostics.get_mut(from..).unwrap_or_default();
        let about =
            |found: &&mut Diagnostic| found.severity.is_fatal() && found.span == Some(node.span);
        for diagnostic in told.iter_mut().filter(about) {
            if let Some(place) = unended {
                diagnostic.word = Some(place);
                diagnostic.hint = Some("a \";\" may be missing here".to_owned());
                continue;
            }
            if diagnostic.message.ends_with(" is duplicate") {
                diagnostic.first = first;
            }
            if let Some(advice) = advice(diagnostic, node, known.map(|known| known.row)) {
                diagnostic.word = advice.place.or(diagnostic.word);
                diagnostic.hint = advice.hint.or(diagnostic.hint.take());
            }
        }
    }

    /// The end of the word with a missing `;` after it: the next word begins a line and is the name
    /// of a directive.
    fn unended(&self, node: &Node) -> Option<Span> {
        let line = |at: u32| self.state.sources.line(node.span.file, at);
        let words: Vec<&Word> = node.words().collect();
        let at = words.windows(2).find(|pair| {
            let next = pair[1];
            let fresh = line(pair[0].span.last()) < line(next.span.start);
            fresh && !next.quoted && self.lookup.has(&next.text())
        });
        let end = at?[0].span.end;
        Some(Span { start: end.saturating_sub(1), end, ..node.span })
    }
}

#[derive(Default)]
struct Advice {
    place: Option<Span>,
    hint: Option<String>,
}

fn advice(diagnostic: &Diagnostic, node: &Node, row: Option<&Row>) -> Option<Advice> {
    let hint = |text: String| Advice { place: None, hint: Some(text) };
    if let Some((word, text)) = foreign(node) {
        return Some(Advice { place: Some(word.span), hint: Some(text) });
    }
    if let Some(place) = in_pattern(diagnostic, node) {
        return Some(Advice { place: Some(place), hint: None });
    }
    if let Some(text) = comment(node) {
        return Some(hint(text.to_owned()));
    }
    if diagnostic.hint.is_some() {
        return None;
    }
    let wrong = node.args.iter().find(|word| Some(word.span) == diagnostic.word)?;
    if diagnostic.message.ends_with("it must be \"on\" or \"off\"") {
        return switch(&wrong.text()).map(|meant| hint(format!("write \"{meant}\"")));
    }
    let row = row?;
    if diagnostic.message.starts_with("invalid parameter ")
        || diagnostic.message.starts_with("invalid value ")
    {
        return Some(hint(parameter(&wrong.text(), &node.text(), row)?));
    }
    None
}

/// A hint for an unknown parameter, from the words in the row's syntax and description.
fn parameter(wrong: &str, directive: &str, row: &Row) -> Option<String> {
    let (name, value) = match wrong.split_once('=') {
        Some((name, _)) => (name, "="),
        None => (wrong, ""),
    };
    let known = words(row.syntax).chain(row.doc.iter().flat_map(|line| quoted_words(line)));
    match suggest::nearest(name, known.filter(|word| *word != name)) {
        Some(meant) => Some(format!("did you mean \"{meant}{value}\"?")),
        None if row.syntax.is_empty() => None,
        None => Some(format!("syntax: {directive} {}", row.syntax)),
    }
}

fn is_inner(byte: char) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, '_' | '.' | '-')
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_inner(c)).filter(|word| !word.is_empty())
}

/// The words between backquotes.
fn quoted_words(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).flat_map(words)
}

/// `on` or `off` for the same switch in other languages.
fn switch(word: &str) -> Option<&'static str> {
    match &*word.to_ascii_lowercase() {
        "yes" | "true" | "1" | "enable" | "enabled" => Some("on"),
        "no" | "false" | "0" | "disable" | "disabled" => Some("off"),
        _ => None,
    }
}

/// A hint for comments in the style of other languages.
fn comment(node: &Node) -> Option<&'static str> {
    let name = &node.name.value;
    let others: [&[u8]; 4] = [b"//", b"/*", b"--", b"<!--"];
    let is = others.iter().any(|start| name.starts_with(start));
    is.then_some("a comment begins with \"#\"")
}

/// Characters that look like the language's punctuation, and the characters meant.
const FOREIGN: &[(char, &str)] = &[
    ('；', ";"),
    ('｛', "{"),
    ('｝', "}"),
    ('＃', "#"),
    ('，', ","),
    ('：', ":"),
    ('＄', "$"),
    ('（', "("),
    ('）', ")"),
    ('“', "\""),
    ('”', "\""),
    ('‘', "'"),
    ('’', "'"),
    ('\u{a0}', " "),
    ('\u{3000}', " "),
    ('\u{200b}', ""),
    ('\u{feff}', ""),
];

fn foreign(node: &Node) -> Option<(&Word, String)> {
    node.words().filter(|word| !word.quoted).find_map(|word| {
        let text = word.str()?;
        let &(found, meant) = FOREIGN.iter().find(|(foreign, _)| text.contains(*foreign))?;
        if found == '\u{feff}' && text.starts_with(found) {
            return None;
        }
        let shown = u32::from(found);
        Some((
            word,
            match meant {
                "" => format!("it contains an invisible character (U+{shown:04X}), remove it"),
                " " => {
                    format!("it contains an unusual space (U+{shown:04X}), retype it")
                }
                _ => format!("\"{found}\" (U+{shown:04X}) is not \"{meant}\", retype it"),
            },
        ))
    })
}

/// The place inside a pattern at which its compiler failed: `… in "PATTERN" at "REST"`.
fn in_pattern(diagnostic: &Diagnostic, node: &Node) -> Option<Span> {
    let said = diagnostic.message.strip_prefix("pcre2_compile() failed: ")?;
    let (_, said) = said.split_once(" in \"")?;
    let (pattern, rest) = match said.rsplit_once("\" at \"") {
        Some((pattern, rest)) => (pattern, rest.strip_suffix('"')?),
        None => (said.strip_suffix('"')?, ""),
    };
    let word = node.args.iter().rev().find(|word| word.text().ends_with(pattern))?;
    // Escapes make the source longer than the word's value; the caret then marks the whole word.
    let quotes = u32::from(word.quoted);
    if (word.span.end - word.span.start) as usize != word.value.len() + 2 * quotes as usize {
        return None;
    }
    let end = word.span.end - quotes;
    let at = end.saturating_sub(rest.len() as u32);
    Some(match rest.is_empty() {
        true => Span { start: end.saturating_sub(1), end, ..word.span },
        false => Span { start: at, end: at + 1, ..word.span },
    })
}
