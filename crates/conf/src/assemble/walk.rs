//! The walk over the tree, directive by directive, in the order of the text.

use super::lookup::{Found, Known, Lookup};
use super::state::State;
use crate::context::Contexts;
use crate::cx::{Cx, Open};
use crate::diagnostic::Fault;
use crate::environment::Environment;
use crate::foreign::{Foreign, ForeignModules};
use crate::node::Node;
use crate::parser::{MAX_DEPTH, Parsed, parse_parameter};
use crate::source::Origin;
use crate::table::{Body, Setter, Table};
use std::path::Path;
use std::sync::Arc;

pub(super) struct Walk<'a> {
    pub(super) env: &'a dyn Environment,
    /// The environment after a failed setter: reads for further faults, without DNS.
    pub(super) refused: &'a dyn Environment,
    pub(super) tables: &'a [&'static Table],
    pub(super) lookup: &'a Lookup,
    pub(super) state: &'a mut State,
}

impl Walk<'_> {
    pub(super) fn cx(&mut self) -> Cx<'_> {
        let env = if self.state.failed { self.refused } else { self.env };
        Cx { env, state: self.state }
    }

    pub(super) fn main_file(&mut self, path: &Path) {
        if let Some(parsed) = self.read(path) {
            self.walk_parsed(parsed);
        }
    }

    /// The argument of `-g`.
    pub(super) fn text(&mut self, origin: Origin, text: Arc<[u8]>) {
        let file = self.state.sources.add(origin, Arc::clone(&text));
        let parsed = parse_parameter(&text, file);
        self.walk_parsed(parsed);
    }

    pub(super) fn walk_parsed(&mut self, parsed: Parsed) {
        self.state.faults.push(parsed.faults);
        self.walk(parsed.nodes);
        self.state.tell_faults_before(u32::MAX);
        self.state.faults.pop();
    }

    fn walk(&mut self, nodes: Vec<Node>) {
        for node in nodes {
            self.state.tell_faults_before(node.order);
            self.state.place(&node);
            if node.name.is("include") {
                self.include(&node);
            } else {
                self.directive(node);
            }
        }
    }

    fn directive(&mut self, node: Node) {
        let context = self.state.top().context;
        let told = self.state.diagnostics.len();
        match self.lookup.find(&node.text(), context) {
            Found::Here(known) => match misshapen(&node, known) {
                Some(fault) => {
                    self.state.poisoned[known.table] = true;
                    self.state.fault(fault);
                    self.advise(told, &node, Some(known));
                }
                None => self.apply(node, known),
            },
            Found::Elsewhere(contexts) => {
                let message = format!("\"{}\" directive is not allowed here", node.name.shown());
                let fault = Fault::new(message).at(&node.name);
                self.state.fault(fault.hint(format!("allowed in: {contexts}")));
            }
            Found::Unknown => {
                if self.is_lacking(&node) {
                    return;
                }
                let full = self.state.is_full();
                let meant = if full { None } else { self.lookup.meant(&node.text(), context) };
                let module = missing_module(&self.state.missing_modules, &node.text());
                self.state.fault(unknown(&node, module, meant));
                self.advise(told, &node, None);
            }
        }
    }

    /// Reports a directive that a lacking module is known to have: the fault in nginx's words, and
    /// what to use instead. Returns whether it is one.
    fn is_lacking(&mut self, node: &Node) -> bool {
        let foreign = self.state.registries.get::<ForeignModules>();
        let Some(foreign) = foreign.and_then(|known| known.with_directive(&node.text())) else {
            return false;
        };
        self.state.fault(unknown(node, None, None));
        let Foreign { name, instead, .. } = foreign;
        self.state.no_effect(format!("weir lacks {name} and its directives, {instead}"));
        true
    }

    fn apply(&mut self, mut node: Node, known: Known) {
        if known.pending {
            let message =
                format!("\"{}\" directive is not supported yet and has no effect", node.text());
            self.state.no_effect(message);
        }
        if known.row.pending {
            if let Some(check) = known.row.set
                && let Err(fault) = check(&mut (), &node, &mut self.cx())
            {
                self.state.fault(fault);
            }
            return;
        }
        match known.row.body {
            Body::Opens(context) => self.open(node, known, context),
            Body::Raw => {
                self.expand(&mut node);
                self.state.place(&node);
                self.set(&node, known, known.row.set);
                self.state.tell_faults_before(u32::MAX);
                self.state.faults.pop();
            }
            Body::None | Body::Ignored => self.set(&node, known, known.row.set),
        }
    }

    /// Runs a setter on the current block's written values of its table.
    fn set(&mut self, node: &Node, known: Known, setter: Option<Setter>) {
        let (Some(setter), Some(slot)) = (setter, self.tables[known.table].slot) else { return };
        let index = slot.index();
        let written = self.state.top_mut().take_written(index);
        let mut written = written.unwrap_or_else(self.tables[known.table].create);
        self.state.failed = false;
        let told = self.state.diagnostics.len();
        if let Err(fault) = setter(written.as_mut(), node, &mut self.cx()) {
            self.state.fault(fault);
        }
        if self.state.failed {
            self.advise(told, node, Some(known));
        } else {
            self.state.note_first(known, node.span);
        }
        self.state.poisoned[known.table] |= self.state.failed;
        self.state.top_mut().written.push((index, written));
    }

    fn open(&mut self, mut node: Node, known: Known, context: Contexts) {
        let content = node.block.take().unwrap_or_default();
        // A file has fewer, but its includes may go on.
        if self.state.open.len() > MAX_DEPTH {
            return self.state.fault(Fault::new("too many nested blocks").at(&node.name));
        }
        let child = Open {
            id: self.state.next_id(),
            context,
            name: node.text().into_owned(),
            args: node.args.clone(),
            span: node.span,
            close: node.close,
            ..Open::default()
        };
        self.state.child = Some(child);
        self.set(&node, known, known.row.set);
        let Some(child) = self.state.child.take() else { return };
        self.state.open.push(child);
        self.walk(content);
        self.state.tell_faults_before(node.close_order);
        self.state.place(&node);
        self.state.span = node.close;
        if known.row.then.is_some() {
            self.set(&node, known, known.row.then);
        }
        let mut child = self.state.open.pop().unwrap_or_default();
        child.firsts = Vec::new();
        if self.state.open.len() == 1 {
            self.settle_block(&mut child);
            child = self.after(&node, known, child);
        }
        self.state.top_mut().blocks.push(child);
    }

    /// Runs the `after` check of a merged block.
    fn after(&mut self, node: &Node, known: Known, block: Open) -> Open {
        let Some(after) = known.row.after else { return block };
        self.state.place(node);
        self.state.span = node.close;
        self.state.open.push(block);
        if let Err(fault) = after(node, &mut self.cx()) {
            self.state.fault(fault);
        }
        self.state.open.pop().unwrap_or_default()
    }
}

