//! Variables of a request: their definitions, and the values that a request has computed or been
//! given.

use std::collections::HashMap;
use std::sync::Arc;

use weir_engine::error_log::Level;
use weir_script::{VarId, Variables};

use crate::module::Modules;
use crate::request::Request;

mod connection;
mod head;
mod request_line;
mod response;
mod table;

pub(crate) use head::join;
pub(crate) use response::seconds;
pub(crate) use table::ROWS;

/// Appends a variable's value to `out`; false if it has none ("not found"). The second argument is
/// the name after the prefix, for prefix variables (`arg_`, `http_`).
pub type Get = fn(&mut Request, &str, &mut Vec<u8>) -> bool;

/// Computes a variable that the configuration defines (map, geo and the like).
pub type Compute = Arc<dyn Fn(&mut Request, &mut Vec<u8>) -> bool + Send + Sync>;

/// A built-in variable.
pub struct VariableRow {
    /// The name without `$`. That of a prefix variable ends in `_`.
    pub name: &'static str,
    /// Whether the name is a prefix.
    pub prefix: bool,
    /// Whether the first value is kept for the request.
    pub cached: bool,
    /// Computes the value.
    pub get: Get,
    /// The effect of `set $name value`, in place of storing a value (`$args`, `$limit_rate`).
    pub set: Option<fn(&mut Request, &[u8])>,
    /// Whether the configuration may define or set it.
    pub changeable: bool,
}

impl VariableRow {
    /// A variable that is computed whenever it is used.
    pub const fn new(name: &'static str, get: Get) -> Self {
        Self { name, prefix: false, cached: false, get, set: None, changeable: false }
    }

    /// A family of variables with a common prefix.
    pub const fn prefix(name: &'static str, get: Get) -> Self {
        Self { name, prefix: true, cached: false, get, set: None, changeable: false }
    }

    /// Keeps the first value for the request.
    pub const fn cached(mut self) -> Self {
        self.cached = true;
        self
    }

    /// Lets the configuration define or set it, which then takes precedence.
    pub const fn changeable(mut self) -> Self {
        self.changeable = true;
        self
    }

    /// Lets the configuration set it.
    pub const fn settable(mut self, set: fn(&mut Request, &[u8])) -> Self {
        self.set = Some(set);
        self.changeable = true;
        self
    }
}

/// The source of a variable's value.
#[derive(Clone)]
pub enum Source {
    /// A row of a module, with the name after the prefix.
    Row(&'static VariableRow, Box<str>),
    /// A function built from the configuration, and whether its value is kept.
    Compute(Compute, bool),
    /// Stored values only: `set`, `auth_request_set`, named captures.
    Stored,
}

/// The variables that the configuration defines. A registry of the assembly.
#[derive(Default)]
pub struct Definitions {
    modules: Modules,
    sources: HashMap<String, Source>,
}

impl Definitions {
    /// Definitions with the built-in variables of these modules only.
    pub fn of(modules: Modules) -> Self {
        Self { modules, sources: HashMap::new() }
    }

    /// The modules of the built-in variables.
    pub fn modules(&self) -> Modules {
        self.modules
    }

    /// Every built-in variable.
    pub fn rows(&self) -> impl Iterator<Item = &'static VariableRow> + use<> {
        rows(self.modules)
    }

