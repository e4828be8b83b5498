//! Declared differences, as written next to a request: `~ response: reason`.

use super::case::{Version, parse_version};

/// The prefix of a known fault's reason.
const PENDING: &str = "pending: ";

/// An expected difference with its reason.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    /// The differing aspect; `*` for all.
    aspects: Vec<String>,
    /// The nginx versions that differ, such as `<1.25` and `>=1.25`; empty for all.
    versions: String,
    /// A sentence of `docs/differences.md`; for older nginx versions, their behaviour; for a known
    /// fault, `pending:` and its description.
    why: String,
}

impl Reason {
    /// Parses the text after `~`.
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

    /// Whether it covers this aspect.
    pub(crate) fn covers(&self, aspect: &str) -> bool {
        self.aspects.iter().any(|one| one == "*" || one == aspect)
    }

    /// Whether it covers this nginx version.
    pub(crate) fn holds(&self, version: Version) -> bool {
        if let Some(limit) = self.versions.strip_prefix(">=") {
            version >= parse_version(limit)
        } else if let Some(limit) = self.versions.strip_prefix('<') {
            version < parse_version(limit)
        } else {
            true
        }
    }

    /// Whether it is a known fault.
    pub(crate) fn is_pending(&self) -> bool {
        self.why.starts_with(PENDING)
    }

    /// Whether the page of differences contains it, if required.
    pub(crate) fn is_named_by(&self, page: &str) -> bool {
        let even = |text: &str| {
            let text = text.replace(['`', '*'], "").to_ascii_lowercase();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let old = self.versions.starts_with('<');
        old || self.is_pending() || even(page).contains(&even(&self.why))
    }

    /// The reason.
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
