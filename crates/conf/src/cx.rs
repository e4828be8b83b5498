//! The view that a setter has of the configuration around its directive.

use crate::assemble::lookup::Known;
use crate::assemble::state::State;
use crate::context::Contexts;
use crate::diagnostic::{Diagnostic, Fault, Severity};
use crate::environment::Environment;
use crate::node::{Node, Word};
use crate::settings::{Settled, SharedValues};
use crate::source::{SourceMap, Span};
use crate::table::{Group, Slot};
use std::any::Any;
use std::path::PathBuf;

/// The number of a block in one assembly, in the order in which blocks open; main is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub u32);

/// A block whose content is being read.
#[derive(Default)]
pub struct Open {
    /// Its id.
    pub id: BlockId,
    /// Its context.
    pub context: Contexts,
    /// The name of its directive; empty for main.
    pub name: String,
    /// The arguments of its directive.
    pub args: Vec<Word>,
    /// The place of its directive.
    pub span: Span,
    /// Its closing brace.
    pub close: Span,
    /// The values written by setters, by slot; only tables with a directive in the block have an
    /// entry.
    pub(crate) written: Vec<(usize, Box<dyn Any + Send>)>,
    /// The values in force, by slot, where they differ from the parent's.
    pub(crate) settled: Vec<(usize, SharedValues)>,
    pub(crate) blocks: Vec<Self>,
    /// The place of the first directive of each row, while the block is open.
    pub(crate) firsts: Vec<(Known, Span)>,
}

impl Open {
    /// The values written into this block so far by the directives of a table.
    pub fn written<T: Group>(&self, slot: &'static Slot<T>) -> Option<&T::Written> {
        let index = slot.index();
        let (_, written) = self.written.iter().find(|(known, _)| *known == index)?;
        written.downcast_ref()
    }

    /// The values of this block after the merge; `None` where they are the parent's.
    pub fn settled<T: Group>(&self, slot: &'static Slot<T>) -> Option<&T> {
        let index = slot.index();
        let (_, entry) = self.settled.iter().find(|(known, _)| *known == index)?;
        entry.downcast_ref::<Settled<T>>().map(|settled| &settled.value)
    }

    /// The closed child blocks, in the order of the text.
    pub fn blocks(&self) -> &[Self] {
        &self.blocks
    }

    /// The values of a table to write to, created on first use.
    pub fn written_mut<T: Group>(&mut self, slot: &'static Slot<T>) -> &mut T::Written {
        let index = slot.index();
        let at = self.written.iter().position(|(known, _)| *known == index);
        let at = at.unwrap_or_else(|| {
            self.written.push((index, Box::<T::Written>::default()));
            self.written.len() - 1
        });
        self.written[at].1.downcast_mut().expect("a slot holds its own table's type")
    }

    /// Takes the values of the table with that slot.
    pub(crate) fn take_written(&mut self, index: usize) -> Option<Box<dyn Any + Send>> {
        let at = self.written.iter().position(|(known, _)| *known == index)?;
        Some(self.written.swap_remove(at).1)
    }
}

/// The surroundings of the directive being set.
pub struct Cx<'a> {
    pub(crate) env: &'a dyn Environment,
    pub(crate) state: &'a mut State,
}

