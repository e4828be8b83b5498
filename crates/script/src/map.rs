//! `map`: a value looked up by a key.
//!
//! The order is nginx's: exact keys, ignoring case; host names with wildcards; regular expressions
//! in the order of the configuration; the default.

use weir_conf::Fault;

use crate::names::{Names, Refused};
use crate::{CaptureRegex, Scope, Template, Variables};

/// A table from keys to values.
#[derive(Clone, Debug)]
pub struct Map<V> {
    /// Indices into `values`, by key.
    names: Names<u32>,
    regexes: Vec<(CaptureRegex, u32)>,
    values: Vec<V>,
    default: Option<V>,
    /// Keys are host names: wildcards are allowed, and a trailing dot is ignored.
    hostnames: bool,
    /// Each use computes the value anew.
    volatile: bool,
}

/// The result of a look-up.
#[derive(Clone, Copy, Debug)]
pub struct Found<'m, V> {
    /// The value.
    pub value: &'m V,
    /// The regular expression that matched, if any.
    pub regex: Option<&'m CaptureRegex>,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self {
            names: Names::default(),
            regexes: Vec::new(),
            values: Vec::new(),
            default: None,
            hostnames: false,
            volatile: false,
        }
    }
}

impl<V> Map<V> {
    /// Adds a row whose key is not a special word such as `default`.
    ///
    /// # Errors
    /// nginx's wording for a duplicate key, a bad host name or a bad regular expression.
    pub fn insert(&mut self, key: &[u8], value: V, vars: &mut Variables) -> Result<(), Fault> {
        let index = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        if let Some(pattern) = key.strip_prefix(b"~") {
            let (pattern, caseless) = match pattern.strip_prefix(b"*") {
                Some(rest) => (rest, true),
                None => (pattern, false),
            };
            self.regexes.push((CaptureRegex::compile(pattern, caseless, vars)?, index));
        } else {
            let key = key.strip_prefix(b"\\").unwrap_or(key);
            let added = if self.hostnames {
                self.names.add(key, index)
            } else {
                self.names.add_exact(key, index)
            };
            added.map_err(|refused| wording(refused, key))?;
        }
        self.values.push(value);
        Ok(())
    }

    /// Sets the default value.
    ///
    /// # Errors
    /// nginx's wording for a duplicate default.
    pub(crate) fn set_default(&mut self, value: V) -> Result<(), Fault> {
        if self.default.is_some() {
            return Err("duplicate default map parameter".into());
        }
        self.default = Some(value);
        Ok(())
    }

    /// Whether each use computes the value anew.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Looks a key up. A match of a regular expression sets the captures and the named variables of
    /// `scope`. `None` if nothing matches and there is no default.
    pub fn find<S: Scope + ?Sized>(&self, key: &[u8], scope: &mut S) -> Option<Found<'_, V>> {
        let key = match key {
            [name @ .., b'.'] if self.hostnames => name,
            _ => key,
        };
        if let Some(index) = self.names.find(key) {
            return self.found(*index, None);
        }
        if !key.is_empty() {
            let hit = self.regexes.iter().find(|(regex, _)| regex.matches(key, scope));
            if let Some((regex, index)) = hit {
                return self.found(*index, Some(regex));
            }
        }
        self.default.as_ref().map(|value| Found { value, regex: None })
    }

    fn found<'m>(&'m self, index: u32, regex: Option<&'m CaptureRegex>) -> Option<Found<'m, V>> {
        self.values.get(index as usize).map(|value| Found { value, regex })
    }
}

impl Map<Template> {
    /// Adds a row of a `map` block, special words included; the parser has resolved `include`.
    ///
    /// # Errors
    /// nginx's wording.
    pub fn row(&mut self, words: &[&[u8]], vars: &mut Variables) -> Result<(), Fault> {
        match words {
            [b"hostnames"] => self.hostnames = true,
            [b"volatile"] => self.volatile = true,
            [key, value] => {
                let value = Template::compile(value, vars)?;
                if *key == b"default" {
                    return self.set_default(value);
                }
                return self.insert(key, value, vars);
            }
            _ => return Err("invalid number of the map parameters".into()),
        }
        Ok(())
    }

