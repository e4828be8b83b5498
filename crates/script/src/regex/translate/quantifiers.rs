//! Quantifiers: `*`, `+`, `?`, `{n,m}` and their suffixes.

use super::fault;
use super::{Repeatable, Step, Translator};

/// PCRE's highest count.
const MAX_COUNT: u32 = 65_535;

impl Translator<'_> {
    pub(super) fn quantifier(&mut self, byte: u8) -> Step {
        self.at += 1;
        let text = char::from(byte).to_string();
        self.repeat(&text)
    }

    /// Whether the brace opens a quantifier; otherwise it is literal.
    pub(super) fn is_counted(&self) -> bool {
        let body = &self.rest()[1..];
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let first = digits(body);
        if first == 0 {
            return false;
        }
        match body.get(first) {
            Some(b'}') => true,
            Some(b',') => {
                let rest = &body[first + 1..];
                rest.get(digits(rest)) == Some(&b'}')
            }
            _ => false,
        }
    }

    pub(super) fn counted(&mut self) -> Step {
        self.at += 1;
        let low = self.count()?;
        let mut text = format!("{{{low}");
        if self.eat(b',') {
            text.push(',');
            if self.peek() != Some(b'}') {
                let high = self.count()?;
                if high < low {
                    return self.fault(fault::QUANTIFIER_ORDER);
                }
                text.push_str(&high.to_string());
            }
        }
        self.at += 1;
        text.push('}');
        self.repeat(&text)
    }

    fn count(&mut self) -> Step<u32> {
        let mut value = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            value = value * 10 + u32::from(digit - b'0');
            if value > MAX_COUNT {
                return self.fault(fault::QUANTIFIER_BIG);
            }
        }
        Ok(value)
    }

    fn repeat(&mut self, quantifier: &str) -> Step {
        let Repeatable::From(start) = self.repeatable else {
            return self.fault_back(fault::NOT_REPEATABLE);
        };
        self.repeatable = Repeatable::No;
        if self.eat(b'+') {
            // A possessive quantifier: no backtracking into the match.
            self.fancy = true;
            self.out.insert_str(start, "(?>");
            self.out.push_str(quantifier);
            self.out.push(')');
            return Ok(());
        }
        let lazy = self.eat(b'?') != self.flags.lazy;
        self.out.push_str(quantifier);
        if lazy {
            self.out.push('?');
        }
        Ok(())
    }
}
