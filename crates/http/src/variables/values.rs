//! The values of variables that a request holds.

use weir_script::VarId;

/// The values of a request: stored ones, and computed ones that are kept.
#[derive(Clone, Default)]
pub struct Values {
    /// The value of each variable. Ranges are in `arena`.
    pub(super) slots: Vec<Slot>,
    /// The indices of set slots, so that a reset costs only what was used.
    pub(super) used: Vec<u32>,
    pub(super) arena: Vec<u8>,
    /// The depth of nested computations of values that are not kept.
    pub(super) depth: u8,
}

#[derive(Clone, Copy, Default)]
pub(super) enum Slot {
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
pub(super) const MAX_DEPTH: u8 = 100;

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
