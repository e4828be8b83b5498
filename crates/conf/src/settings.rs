//! The settings in force in one block.

use crate::source::Span;
use crate::table::{Group, Origins, Slot};
use std::any::Any;
use std::sync::Arc;

/// One table's values with the places they were written at.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) value: Arc<dyn Any + Send + Sync>,
    pub(crate) origins: Arc<Origins>,
}

/// The values of every table in one block. A clone shares them.
#[derive(Clone)]
pub struct Settings {
    entries: Arc<[Option<Entry>]>,
}

impl Settings {
    pub(crate) fn new(entries: Vec<Option<Entry>>) -> Self {
        Self { entries: entries.into() }
    }

    fn entry(&self, index: usize) -> &Entry {
        match self.entries.get(index) {
            Some(Some(entry)) => entry,
            _ => panic!("the slot's table was not among those assembled"),
        }
    }

    /// The values of a table: an array index and a type check.
    ///
    /// # Panics
    /// When the table was not given to `assemble`.
    pub fn get<T: Group>(&self, slot: &'static Slot<T>) -> &T {
        self.entry(slot.index()).value.downcast_ref().expect("a slot holds its own table's type")
    }

    /// The same, shared.
    ///
    /// # Panics
    /// When the table was not given to `assemble`.
    pub fn arc<T: Group>(&self, slot: &'static Slot<T>) -> Arc<T> {
        let value = Arc::clone(&self.entry(slot.index()).value);
        value.downcast().expect("a slot holds its own table's type")
    }

    /// Where a field (or directive) in force was written; `None` if it is the default.
    pub fn origin<T: Group>(&self, slot: &'static Slot<T>, field: &str) -> Option<Span> {
        self.entry(slot.index()).origins.get(field)
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settings")
    }
}