impl Cx<'_> {
    /// The context of the directive's block.
    pub fn context(&self) -> Contexts {
        self.state.settling.as_ref().map_or_else(|| self.state.top().context, |here| here.context)
    }

    /// The outside world.
    pub fn env(&self) -> &dyn Environment {
        self.env
    }

    /// The registry of that type, created on first use; it lives as long as the assembly.
    pub fn registry<T: Default + Send + 'static>(&mut self) -> &mut T {
        self.state.registries.entry()
    }

    /// A warning at this directive.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.error(Fault::new(message).severity(Severity::Warn));
    }

    /// A warning that the directive has no effect. Warnings of one wording are reported once, with
    /// the number of places.
    pub fn no_effect(&mut self, message: impl Into<String>) {
        self.state.no_effect(message.into());
    }

    /// The same about what stands at another place, or at none.
    pub fn no_effect_at(&mut self, place: Option<Span>, message: impl Into<String>) {
        self.state.no_effect_at(message.into(), place);
    }

    /// A fault at this directive, without ending the setter.
    pub fn error(&mut self, fault: Fault) {
        self.state.fault(fault);
    }

    /// Records a module that `load_module` asked for and Weir lacks: unknown directives may belong
    /// to it.
    pub fn missing_module(&mut self, name: String) {
        self.state.missing_modules.push(name);
    }

    /// Reports a finished message.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.state.report(diagnostic);
    }

    /// A path relative to the directory of the main file: certificates, password files, includes.
    pub fn conf_path(&self, path: &str) -> PathBuf {
        full_name(&self.state.conf_prefix, path).into()
    }

    /// A path relative to the prefix: logs, roots, directories for temporary files.
    pub fn prefix_path(&self, path: &str) -> PathBuf {
        full_name(&self.state.prefix, path).into()
    }

    /// In `finish`: reserves its result for this block. Otherwise child blocks of one context
    /// without own directives of the table share the result of the first.
    pub fn settle_alone(&self) {
        self.state.settle_alone();
    }

    /// The block of the directive.
    pub fn block_id(&self) -> BlockId {
        self.settle_alone();
        self.state.settling.as_ref().map_or_else(|| self.state.top().id, |here| here.id)
    }

    /// The block that the directive is about to open; its own block if it opens none.
    pub fn child_id(&self) -> BlockId {
        self.state.child.as_ref().map_or_else(|| self.block_id(), |child| child.id)
    }

    /// The block that the directive is about to open, for openers that write into it.
    pub fn child(&mut self) -> Option<&mut Open> {
        self.state.child.as_mut()
    }

    /// The open blocks, main first, the directive's own last. Empty during the merge.
    pub fn blocks(&self) -> &[Open] {
        if self.state.settling.is_some() { &[] } else { &self.state.open }
    }

    /// The values that another table's directives wrote into this block so far. While a setter
    /// runs, it holds its own table, so asking for that one here gives an empty one.
    pub fn written<T: Group>(&mut self, slot: &'static Slot<T>) -> &mut T::Written {
        self.state.top_mut().written_mut(slot)
    }

    /// The directive's place.
    pub fn span(&self) -> Span {
        self.state.span
    }

    /// The texts read so far.
    pub fn sources(&self) -> &SourceMap {
        &self.state.sources
    }

    /// Moves on to a row of a raw block: messages get that row's place.
    pub fn row(&mut self, row: &Node) {
        self.state.tell_faults_before(row.order);
        self.state.place(row);
    }

    /// Ends a raw block: messages get the place of its `}`.
    pub fn rows_done(&mut self, node: &Node) {
        self.state.tell_faults_before(u32::MAX);
        self.state.place(node);
        self.state.span = node.close;
    }

    /// In `finish`: the place where a field of the struct was written.
    pub fn origin(&self, field: &str) -> Option<Span> {
        self.state.settling.as_ref()?.origins.get(field)
    }

    /// The place of the directive that opened the directive's block.
    pub fn block_span(&self) -> Span {
        self.settle_alone();
        self.state.settling.as_ref().map_or_else(|| self.state.top().span, |here| here.span)
    }

    /// In `finish`: the prefix of the table's directive names.
    pub fn prefix(&self) -> &'static str {
        self.state.settling.as_ref().map_or("", |here| here.prefix)
    }

    /// In `finish`: the arguments of the block's directive.
    pub fn block_args(&self) -> &[Word] {
        self.settle_alone();
        self.state.settling.as_ref().map_or_else(|| &self.state.top().args, |here| &here.args)
    }
}

/// Prepends the prefix as text to a relative name, as nginx does.
pub(crate) fn full_name(prefix: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{prefix}{path}") }
}