    /// Replaces the key, in `out` from `start` on, by its value. The captures of a match serve that
    /// value only; the caller's are restored.
    pub fn replace<S: Scope + ?Sized>(&self, scope: &mut S, out: &mut Vec<u8>, start: usize) {
        let mut kept = match self.regexes.is_empty() {
            true => None,
            false => Some(std::mem::take(scope.captures())),
        };
        let found = self.find(out.get(start..).unwrap_or_default(), scope);
        out.truncate(start);
        if found.as_ref().is_none_or(|found| found.regex.is_none())
            && let Some(kept) = kept.take()
        {
            *scope.captures() = kept;
        }
        if let Some(found) = found {
            found.value.eval(scope, out);
        }
        if let Some(kept) = kept {
            *scope.captures() = kept;
        }
    }
}

fn wording(refused: Refused, key: &[u8]) -> Fault {
    let key = String::from_utf8_lossy(key);
    Fault::new(match refused {
        Refused::Invalid => format!("invalid hostname or wildcard \"{key}\""),
        Refused::Conflict => format!("conflicting parameter \"{}\"", key.to_ascii_lowercase()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    fn look(map: &Map<&'static str>, key: &str) -> Option<&'static str> {
        map.find(key.as_bytes(), &mut Fake::default()).map(|found| *found.value)
    }

    #[test]
    fn exact_then_regexes_in_order_then_default() {
        let vars = &mut Variables::default();
        let mut map = Map::default();
        map.insert(b"~^a", "first", vars).unwrap();
        map.insert(b"~*^AB", "second", vars).unwrap();
        map.insert(b"abc", "exact", vars).unwrap();
        map.insert(b"\\~x", "escaped", vars).unwrap();
        map.insert(b"", "empty", vars).unwrap();
        assert_eq!(look(&map, "ABC"), Some("exact"));
        assert_eq!(look(&map, "abd"), Some("first"));
        assert_eq!(look(&map, "ABd"), Some("second"));
        assert_eq!(look(&map, "~x"), Some("escaped"));
        assert_eq!(look(&map, ""), Some("empty"));
        assert_eq!(look(&map, "none"), None);
        map.set_default("default").unwrap();
        assert_eq!(look(&map, "none"), Some("default"));
        assert_eq!(map.set_default("x"), Err("duplicate default map parameter".into()));
        assert_eq!(map.insert(b"ABC", "x", vars), Err("conflicting parameter \"abc\"".into()));
    }

    #[test]
    fn hostnames_know_wildcards() {
        let vars = &mut Variables::default();
        let mut map = Map { hostnames: true, ..Map::default() };
        map.insert(b"*.example.com", "head", vars).unwrap();
        map.insert(b"example.*", "tail", vars).unwrap();
        assert_eq!(look(&map, "a.Example.com."), Some("head"));
        assert_eq!(look(&map, "example.com"), Some("tail"));
        let bad = map.insert(b"a*b", "x", vars);
        assert_eq!(bad, Err("invalid hostname or wildcard \"a*b\"".into()));
    }

    #[test]
    fn captures_reach_the_value() {
        let vars = &mut Variables::default();
        let mut map = Map::default();
        let value = Template::compile(b"[$1|$rest]", vars).unwrap();
        map.insert(b"~^(\\w)(?<rest>.*)", value, vars).unwrap();
        let mut out = b"kept abc".to_vec();
        map.replace(&mut Fake::default(), &mut out, 5);
        assert_eq!(out, b"kept [a|bc]");
    }

    #[test]
    fn captures_of_whoever_asks_stay() {
        let vars = &mut Variables::default();
        let mut map = Map::default();
        map.insert(b"~^x(.*)", Template::compile(b"<$1>", vars).unwrap(), vars).unwrap();
        map.set_default(Template::compile(b"none of $1", vars).unwrap()).unwrap();
        let regex = CaptureRegex::compile(b"^/(.*)$", false, vars).unwrap();
        let mut host = Fake::default();
        assert!(regex.matches(b"/path", &mut host));
        for (key, value) in [(&b"xyz"[..], &b"<yz>"[..]), (b"other", b"none of path")] {
            let mut out = key.to_vec();
            map.replace(&mut host, &mut out, 0);
            assert_eq!(out, value);
            assert_eq!(host.captures.get(1), Some(&b"path"[..]));
        }
    }
}