/// The faults that nginx finds before it calls a directive's setter: terminator and number of
/// arguments.
fn misshapen(node: &Node, known: Known) -> Option<Fault> {
    let name = node.text();
    let wants_block = known.row.body != Body::None;
    if !wants_block && node.block.is_some() {
        let message = format!("directive \"{name}\" is not terminated by \";\"");
        return Some(Fault::new(message).hint("a \";\" may be missing before this line"));
    }
    if wants_block && node.block.is_none() {
        return Some(Fault::new(format!("directive \"{name}\" has no opening \"{{\"")));
    }
    if known.row.arity.allows(node.args.len()) {
        return None;
    }
    let fault = Fault::bad_count(&node.name);
    let syntax = known.row.syntax;
    Some(if syntax.is_empty() { fault } else { fault.hint(format!("syntax: {name} {syntax}")) })
}

/// The missing module that the directive seems to belong to: their names share a word.
fn missing_module(missing: &[String], directive: &str) -> Option<String> {
    const COMMON: &[&str] = &["http", "stream", "ngx", "module", "filter", "set", "pass", "by"];
    let of = |module: &str| module.split(['_', '-']).map(str::to_owned).collect::<Vec<_>>();
    let words: Vec<&str> = directive.split('_').filter(|word| !COMMON.contains(word)).collect();
    let has = |module: &&String| of(module).iter().any(|word| words.contains(&word.as_str()));
    missing.iter().find(has).cloned()
}

fn unknown(node: &Node, module: Option<String>, meant: Option<String>) -> Fault {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let fault = Fault::new(format!("unknown directive \"{}\"", node.name.shown())).at(&node.name);
    if node.name.value.starts_with(BYTE_ORDER_MARK) {
        return fault.hint("the file begins with a byte order mark; save it without one");
    }
    if let Some(module) = module {
        return fault.hint(format!("it may belong to {module}, which cannot be loaded"));
    }
    match meant {
        Some(meant) => fault.hint(format!("did you mean \"{meant}\"?")),
        None => fault,
    }
}
