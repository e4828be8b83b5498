//! Variables of nginx's modules that are not supported yet.

/// Names that are accepted with a warning and have no value. As with directives, variables that may
/// guard access are not among them.
const NAMES: &[&str] = &["http3"];

/// Whether an undefined variable is one of nginx's.
pub(crate) fn is_pending(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The pending variables that a configuration cannot define in nginx either.
pub(crate) fn fixed() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied()
}

/// All pending variables, for the list of differences.
pub fn names() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    #[test]
    fn supported_variables_are_not_pending() {
        for row in crate::modules::variable_rows() {
            assert!(!super::is_pending(row.name), "{}", row.name);
        }
    }
}