    /// The row of a settable built-in variable.
    pub fn settable(&self, name: &str) -> Option<&'static VariableRow> {
        let name = name.to_ascii_lowercase();
        self.rows().find(|row| !row.prefix && row.name == name && row.set.is_some())
    }

    /// Whether the configuration may define a name: it is not that of a fixed built-in variable.
    fn may_define(&self, name: &str) -> bool {
        !fixed_names(self.modules).any(|fixed| fixed == name)
    }

    /// Defines `$name` as computed by `compute`. With `cached`, its value is kept for the request.
    ///
    /// # Errors
    /// nginx's `the duplicate "x" variable`, if a built-in variable has that name.
    pub fn compute(&mut self, name: &str, cached: bool, compute: Compute) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        if !self.may_define(&name) {
            return Err(format!("the duplicate \"{name}\" variable"));
        }
        self.sources.insert(name, Source::Compute(compute, cached));
        Ok(())
    }

    /// Defines `$name` for stored values (`set $name …`). A variable computed from the
    /// configuration stays so; a stored value takes precedence in its request.
    ///
    /// # Errors
    /// nginx's `the duplicate "x" variable`, for a built-in variable that cannot be set.
    pub fn stored(&mut self, name: &str) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        if !self.may_define(&name) {
            return Err(format!("the duplicate \"{name}\" variable"));
        }
        self.sources.entry(name).or_insert(Source::Stored);
        Ok(())
    }

    /// Defines `$name` for `set`: `unset` computes it for requests that use it before it is set.
    /// Other definitions of the variable stay in force.
    ///
    /// # Errors
    /// As [`Definitions::stored`].
    pub fn unset(&mut self, name: &str, unset: Compute) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        if !self.may_define(&name) {
            return Err(format!("the duplicate \"{name}\" variable"));
        }
        if find_row(self.modules, &name).is_none() {
            self.sources.entry(name).or_insert(Source::Compute(unset, true));
        }
        Ok(())
    }

    /// The names that the configuration defines.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The sources of all names that are referenced, for a snapshot.
    ///
    /// # Errors
    /// nginx's `unknown "x" variable`, for the first undefined name.
    ///
    /// An nginx variable that is not supported yet has no value. Its name is added to `pending`.
    pub fn resolve(
        &self,
        used: &Variables,
        pending: &mut Vec<String>,
    ) -> Result<Vec<Source>, String> {
        used.names()
            .map(|(id, name)| {
                if let Some(source) = self.sources.get(name) {
                    return Ok(source.clone());
                }
                // Named captures are defined without a source, as matches store their values.
                let captured = || used.is_defined(id).then_some(Source::Stored);
                find_row(self.modules, name)
                    .or_else(captured)
                    .or_else(|| {
                        let known = crate::pending::variables::is_pending(name);
                        known.then(|| {
                            pending.push(name.to_owned());
                            Source::Stored
                        })
                    })
                    .ok_or_else(|| format!("unknown \"{name}\" variable"))
            })
            .collect()
    }
}

/// Keeps a configuration from defining the built-in variables that cannot be set.
pub(crate) fn reserve(modules: Modules, used: &mut Variables) {
    fixed_names(modules).for_each(|name| used.reserve(name));
}

/// The names that only the server may define (nginx: those that are not `NGX_HTTP_VAR_CHANGEABLE`).
fn fixed_names(modules: Modules) -> impl Iterator<Item = &'static str> {
    let fixed = |row: &&VariableRow| !row.prefix && !row.changeable;
    let rows = rows(modules).filter(fixed).map(|row| row.name);
    rows.chain(table::OWN_OF_FAMILIES.iter().copied()).chain(crate::pending::variables::fixed())
}

/// Every built-in variable: the core's, then those of modules.
fn rows(modules: Modules) -> impl Iterator<Item = &'static VariableRow> {
    ROWS.iter().chain(modules.iter().flat_map(|module| module.variables))
}

/// The built-in variable with this name.
fn find_row(modules: Modules, name: &str) -> Option<Source> {
    let rows = || rows(modules);
    if let Some(row) = rows().find(|row| !row.prefix && row.name == name) {
        return Some(Source::Row(row, "".into()));
    }
    rows()
        .filter(|row| row.prefix && name.starts_with(row.name))
        .max_by_key(|row| row.name.len())
        .map(|row| Source::Row(row, name[row.name.len()..].into()))
}

/// The values of a request: stored ones, and computed ones that are kept.
#[derive(Clone, Default)]
pub struct Values {
    /// The value of each variable. Ranges are in `arena`.
    slots: Vec<Slot>,
    /// The indices of set slots, so that a reset costs only what was used.
    used: Vec<u32>,
    arena: Vec<u8>,
    /// The depth of nested computations of values that are not kept.
    depth: u8,
}

#[derive(Clone, Copy, Default)]
enum Slot {
    #[default]
    Unset,
    /// The variable has no value.
    NotFound,
    /// Offsets into the arena.
    Value(u32, u32),
    /// Being computed. A variable that depends on itself has no value.
    Busy,
}

/// The maximum length of the stored text of a request, in bytes. It bounds a `set` loop through
/// internal redirects.
const ARENA_LIMIT: usize = 16 * 1024 * 1024;

/// The capacity that is kept for the next request, in bytes.
const ARENA_KEPT: usize = 64 * 1024;

/// The maximum depth of variables that are not kept (nginx: 100).
const MAX_DEPTH: u8 = 100;

impl Values {
    /// Removes all values, and keeps the memory.
    pub fn reset(&mut self, count: usize) {
        self.arena.clear();
        if self.arena.capacity() > ARENA_KEPT {
            self.arena.shrink_to(ARENA_KEPT);
        }
        for at in self.used.drain(..) {
            if let Some(slot) = self.slots.get_mut(at as usize) {
                *slot = Slot::Unset;
            }
        }
        if self.slots.len() != count {
            self.slots.clear();
            self.slots.resize(count, Slot::Unset);
        }
    }

    /// Stores a value (`set`); None stores "not found".
    pub fn store(&mut self, id: VarId, value: Option<&[u8]>) {
        self.store_at(id.index(), value);
    }

