//! Targeted fields like `CDN-Cache-Control` (RFC 9213): directives as a dictionary of structured
//! fields (RFC 9651 section 4.2.2). A field that is none has no effect.

use super::control::Said;

/// What a targeted field says; None if it is no dictionary, has an argument of the wrong type, or
/// is empty.
pub(super) fn parse(text: &[u8]) -> Option<Said> {
    let mut rest = Rest(text.trim_ascii());
    let mut said = Said::default();
    if rest.0.is_empty() {
        return None;
    }
    loop {
        let key = rest.key()?;
        let value = match rest.take(b'=') {
            true => rest.value()?,
            false => Value::Flag(true),
        };
        rest.parameters()?;
        heed(&mut said, key, value)?;
        rest.blanks();
        if rest.0.is_empty() {
            return Some(said);
        }
        if !rest.take(b',') {
            return None;
        }
        rest.blanks();
    }
}

/// Notes a directive; None if its value has the wrong type.
fn heed(said: &mut Said, key: &[u8], value: Value) -> Option<()> {
    match key {
        b"max-age" | b"s-maxage" | b"stale-while-revalidate" | b"stale-if-error" => {
            let Value::Number(number) = value else { return None };
            // Of equal keys the last counts.
            match key {
                b"max-age" => said.max_age = None,
                b"s-maxage" => said.s_maxage = None,
                b"stale-while-revalidate" => said.updating = None,
                _ => said.error = None,
            }
            said.heed(key, Some(&number));
        }
        b"no-cache" | b"private" => match value {
            Value::Flag(true) => said.heed(key, None),
            Value::Text(fields) => said.heed(key, Some(&fields)),
            Value::Flag(false) => {}
            Value::Number(_) | Value::Other => return None,
        },
        _ => match value {
            Value::Flag(true) => said.heed(key, None),
            Value::Flag(false) => {}
            // Extensions may have any type.
            _ if !is_flag(key) => {}
            _ => return None,
        },
    }
    Some(())
}

fn is_flag(key: &[u8]) -> bool {
    let flags: [&[u8]; 5] =
        [b"no-store", b"public", b"must-revalidate", b"proxy-revalidate", b"must-understand"];
    flags.contains(&key)
}

/// The value of a member.
enum Value {
    Flag(bool),
    /// The digits of an integer, which are none for a negative one.
    Number(Vec<u8>),
    Text(Vec<u8>),
    /// A token, a decimal number, bytes, or a list.
    Other,
}

/// What is left of a text.
struct Rest<'t>(&'t [u8]);

/// The maximum number of digits of an integer.
const MOST_DIGITS: usize = 15;

impl<'t> Rest<'t> {
    fn take(&mut self, byte: u8) -> bool {
        match self.0.strip_prefix(&[byte]) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn blanks(&mut self) {
        while self.take(b' ') || self.take(b'\t') {}
    }

    /// The bytes at the start for which `is_part` holds.
    fn run(&mut self, is_part: impl Fn(&u8) -> bool) -> &'t [u8] {
        let length = self.0.iter().take_while(|byte| is_part(byte)).count();
        let (run, rest) = self.0.split_at(length);
        self.0 = rest;
        run
    }

    fn key(&mut self) -> Option<&'t [u8]> {
        let is_part =
            |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
        let key = self.run(is_part);
        matches!(key.first(), Some(b'a'..=b'z' | b'*')).then_some(key)
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            while self.take(b' ') {}
            self.key()?;
            if self.take(b'=') {
                self.item()?;
            }
        }
        Some(())
    }

    /// An item or a list of items in parentheses.
    fn value(&mut self) -> Option<Value> {
        if !self.take(b'(') {
            return self.item();
        }
        loop {
            while self.take(b' ') {}
            if self.take(b')') {
                return Some(Value::Other);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Value> {
        match self.0.first()? {
            b'"' => self.string(),
            b'?' => {
                self.0 = &self.0[1..];
                let flag = self.take(b'1');
                (flag || self.take(b'0')).then_some(Value::Flag(flag))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b':' => {
                self.0 = &self.0[1..];
                let is_part =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
                self.run(is_part);
                self.take(b':').then_some(Value::Other)
            }
            byte if byte.is_ascii_alphabetic() || *byte == b'*' => {
                self.run(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(byte)
                });
                Some(Value::Other)
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value> {
        let is_negative = self.take(b'-');
        let digits = self.run(u8::is_ascii_digit);
        if digits.is_empty() || digits.len() > MOST_DIGITS {
            return None;
        }
        if self.take(b'.') {
            let fraction = self.run(u8::is_ascii_digit);
            return (1..=3).contains(&fraction.len()).then_some(Value::Other);
        }
        Some(Value::Number(if is_negative { Vec::new() } else { digits.to_vec() }))
    }

    fn string(&mut self) -> Option<Value> {
        let mut text = Vec::new();
        let mut bytes = self.0.iter().enumerate().skip(1);
        while let Some((at, &byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(Value::Text(text));
                }
                b'\\' => text.push(
                    *bytes
                        .next()
                        .map(|(_, byte)| byte)
                        .filter(|byte| matches!(byte, b'"' | b'\\'))?,
                ),
                b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
        None
    }
}
