//! The settings in force in one block.

use crate::source::Span;
use crate::table::{Group, Origins, Slot};
use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

/// A table's values in a block: a [`Settled`] of the table's struct, shared between blocks.
pub(crate) type SharedValues = Arc<dyn Any + Send + Sync>;

/// A table's values, with the places where they were written.
#[derive(Debug)]
pub struct Settled<T> {
    pub(crate) value: T,
    pub(crate) origins: Arc<Origins>,
}

impl<T> Deref for Settled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The values of every table in one block. A clone shares them.
#[derive(Clone, Default)]
pub struct Settings {
    entries: Arc<[Option<SharedValues>]>,
}

impl Settings {
    /// The values of a block: its own, by slot, and its parent's for all other slots.
    pub(crate) fn below(parent: Option<&Self>, own: Vec<(usize, SharedValues)>) -> Self {
        let above = parent.map_or(&[][..], |parent| &parent.entries);
        if own.is_empty()
            && let Some(parent) = parent
        {
            return parent.clone();
        }
        let slots = own.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0).max(above.len());
        let mut entries = Vec::with_capacity(slots);
        entries.extend_from_slice(above);
        entries.resize_with(slots, || None);
        for (slot, entry) in own {
            entries[slot] = Some(entry);
        }
        Self { entries: entries.into() }
    }

    fn entry(&self, index: usize) -> &SharedValues {
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
        &self.settled(slot).value
    }

    fn settled<T: Group>(&self, slot: &'static Slot<T>) -> &Settled<T> {
        self.entry(slot.index()).downcast_ref().expect("a slot holds its own table's type")
    }

    /// The values of a table, shared.
    ///
    /// # Panics
    /// When the table was not given to `assemble`.
    pub fn arc<T: Group>(&self, slot: &'static Slot<T>) -> Arc<Settled<T>> {
        let settled = Arc::clone(self.entry(slot.index()));
        settled.downcast().expect("a slot holds its own table's type")
    }

    /// The place where a field (or directive) in force was written; `None` if it is the default.
    pub fn origin<T: Group>(&self, slot: &'static Slot<T>, field: &str) -> Option<Span> {
        self.settled(slot).origins.get(field)
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settings")
    }
}
