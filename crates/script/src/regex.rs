//! Regular expressions in PCRE's syntax.
//!
//! A pattern without look-around and back references runs in linear time on any subject; other
//! patterns run on a backtracking engine that gives up after [`STEP_LIMIT`] steps. As in nginx,
//! patterns match bytes, and case is folded for ASCII only.
//!
//! Known differences from PCRE:
//!
//! * Recursion, conditional groups, branch resets, backtracking verbs, `\X` and repeated
//!   look-around are refused, with a message of our own in nginx's form.
//! * A repeated group that can match the empty string, as in `(/?)+`, captures its last non-empty
//!   iteration; PCRE adds an empty one. The match as a whole is the same.
//! * `\K` has no effect: nginx never shows where a match starts.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta};
use weir_conf::Fault;

mod captures;
mod class;
mod fault;
mod known;
mod linear;
mod translate;

pub use captures::Captures;
use fault::PatternFault;
use linear::Linear;
use translate::{Dialect, Translation, translate};

/// The limit of steps of the backtracking engine, after which nothing matches.
///
/// PCRE2's limit is ten million; a step here costs more, and a tenth of them still takes
/// milliseconds.
pub(crate) const STEP_LIMIT: usize = 1_000_000;

/// The memory limit of a compiled pattern in bytes.
const SIZE_LIMIT: usize = 32 << 20;

/// The number of capture slots on the stack: the match itself and 15 groups.
const INLINE_SLOTS: usize = 32;

/// A compiled pattern; cloning it is cheap.
#[derive(Clone)]
pub struct Regex(Arc<Program>);

struct Program {
    pattern: Box<[u8]>,
    caseless: bool,
    utf: bool,
    groups: usize,
    names: Vec<(String, usize)>,
    engine: Engine,
    /// The twin of a linear pattern with `$`, for subjects that end with a newline: the linear
    /// engine has no look-ahead to match before it. Compiled at the first such subject.
    before_newline: Option<OnceLock<Option<fancy_regex::Regex>>>,
}

enum Engine {
    Linear(Linear),
    Fancy(fancy_regex::Regex),
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// nginx's line: `pcre2_compile() failed: … in "…"`, with ` at "…"` unless the fault is at the
    /// end.
    pub fn compile(pattern: &str, caseless: bool) -> Result<Self, Fault> {
        Self::compile_bytes(pattern.as_bytes(), caseless)
    }

    /// Compiles a pattern of any bytes.
    ///
    /// # Errors
    /// As [`Regex::compile`].
    pub fn compile_bytes(pattern: &[u8], caseless: bool) -> Result<Self, Fault> {
        build(pattern, caseless)
            .map(|program| Self(Arc::new(program)))
            .map_err(|fault| Fault::new(fault.describe(pattern)))
    }

    /// The program of an equal pattern that is in use in this process, or a new one. For patterns
    /// of a configuration.
    ///
    /// # Errors
    /// As [`Regex::compile`].
    pub fn shared(pattern: &[u8], caseless: bool) -> Result<Self, Fault> {
        let compile = || build(pattern, caseless).map(|program| Self(Arc::new(program)));
        known::shared(pattern, caseless, compile)
            .map_err(|fault| Fault::new(fault.describe(pattern)))
    }

    /// The source of the pattern.
    pub fn pattern(&self) -> &[u8] {
        &self.0.pattern
    }

    /// The number of capturing groups, without the whole match.
    pub fn groups(&self) -> usize {
        self.0.groups
    }

    /// The named groups with their numbers, sorted by name as in PCRE.
    pub fn names(&self) -> &[(String, usize)] {
        &self.0.names
    }

    /// Whether the pattern runs in time linear in its subject.
    pub(crate) fn is_linear(&self) -> bool {
        matches!(self.0.engine, Engine::Linear(_))
    }

    /// Whether the pattern matches anywhere in the subject.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        if let Some(regex) = self.0.newline_twin(subject) {
            return self.0.fancy_search(regex, subject, None);
        }
        match &self.0.engine {
            Engine::Linear(linear) => {
                let automaton = linear.automaton(&self.0.pattern, self.0.caseless);
                automaton.is_some_and(|regex| regex.is_match(Input::new(subject).earliest(true)))
            }
            Engine::Fancy(regex) => self.0.fancy_search(regex, subject, None),
        }
    }

    /// The captures of the first match.
    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        let mut captures = Captures::default();
        self.captures_into(subject, &mut captures).then_some(captures)
    }

    /// Matches and sets `captures`; without a match they stay as they are.
    ///
    /// A pattern without groups clears them and copies nothing.
    pub(crate) fn captures_into(&self, subject: &[u8], captures: &mut Captures) -> bool {
        if self.0.groups == 0 {
            let matched = self.is_match(subject);
            if matched {
                captures.clear();
            }
            return matched;
        }
        if let Some(regex) = self.0.newline_twin(subject) {
            return self.0.fancy_search(regex, subject, Some(captures));
        }
        match &self.0.engine {
            Engine::Linear(linear) => {
                let automaton = linear.automaton(&self.0.pattern, self.0.caseless);
                let search = |regex| linear_search(regex, self.0.groups, subject, captures);
                automaton.is_some_and(search)
            }
            Engine::Fancy(regex) => self.0.fancy_search(regex, subject, Some(captures)),
        }
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0.caseless { "~*" } else { "~" };
        write!(f, "{sign}{}", String::from_utf8_lossy(&self.0.pattern))
    }
}

