//! The merge: from the values written on each level to the values in force in each block.
//!
//! As in nginx, the blocks of `http {}` are merged at its closing brace, before the rest of the
//! file is read, table by table and from the outside inwards. Tables that also have directives in
//! main are merged at the end.

use super::Block;
use super::state::Settling;
use super::walk::Walk;
use crate::context::Contexts;
use crate::contexts;
use crate::cx::Open;
use crate::settings::{Settings, SharedValues};
use crate::table::Table;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// A table's values in one block, with the values of its child blocks that have no directive of the
/// table. The merge is a function of context and inherited values, so child blocks of one context
/// share one result.
struct Level {
    entry: SharedValues,
    below: RefCell<Vec<(Contexts, Rc<Self>)>>,
}

impl Level {
    fn new(entry: SharedValues) -> Rc<Self> {
        Rc::new(Self { entry, below: RefCell::default() })
    }

    /// The shared values of child blocks of that context, if they are computed.
    fn below(&self, context: Contexts) -> Option<Rc<Self>> {
        let below = self.below.borrow();
        below.iter().find(|(known, _)| *known == context).map(|(_, level)| Rc::clone(level))
    }
}

impl Walk<'_> {
    /// Merges a block directly below main.
    pub(super) fn settle_block(&mut self, block: &mut Open) {
        for (number, table) in self.tables.iter().enumerate() {
            let contexts = table.levels();
            let ours = contexts.family().intersects(block.context);
            let idle = table.unsupported && !is_touched(table, block);
            if ours && !idle && !contexts.intersects(Contexts::MAIN) {
                self.settle(number, table, contexts, block, None);
            }
        }
    }

    /// Merges main, and the tables with directives in main in all blocks.
    pub(super) fn settle_main(&mut self) {
        // An empty block takes the place of main, so that `finish` finds an open block.
        let mut root = std::mem::take(self.state.top_mut());
        for (number, table) in self.tables.iter().enumerate() {
            let Some(slot) = table.slot else { continue };
            let contexts = table.levels();
            if contexts.intersects(Contexts::MAIN) {
                self.settle(number, table, contexts, &mut root, None);
            } else {
                let written = root.take_written(slot.index());
                let entry = (table.settle)(written, None, false, &mut self.cx());
                root.settled.push((slot.index(), entry));
            }
        }
        *self.state.top_mut() = root;
    }

    fn settle(
        &mut self,
        number: usize,
        table: &'static Table,
        contexts: Contexts,
        block: &mut Open,
        parent: Option<&Rc<Level>>,
    ) {
        let Some(slot) = table.slot else { return };
        let parent = if inherits(block.context) { parent } else { None };
        let level = self.level(number, table, contexts, block, parent);
        for child in &mut block.blocks {
            let ours = contexts.family().intersects(child.context);
            if ours || contexts.intersects(Contexts::MAIN) {
                self.settle(number, table, contexts, child, Some(&level));
            }
        }
        if !parent.is_some_and(|parent| Arc::ptr_eq(&parent.entry, &level.entry)) {
            block.settled.push((slot.index(), level.entry.clone()));
        }
    }

    /// A block's values of one table, shared with its parent or siblings where possible.
    fn level(
        &mut self,
        number: usize,
        table: &'static Table,
        contexts: Contexts,
        block: &mut Open,
        parent: Option<&Rc<Level>>,
    ) -> Rc<Level> {
        let written = table.slot.and_then(|slot| block.take_written(slot.index()));
        let unwritten = parent.filter(|_| written.is_none());
        let reached = reaches(contexts, block.context);
        if let Some(parent) = unwritten {
            if !reached {
                return Rc::clone(parent);
            }
            if let Some(known) = parent.below(block.context) {
                return known;
            }
        }
        self.state.settling = Some(Settling {
            context: block.context,
            id: block.id,
            span: block.span,
            prefix: table.prefix,
            args: std::mem::take(&mut block.args),
            origins: Arc::default(),
            own: Cell::new(false),
        });
        let finish = reached && !self.state.poisoned[number];
        let above = parent.map(|parent| &parent.entry);
        let level = Level::new((table.settle)(written, above, finish, &mut self.cx()));
        if let Some(settled) = self.state.settling.take() {
            block.args = settled.args;
            if let Some(parent) = unwritten.filter(|_| !settled.own.get()) {
                parent.below.borrow_mut().push((block.context, Rc::clone(&level)));
            }
        }
        level
    }
}

/// Whether the block or a descendant has a directive of the table.
fn is_touched(table: &Table, block: &Open) -> bool {
    let Some(slot) = table.slot else { return false };
    let index = slot.index();
    let written = block.written.iter().any(|(known, _)| *known == index);
    written || block.blocks.iter().any(|child| is_touched(table, child))
}

/// Whether blocks of this context inherit; upstreams do not.
fn inherits(context: Contexts) -> bool {
    !contexts!(upstream, stream_upstream).intersects(context)
}

/// Whether such a block has values of its own for a table with these contexts. As in nginx,
/// settings of servers stop above locations.
fn reaches(contexts: Contexts, block: Contexts) -> bool {
    const INNER: Contexts = contexts!(location, server_if, location_if, limit_except);
    let at = if INNER.intersects(block) {
        INNER
    } else if block == Contexts::SERVER {
        INNER.union(Contexts::SERVER)
    } else if block == Contexts::HTTP {
        INNER.union(contexts!(http, server))
    } else if block == Contexts::STREAM {
        contexts!(stream, stream_server)
    } else if block == Contexts::MAIL {
        contexts!(mail, mail_server)
    } else {
        block
    };
    contexts.intersects(at)
}

/// The finished tree: a block shares the values of its parent unless it has its own.
pub(super) fn finished(open: Open, parent: Option<&Settings>) -> Block {
    let settings = Settings::below(parent, open.settled);
    let blocks = open.blocks.into_iter().map(|child| finished(child, Some(&settings))).collect();
    Block {
        id: open.id,
        context: open.context,
        name: open.name,
        args: open.args,
        span: open.span,
        close: open.close,
        settings,
        blocks,
    }
}
