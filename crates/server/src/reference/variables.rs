//! The page of variables, from the rows of the modules.

use std::fmt::Write;

use weir_http::modules::MODULES;

/// The name of the page.
pub(super) const PAGE: &str = "variables";

/// The page: a table for each module that has variables, in the order of the pages of directives.
pub(super) fn page() -> String {
    let mut out = String::from(
        "# Variables\n\nA name that ends in `_` stands for a family: the rest of the name says which value is meant. \
         `map`, `geo`, `set` and others define further variables, and so do named captures of regular expressions.\n",
    );
    for module in MODULES.iter().filter(|module| !module.variables.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n## {}\n\n| Variable | Value |\n|---|---|\n", module.name);
        for row in module.variables {
            let rest = if row.prefix { "*name*" } else { "" };
            let about = row.about.replace('|', "\\|");
            let _ = writeln!(out, "| `${}`{rest} | {about} |", row.name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_has_a_sentence() {
        for row in MODULES.iter().flat_map(|module| module.variables) {
            assert!(row.about.ends_with('.') && row.about.len() > 10, "${}", row.name);
        }
    }
}
