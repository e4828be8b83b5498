//! Groups: parentheses and their options.

use super::fault;
use super::{Flags, Kind, MAX_DEPTH, Open, Repeatable, Step, Translator};

/// PCRE's limit for the length of a name.
const MAX_NAME: usize = 32;

impl Translator<'_> {
    /// Parses an opening parenthesis.
    pub(super) fn open(&mut self) -> Step {
        let at = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'?') => {
                self.at += 1;
                self.special(at)
            }
            Some(b'*') => self.verb(),
            _ if self.flags.no_capture => self.push("(?:", Kind::Plain, at),
            _ => self.capture(at),
        }
    }

    fn capture(&mut self, at: usize) -> Step {
        self.groups += 1;
        self.push("(", Kind::Plain, at)
    }

    fn push(&mut self, text: &str, kind: Kind, at: usize) -> Step {
        if self.stack.len() >= MAX_DEPTH {
            return self.fault(fault::GROUP_DEEP);
        }
        if matches!(kind, Kind::LookBehind { .. }) {
            self.look_behind.get_or_insert(at);
        }
        self.stack.push(Open { flags: self.flags, start: self.out.len(), kind });
        self.out.push_str(text);
        self.repeatable = Repeatable::No;
        Ok(())
    }

    fn push_fancy(&mut self, text: &str, kind: Kind, at: usize) -> Step {
        self.fancy = true;
        self.push(text, kind, at)
    }

    /// Parses a closing parenthesis.
    pub(super) fn close(&mut self) -> Step {
        let Some(group) = self.stack.pop() else { return self.fault(fault::GROUP_CLOSE) };
        self.at += 1;
        self.flags = group.flags;
        if let Kind::LookBehind { negative } = group.kind {
            self.split_look_behind(&group, negative);
        }
        self.out.push(')');
        self.repeatable = Repeatable::From(group.start);
        Ok(())
    }

    /// Splits the alternatives of a look-behind, which may differ in length, into look-behinds of
    /// their own.
    fn split_look_behind(&mut self, group: &Open, negative: bool) {
        let open = if negative { "(?<!" } else { "(?<=" };
        let body = self.out.split_off(group.start + open.len());
        let alternatives = split_alternatives(&body);
        if alternatives.len() == 1 {
            self.out.push_str(&body);
            return;
        }
        self.out.truncate(group.start);
        self.out.push_str("(?:");
        let separator = if negative { "" } else { "|" };
        let each: Vec<_> = alternatives.iter().map(|text| format!("{open}{text})")).collect();
        self.out.push_str(&each.join(separator));
    }

    /// Parses the rest of a group after `(?`.
    fn special(&mut self, at: usize) -> Step {
        let Some(byte) = self.peek() else { return self.fault(fault::GROUP_OPEN) };
        self.at += 1;
        match byte {
            b':' => self.push("(?:", Kind::Plain, at),
            b'=' => self.push_fancy("(?=", Kind::Plain, at),
            b'!' => self.push_fancy("(?!", Kind::Plain, at),
            b'>' => self.push_fancy("(?>", Kind::Plain, at),
            b'<' if self.eat(b'=') => {
                self.push_fancy("(?<=", Kind::LookBehind { negative: false }, at)
            }
            b'<' if self.eat(b'!') => {
                self.push_fancy("(?<!", Kind::LookBehind { negative: true }, at)
            }
            b'<' => self.named(b'>', at),
            b'\'' => self.named(b'\'', at),
            b'P' => self.python(at),
            b'#' => self.comment(),
            b'C' => self.callout(),
            b'|' | b'(' | b'R' | b'&' | b'0'..=b'9' | b'+' => self.fault(fault::UNSUPPORTED),
            b'-' if matches!(self.peek(), Some(b'0'..=b'9')) => self.fault(fault::UNSUPPORTED),
            _ => {
                self.at -= 1;
                self.options(at)
            }
        }
    }

    fn python(&mut self, at: usize) -> Step {
        match self.peek() {
            None => self.fault(fault::GROUP_OPEN),
            Some(b'<') => {
                self.at += 1;
                self.named(b'>', at)
            }
            Some(b'=') => {
                self.at += 1;
                self.named_reference(b')')
            }
            Some(b'>') => self.fault(fault::UNSUPPORTED),
            Some(_) => self.fault(fault::GROUP_P),
        }
    }

    fn named(&mut self, close: u8, at: usize) -> Step {
        let name = self.name(close)?;
        if !self.flags.same_names && self.names.iter().any(|(known, _)| *known == name) {
            return self.fault(fault::NAME_TWICE);
        }
        self.names.push((name, self.groups + 1));
        self.capture(at)
    }

    /// Parses a name up to its closing character.
    pub(super) fn name(&mut self, close: u8) -> Step<String> {
        let rest = self.rest();
        let length =
            rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return self.fault(fault::NAME_DIGIT);
        }
        if length == 0 {
            return self.fault(fault::NAME_EXPECTED);
        }
        let name = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length;
        if length > MAX_NAME {
            return self.fault(fault::NAME_LONG);
        }
        if !self.eat(close) {
            return self.fault(fault::NAME_SYNTAX);
        }
        Ok(name)
    }

    fn comment(&mut self) -> Step {
        match memchr::memchr(b')', self.rest()) {
            Some(length) => {
                self.at += length + 1;
                Ok(())
            }
            None => {
                self.at = self.pattern.len();
                self.fault(fault::COMMENT_OPEN)
            }
        }
    }

    /// `(?C1)`, a callout, has no effect: nginx sets no callback.
    fn callout(&mut self) -> Step {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if !self.eat(b')') {
            return self.fault(fault::GROUP_OPEN);
        }
        self.repeatable = Repeatable::No;
        Ok(())
    }

    /// `(*VERB)`.
    fn verb(&mut self) -> Step {
        match self.rest().get(1) {
            None => return self.fault(fault::NOT_REPEATABLE),
            Some(byte) if !byte.is_ascii_alphabetic() && *byte != b':' => {
                return self.fault(fault::NOT_REPEATABLE);
            }
            Some(_) => self.at += 1,
        }
        let length = self.rest().iter().take_while(|b| b.is_ascii_alphabetic() || **b == b'_');
        let length = length.count();
        let known: [&[u8]; 8] =
            [b"FAIL", b"F", b"ACCEPT", b"COMMIT", b"PRUNE", b"SKIP", b"THEN", b"MARK"];
        let found = known.contains(&&self.rest()[..length]);
        self.at += length;
        self.fault(if found { fault::UNSUPPORTED } else { fault::VERB_UNKNOWN })
    }

    /// `(?i)`, `(?i-s:…)`.
    fn options(&mut self, at: usize) -> Step {
        let mut flags = self.flags;
        let mut on = true;
        if self.eat(b'^') {
            flags = Flags { lazy: flags.lazy, same_names: flags.same_names, ..Flags::default() };
        }
        loop {
            let Some(byte) = self.peek() else { return self.fault(fault::GROUP_OPEN) };
            match byte {
                b'i' => flags.caseless = on,
                b'm' => flags.multi_line = on,
                b's' => flags.dot_all = on,
                b'x' => flags.extended = on,
                b'U' => flags.lazy = on,
                b'J' => flags.same_names = on,
                b'n' => flags.no_capture = on,
                b'-' if on => on = false,
                b':' => {
                    self.at += 1;
                    self.push("(?:", Kind::Plain, at)?;
                    self.flags = flags;
                    return Ok(());
                }
                b')' => {
                    self.at += 1;
                    self.flags = flags;
                    self.repeatable = Repeatable::No;
                    return Ok(());
                }
                _ => return self.fault(fault::GROUP_CHARACTER),
            }
            self.at += 1;
        }
    }
}

