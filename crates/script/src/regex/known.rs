//! The patterns in use by this process, so that equal ones share a program: a configuration has the
//! same few patterns in thousands of servers, and so has the next configuration.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError, Weak};

use super::{PatternFault, Program, Regex};

/// The smallest table that is swept. Entries of unused patterns are removed when the table is
/// larger than this and twice as large as after the last sweep.
const SWEEP_FROM: usize = 256;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Known {
    /// Programs by pattern and case sensitivity.
    programs: HashMap<(Box<[u8]>, bool), Weak<Program>>,
    /// The size at which the next sweep is due.
    sweep_at: usize,
}

/// The program in use for the pattern, or a new one from `build`.
pub(super) fn shared(
    pattern: &[u8],
    caseless: bool,
    build: impl FnOnce() -> Result<Regex, PatternFault>,
) -> Result<Regex, PatternFault> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (Box::from(pattern), caseless);
    if let Some(program) = known.programs.get(&key).and_then(Weak::upgrade) {
        return Ok(Regex(program));
    }
    let regex = build()?;
    known.sweep();
    known.programs.insert(key, std::sync::Arc::downgrade(&regex.0));
    Ok(regex)
}

impl Known {
    /// Removes the entries of unused patterns, if a sweep is due.
    fn sweep(&mut self) {
        if self.programs.len() < self.sweep_at.max(SWEEP_FROM) {
            return;
        }
        self.programs.retain(|_, program| program.strong_count() > 0);
        self.sweep_at = 2 * self.programs.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn equal_patterns_share_a_program() {
        let shared = |pattern: &[u8], caseless| Regex::shared(pattern, caseless).unwrap();
        let first = shared(b"^/known-a", false);
        assert!(Arc::ptr_eq(&first.0, &shared(b"^/known-a", false).0));
        assert!(!Arc::ptr_eq(&first.0, &shared(b"^/known-a", true).0));
        assert!(shared(b"^/known-a", true).is_match(b"/KNOWN-A"));
        assert!(!first.is_match(b"/KNOWN-A"));
        assert!(Regex::shared(b"known-b(", false).is_err());
    }

    #[test]
    fn patterns_out_of_use_are_forgotten() {
        let mut known = Known::default();
        let used = Regex::compile("^/", false).unwrap();
        let gone = Arc::downgrade(&Regex::compile("^/", false).unwrap().0);
        for n in 0..10 * SWEEP_FROM {
            known.sweep();
            let program = if n == 0 { Arc::downgrade(&used.0) } else { gone.clone() };
            known.programs.insert((n.to_string().into_bytes().into(), false), program);
        }
        assert!(known.programs.len() <= SWEEP_FROM);
        assert!(known.programs.contains_key(&(Box::from(*b"0"), false)));
    }
}
