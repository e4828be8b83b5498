//! The registry of variables: names and their indices.

use std::collections::{HashMap, HashSet};

use weir_conf::{Contexts, Cx, Fault};

/// A variable's index in the tables of one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(u32);

impl VarId {
    /// The position in a table in the order of [`Variables::names`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The variables of a configuration, as a registry of one assembly.
///
/// As in nginx, http and stream have separate namespaces, each a value of this type. Names are
/// lower-cased.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    ids: HashMap<String, VarId>,
    names: Vec<String>,
    defined: Vec<bool>,
    /// Built-in names that a configuration may not define, such as `host`.
    reserved: HashSet<String>,
}

/// The variables of `stream { }`: a distinct registry type.
#[derive(Clone, Debug, Default)]
pub struct StreamVariables(pub Variables);

impl Variables {
    /// The index of `name` (without the dollar), created on first use.
    ///
    /// Whether the variable is defined is known only at the end of the configuration.
    pub fn reference(&mut self, name: &str) -> VarId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let lower = name.to_ascii_lowercase();
        if let Some(id) = self.ids.get(&lower) {
            return *id;
        }
        let id = VarId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.ids.insert(lower.clone(), id);
        self.names.push(lower);
        self.defined.push(false);
        id
    }

    /// Same as [`Variables::reference`], for the bytes of a configuration word.
    pub fn reference_bytes(&mut self, name: &[u8]) -> VarId {
        self.reference(&String::from_utf8_lossy(name))
    }

    /// Defines `name` (without the dollar) in the configuration: by `map`, `set` or a named
    /// capture.
    ///
    /// # Errors
    /// nginx's wording for an empty name, and for a built-in variable that cannot be redefined.
    pub fn define(&mut self, name: &[u8]) -> Result<VarId, Fault> {
        if name.is_empty() {
            return Err("invalid variable name \"$\"".into());
        }
        let name = String::from_utf8_lossy(name);
        if self.reserved.contains(&name.to_ascii_lowercase()) {
            return Err(Fault::new(format!("the duplicate \"{name}\" variable")));
        }
        let id = self.reference(&name);
        self.defined[id.index()] = true;
        Ok(id)
    }

    /// Defines the variable that a directive writes as `$name`.
    ///
    /// # Errors
    /// nginx's wording for a missing dollar, and those of [`Variables::define`].
    pub fn define_word(&mut self, word: &[u8]) -> Result<VarId, Fault> {
        self.define(strip_dollar(word)?)
    }

    /// The index of the variable that a directive writes as `$name`.
    ///
    /// # Errors
    /// nginx's wording for a missing dollar or name.
    pub fn reference_word(&mut self, word: &[u8]) -> Result<VarId, Fault> {
        match strip_dollar(word)? {
            b"" => Err("invalid variable name \"$\"".into()),
            name => Ok(self.reference_bytes(name)),
        }
    }

    /// Forbids a definition of `name` by the configuration, for built-in variables that cannot
    /// change.
    pub fn reserve(&mut self, name: &str) {
        self.reserved.insert(name.to_ascii_lowercase());
    }

    /// Whether the configuration defines this variable.
    pub fn is_defined(&self, id: VarId) -> bool {
        self.defined.get(id.index()).copied().unwrap_or(false)
    }

    /// The name of an index.
    pub fn name(&self, id: VarId) -> &str {
        self.names.get(id.index()).map_or("", String::as_str)
    }

    /// The index of `name`, if it is used or defined.
    pub fn find(&self, name: &str) -> Option<VarId> {
        self.ids.get(&name.to_ascii_lowercase()).copied()
    }

    /// The names used or defined so far, by index.
    pub fn names(&self) -> impl Iterator<Item = (VarId, &str)> {
        (0..).map(VarId).zip(self.names.iter().map(String::as_str))
    }

    /// The number of variables.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// The registry for the directive being read: stream's inside `stream`, else http's.
pub fn variables<'c>(cx: &'c mut Cx<'_>) -> &'c mut Variables {
    if is_stream(cx) { &mut cx.registry::<StreamVariables>().0 } else { cx.registry() }
}

/// Whether the directive being read is inside `stream`.
pub fn is_stream(cx: &Cx<'_>) -> bool {
    const STREAM: Contexts =
        Contexts::STREAM.union(Contexts::STREAM_SERVER).union(Contexts::STREAM_UPSTREAM);
    cx.context().intersects(STREAM)
}

/// Strips the dollar from a variable's name.
///
/// # Errors
/// nginx's wording for a missing dollar.
pub(crate) fn strip_dollar(word: &[u8]) -> Result<&[u8], Fault> {
    let invalid = || format!("invalid variable name \"{}\"", String::from_utf8_lossy(word));
    word.strip_prefix(b"$").ok_or_else(|| Fault::new(invalid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_whatever_their_case() {
        let mut vars = Variables::default();
        let a = vars.reference("Host");
        assert_eq!(vars.reference("host"), a);
        assert_ne!(vars.reference("uri"), a);
        let names: Vec<_> = vars.names().map(|(_, name)| name).collect();
        assert_eq!(names, ["host", "uri"]);
    }

    #[test]
    fn what_is_reserved_stays() {
        let mut vars = Variables::default();
        vars.reserve("host");
        assert_eq!(vars.define_word(b"$Host"), Err("the duplicate \"Host\" variable".into()));
        assert_eq!(vars.define_word(b"host"), Err("invalid variable name \"host\"".into()));
        assert_eq!(vars.define_word(b"$"), Err("invalid variable name \"$\"".into()));
        let id = vars.define_word(b"$own").unwrap();
        assert!(vars.is_defined(id));
    }
}