    fn store_at(&mut self, at: usize, value: Option<&[u8]>) {
        let slot = match value {
            Some(value) if self.arena.len() + value.len() <= ARENA_LIMIT => {
                let start = self.arena.len() as u32;
                self.arena.extend_from_slice(value);
                Slot::Value(start, self.arena.len() as u32)
            }
            _ => Slot::NotFound,
        };
        if let Some(place) = self.slots.get_mut(at) {
            if matches!(place, Slot::Unset) {
                self.used.push(at as u32);
            }
            *place = slot;
        }
    }

    /// The stored value, if there is one.
    pub fn stored(&self, id: VarId) -> Option<&[u8]> {
        match self.slots.get(id.index()) {
            Some(&Slot::Value(start, end)) => Some(&self.arena[start as usize..end as usize]),
            _ => None,
        }
    }

    /// Takes over values that a subrequest, which began with a copy, has stored since.
    pub(crate) fn merge(&mut self, child: &Self) {
        for (at, slot) in child.slots.iter().enumerate() {
            let Slot::Value(start, end) = *slot else { continue };
            let value = &child.arena[start as usize..end as usize];
            let same = match self.slots.get(at) {
                Some(&Slot::Value(start, end)) => {
                    &self.arena[start as usize..end as usize] == value
                }
                _ => false,
            };
            if !same {
                self.store_at(at, Some(value));
            }
        }
    }

    /// Removes a value, so that it is computed again.
    pub fn forget(&mut self, id: VarId) {
        if let Some(slot) = self.slots.get_mut(id.index()) {
            *slot = Slot::Unset;
        }
    }
}

impl Request {
    /// Appends the value of a variable to `out`; false if it has none.
    pub fn variable(&mut self, id: VarId, out: &mut Vec<u8>) -> bool {
        let values = &mut self.values;
        match values.slots.get(id.index()) {
            Some(&Slot::Value(start, end)) => {
                out.extend_from_slice(&values.arena[start as usize..end as usize]);
                return true;
            }
            Some(Slot::Busy) => return self.variable_cycle(id),
            Some(Slot::NotFound) | None => return false,
            Some(Slot::Unset) => {}
        }
        let snapshot = std::rc::Rc::clone(&self.snapshot);
        match snapshot.source(id) {
            Source::Row(row, suffix) if !row.cached => (row.get)(self, suffix, out),
            Source::Row(row, suffix) => {
                self.compute_kept(id, out, |request, out| (row.get)(request, suffix, out))
            }
            Source::Compute(compute, false) => self.compute_volatile(id, out, &**compute),
            Source::Compute(compute, true) => self.compute_kept(id, out, |r, out| compute(r, out)),
            Source::Stored => false,
        }
    }

    /// Like [`Request::variable`], for a name that the configuration need not mention.
    pub fn variable_named(&mut self, name: &[u8], out: &mut Vec<u8>) -> bool {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let Some(id) = self.snapshot.variable_id(&name) {
            return self.variable(id, out);
        }
        match find_row(self.snapshot.modules(), &name) {
            Some(Source::Row(row, suffix)) => (row.get)(self, &suffix, out),
            _ => false,
        }
    }

    /// Computes a value, keeps it for the request, and appends it to `out`.
    fn compute_kept(
        &mut self,
        id: VarId,
        out: &mut Vec<u8>,
        compute: impl FnOnce(&mut Self, &mut Vec<u8>) -> bool,
    ) -> bool {
        self.values.slots[id.index()] = Slot::Busy;
        self.values.used.push(id.index() as u32);
        let start = out.len();
        let found = compute(self, out);
        self.values.store(id, found.then(|| &out[start..]));
        found
    }

    /// Computes a value that is not kept. A limit of depth ends cycles.
    fn compute_volatile(
        &mut self,
        id: VarId,
        out: &mut Vec<u8>,
        compute: &dyn Fn(&mut Self, &mut Vec<u8>) -> bool,
    ) -> bool {
        if self.values.depth >= MAX_DEPTH {
            return self.variable_cycle(id);
        }
        self.values.depth += 1;
        let found = compute(self, out);
        self.values.depth -= 1;
        found
    }

    /// Logs a cycle. The variable has no value.
    fn variable_cycle(&self, id: VarId) -> bool {
        let name = self.snapshot.variable_name(id);
        self.log(Level::Error, &format!("cycle while evaluating variable \"{name}\""));
        false
    }

    /// The value of a variable, empty if it has none.
    pub fn variable_bytes(&mut self, id: VarId) -> Vec<u8> {
        let mut out = Vec::new();
        self.variable(id, &mut out);
        out
    }
}
