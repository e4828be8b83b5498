//! Escapes: backslashes and their operands.

use super::super::class::{self, Set};
use super::brackets::shorthand;
use super::fault;
use super::{Dialect, PatternFault, Repeatable, Step, Translator};

const AFTER_WORD: &str = "(?<=[0-9A-Za-z_])";
const BEFORE_WORD: &str = "(?=[0-9A-Za-z_])";
const NOT_AFTER_WORD: &str = "(?<![0-9A-Za-z_])";
const NOT_BEFORE_WORD: &str = "(?![0-9A-Za-z_])";

impl Translator<'_> {
    /// Parses an escape outside a class, from the backslash on.
    pub(super) fn escape(&mut self) -> Step {
        let Some(letter) = self.rest().get(1).copied() else {
            self.at += 1;
            return self.fault(fault::END_BACKSLASH);
        };
        self.at += 2;
        if let Some((ranges, negated)) = shorthand(letter) {
            self.set(&if negated { Set::not(ranges) } else { Set::of(ranges) });
            return Ok(());
        }
        match letter {
            b'Q' => self.quotation(),
            b'E' => {}
            b'A' | b'G' => self.assertion("\\A"),
            b'z' => self.assertion("\\z"),
            b'Z' => self.end_or_newline(),
            b'b' => self.boundary(),
            b'B' => self.no_boundary(),
            // nginx never shows where a match starts.
            b'K' => self.repeatable = Repeatable::No,
            b'C' => self.set(&Set::of(&[(0, 0xff)])),
            b'R' => self.line_end(),
            b'X' => return self.fault(fault::UNSUPPORTED),
            b'N' => return self.not_newline(),
            b'p' | b'P' => {
                let (ranges, negated) = self.property(letter == b'P')?;
                self.set(&if negated { Set::not(&ranges) } else { Set::of(&ranges) });
            }
            b'1'..=b'9' => return self.number(letter),
            b'g' => return self.g_reference(),
            b'k' => return self.k_reference(),
            _ => {
                let code = self.character_escape(letter)?;
                self.literal(code);
            }
        }
        Ok(())
    }

    /// `\Q…\E`: a literal quotation.
    fn quotation(&mut self) {
        while self.at < self.pattern.len() && !self.eat_all(b"\\E") {
            let code = self.character();
            self.literal(code);
        }
    }

    fn boundary(&mut self) {
        match self.dialect {
            Dialect::Linear => self.assertion("\\b"),
            Dialect::Fancy => self.assertion(&format!(
                "(?:{AFTER_WORD}{NOT_BEFORE_WORD}|{NOT_AFTER_WORD}{BEFORE_WORD})"
            )),
        }
    }

    fn no_boundary(&mut self) {
        match self.dialect {
            Dialect::Linear => self.assertion("\\B"),
            Dialect::Fancy => self.assertion(&format!(
                "(?:{AFTER_WORD}{BEFORE_WORD}|{NOT_AFTER_WORD}{NOT_BEFORE_WORD})"
            )),
        }
    }

    pub(super) fn word_start(&mut self) {
        self.fancy = true;
        self.assertion(&format!("{NOT_AFTER_WORD}{BEFORE_WORD}"));
    }

    pub(super) fn word_end(&mut self) {
        self.fancy = true;
        self.assertion(&format!("{AFTER_WORD}{NOT_BEFORE_WORD}"));
    }

    fn line_end(&mut self) {
        self.repeatable = Repeatable::From(self.out.len());
        self.out.push_str("(?:\\r\\n|");
        Set::of(class::VERTICAL).write(&mut self.out);
        self.out.push(')');
    }

    fn not_newline(&mut self) -> Step {
        if self.rest().starts_with(b"{") && !self.is_counted() {
            let unicode = self.rest().starts_with(b"{U+");
            return self.fault(if unicode { fault::UNSUPPORTED } else { fault::PERL_ESCAPE });
        }
        self.set(&Set::not(class::NEWLINE));
        Ok(())
    }

    /// `\p{…}`, after its letter: the ranges, and whether they are negated.
    pub(super) fn property(&mut self, mut negated: bool) -> Step<(Vec<(u32, u32)>, bool)> {
        let name = match self.peek() {
            None => return self.fault(fault::PROPERTY_MALFORMED),
            Some(b'{') => {
                let Some(length) = memchr::memchr(b'}', self.rest()) else {
                    self.at = self.pattern.len();
                    return self.fault(fault::PROPERTY_MALFORMED);
                };
                let start = self.at + 1;
                self.at += length + 1;
                self.pattern[start..self.at - 1].to_vec()
            }
            Some(letter) => {
                self.at += 1;
                vec![letter]
            }
        };
        let name = match name.strip_prefix(b"^") {
            Some(rest) => {
                negated = !negated;
                rest
            }
            None => &name[..],
        };
        match class::property(name) {
            Some(ranges) if !self.utf => Ok((ranges, negated)),
            Some(_) => self.fault(fault::UNSUPPORTED),
            None => self.fault(fault::PROPERTY_UNKNOWN),
        }
    }

    /// `\N` or `\NN`: a back reference or an octal number.
    fn number(&mut self, first: u8) -> Step {
        let start = self.at - 1;
        let digits = self.pattern[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(&self.pattern[start..start + digits]).unwrap_or("");
        let group = text.parse::<usize>().unwrap_or(usize::MAX);
        if group < 10 || group <= self.total || first >= b'8' {
            self.at = start + digits;
            return self.reference(group, self.at - 1);
        }
        let code = self.octal(first)?;
        self.literal(code);
        Ok(())
    }

    /// Up to three octal digits; the first one is given.
    fn octal(&mut self, first: u8) -> Step<u32> {
        let mut code = u32::from(first - b'0');
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'7') = self.peek() else { break };
            self.at += 1;
            code = code * 8 + u32::from(digit - b'0');
        }
        if code > 0xff && !self.utf {
            return self.fault(fault::OCTAL_BIG);
        }
        Ok(code)
    }

    pub(super) fn octal_in_class(&mut self, first: u8) -> Step<u32> {
        if first >= b'8' { Ok(first.into()) } else { self.octal(first) }
    }

    /// An escape for one character, after its letter.
    pub(super) fn character_escape(&mut self, letter: u8) -> Step<u32> {
        Ok(match letter {
            b'a' => 7,
            b'e' => 0x1b,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'0' => return self.octal(letter),
            b'x' => return self.hex(),
            b'o' => return self.braced_octal(),
            b'c' => return self.control(),
            b'F' | b'L' | b'l' | b'U' | b'u' => return self.fault(fault::PERL_ESCAPE),
            _ if letter.is_ascii_alphanumeric() => return self.fault_back(fault::UNKNOWN_ESCAPE),
            _ => {
                self.at -= 1;
                self.character()
            }
        })
    }

    fn control(&mut self) -> Step<u32> {
        match self.peek() {
            None => self.fault(fault::END_C),
            Some(byte @ 0x20..=0x7e) => {
                self.at += 1;
                Ok(u32::from(byte.to_ascii_uppercase() ^ 0x40))
            }
            Some(_) => self.fault(fault::CONTROL_ASCII),
        }
    }

    fn hex(&mut self) -> Step<u32> {
        if self.peek() == Some(b'{') {
            self.at += 1;
            return self.braced(16, fault::HEX_DIGIT);
        }
        let mut code = 0;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                break;
            };
            self.at += 1;
            code = code * 16 + digit;
        }
        Ok(code)
    }

    fn braced_octal(&mut self) -> Step<u32> {
        if !self.eat(b'{') {
            return self.fault(fault::OCTAL_BRACE);
        }
        self.braced(8, fault::OCTAL_DIGIT)
    }

    fn braced(&mut self, radix: u32, bad_digit: &'static str) -> Step<u32> {
        if self.peek() == Some(b'}') {
            return self.fault(fault::DIGITS_MISSING);
        }
        let mut code = 0u32;
        while let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(radix)) {
            self.at += 1;
            code = code.saturating_mul(radix).saturating_add(digit);
            if code > self.top() {
                return self.fault(fault::CODE_POINT_BIG);
            }
        }
        if !self.eat(b'}') {
            return self.fault(bad_digit);
        }
        if char::from_u32(code).is_none() {
            return self.fault(fault::CODE_POINT_BIG);
        }
        Ok(code)
    }

    /// Writes a back reference.
    pub(super) fn reference(&mut self, group: usize, at: usize) -> Step {
        if group == 0 || group > self.total {
            return Err(PatternFault::new(fault::NO_SUCH_GROUP, at));
        }
        self.fancy = true;
        self.repeatable = Repeatable::From(self.out.len());
        let open = if self.flags.caseless { "(?i:" } else { "(?:" };
        self.out.push_str(&format!("{open}\\{group})"));
        self.unresolved.push((group, at));
        Ok(())
    }

    fn g_reference(&mut self) -> Step {
        let braced = self.eat(b'{');
        let start = self.at;
        let sign = self.peek().filter(|byte| matches!(byte, b'+' | b'-'));
        self.at += usize::from(sign.is_some());
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            self.at = start;
            return match (braced, self.peek()) {
                (true, _) => self.named_reference(b'}'),
                // `\g<…>` calls a group as a subroutine.
                (false, Some(b'<' | b'\'')) => self.fault(fault::UNSUPPORTED),
                _ => self.fault(fault::G_SYNTAX),
            };
        }
        let text = String::from_utf8_lossy(&self.rest()[..digits]);
        let number = text.parse::<usize>().unwrap_or(usize::MAX);
        self.at += digits;
        let group = match sign {
            Some(b'+') => self.groups.saturating_add(number),
            Some(_) => (self.groups + 1).saturating_sub(number),
            None => number,
        };
        let at = match (sign, braced) {
            (Some(b'-'), true) => start - 1,
            (Some(b'-'), false) => self.at,
            (_, true) => self.at,
            (_, false) => self.at - 1,
        };
        if braced && !self.eat(b'}') {
            return self.fault(fault::G_SYNTAX);
        }
        self.reference(group, at)
    }

    fn k_reference(&mut self) -> Step {
        let close = match self.peek() {
            Some(b'{') => b'}',
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            _ => return self.fault(fault::K_SYNTAX),
        };
        self.at += 1;
        self.named_reference(close)
    }

    /// A reference by name, from the name to its closing character.
    pub(super) fn named_reference(&mut self, close: u8) -> Step {
        let at = self.at;
        let name = self.name(close)?;
        match self.names.iter().find(|(known, _)| *known == name) {
            Some(&(_, group)) => self.reference(group, at),
            None => Err(PatternFault::new(fault::NO_SUCH_GROUP, at)),
        }
    }
}
