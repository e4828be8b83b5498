//! Lookup of directives by name and context.

use crate::context::Contexts;
use crate::suggest;
use crate::table::{Row, Table};
use std::cell::RefCell;
use std::collections::HashMap;

/// A row and the index of its table.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(super) row: &'static Row,
    pub(super) table: usize,
    pub(super) contexts: Contexts,
    /// The directive has no effect yet.
    pub(super) pending: bool,
}

impl Known {
    /// Whether both are the same row of the same table.
    pub(super) fn is(self, other: Self) -> bool {
        self.table == other.table && std::ptr::eq(self.row, other.row)
    }
}

pub(super) enum Found {
    Here(Known),
    /// The name exists in these contexts only.
    Elsewhere(Contexts),
    /// No directive has this name.
    Unknown,
}

pub(super) struct Lookup {
    rows: HashMap<String, Vec<Known>>,
    /// Suggestions by misspelt name and context: a mistake in an included file recurs with each
    /// inclusion of the file.
    meant: RefCell<HashMap<(String, Contexts), Option<String>>>,
}

impl Lookup {
    pub(super) fn new(tables: &[&'static Table]) -> Self {
        let mut rows: HashMap<String, Vec<Known>> = HashMap::new();
        for (table, of) in tables.iter().enumerate() {
            for (name, row) in of.rows() {
                rows.entry(name).or_default().push(Known {
                    row,
                    table,
                    contexts: of.contexts_of(row),
                    pending: of.is_pending(row),
                });
            }
        }
        // Implemented rows precede pending ones; otherwise the order of the tables counts.
        for known in rows.values_mut() {
            known.sort_by_key(|known| known.pending);
        }
        Self { rows, meant: RefCell::default() }
    }

    pub(super) fn find(&self, name: &str, context: Contexts) -> Found {
        match self.rows.get(name) {
            Some(known) => {
                let here = known.iter().find(|known| known.contexts.intersects(context));
                here.map_or_else(|| Found::Elsewhere(contexts(known)), |known| Found::Here(*known))
            }
            None => Found::Unknown,
        }
    }

    /// Whether any context has a directive of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rows.contains_key(name)
    }

    /// A similar name, preferably of a directive that is allowed here.
    pub(super) fn meant(&self, name: &str, context: Contexts) -> Option<String> {
        let mut meant = self.meant.borrow_mut();
        let near = meant.entry((name.to_owned(), context)).or_insert_with(|| {
            let here = self.rows.iter().filter(|(_, known)| contexts(known).intersects(context));
            let near = suggest::nearest(name, here.map(|(name, _)| name.as_str()));
            let all = || suggest::nearest(name, self.rows.keys().map(String::as_str));
            near.or_else(all).map(str::to_owned)
        });
        near.clone()
    }
}

fn contexts(known: &[Known]) -> Contexts {
    known.iter().fold(Contexts::NONE, |all, known| all.union(known.contexts))
}
