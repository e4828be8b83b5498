//! Why something may differ, as it is written beside a request: `~ response: reason`.

use super::case::{Version, parse_version};

/// What the reason of a known fault begins with.
const PENDING: &str = "pending: ";

/// A difference that is expected, and why.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    /// What differs; `*` for everything.
    aspects: Vec<String>,
    /// The versions of nginx that differ, as in `<1.25` and `>=1.25`; empty for all.
    versions: String,
    /// A sentence of `docs/differences.md`; for versions that are older than the one that
    /// is followed, what they do; `pending:` and what is wrong for a fault that is known.
    why: String,
}

impl Reason {
    /// Reads what stands behind the `~`.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        let (versions, text) = match text.split_once(' ') {
            Some((versions, text)) if versions.starts_with(['<', '>']) => (versions, text),
            _ => ("", text),
        };
        let (aspects, why) = text.split_once(": ").unwrap_or_else(|| panic!("no reason: {text}"));
        let aspects = aspects.split(", ").map(str::to_owned).collect();
        Self { aspects, versions: versions.to_owned(), why: why.to_owned() }
    }

    /// Whether it speaks of this aspect.
    pub(crate) fn covers(&self, aspect: &str) -> bool {
        self.aspects.iter().any(|one| one == "*" || one == aspect)
    }

    /// Whether it speaks of this nginx.
    pub(crate) fn holds(&self, version: Version) -> bool {
        if let Some(limit) = self.versions.strip_prefix(">=") {
            version >= parse_version(limit)
        } else if let Some(limit) = self.versions.strip_prefix('<') {
            version < parse_version(limit)
        } else {
            true
        }
    }

    /// Whether it is a fault that is known.
    pub(crate) fn is_pending(&self) -> bool {
        self.why.starts_with(PENDING)
    }

    /// Whether the page about differences names it, if it has to.
    pub(crate) fn is_named_by(&self, page: &str) -> bool {
        let even = |text: &str| {
            let text = text.replace(['`', '*'], "").to_ascii_lowercase();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let old = self.versions.starts_with('<');
        old || self.is_pending() || even(page).contains(&even(&self.why))
    }

    /// The reason itself.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_hold_for_aspects_and_versions() {
        let reason = Reason::parse(" response, error log: A `reason`.");
        assert!(reason.covers("error log") && !reason.covers("connection"));
        assert!(reason.holds([1, 22, 1]) && reason.is_named_by("a\nreason. More."));
        assert!(!reason.is_named_by("Another reason."));
        let old = Reason::parse("<1.25 *: old");
        assert!(old.holds([1, 22, 1]) && !old.holds([1, 31, 5]) && old.is_named_by(""));
    }
}
