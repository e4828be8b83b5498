//! The names of the servers that share one listening address.
//!
//! nginx looks for an exact name, then for the longest name with a leading wildcard, then for the
//! longest with a trailing one, then for a regular expression in the order of the file. See
//! <https://nginx.org/en/docs/http/server_names.html>.

use weir_script::CaptureRegex;
use weir_script::names::{Names, Refused};

use super::Matched;

/// A map from names to servers; `T` is the handle of a server.
pub(crate) struct ServerNames<T> {
    names: Names<T>,
    regexes: Vec<(CaptureRegex, T)>,
}

impl<T> Default for ServerNames<T> {
    fn default() -> Self {
        Self { names: Names::default(), regexes: Vec::new() }
    }
}

impl<T> ServerNames<T> {
    /// Adds a name: `example.com`, `*.example.com`, `.example.com` or `example.*`.
    ///
    /// # Errors
    /// The name is invalid, or another server has it.
    pub(crate) fn add(&mut self, name: &[u8], server: T) -> Result<(), Refused> {
        self.names.add(name, server)
    }

    /// Adds a regular expression. They are tried in the order in which they were added.
    pub(crate) fn add_regex(&mut self, regex: CaptureRegex, server: T) {
        self.regexes.push((regex, server));
    }

    /// The server for a host (lower case, no port), with the captures of a regular expression.
    pub(crate) fn find(&self, host: &[u8]) -> Option<(&T, Option<Matched<'_>>)> {
        if let Some(server) = self.names.find_lower(host) {
            return Some((server, None));
        }
        if host.is_empty() {
            return None;
        }
        self.regexes
            .iter()
            .find_map(|(regex, server)| Some((server, Some(Matched::new(regex, host)?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_script::Variables;

    fn names(list: &[&str]) -> ServerNames<usize> {
        let mut names = ServerNames::default();
        let mut variables = Variables::default();
        for (at, name) in list.iter().enumerate() {
            match name.strip_prefix('~') {
                Some(pattern) => {
                    let regex = CaptureRegex::compile(pattern.as_bytes(), false, &mut variables);
                    names.add_regex(regex.unwrap(), at);
                }
                None => names.add(name.as_bytes(), at).unwrap(),
            }
        }
        names
    }

    fn find(names: &ServerNames<usize>, host: &str) -> Option<usize> {
        names.find(host.as_bytes()).map(|(server, _)| *server)
    }

    #[test]
    fn exact_then_wildcards_then_regexes() {
        let names = names(&[
            "example.com",
            "*.example.com",
            "www.example.*",
            r"~^(?<sub>\w+)\.other\.org$",
            "*.deep.example.com",
            ".dot.net",
            "www.*",
        ]);
        assert_eq!(find(&names, "example.com"), Some(0));
        assert_eq!(find(&names, "a.b.example.com"), Some(1));
        assert_eq!(find(&names, "www.example.com"), Some(1));
        assert_eq!(find(&names, "www.example.co.uk"), Some(2));
        assert_eq!(find(&names, "www.example"), Some(6));
        assert_eq!(find(&names, "www"), None);
        assert_eq!(find(&names, "x.deep.example.com"), Some(4));
        assert_eq!(find(&names, "deep.example.com"), Some(1));
        assert_eq!(find(&names, "dot.net"), Some(5));
        assert_eq!(find(&names, "a.dot.net"), Some(5));
        assert_eq!(find(&names, "api.other.org"), Some(3));
        assert_eq!(find(&names, ""), None);
    }

    #[test]
    fn captures_of_a_regex_are_returned() {
        let names = names(&[r"~^(?<name>\w+)\.com$"]);
        let matched = names.find(b"abc.com").unwrap().1.unwrap();
        assert_eq!(matched.captures.get(1), Some(&b"abc"[..]));
        assert_eq!(matched.variables[0].1, 1);
    }
}
