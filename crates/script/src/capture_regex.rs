//! A regular expression whose named groups are variables.

use weir_conf::Fault;

use crate::{Captures, Regex, Scope, VarId, Variables};

/// A pattern of the configuration: `location`, `map`, `rewrite`, `if`, `server_name`.
#[derive(Clone, Debug)]
pub struct CaptureRegex {
    regex: Regex,
    /// The variables of the named groups.
    variables: Box<[(VarId, usize)]>,
}

impl CaptureRegex {
    /// Compiles a pattern and defines a variable for each of its named groups.
    ///
    /// # Errors
    /// nginx's wording for a bad pattern, and for a name that is a built-in variable.
    pub fn compile(pattern: &[u8], caseless: bool, vars: &mut Variables) -> Result<Self, Fault> {
        let regex = Regex::shared(pattern, caseless)?;
        let variables = regex
            .names()
            .iter()
            .map(|(name, group)| Ok((vars.define(name.as_bytes())?, *group)))
            .collect::<Result<_, Fault>>()?;
        Ok(Self { regex, variables })
    }

    /// The regular expression alone.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// The source of the pattern.
    pub fn pattern(&self) -> &[u8] {
        self.regex.pattern()
    }

    /// The variables of the named groups, with the groups' numbers.
    pub fn variables(&self) -> &[(VarId, usize)] {
        &self.variables
    }

    /// Matches; a match sets the captures and the named variables of `scope`.
    pub fn matches<S: Scope + ?Sized>(&self, subject: &[u8], scope: &mut S) -> bool {
        let matched = self.regex.captures_into(subject, scope.captures());
        if matched && !self.variables.is_empty() {
            self.assign(scope);
        }
        matched
    }

    fn assign<S: Scope + ?Sized>(&self, scope: &mut S) {
        let captures: Captures = std::mem::take(scope.captures());
        for (id, group) in &self.variables {
            scope.assign(*id, captures.get(*group).unwrap_or_default());
        }
        *scope.captures() = captures;
    }
}
