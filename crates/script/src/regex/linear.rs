//! Patterns that run in linear time. Reading a configuration only checks that such a pattern
//! compiles; its automaton is built at the first match, since most patterns of a large
//! configuration are never matched.

use std::sync::OnceLock;

use regex_automata::meta;
use regex_automata::util::syntax;

use super::SIZE_LIMIT;
use super::fault::{self, PatternFault};
use super::translate::{Dialect, Translation, translate};

/// The largest automaton that is built at a match, by the estimate of [`most_states`]; it takes
/// some hundred microseconds of that request. A state takes less than a kilobyte, so none of these
/// exceeds [`SIZE_LIMIT`].
const MOST_LAZY_STATES: usize = 4096;

/// A pattern for the linear engine.
pub(super) struct Linear {
    /// Unset until the first match; `None` if the build failed, which the estimate rules out.
    automaton: OnceLock<Option<meta::Regex>>,
}

impl Linear {
    /// Checks that the pattern compiles; compiles it if it may be large.
    pub(super) fn new(translation: &Translation, pattern: &[u8]) -> Result<Self, PatternFault> {
        let automaton = OnceLock::new();
        if translation.utf || most_states(&translation.text) > MOST_LAZY_STATES {
            let _ = automaton.set(Some(build(translation, pattern)?));
        } else {
            let unsupported = |_| PatternFault::new(fault::UNSUPPORTED, pattern.len());
            syntax::parse_with(&translation.text, &config(translation)).map_err(unsupported)?;
        }
        Ok(Self { automaton })
    }

    /// The automaton. `pattern` and `caseless` must be those it was checked with.
    #[inline]
    pub(super) fn automaton(&self, pattern: &[u8], caseless: bool) -> Option<&meta::Regex> {
        let build = || {
            let translation = translate(pattern, caseless, Dialect::Linear).ok()?;
            build(&translation, pattern).ok()
        };
        self.automaton.get_or_init(build).as_ref()
    }
}

fn config(translation: &Translation) -> syntax::Config {
    syntax::Config::new().unicode(translation.utf).utf8(false)
}

fn build(translation: &Translation, pattern: &[u8]) -> Result<meta::Regex, PatternFault> {
    meta::Regex::builder()
        .syntax(config(translation))
        .configure(meta::Config::new().utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT)))
        .build(&translation.text)
        .map_err(|error| {
            let large = error.size_limit().is_some();
            let message = if large { fault::TOO_LARGE } else { fault::UNSUPPORTED };
            PatternFault::new(message, pattern.len())
        })
}

/// An upper bound of the states of a translated pattern: one per byte of its text, times the
/// product of all repetition counts.
fn most_states(text: &str) -> usize {
    let counts =
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(count, _)| {
            let numbers = count.split(',').filter_map(|number| number.parse::<usize>().ok());
            numbers.max().unwrap_or(1).max(1)
        });
    counts.fold(text.len(), usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted() {
        assert_eq!(most_states("abc"), 3);
        assert_eq!(most_states("a{7}"), 4 * 7);
        assert_eq!(most_states("(a{2,3}b){10,}"), 14 * 30);
        assert_eq!(most_states("(a{0}b){1000}{1000}{1000}{1000}{1000}{1000}{1000}"), usize::MAX);
    }

    #[test]
    fn small_patterns_wait_for_their_first_match() {
        let translation = |text: &str| translate(text.as_bytes(), false, Dialect::Linear).unwrap();
        let made = |text: &str| Linear::new(&translation(text), text.as_bytes());
        let small = made(r"^/(\d{1,3}\.){4}/").unwrap();
        assert!(small.automaton.get().is_none());
        assert!(small.automaton(br"^/(\d{1,3}\.){4}/", false).unwrap().is_match("/1.22.333.4./"));
        assert!(small.automaton.get().is_some());
        assert!(made(r"^(a{500}){10}").unwrap().automaton.get().is_some());
        assert!(made(r"^((a{500}){500}){500}").is_err());
    }
}
