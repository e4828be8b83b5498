//! The names of variables, and the indices they become.

use std::collections::{HashMap, HashSet};

use weir_conf::{Contexts, Cx};

/// A variable's index in the tables of one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(u32);

impl VarId {
    /// The position in a table that was built in the order of [`Variables::names`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The variables that a configuration names: a registry that lives for one assembly.
///
/// nginx keeps one namespace for http and one for stream; so do we, with one value of this type
/// for each. Names are lower-cased, as nginx does.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    ids: HashMap<String, VarId>,
    names: Vec<String>,
    defined: Vec<bool>,
    /// Names that a configuration may not define again, such as `host`.
    reserved: HashSet<String>,
}

/// The variables of `stream { }`: the same registry under a type of its own.
#[derive(Clone, Debug, Default)]
pub struct StreamVariables(pub Variables);

impl Variables {
    /// The index of `name` (without the dollar), which is created on first use.
    ///
    /// Whether somebody defines the variable shows only at the end of the configuration.
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

    /// Like [`Variables::reference`] for the bytes of a configuration word.
    pub fn reference_bytes(&mut self, name: &[u8]) -> VarId {
        self.reference(&String::from_utf8_lossy(name))
    }

    /// Gives `name` (without the dollar) a definition in the configuration: `map`, `set`, a named
    /// capture.
    ///
    /// # Errors
    /// nginx's wording for an empty name, and for a built-in variable that may not be replaced.
    pub fn define(&mut self, name: &[u8]) -> Result<VarId, String> {
        if name.is_empty() {
            return Err("invalid variable name \"$\"".into());
        }
        let name = String::from_utf8_lossy(name);
        if self.reserved.contains(&name.to_ascii_lowercase()) {
            return Err(format!("the duplicate \"{name}\" variable"));
        }
        let id = self.reference(&name);
        self.defined[id.index()] = true;
        Ok(id)
    }

    /// Defines the variable that a directive names as `$name`.
    ///
    /// # Errors
    /// nginx's wording when the dollar is missing, and those of [`Variables::define`].
    pub fn define_word(&mut self, word: &[u8]) -> Result<VarId, String> {
        self.define(strip_dollar(word)?)
    }

    /// The index of the variable that a directive names as `$name`.
    ///
    /// # Errors
    /// nginx's wording when the dollar or the name is missing.
    pub fn reference_word(&mut self, word: &[u8]) -> Result<VarId, String> {
        match strip_dollar(word)? {
            b"" => Err("invalid variable name \"$\"".into()),
            name => Ok(self.reference_bytes(name)),
        }
    }

    /// Forbids the configuration to define `name`: for built-in variables that are not changeable.
    pub fn reserve(&mut self, name: &str) {
        self.reserved.insert(name.to_ascii_lowercase());
    }

    /// Whether the configuration itself defines this variable.
    pub fn is_defined(&self, id: VarId) -> bool {
        self.defined.get(id.index()).copied().unwrap_or(false)
    }

    /// The name that stands behind an index.
    pub fn name(&self, id: VarId) -> &str {
        self.names.get(id.index()).map_or("", String::as_str)
    }

    /// The index of `name`, if something refers to it.
    pub fn find(&self, name: &str) -> Option<VarId> {
        self.ids.get(&name.to_ascii_lowercase()).copied()
    }

    /// Every name used or defined so far, in the order of the indices.
    pub fn names(&self) -> impl Iterator<Item = (VarId, &str)> {
        (0..).map(VarId).zip(self.names.iter().map(String::as_str))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing names a variable.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// The registry for the directive being read: http's, or stream's inside `stream`.
pub fn variables<'c>(cx: &'c mut Cx<'_>) -> &'c mut Variables {
    if is_stream(cx) { &mut cx.registry::<StreamVariables>().0 } else { cx.registry() }
}

/// Whether the directive being read stands in `stream`.
pub(crate) fn is_stream(cx: &Cx<'_>) -> bool {
    const STREAM: Contexts =
        Contexts::STREAM.union(Contexts::STREAM_SERVER).union(Contexts::STREAM_UPSTREAM);
    cx.context().intersects(STREAM)
}

/// Takes the dollar off the name of a variable.
///
/// # Errors
/// nginx's wording when there is none.
pub fn strip_dollar(word: &[u8]) -> Result<&[u8], String> {
    word.strip_prefix(b"$")
        .ok_or_else(|| format!("invalid variable name \"{}\"", String::from_utf8_lossy(word)))
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
