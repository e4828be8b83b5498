//! The translation of PCRE's syntax into that of the engines.
//!
//! Every item of a pattern is parsed and rewritten in a form that both engines read alike: case is
//! folded here, classes are spelled out, names become numbers. Items beyond the linear engine
//! (look-around, back references, atomic groups) are rewritten too and set `fancy`, so that the
//! caller takes the other engine.

use super::class::{self, Set};
use super::fault::{self, PatternFault};

mod brackets;
mod escapes;
mod groups;
mod quantifiers;

/// The limit of nested parentheses, as in nginx's PCRE2.
const MAX_DEPTH: usize = 250;

/// The engine to translate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Bytes, linear time.
    Linear,
    /// Backtracking over text in which every byte of the subject is one character.
    Fancy,
}

/// A translated pattern.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) text: String,
    /// The pattern needs the backtracking engine.
    pub(super) fancy: bool,
    /// The pattern has a `$` that also matches before a final newline.
    pub(super) dollar: bool,
    /// The pattern began with `(*UTF8)`.
    pub(super) utf: bool,
    /// The offset of the first look-behind, whose length the backtracking engine wants fixed.
    pub(super) look_behind: Option<usize>,
    /// The number of capturing groups, without the whole match.
    pub(super) groups: usize,
    /// Names with their groups, sorted by name.
    pub(super) names: Vec<(String, usize)>,
}

pub(super) fn translate(
    pattern: &[u8],
    caseless: bool,
    dialect: Dialect,
) -> Result<Translation, PatternFault> {
    let mut translator = Translator {
        pattern,
        at: 0,
        out: String::with_capacity(pattern.len() * 2),
        dialect,
        flags: Flags { caseless, ..Flags::default() },
        stack: Vec::new(),
        repeatable: Repeatable::No,
        total: groups::count(pattern),
        groups: 0,
        names: Vec::new(),
        unresolved: Vec::new(),
        fancy: false,
        dollar: false,
        utf: false,
        look_behind: None,
    };
    translator.start_options();
    translator.run()?;
    translator.finish()
}

/// The options that can change inside a pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    caseless: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
    lazy: bool,
    same_names: bool,
    no_capture: bool,
}

/// The operand of a quantifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeatable {
    No,
    /// The item written from this offset on.
    From(usize),
}

/// A group without its closing parenthesis yet.
struct Open {
    flags: Flags,
    /// Its offset in the output.
    start: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    LookBehind { negative: bool },
}

struct Translator<'p> {
    pattern: &'p [u8],
    at: usize,
    out: String,
    dialect: Dialect,
    flags: Flags,
    stack: Vec<Open>,
    repeatable: Repeatable,
    /// The number of capturing groups in the whole pattern, counted beforehand to interpret `\12`.
    total: usize,
    groups: usize,
    names: Vec<(String, usize)>,
    /// Groups referred to, with the offset of the reference.
    unresolved: Vec<(usize, usize)>,
    fancy: bool,
    dollar: bool,
    utf: bool,
    look_behind: Option<usize>,
}

type Step<T = ()> = Result<T, PatternFault>;