/// The top-level alternatives of a translated text.
fn split_alternatives(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut depth, mut in_class, mut start) = (0usize, false, 0);
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b']' => in_class = false,
            _ if in_class => {}
            b'[' => in_class = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&text[start..]);
    parts
}

/// Counts the capturing groups of a pattern by a rough scan, to tell back references from octal
/// numbers.
pub(super) fn count(pattern: &[u8]) -> usize {
    let (mut at, mut total, mut in_class) = (0, 0, false);
    while let Some(&byte) = pattern.get(at) {
        let rest = &pattern[at + 1..];
        match byte {
            b'\\' if rest.starts_with(b"Q") => {
                let end = memchr::memmem::find(rest, b"\\E");
                at += end.unwrap_or(rest.len());
            }
            b'\\' => at += 1,
            b']' if in_class => in_class = false,
            _ if in_class => {}
            b'[' => {
                in_class = true;
                let skip = usize::from(rest.starts_with(b"^"));
                at += skip + usize::from(rest.get(skip) == Some(&b']'));
            }
            b'(' => total += usize::from(is_capture(rest)),
            _ => {}
        }
        at += 1;
    }
    total
}

fn is_capture(rest: &[u8]) -> bool {
    match rest {
        [b'?', b'<', b'=' | b'!', ..] => false,
        [b'?', b'<' | b'\'', ..] | [b'?', b'P', b'<', ..] => true,
        [b'?' | b'*', ..] => false,
        _ => true,
    }
}