fn build(pattern: &[u8], caseless: bool) -> Result<Program, PatternFault> {
    let linear = translate(pattern, caseless, Dialect::Linear)?;
    let engine = if linear.fancy {
        Engine::Fancy(fancy(&translate(pattern, caseless, Dialect::Fancy)?, pattern)?)
    } else {
        Engine::Linear(Linear::new(&linear, pattern)?)
    };
    Ok(Program {
        pattern: pattern.into(),
        caseless,
        utf: linear.utf,
        groups: linear.groups,
        before_newline: (!linear.fancy && linear.dollar).then(OnceLock::new),
        names: linear.names,
        engine,
    })
}

fn fancy(translation: &Translation, pattern: &[u8]) -> Result<fancy_regex::Regex, PatternFault> {
    use fancy_regex::CompileError::{LookBehindNotConst, VariableLookBehindRequiresFeature};
    use fancy_regex::{Error, RegexBuilder};
    let of_varying_length = |error: &Error| {
        let Error::CompileError(error) = error else { return false };
        matches!(**error, LookBehindNotConst | VariableLookBehindRequiresFeature)
    };
    RegexBuilder::new(&translation.text)
        .backtrack_limit(STEP_LIMIT)
        .delegate_size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| match translation.look_behind {
            Some(at) if of_varying_length(&error) => {
                PatternFault::new(fault::LOOKBEHIND_LENGTH, at)
            }
            _ => PatternFault::new(fault::UNSUPPORTED, pattern.len()),
        })
}

fn linear_search(
    regex: &meta::Regex,
    groups: usize,
    subject: &[u8],
    captures: &mut Captures,
) -> bool {
    let wanted = 2 * (groups + 1);
    let mut inline = [None; INLINE_SLOTS];
    let mut heap;
    let slots: &mut [Option<NonMaxUsize>] = match inline.get_mut(..wanted) {
        Some(slots) => slots,
        None => {
            heap = vec![None; wanted];
            &mut heap
        }
    };
    if regex.search_slots(&Input::new(subject), slots).is_none() {
        return false;
    }
    captures.set(subject, slots.chunks_exact(2).map(|pair| Some((pair[0]?.get(), pair[1]?.get()))));
    true
}

impl Program {
    /// The twin for a subject that ends with a newline, if the pattern has one.
    fn newline_twin(&self, subject: &[u8]) -> Option<&fancy_regex::Regex> {
        let lazy = self.before_newline.as_ref()?;
        if subject.last() != Some(&b'\n') {
            return None;
        }
        let compile = || {
            let translation = translate(&self.pattern, self.caseless, Dialect::Fancy).ok()?;
            fancy(&translation, &self.pattern).ok()
        };
        lazy.get_or_init(compile).as_ref()
    }

    /// Searches with the backtracking engine. Its input is text: a byte becomes the character of
    /// its number. Exceeding the limit of steps is no match.
    fn fancy_search(
        &self,
        regex: &fancy_regex::Regex,
        subject: &[u8],
        captures: Option<&mut Captures>,
    ) -> bool {
        let widened;
        let text = match std::str::from_utf8(subject) {
            Ok(text) if self.utf || subject.is_ascii() => text,
            _ if self.utf => return false,
            _ => {
                widened = subject.iter().map(|&byte| char::from(byte)).collect::<String>();
                &widened
            }
        };
        let Some(captures) = captures else { return regex.is_match(text).unwrap_or(false) };
        let Ok(Some(found)) = regex.captures(text) else { return false };
        let narrow = |at: usize| {
            if text.len() == subject.len() { at } else { text[..at].chars().count() }
        };
        captures.set(
            subject,
            (0..=self.groups)
                .map(|n| found.get(n).map(|group| (narrow(group.start()), narrow(group.end())))),
        );
        true
    }
}

#[cfg(test)]
mod tests;
