//! Faults in patterns, in PCRE2's wording.

use std::fmt;

/// A fault in a pattern and its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatternFault {
    message: &'static str,
    at: usize,
}

impl PatternFault {
    pub(super) fn new(message: &'static str, at: usize) -> Self {
        Self { message, at }
    }

    /// nginx's line: the message, the pattern, and its rest from the fault on.
    pub(super) fn describe(&self, pattern: &[u8]) -> String {
        let text = String::from_utf8_lossy(pattern);
        match pattern.get(self.at..) {
            None | Some(b"") => format!("pcre2_compile() failed: {self} in \"{text}\""),
            Some(rest) => {
                let rest = String::from_utf8_lossy(rest);
                format!("pcre2_compile() failed: {self} in \"{text}\" at \"{rest}\"")
            }
        }
    }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

pub(super) const END_BACKSLASH: &str = "\\ at end of pattern";
pub(super) const END_C: &str = "\\c at end of pattern";
pub(super) const UNKNOWN_ESCAPE: &str = "unrecognized character follows \\";
pub(super) const QUANTIFIER_ORDER: &str = "numbers out of order in {} quantifier";
pub(super) const QUANTIFIER_BIG: &str = "number too big in {} quantifier";
pub(super) const CLASS_OPEN: &str = "missing terminating ] for character class";
pub(super) const CLASS_ESCAPE: &str = "escape sequence is invalid in character class";
pub(super) const CLASS_ORDER: &str = "range out of order in character class";
pub(super) const CLASS_RANGE: &str = "invalid range in character class";
pub(super) const CLASS_N: &str = "\\N is not supported in a class";
pub(super) const NOT_REPEATABLE: &str = "quantifier does not follow a repeatable item";
pub(super) const GROUP_CHARACTER: &str = "unrecognized character after (? or (?-";
pub(super) const GROUP_P: &str = "unrecognized character after (?P";
pub(super) const POSIX_OUTSIDE: &str = "POSIX named classes are supported only within a class";
pub(super) const POSIX_COLLATING: &str = "POSIX collating elements are not supported";
pub(super) const POSIX_UNKNOWN: &str = "unknown POSIX class name";
pub(super) const GROUP_OPEN: &str = "missing closing parenthesis";
pub(super) const GROUP_CLOSE: &str = "unmatched closing parenthesis";
pub(super) const GROUP_DEEP: &str = "parentheses are too deeply nested";
pub(super) const COMMENT_OPEN: &str = "missing ) after (?# comment";
pub(super) const NO_SUCH_GROUP: &str = "reference to non-existent subpattern";
pub(super) const LOOKBEHIND_LENGTH: &str = "lookbehind assertion is not fixed length";
pub(super) const NAME_EXPECTED: &str = "subpattern name expected";
pub(super) const NAME_SYNTAX: &str = "syntax error in subpattern name (missing terminator?)";
pub(super) const NAME_DIGIT: &str = "subpattern name must start with a non-digit";
pub(super) const NAME_LONG: &str = "subpattern name is too long (maximum 32 code units)";
pub(super) const NAME_TWICE: &str =
    "two named subpatterns have the same name (PCRE2_DUPNAMES not set)";
pub(super) const CODE_POINT_BIG: &str = "character code point value in \\x{} or \\o{} is too large";
pub(super) const HEX_DIGIT: &str = "non-hex character in \\x{} (closing brace missing?)";
pub(super) const OCTAL_DIGIT: &str = "non-octal character in \\o{} (closing brace missing?)";
pub(super) const DIGITS_MISSING: &str = "digits missing in \\x{} or \\o{} or \\N{U+}";
pub(super) const OCTAL_BRACE: &str = "missing opening brace after \\o";
pub(super) const OCTAL_BIG: &str = "octal value is greater than \\377 in 8-bit non-UTF-8 mode";
pub(super) const PERL_ESCAPE: &str = "PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u";
pub(super) const CONTROL_ASCII: &str = "\\c must be followed by a printable ASCII character";
pub(super) const PROPERTY_UNKNOWN: &str = "unknown property after \\P or \\p";
pub(super) const PROPERTY_MALFORMED: &str = "malformed \\P or \\p sequence";
pub(super) const K_SYNTAX: &str =
    "\\k is not followed by a braced, angle-bracketed, or quoted name";
pub(super) const G_SYNTAX: &str = "\\g is not followed by a braced, angle-bracketed, \
     or quoted name/number or by a plain number";
pub(super) const VERB_UNKNOWN: &str = "(*VERB) not recognized or malformed";
/// Our own message: PCRE2 supports the feature, the engines do not.
pub(super) const UNSUPPORTED: &str = "this PCRE feature is not supported";
/// Our own message: the compiled pattern exceeds [`SIZE_LIMIT`](super::SIZE_LIMIT).
pub(super) const TOO_LARGE: &str = "regular expression is too large";
