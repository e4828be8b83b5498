//! Variables of a request: their definitions, and the values that a request has computed or been
//! given.

use std::sync::Arc;

use weir_engine::error_log::Level;
use weir_script::VarId;

use crate::module::Modules;
use crate::request::Request;

mod connection;
pub(crate) mod definitions;
pub(crate) mod head;
mod request_line;
pub(crate) mod response;
pub(crate) mod table;
pub(crate) mod values;

use values::{MAX_DEPTH, Slot};

/// Appends a variable's value to `out`; false if it has none ("not found"). The second argument is
/// the name after the prefix, for prefix variables (`arg_`, `http_`).
pub(crate) type Get = fn(&mut Request, &str, &mut Vec<u8>) -> bool;

/// Computes a variable that the configuration defines (by `map`, `geo` etc.).
pub(crate) type Compute = Arc<dyn Fn(&mut Request, &mut Vec<u8>) -> bool + Send + Sync>;

/// A built-in variable.
pub struct VariableRow {
    /// The name without `$`. That of a prefix variable ends in `_`.
    pub name: &'static str,
    /// Its description, a sentence of Markdown for the reference.
    pub about: &'static str,
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
    pub const fn new(name: &'static str, about: &'static str, get: Get) -> Self {
        Self { name, about, prefix: false, cached: false, get, set: None, changeable: false }
    }

    /// A family of variables with a common prefix.
    pub const fn prefix(name: &'static str, about: &'static str, get: Get) -> Self {
        Self { name, about, prefix: true, cached: false, get, set: None, changeable: false }
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
    /// The function of a row of a module, whose value is not kept, as that of most.
    Plain(Get),
    /// A row of a module, with the name after the prefix.
    Row(&'static VariableRow, Box<str>),
    /// A function built from the configuration, and whether its value is kept.
    Compute(Compute, bool),
    /// Stored values only: `set`, `auth_request_set`, named captures.
    Stored,
}

/// Every built-in variable.
fn rows(modules: Modules) -> impl Iterator<Item = &'static VariableRow> {
    modules.iter().flat_map(|module| module.variables)
}

/// The built-in variable with this name.
fn find_row(modules: Modules, name: &str) -> Option<Source> {
    let rows = || rows(modules);
    if let Some(row) = rows().find(|row| !row.prefix && row.name == name) {
        return Some(match row.cached {
            true => Source::Row(row, "".into()),
            false => Source::Plain(row.get),
        });
    }
    rows()
        .filter(|row| row.prefix && name.starts_with(row.name))
        .max_by_key(|row| row.name.len())
        .map(|row| Source::Row(row, name[row.name.len()..].into()))
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
        if let &Source::Plain(get) = self.snapshot.source(id) {
            return get(self, "", out);
        }
        let snapshot = std::rc::Rc::clone(&self.snapshot);
        match snapshot.source(id) {
            Source::Plain(get) => get(self, "", out),
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
            Some(Source::Plain(get)) => get(self, "", out),
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
