//! What the levels wrote becomes what is in force in each block.
//!
//! As in nginx, the blocks of `http {}` are merged at its closing brace, before the rest of the
//! file is read, table after table and each from the outside inwards. Tables that also have
//! directives in main are merged at the end.

use super::Block;
use super::state::Settling;
use super::walk::Walk;
use crate::context::Contexts;
use crate::contexts;
use crate::cx::Open;
use crate::settings::{Entry, Settings};
use crate::table::Table;
use std::sync::Arc;

impl Walk<'_> {
    /// Merges a block that stands directly in main.
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

    /// Merges main, and what is in main and in its blocks.
    pub(super) fn settle_main(&mut self) {
        // An empty block stands in its place, so that `finish` finds an open one.
        let mut root = std::mem::take(self.state.top_mut());
        for (number, table) in self.tables.iter().enumerate() {
            let Some(slot) = table.slot else { continue };
            let contexts = table.levels();
            if contexts.intersects(Contexts::MAIN) {
                self.settle(number, table, contexts, &mut root, None);
            } else {
                let written = root.written.get_mut(slot.index()).and_then(Option::take);
                let entry = (table.settle)(written, None, false, &mut self.cx());
                put(&mut root, slot.index(), entry);
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
        parent: Option<&Entry>,
    ) {
        let Some(slot) = table.slot else { return };
        let index = slot.index();
        let parent = if inherits(block.context) { parent } else { None };
        let written = block.written.get_mut(index).and_then(Option::take);
        let entry = match parent {
            Some(parent) if written.is_none() && !reaches(contexts, block.context) => {
                parent.clone()
            }
            _ => {
                let finish = reaches(contexts, block.context) && !self.state.poisoned[number];
                self.state.settling = Some(Settling {
                    context: block.context,
                    id: block.id,
                    span: block.span,
                    prefix: table.prefix,
                    args: if finish { block.args.clone() } else { Vec::new() },
                    origins: Arc::default(),
                });
                let entry = (table.settle)(written, parent, finish, &mut self.cx());
                self.state.settling = None;
                entry
            }
        };
        for child in &mut block.blocks {
            let ours = contexts.family().intersects(child.context);
            if ours || contexts.intersects(Contexts::MAIN) {
                self.settle(number, table, contexts, child, Some(&entry));
            }
        }
        put(block, index, entry);
    }
}

/// Whether a directive of the table stands in the block, or deeper.
fn is_touched(table: &Table, block: &Open) -> bool {
    let Some(slot) = table.slot else { return false };
    let written = block.written.get(slot.index()).is_some_and(Option::is_some);
    written || block.blocks.iter().any(|child| is_touched(table, child))
}

/// Upstreams take nothing from around them.
fn inherits(context: Contexts) -> bool {
    !contexts!(upstream, stream_upstream).intersects(context)
}

/// Whether a table with rows in these contexts has values of its own in such a block; nginx keeps
/// what belongs to servers out of locations.
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

fn put(block: &mut Open, index: usize, entry: Entry) {
    if block.settled.len() <= index {
        block.settled.resize_with(index + 1, || None);
    }
    block.settled[index] = Some(entry);
}

/// The finished tree: what a block has no value of, it shares with its parent.
pub(super) fn finished(open: Open, parent: Option<&[Option<Entry>]>) -> Block {
    let mut settled = open.settled;
    if let Some(parent) = parent {
        settled.resize_with(settled.len().max(parent.len()), || None);
        for (own, above) in settled.iter_mut().zip(parent) {
            if own.is_none() {
                own.clone_from(above);
            }
        }
    }
    let blocks = open.blocks.into_iter().map(|child| finished(child, Some(&settled))).collect();
    Block {
        id: open.id,
        context: open.context,
        name: open.name,
        args: open.args,
        span: open.span,
        close: open.close,
        settings: Settings::new(settled),
        blocks,
    }
}
