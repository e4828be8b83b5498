//! Why a certificate could not be had.

use std::fmt;
use std::time::Duration;

/// A failure, and what it says about the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcmeError {
    /// For the log.
    pub(crate) what: String,
    /// The time that the authority asks for before the next attempt.
    pub(crate) wait: Option<Duration>,
    pub(crate) scope: Scope,
    /// The type of the authority's problem document, without its prefix.
    pub(crate) problem: Option<String>,
    /// Whether the order has come to a bad end, so that another one is needed.
    pub(crate) ends_order: bool,
}

/// What a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This certificate.
    Certificate,
    /// All certificates of the issuer: it cannot be reached, or refuses the account.
    Issuer,
}

impl AcmeError {
    /// A failure of one certificate.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        let (wait, problem, ends_order) = (None, None, false);
        Self { what: what.into(), wait, scope: Scope::Certificate, problem, ends_order }
    }

    /// A failure of the whole issuer.
    pub(crate) fn of_issuer(what: impl Into<String>) -> Self {
        Self { scope: Scope::Issuer, ..Self::new(what) }
    }

    /// The same failure, as one of the whole issuer.
    pub(crate) fn for_all(self) -> Self {
        Self { scope: Scope::Issuer, ..self }
    }

    /// Whether the authority's problem is of this type.
    pub(crate) fn is(&self, problem: &str) -> bool {
        self.problem.as_deref() == Some(problem)
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
