//! The lexer: words with quotes, escapes, `${`, comments and a length limit.
//!
//! The rules are those of `ngx_conf_read_token`, byte for byte, because real files depend on its
//! quirks: `}` ends nothing inside a word, a quote opens only at the start of a word, and a
//! backslash escapes any character but vanishes only before quotes, itself, `t`, `r` and `n`.

use crate::node::Word;
use crate::source::{FileId, Span};

/// The size of nginx's read buffer, which limits words and comments.
const MAX_WORD: usize = 4096;

/// The end of a run of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `;`
    End,
    /// `{`; without words before it, a fault is reported.
    Open,
    /// `}`; with words before it, a fault is reported.
    Close,
    /// The end of the text.
    Done,
}

/// A fault at a place.
pub(crate) struct LexFault {
    pub(crate) message: String,
    pub(crate) span: Span,
    /// The place of the caret, if it is not `span`.
    pub(crate) word: Option<Span>,
    pub(crate) hint: Option<String>,
}

impl LexFault {
    pub(crate) fn new(message: impl Into<String>, span: Span) -> Self {
        Self { message: message.into(), span, word: None, hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    file: FileId,
    pos: usize,
    /// The start of the bytes in nginx's buffer: the word being read, or the last word until the
    /// next byte is read.
    start: usize,
    quote: Quote,
    /// Whether the length limit applies: not for `-g`, and not after its first fault in this text.
    limited: bool,
    parameter: bool,
}

/// The kind of quote around the word being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8], file: FileId, parameter: bool) -> Self {
        Self { text, file, pos: 0, start: 0, quote: Quote::None, limited: !parameter, parameter }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    /// The span of the byte just read.
    pub(crate) fn here(&self) -> Span {
        self.span(self.pos.saturating_sub(1), self.pos)
    }

    /// The empty span at the end of the text.
    pub(crate) fn end(&self) -> Span {
        self.span(self.text.len(), self.text.len())
    }

    /// Reads words up to the next `;`, `{`, `}` or the end.
    pub(crate) fn next(&mut self, words: &mut Vec<Word>, faults: &mut Vec<LexFault>) -> Step {
        words.clear();
        self.start = self.pos;
        loop {
            match self.skip_space(faults) {
                None => return self.done(words, faults),
                Some(b';') if words.is_empty() => {
                    faults.push(LexFault::new("unexpected \";\"", self.here()));
                }
                Some(b';') => return Step::End,
                Some(b'{') => {
                    if words.is_empty() {
                        faults.push(LexFault::new("unexpected \"{\"", self.here()));
                    }
                    return Step::Open;
                }
                Some(b'}') => {
                    if !words.is_empty() {
                        let fault = LexFault::new("unexpected \"}\"", self.here());
                        faults.push(fault.hint("a \";\" may be missing before it"));
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

    /// The text ends inside a directive.
    fn cut_off(&self, faults: &mut Vec<LexFault>) {
        let message = if self.parameter {
            "unexpected end of parameter, expecting \";\""
        } else {
            "unexpected end of file, expecting \";\" or \"}\""
        };
        let fault = LexFault::new(message, self.end());
        faults.push(match self.quote {
            Quote::None => fault,
            _ => LexFault { word: Some(self.span(self.start - 1, self.start)), ..fault }
                .hint("the quote that opens here is never closed"),
        });
    }

    /// The next byte. As in nginx, a full buffer shows when one more byte is wanted.
    fn read(&mut self, faults: &mut Vec<LexFault>) -> Option<u8> {
        let byte = *self.text.get(self.pos)?;
        if self.pos - self.start >= MAX_WORD && self.limited {
            self.too_long(faults);
        }
        self.pos += 1;
        Some(byte)
    }

    fn skip_space(&mut self, faults: &mut Vec<LexFault>) -> Option<u8> {
        loop {
            let byte = self.read(faults)?;
            self.start = self.pos - 1;
            if !is_space(byte) {
                return Some(byte);
            }
        }
    }

    /// Skips a comment, up to its line feed, which counts as space.
    fn comment(&mut self, faults: &mut Vec<LexFault>) {
        let rest = &self.text[self.pos..];
        let feed = memchr::memchr(b'\n', rest).map(|at| self.pos + at);
        self.pos = feed.unwrap_or(self.text.len());
        let looked_at = feed.unwrap_or(self.text.len().saturating_sub(1));
        if self.limited && looked_at - self.start >= MAX_WORD {
            self.too_long(faults);
        }
        self.start = self.pos;
    }

    fn too_long(&mut self, faults: &mut Vec<LexFault>) {
        self.limited = false;
        let missing = |mark: char| {
            format!("too long parameter, probably missing terminating \"{mark}\" character")
        };
        let message = match self.quote {
            Quote::Double => missing('"'),
            Quote::Single => missing('\''),
            Quote::None => {
                let head = &self.text[self.start..self.text.len().min(self.start + 10)];
                format!("too long parameter \"{}...\" started", String::from_utf8_lossy(head))
            }
        };
        faults.push(LexFault::new(message, self.span(self.start, self.start + 1)));
    }

    /// Reads a word, given its first byte; returns a step if the word ends the directive.
    fn word(
        &mut self,
        first: u8,
        words: &mut Vec<Word>,
        faults: &mut Vec<LexFault>,
    ) -> Option<Step> {
        let begin = self.start;
        let quote = match first {
            b'"' => Quote::Double,
            b'\'' => Quote::Single,
            _ => Quote::None,
        };
        let quoted = quote != Quote::None;
        self.quote = quote;
        self.start += usize::from(quoted);
        let Some(stop) = self.word_end(first, faults) else {
            self.cut_off(faults);
            return Some(Step::Done);
        };
        self.quote = Quote::None;
        let value = unescape(&self.text[self.start..self.pos - 1]);
        let end = self.pos - usize::from(!quoted);
        words.push(Word { value, span: self.span(begin, end), quoted });
        match stop {
            b';' => Some(Step::End),
            b'{' => Some(Step::Open),
            _ if quoted => self.after_quote(faults),
            _ => None,
        }
    }

    /// Reads up to the byte that ends the word; `None` at the end of the text.
    fn word_end(&mut self, first: u8, faults: &mut Vec<LexFault>) -> Option<u8> {
        let mut hidden = first == b'\\';
        let mut variable = first == b'$';
        loop {
            let byte = self.read(faults)?;
            if hidden {
                hidden = false;
                continue;
            }
            if byte == b'{' && variable {
                continue;
            }
            variable = byte == b'$';
            hidden = byte == b'\\';
            let ends = match self.quote {
                Quote::Double => byte == b'"',
                Quote::Single => byte == b'\'',
                Quote::None => is_space(byte) || byte == b';' || byte == b'{',
            };
            if ends {
                return Some(byte);
            }
        }
    }

    /// Checks that a closing quote is followed by space, `;`, `{` or `)`.
    fn after_quote(&mut self, faults: &mut Vec<LexFault>) -> Option<Step> {
        let Some(byte) = self.read(faults) else {
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
                let fault = LexFault::new(format!("unexpected \"{shown}\""), self.here());
                faults.push(fault.hint("a closing quote must end the word"));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of each directive with its terminator, then the messages.
    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut lexer = Lexer::new(text.as_bytes(), FileId(0), false);
        let (mut words, mut faults, mut out) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let step = lexer.next(&mut words, &mut faults);
            let texts: Vec<_> = words.iter().map(|word| word.text().into_owned()).collect();
            let end = match step {
                Step::End => ";",
                Step::Open => "{",
                Step::Close => "}",
                Step::Done => break,
            };
            out.push(format!("{}{end}", texts.join("|")));
        }
        (out, faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn words_are_cut_as_nginx_cuts_them() {
        for (text, expected) in [
            ("a b;", &["a|b;"][..]),
            ("a b{c;}", &["a|b{", "c;", "}"]),
            ("a b};", &["a|b};"]),
            ("a ${b}c;", &["a|${b}c;"]),
            ("a ${{b;", &["a|${{b;"]),
            ("a x$;", &["a|x$;"]),
            ("a $b{", &["a|$b{"]),
            ("a \"b;{c}#\" 'd\"';", &["a|b;{c}#|d\";"]),
            ("a b\"c\"d;", &["a|b\"c\"d;"]),
            ("a b#c;", &["a|b#c;"]),
            ("a # b;\n c;", &["a|c;"]),
            ("a\r\n\tb\r\n;", &["a|b;"]),
            ("if ($a = \"b\") {}", &["if|($a|=|b|){", "}"]),
            (r#"a \b \" \' \\ \t;"#, &["a|\\b|\"|'|\\|\t;"]),
            (r#"a b\;c d\ e \{;"#, &[r"a|b\;c|d\ e|\{;"]),
            (r#"a "\"\d\n";"#, &["a|\"\\d\n;"]),
            ("\"\" a;", &["|a;"]),
        ] {
            let (words, faults) = read(text);
            assert_eq!(words, expected, "{text}");
            assert!(faults.is_empty(), "{text}: {faults:?}");
        }
    }

    #[test]
    fn faults_are_told_and_reading_goes_on() {
        for (text, words, fault) in [
            ("a \"b\"c; d;", &["a|b|c;", "d;"][..], "unexpected \"c\""),
            ("; a;", &["a;"], "unexpected \";\""),
            ("{ a; }", &["{", "a;", "}"], "unexpected \"{\""),
            ("a }", &["a}"], "unexpected \"}\""),
            ("a", &[], "unexpected end of file, expecting \";\" or \"}\""),
            ("a \"b", &[], "unexpected end of file, expecting \";\" or \"}\""),
            ("a \"b\"", &[], "unexpected end of file, expecting \";\" or \"}\""),
        ] {
            assert_eq!(
                read(text),
                (words.iter().map(|&w| w.to_owned()).collect(), vec![fault.to_owned()])
            );
        }
    }

    #[test]
    fn what_fills_the_buffer_is_too_long() {
        let long = |number: usize| "x".repeat(number);
        let told = |text: String| read(&text).1;
        let started = "too long parameter \"xxxxxxxxxx...\" started";
        let double = "too long parameter, probably missing terminating \"\"\" character";
        let single = "too long parameter, probably missing terminating \"'\" character";
        assert_eq!(told(format!("a {};", long(4095))), [""; 0]);
        assert_eq!(told(format!("a {};", long(4096))), [started]);
        // The space after a word stays in the buffer until the next byte is read.
        assert_eq!(told(format!("a {} ;", long(4094))), [""; 0]);
        assert_eq!(told(format!("a {} ;", long(4095))), [started]);
        assert_eq!(told(format!("a \"{}\";", long(4094))), [""; 0]);
        assert_eq!(told(format!("a \"{}\";", long(4095))), [started]);
        assert_eq!(told(format!("a \"{}\";", long(4096))), [double]);
        assert_eq!(told(format!("a '{}';", long(9000))), [single]);
        assert_eq!(told(format!("#{}\na;", long(4094))), [""; 0]);
        assert_eq!(told(format!("#{}\na;", long(4095)))[0][..24], *"too long parameter \"#xxx");
        assert_eq!(told(format!("a {};", " ".repeat(9000))), [""; 0]);
    }
}