impl Translator<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn eat_all(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn fault<T>(&self, message: &'static str) -> Step<T> {
        Err(PatternFault::new(message, self.at))
    }

    fn fault_back<T>(&self, message: &'static str) -> Step<T> {
        Err(PatternFault::new(message, self.at.saturating_sub(1)))
    }

    /// The highest character code.
    fn top(&self) -> u32 {
        if self.utf { 0x10_ffff } else { 0xff }
    }

    /// Parses `(*UTF8)` and the like, which are options only at the start.
    fn start_options(&mut self) {
        loop {
            if self.eat_all(b"(*UTF8)") || self.eat_all(b"(*UTF)") {
                self.utf = true;
            } else if !IGNORED_OPTIONS.iter().any(|option| self.eat_all(option)) {
                return;
            }
        }
    }

    fn run(&mut self) -> Step {
        while let Some(byte) = self.peek() {
            if self.flags.extended && self.skip_extended(byte) {
                continue;
            }
            self.item(byte)?;
        }
        Ok(())
    }

    /// Skips white space and comments under `(?x)`.
    fn skip_extended(&mut self, byte: u8) -> bool {
        if byte == b'#' {
            let length = memchr::memchr(b'\n', self.rest()).map_or(self.rest().len(), |n| n + 1);
            self.at += length;
            return true;
        }
        let blank = matches!(byte, b' ' | b'\t'..=b'\r');
        self.at += usize::from(blank);
        blank
    }

    fn item(&mut self, byte: u8) -> Step {
        match byte {
            b'\\' => return self.escape(),
            b'[' => return self.bracket(),
            b'(' => return self.open(),
            b')' => return self.close(),
            b'*' | b'+' | b'?' => return self.quantifier(byte),
            b'{' if self.is_counted() => return self.counted(),
            _ => {}
        }
        match byte {
            b'|' => self.assertion("|"),
            b'^' => self.assertion(if self.flags.multi_line { "(?m:^)" } else { "\\A" }),
            b'$' => self.dollar(),
            b'.' => self.dot(),
            _ => return self.plain(),
        }
        self.at += 1;
        Ok(())
    }

    /// A literal character.
    fn plain(&mut self) -> Step {
        let code = self.character();
        self.literal(code);
        Ok(())
    }

    /// Takes one character: a byte, or a code point in UTF mode.
    fn character(&mut self) -> u32 {
        let rest = self.rest();
        let first = rest.first().copied().unwrap_or(0);
        if self.utf && first >= 0x80 {
            let width = rest.len().min(4);
            let decoded = (2..=width).find_map(|n| std::str::from_utf8(&rest[..n]).ok());
            if let Some(c) = decoded.and_then(|text| text.chars().next()) {
                self.at += c.len_utf8();
                return c.into();
            }
        }
        self.at += 1;
        first.into()
    }

    /// Writes an item that no quantifier may follow.
    fn assertion(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = Repeatable::No;
    }

    fn dollar(&mut self) {
        if self.flags.multi_line {
            self.assertion("(?m:$)");
        } else {
            self.end_or_newline();
        }
    }

    /// `$`: the end, or before a final newline. The linear engine gets the end only; the caller has
    /// a twin program for subjects with a final newline.
    fn end_or_newline(&mut self) {
        self.dollar = true;
        match self.dialect {
            Dialect::Linear => self.assertion("\\z"),
            Dialect::Fancy => self.assertion("(?=\\n?\\z)"),
        }
    }

    fn dot(&mut self) {
        let set =
            if self.flags.dot_all { Set::of(&[(0, self.top())]) } else { Set::not(class::NEWLINE) };
        self.set(&set);
    }

    fn literal(&mut self, code: u32) {
        let letter = u8::try_from(code).ok().filter(u8::is_ascii_alphabetic);
        let foldable = self.flags.caseless && (letter.is_some() || code > 0x7f && self.utf);
        if !foldable {
            self.repeatable = Repeatable::From(self.out.len());
            push_code(&mut self.out, code);
        } else if letter.is_some() {
            let mut set = Set::of(&[(code, code)]);
            set.fold();
            self.set(&set);
        } else {
            self.repeatable = Repeatable::From(self.out.len());
            self.out.push_str("(?i:");
            push_code(&mut self.out, code);
            self.out.push(')');
        }
    }

    fn set(&mut self, set: &Set) {
        self.repeatable = Repeatable::From(self.out.len());
        if set.is_empty(self.top()) {
            // An item that never matches: the start of the text after a character.
            self.out.push_str("(?:[\\x00-\\x7F]\\A)");
        } else {
            set.write(&mut self.out);
        }
    }

    fn finish(mut self) -> Result<Translation, PatternFault> {
        if !self.stack.is_empty() {
            self.at = self.pattern.len();
            return self.fault(fault::GROUP_OPEN);
        }
        if let Some(&(_, at)) = self.unresolved.iter().find(|&&(group, _)| group > self.groups) {
            return Err(PatternFault::new(fault::NO_SUCH_GROUP, at));
        }
        self.names.sort();
        Ok(Translation {
            text: self.out,
            fancy: self.fancy,
            dollar: self.dollar,
            utf: self.utf,
            look_behind: self.look_behind,
            groups: self.groups,
            names: self.names,
        })
    }
}

/// Options about speed, and about line ends that are nginx's default.
const IGNORED_OPTIONS: [&[u8]; 8] = [
    b"(*UCP)",
    b"(*LF)",
    b"(*ANYCRLF)",
    b"(*NO_JIT)",
    b"(*NO_START_OPT)",
    b"(*NO_AUTO_POSSESS)",
    b"(*NO_DOTSTAR_ANCHOR)",
    b"(*BSR_ANYCRLF)",
];

fn push_code(out: &mut String, code: u32) {
    match char::from_u32(code) {
        Some(c)
            if c.is_ascii_alphanumeric()
                || matches!(c, '/' | '_' | '-' | ' ' | ',' | ':' | '=') =>
        {
            out.push(c);
        }
        _ => class::push_code(out, code),
    }
}
