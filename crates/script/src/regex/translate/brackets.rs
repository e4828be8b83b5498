//! Bracket expressions: `[…]`.

use super::super::class::{self, Set};
use super::fault;
use super::{Step, Translator};

/// A member of a bracket expression.
enum Member {
    Character(u32),
    /// A set, already added to the class.
    Many,
    /// `\E`, or an empty quotation.
    Nothing,
}

impl Translator<'_> {
    /// Parses a bracket expression, from the opening bracket on.
    pub(super) fn bracket(&mut self) -> Step {
        if self.posix_length().is_some() {
            return self.fault(fault::POSIX_OUTSIDE);
        }
        if self.eat_all(b"[[:<:]]") {
            self.word_start();
            return Ok(());
        }
        if self.eat_all(b"[[:>:]]") {
            self.word_end();
            return Ok(());
        }
        self.at += 1;
        let negated = self.eat(b'^');
        let mut set = Set::default();
        let mut quoted = false;
        let mut first = true;
        loop {
            match self.peek() {
                None => return self.fault(fault::CLASS_OPEN),
                Some(b']') if !first && !quoted => break,
                _ => {}
            }
            let member = self.member(&mut set, &mut quoted)?;
            first &= matches!(member, Member::Nothing);
            match member {
                Member::Nothing => {}
                Member::Many => self.hyphen_after_set(quoted)?,
                Member::Character(low) => self.range(low, &mut set, &mut quoted)?,
            }
        }
        self.at += 1;
        if self.flags.caseless {
            set.fold();
        }
        if negated {
            set.negate();
        }
        self.set(&set);
        Ok(())
    }

    /// Refuses a set as the start of a range, as PCRE does: `[\w-.]`.
    fn hyphen_after_set(&self, quoted: bool) -> Step {
        let hyphen = !quoted && self.rest().first() == Some(&b'-');
        if hyphen && self.rest().len() > 1 && self.rest()[1] != b']' {
            return self.fault(fault::CLASS_RANGE);
        }
        Ok(())
    }

    /// Adds `low`, or the range that starts with it.
    fn range(&mut self, low: u32, set: &mut Set, quoted: &mut bool) -> Step {
        if *quoted && self.eat_all(b"\\E") {
            *quoted = false;
        }
        let hyphen = !*quoted && self.rest().first() == Some(&b'-');
        if !hyphen || self.rest().get(1).is_none_or(|&next| next == b']') {
            set.add(low, low);
            return Ok(());
        }
        self.at += 1;
        loop {
            if self.peek().is_none() {
                return self.fault(fault::CLASS_OPEN);
            }
            if self.rest().starts_with(b"[") && self.posix_length().is_some() {
                self.at += 1;
                return self.fault(fault::CLASS_RANGE);
            }
            match self.member(set, quoted)? {
                Member::Nothing => {}
                Member::Many => return self.fault(fault::CLASS_RANGE),
                Member::Character(high) if high < low => {
                    return self.fault_back(fault::CLASS_ORDER);
                }
                Member::Character(high) => {
                    set.add(low, high);
                    return Ok(());
                }
            }
        }
    }

    fn member(&mut self, set: &mut Set, quoted: &mut bool) -> Step<Member> {
        if *quoted {
            if self.eat_all(b"\\E") {
                *quoted = false;
                return Ok(Member::Nothing);
            }
            return Ok(Member::Character(self.character()));
        }
        match self.peek() {
            Some(b'[') => self.posix(set),
            Some(b'\\') => self.class_escape(set, quoted),
            _ => Ok(Member::Character(self.character())),
        }
    }

    /// `[:name:]`, or a literal bracket.
    fn posix(&mut self, set: &mut Set) -> Step<Member> {
        let Some(length) = self.posix_length() else {
            return Ok(Member::Character(self.character()));
        };
        if self.rest().get(1) != Some(&b':') {
            return self.fault(fault::POSIX_COLLATING);
        }
        self.at += 2;
        let negated = self.eat(b'^');
        let name = &self.rest()[..length - 4 - usize::from(negated)];
        let known = match name {
            // Without case, upper and lower are the same.
            b"upper" | b"lower" if self.flags.caseless => class::posix(b"alpha"),
            name => class::posix(name),
        };
        let Some(ranges) = known else { return self.fault(fault::POSIX_UNKNOWN) };
        set.add_set(ranges, negated, self.top());
        self.at += name.len() + 2;
        Ok(Member::Many)
    }

    /// The length of a `[:…:]`, `[.….]` or `[=…=]` at this offset.
    fn posix_length(&self) -> Option<usize> {
        let rest = self.rest();
        let mark = *rest.get(1).filter(|byte| matches!(byte, b':' | b'.' | b'='))?;
        let mut at = 2;
        loop {
            let byte = *rest.get(at)?;
            let next = rest.get(at + 1).copied();
            if byte == mark && next == Some(b']') {
                return Some(at + 2);
            }
            if byte == b'\\' && matches!(next, Some(b']' | b'\\')) {
                at += 1;
            } else if byte == b']' || byte == b'[' && next == Some(mark) {
                return None;
            }
            at += 1;
        }
    }

    fn class_escape(&mut self, set: &mut Set, quoted: &mut bool) -> Step<Member> {
        let Some(letter) = self.rest().get(1).copied() else {
            self.at += 1;
            return self.fault(fault::END_BACKSLASH);
        };
        self.at += 2;
        if let Some((ranges, negated)) = shorthand(letter) {
            set.add_set(ranges, negated, self.top());
            return Ok(Member::Many);
        }
        match letter {
            b'Q' => {
                *quoted = true;
                Ok(Member::Nothing)
            }
            b'E' => Ok(Member::Nothing),
            b'b' => Ok(Member::Character(8)),
            b'N' => self.fault(fault::CLASS_N),
            b'B' | b'R' | b'X' | b'C' | b'A' | b'z' | b'Z' | b'G' | b'K' => {
                self.fault_back(fault::CLASS_ESCAPE)
            }
            b'p' | b'P' => {
                let (ranges, negated) = self.property(letter == b'P')?;
                set.add_set(&ranges, negated, self.top());
                Ok(Member::Many)
            }
            b'0'..=b'9' => self.octal_in_class(letter).map(Member::Character),
            _ => self.character_escape(letter).map(Member::Character),
        }
    }
}

/// `\d` and the like: the ranges, and whether they are negated.
pub(super) fn shorthand(letter: u8) -> Option<(&'static [(u32, u32)], bool)> {
    let ranges = match letter.to_ascii_lowercase() {
        b'd' => class::DIGIT,
        b'w' => class::WORD,
        b's' => class::SPACE,
        b'h' => class::HORIZONTAL,
        b'v' => class::VERTICAL,
        _ => return None,
    };
    Some((ranges, letter.is_ascii_uppercase()))
}
