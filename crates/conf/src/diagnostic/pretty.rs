//! The form for terminals: source line, caret and hint.

use super::Diagnostic;
use crate::source::{SourceMap, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Longer lines are cut around the caret, so that one-line files stay readable.
const MAX_LINE: usize = 400;

pub(super) fn render(diagnostic: &Diagnostic, sources: &SourceMap, colour: bool) -> Option<String> {
    let at = diagnostic.word.or(diagnostic.span);
    if at.is_none() && diagnostic.hint.is_none() {
        return None;
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let excerpt = at.map(|span| Excerpt::new(sources, span));
    let level = if diagnostic.severity.is_fatal() { Level::ERROR } else { Level::WARNING };
    let mut group = Group::with_level(level);
    if let Some(excerpt) = &excerpt {
        let mark = AnnotationKind::Primary.span(excerpt.from..excerpt.to);
        let mark = match &diagnostic.label {
            Some(label) => mark.label(label.as_str()),
            None => mark,
        };
        let snippet = Snippet::source(excerpt.text.as_str())
            .line_start(excerpt.line)
            .path(excerpt.path)
            .annotation(mark);
        group = group.element(snippet);
    }
    let first = diagnostic.first.map(|span| Excerpt::new(sources, span));
    if let Some(excerpt) = &first {
        let mark = AnnotationKind::Context.span(excerpt.from..excerpt.to);
        let snippet = Snippet::source(excerpt.text.as_str())
            .line_start(excerpt.line)
            .path(excerpt.path)
            .annotation(mark.label("the first one is here"));
        group = group.element(snippet);
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let mut text = renderer.render(&[group]).to_string();
    text.push('\n');
    Some(text)
}

/// The one line that holds the end of a span; spans are offsets into its text.
struct Excerpt<'a> {
    path: &'a str,
    line: usize,
    text: String,
    from: usize,
    to: usize,
}

impl<'a> Excerpt<'a> {
    fn new(sources: &'a SourceMap, span: Span) -> Self {
        let text = &sources.source(span.file).text;
        let last = (span.last() as usize).min(text.len());
        let start = memchr::memrchr(b'\n', &text[..last]).map_or(0, |feed| feed + 1);
        let end = memchr::memchr(b'\n', &text[last..]).map_or(text.len(), |feed| last + feed);
        let from = (span.start as usize).clamp(start, end);
        let to = (span.end as usize).clamp(from, end);
        let start = start.max(from.saturating_sub(MAX_LINE));
        let end = end.min(to + MAX_LINE);
        let before = clean(&text[start..from]);
        let marked = clean(&text[from..to]);
        let after = clean(&text[to..end]);
        Self {
            path: sources.name(span.file),
            line: sources.line(span.file, last as u32),
            from: before.len(),
            to: before.len() + marked.len(),
            text: before + &marked + &after,
        }
    }
}

/// Text that is safe for terminals: invalid UTF-8 and control characters are replaced.
fn clean(bytes: &[u8]) -> String {
    let shown = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    String::from_utf8_lossy(bytes).trim_end_matches('\r').chars().map(shown).collect()
}
