//! `include`: one file, or all files that match a pattern.

use super::walk::Walk;
use crate::cx::full_name;
use crate::diagnostic::{Fault, Severity};
use crate::environment::errno_text;
use crate::node::{Node, Word};
use crate::parser::{Parsed, parse};
use crate::source::Origin;
use std::io;
use std::path::{Path, PathBuf};

/// The depth of nested includes; nginx stops at its limit of descriptors. The walk is recursive.
const MAX_INCLUDE_DEPTH: usize = 200;
/// The number of files in one configuration.
const MAX_FILES: usize = 20_000;
const IS_A_DIRECTORY: i32 = 21;

impl Walk<'_> {
    /// Walks the files of an `include` among directives.
    pub(super) fn include(&mut self, node: &Node) {
        if let Some(file) = self.include_argument(node) {
            for path in self.included(file) {
                if let Some(parsed) = self.read(&path) {
                    self.walk_parsed(parsed);
                }
                self.state.place(node);
            }
        }
    }

    fn include_argument<'n>(&mut self, node: &'n Node) -> Option<&'n Word> {
        let fault = match (node.args.as_slice(), &node.block) {
            (_, Some(_)) => Fault::new("directive \"include\" is not terminated by \";\""),
            ([file], None) => return Some(file),
            _ => Fault::bad_count(&node.name),
        };
        self.state.fault(fault);
        None
    }

    /// The files that the argument of an `include` names.
    fn included(&mut self, file: &Word) -> Vec<PathBuf> {
        let full = full_name(&self.state.conf_prefix, &file.text());
        if !full.contains(['*', '?', '[']) {
            return vec![full.into()];
        }
        self.env.glob(&full).unwrap_or_else(|error| {
            let message = format!("glob() \"{full}\" failed {}", errno_text(&error));
            self.state.fault(Fault::new(message).at(file));
            Vec::new()
        })
    }

    /// Reads and parses a file; reports a failure at the current directive.
    pub(super) fn read(&mut self, path: &Path) -> Option<Parsed> {
        self.state.files += 1;
        if let Some(limit) = self.exceeded_limit() {
            let fault = Fault::new(format!("\"{}\" is not read: {limit}", path.display()));
            self.state.fault(fault.hint("does a file include itself?"));
            return None;
        }
        match self.env.read(path) {
            Ok(text) => {
                let origin = Origin::File(path.to_string_lossy().into_owned());
                let file = self.state.sources.add(origin, text.clone());
                Some(parse(&text, file))
            }
            Err(error) => {
                self.unreadable(path, &error);
                None
            }
        }
    }

    /// The limit that one more file would exceed.
    fn exceeded_limit(&self) -> Option<String> {
        if self.state.faults.len() > MAX_INCLUDE_DEPTH {
            return Some(format!("includes are nested deeper than {MAX_INCLUDE_DEPTH}"));
        }
        let is_over = self.state.files > MAX_FILES;
        is_over.then(|| format!("the configuration has more than {MAX_FILES} files"))
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let (path, why) = (path.display(), errno_text(error));
        // open(2) succeeds on a directory; nginx fails at the read, and names no place.
        let mut fault = if error.raw_os_error() == Some(IS_A_DIRECTORY) {
            let message = format!("pread() \"{path}\" failed {why}");
            Fault::new(message).severity(Severity::Crit).nowhere()
        } else {
            Fault::new(format!("open() \"{path}\" failed {why}"))
        };
        if self.state.faults.is_empty() {
            fault = fault.nowhere();
        }
        self.state.fault(fault);
    }

    /// Replaces the `include`s in a raw block by the rows of their files. Rows and faults from
    /// several texts get new numbers on one clock.
    pub(super) fn expand(&mut self, node: &mut Node) {
        let nodes = node.block.take().unwrap_or_default();
        if nodes.iter().all(|row| row.block.is_none() && !row.name.is("include")) {
            let faults = self.state.take_faults_before(node.close_order);
            node.block = Some(nodes);
            self.state.faults.push(faults);
            return;
        }
        let mut rows = Expanded::default();
        self.expand_into(nodes, node.close_order, &mut rows);
        node.block = Some(rows.rows);
        self.state.faults.push(rows.faults);
    }

    fn expand_into(&mut self, nodes: Vec<Node>, end: u32, out: &mut Expanded) {
        for node in nodes {
            self.take_faults(node.order, out);
            self.state.place(&node);
            if node.block.is_some() {
                out.fault(Fault::new("unexpected \"{\"").diagnose("", Some(node.span)));
            } else if node.name.is("include") && node.args.len() == 1 {
                self.expand_include(&node, out);
            } else {
                out.clock += 1;
                out.rows.push(Node { order: out.clock, ..node });
            }
        }
        self.take_faults(end, out);
    }

    fn expand_include(&mut self, node: &Node, out: &mut Expanded) {
        let told = self.state.diagnostics.len();
        for path in self.included(&node.args[0]) {
            let parsed = self.read(&path);
            // Messages about the included file come after those of the rows before it.
            for diagnostic in self.state.diagnostics.drain(told.min(self.state.diagnostics.len())..)
            {
                out.clock += 1;
                out.faults.push_back((out.clock, diagnostic));
            }
            if let Some(parsed) = parsed {
                self.state.faults.push(parsed.faults);
                self.expand_into(parsed.nodes, u32::MAX, out);
                self.state.faults.pop();
            }
            self.state.place(node);
        }
    }

    fn take_faults(&mut self, order: u32, out: &mut Expanded) {
        for (_, fault) in self.state.take_faults_before(order) {
            out.fault(fault);
        }
    }
}

/// The content of a raw block, collected from several texts.
#[derive(Default)]
struct Expanded {
    rows: Vec<Node>,
    faults: std::collections::VecDeque<(u32, crate::diagnostic::Diagnostic)>,
    clock: u32,
}

impl Expanded {
    fn fault(&mut self, diagnostic: crate::diagnostic::Diagnostic) {
        self.clock += 1;
        self.faults.push_back((self.clock, diagnostic));
    }
}
