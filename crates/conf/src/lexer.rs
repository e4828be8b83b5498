//! Words as nginx cuts them: quotes, escapes, `$` before `{`, comments, the length limit.
//!
//! The rules are those of `ngx_conf_read_token`, character by character, because real files lean
//! on its corners: `}` ends nothing inside a word, a quote opens only at the start of one, and a
//! backslash hides any character but vanishes only before quotes, itself, `t`, `r` and `n`.

use crate::node::Word;
use crate::source::{FileId, Span};

/// nginx reads through a buffer of this size, so no word and no comment may be longer.
const MAX_WORD: usize = 4096;

/// What ended a run of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `;`
    End,
    /// `{`, perhaps without words before it, which is a fault already reported.
    Open,
    /// `}`, perhaps with words before it, which is a fault already reported.
    Close,
    /// The end of the text.
    Done,
}

/// A fault at a place.
pub(crate) type LexFault = (String, Span);

pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    file: FileId,
    pos: usize,
    /// Off once it has been reported for this text, and always off for `-g`.
    limited: bool,
    parameter: bool,
}

/// Where the reader is inside a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8], file: FileId, parameter: bool) -> Self {
        Self { text, file, pos: 0, limited: !parameter, parameter }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    /// The byte just read.
    pub(crate) fn here(&self) -> Span {
        self.span(self.pos.saturating_sub(1), self.pos)
    }

    /// The end of the text as a place.
    pub(crate) fn end(&self) -> Span {
        self.span(self.text.len(), self.text.len())
    }

    /// Reads words up to the next `;`, `{`, `}` or the end.
    pub(crate) fn next(&mut self, words: &mut Vec<Word>, faults: &mut Vec<LexFault>) -> Step {
        words.clear();
        loop {
            match self.skip_space() {
                None => return self.done(words, faults),
                Some(b';') if words.is_empty() => {
                    faults.push(("unexpected \";\"".to_owned(), self.here()));
                }
                Some(b';') => return Step::End,
                Some(b'{') => {
                    if words.is_empty() {
                        faults.push(("unexpected \"{\"".to_owned(), self.here()));
                    }
                    return Step::Open;
                }
                Some(b'}') => {
                    if !words.is_empty() {
                        faults.push(("unexpected \"}\"".to_owned(), self.here()));
                    }
                    return Step::Close;
                }
                Some(b'#') => self.comment(faults),
                Some(first) => match self.word(first, words, faults) {
                    Some(step) => return step,
                    None => continue,
                },
            }
        }
    }

    fn done(&self, words: &[Word], faults: &mut Vec<LexFault>) -> Step {
        if !words.is_empty() {
            self.cut_off(faults);
        }
        Step::Done
    }

    /// The text ended inside a directive.
    fn cut_off(&self, faults: &mut Vec<LexFault>) {
        let message = if self.parameter {
            "unexpected end of parameter, expecting \";\""
        } else {
            "unexpected end of file, expecting \";\" or \"}\""
        };
        faults.push((message.to_owned(), self.end()));
    }

    fn read(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.pos)?;
        self.pos += 1;
        Some(byte)
    }

    fn skip_space(&mut self) -> Option<u8> {
        loop {
            match self.read() {
                Some(b) if is_space(b) => {}
                other => return other,
            }
        }
    }

    fn comment(&mut self, faults: &mut Vec<LexFault>) {
        let start = self.pos - 1;
        let rest = &self.text[self.pos..];
        self.pos = memchr::memchr(b'\n', rest).map_or(self.text.len(), |at| self.pos + at + 1);
        // The line feed itself is looked at only after the buffer has been found full.
        if self.limited && self.pos - start > MAX_WORD {
            self.too_long(start, Quote::None, faults);
        }
    }

    fn too_long(&mut self, start: usize, quote: Quote, faults: &mut Vec<LexFault>) {
        self.limited = false;
        let message = match quote {
            Quote::None => {
                let head = &self.text[start..self.text.len().min(start + 10)];
                format!("too long parameter \"{}...\" started", String::from_utf8_lossy(head))
            }
            quote => {
                let mark = if quote == Quote::Double { '"' } else { '\'' };
                format!("too long parameter, probably missing terminating \"{mark}\" character")
            }
        };
        faults.push((message, self.span(start, start + 1)));
    }

    /// Reads one word whose first byte has been read; a step when the word ended the directive.
    fn word(
        &mut self,
        first: u8,
        words: &mut Vec<Word>,
        faults: &mut Vec<LexFault>,
    ) -> Option<Step> {
        let begin = self.pos - 1;
        let quote = match first {
            b'"' => Quote::Double,
            b'\'' => Quote::Single,
            _ => Quote::None,
        };
        let start = begin + usize::from(quote != Quote::None);
        let mut hidden = first == b'\\';
        let mut variable = first == b'$';
        let stop = loop {
            if self.limited && self.pos - start >= MAX_WORD && self.pos < self.text.len() {
                self.too_long(start, quote, faults);
            }
            let Some(byte) = self.read() else {
                self.cut_off(faults);
                return Some(Step::Done);
            };
            if hidden {
                hidden = false;
                continue;
            }
            if byte == b'{' && variable {
                continue;
            }
            variable = byte == b'$';
            hidden = byte == b'\\';
            let ends = match quote {
                Quote::Double => byte == b'"',
                Quote::Single => byte == b'\'',
                Quote::None => is_space(byte) || byte == b';' || byte == b'{',
            };
            if ends {
                break byte;
            }
        };
        let value = unescape(&self.text[start..self.pos - 1]);
        let quoted = quote != Quote::None;
        let end = self.pos - usize::from(!quoted);
        words.push(Word { value, span: self.span(begin, end), quoted });
        match stop {
            b';' => Some(Step::End),
            b'{' => Some(Step::Open),
            _ if quoted => self.after_quote(faults),
            _ => None,
        }
    }

    /// A closing quote must be followed by space, `;`, `{` or `)`.
    fn after_quote(&mut self, faults: &mut Vec<LexFault>) -> Option<Step> {
        let Some(byte) = self.read() else {
            self.cut_off(faults);
            return Some(Step::Done);
        };
        match byte {
            b';' => return Some(Step::End),
            b'{' => return Some(Step::Open),
            byte if is_space(byte) => {}
            b')' => self.pos -= 1,
            byte => {
                let shown = String::from_utf8_lossy(std::slice::from_ref(&byte)).into_owned();
                faults.push((format!("unexpected \"{shown}\""), self.here()));
                self.pos -= 1;
            }
        }
        None
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    if memchr::memchr(b'\\', raw).is_none() {
        return raw.to_vec();
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        let plain = match (byte, raw.get(at + 1)) {
            (b'\\', Some(&c @ (b'"' | b'\'' | b'\\'))) => Some(c),
            (b'\\', Some(b't')) => Some(b'\t'),
            (b'\\', Some(b'r')) => Some(b'\r'),
            (b'\\', Some(b'n')) => Some(b'\n'),
            _ => None,
        };
        out.push(plain.unwrap_or(byte));
        at += 1 + usize::from(plain.is_some());
    }
    out
}
