//! What changes while a configuration is assembled.

use super::lookup::Known;
use crate::context::Contexts;
use crate::cx::{BlockId, Open};
use crate::diagnostic::{Diagnostic, Fault, Severity};
use crate::node::{Node, Word};
use crate::source::{SourceMap, Span};
use crate::table::Origins;
use crate::type_map::TypeMap;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// More warnings, or more faults, help nobody; one last message says that there are more.
const MAX_DIAGNOSTICS: usize = 500;

/// The block whose values are being merged.
pub(crate) struct Settling {
    pub(crate) context: Contexts,
    pub(crate) id: BlockId,
    pub(crate) span: Span,
    /// What stands before the names of the table's directives.
    pub(crate) prefix: &'static str,
    pub(crate) args: Vec<Word>,
    pub(crate) origins: Arc<Origins>,
    /// What comes of it is for this block alone: something was said about it, or `finish` has asked
    /// which block it is.
    pub(crate) own: Cell<bool>,
}

pub(crate) struct State {
    pub(crate) sources: SourceMap,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) registries: TypeMap,
    /// The folder of the main file, with its slash.
    pub(crate) conf_prefix: String,
    /// The prefix, with its slash.
    pub(crate) prefix: String,
    /// The open blocks, main first; never empty while directives are set.
    pub(crate) open: Vec<Open>,
    /// The block that the current directive opens.
    pub(crate) child: Option<Open>,
    pub(crate) settling: Option<Settling>,
    /// The current directive.
    pub(crate) span: Span,
    pub(crate) name: String,
    /// Whether the current setter has reported something grave itself.
    pub(crate) failed: bool,
    /// The parse faults not told yet, of each text being walked, the innermost last.
    pub(crate) faults: Vec<VecDeque<(u32, Diagnostic)>>,
    /// Tables one of whose setters failed: their `finish` would only report what follows from it.
    pub(crate) poisoned: Vec<bool>,
    /// Files read so far.
    pub(crate) files: usize,
    /// Modules that were to be loaded and are not there.
    pub(crate) missing_modules: Vec<String>,
    blocks: u32,
    /// Warnings and faults so far.
    told: [usize; 2],
    /// What is without effect: the place of its message among the diagnostics, and how often.
    idle: HashMap<String, (usize, usize)>,
}

impl State {
    pub(crate) fn new(tables: usize, main_file: &Path, prefix: &Path) -> Self {
        let main_file = main_file.to_string_lossy();
        let slash = main_file.rfind('/').map_or(0, |at| at + 1);
        let mut prefix = prefix.to_string_lossy().into_owned();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        Self {
            sources: SourceMap::default(),
            diagnostics: Vec::new(),
            registries: TypeMap::default(),
            conf_prefix: main_file[..slash].to_owned(),
            prefix,
            open: Vec::new(),
            child: None,
            settling: None,
            span: Span::default(),
            name: String::new(),
            failed: false,
            faults: Vec::new(),
            poisoned: vec![false; tables],
            files: 0,
            missing_modules: Vec::new(),
            blocks: 0,
            told: [0; 2],
            idle: HashMap::new(),
        }
    }

    pub(crate) fn top(&self) -> &Open {
        self.open.last().expect("main is open as long as directives are set")
    }

    pub(crate) fn top_mut(&mut self) -> &mut Open {
        self.open.last_mut().expect("main is open as long as directives are set")
    }

    /// Notes a directive that was taken, for those of its row that come after it.
    pub(super) fn note_first(&mut self, known: Known, span: Span) {
        let Some(open) = self.open.last_mut() else { return };
        if !open.firsts.iter().any(|(first, _)| first.is(known)) {
            open.firsts.push((known, span));
        }
    }

    /// The first directive of that row in the open block.
    pub(super) fn first_like(&self, known: Known) -> Option<Span> {
        let firsts = &self.open.last()?.firsts;
        firsts.iter().find(|(first, _)| first.is(known)).map(|(_, span)| *span)
    }

    pub(crate) fn next_id(&mut self) -> BlockId {
        self.blocks += 1;
        BlockId(self.blocks)
    }

    /// Makes a directive the current one.
    pub(crate) fn place(&mut self, node: &Node) {
        self.span = node.span;
        self.name.clear();
        self.name.push_str(&node.text());
    }

    /// A fault at the current directive.
    pub(crate) fn fault(&mut self, fault: Fault) {
        let diagnostic = fault.diagnose(&self.name, Some(self.span));
        self.report(diagnostic);
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        let fatal = diagnostic.severity.is_fatal();
        self.failed |= fatal;
        self.settle_alone();
        // What is wrong with values that are inherited is so in every block that inherits them.
        if fatal && self.settling.is_some() && self.diagnostics.contains(&diagnostic) {
            return;
        }
        let told = &mut self.told[usize::from(fatal)];
        *told += 1;
        match (*told).cmp(&MAX_DIAGNOSTICS) {
            Ordering::Less => self.diagnostics.push(diagnostic),
            Ordering::Equal => {
                let message = "too many messages, the rest is left out";
                self.diagnostics.push(Diagnostic::new(diagnostic.severity, message, None));
            }
            Ordering::Greater => {}
        }
    }

    /// A warning at the current directive that something has no effect. Those of one wording are
    /// told once, at the first place, since one included file may hold thirty of them.
    pub(crate) fn no_effect(&mut self, message: String) {
        self.settle_alone();
        if let Some((_, times)) = self.idle.get_mut(&message) {
            *times += 1;
            return;
        }
        let at = self.diagnostics.len();
        self.report(Diagnostic::new(Severity::Warn, message.clone(), Some(self.span)));
        if self.diagnostics.len() > at {
            self.idle.insert(message, (at, 1));
        }
    }

    /// Adds to the warnings of [`no_effect`](Self::no_effect) how often each holds.
    pub(crate) fn count_idle(&mut self) {
        for (message, (at, times)) in std::mem::take(&mut self.idle) {
            if times > 1 {
                self.diagnostics[at].message = format!("{message}, {times} times, first");
            }
        }
    }

    /// Whether further faults are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.told[1] >= MAX_DIAGNOSTICS
    }

    /// Takes out the parse faults that come before a moment of the innermost text.
    pub(crate) fn take_faults_before(&mut self, order: u32) -> VecDeque<(u32, Diagnostic)> {
        let mut taken = VecDeque::new();
        if let Some(faults) = self.faults.last_mut() {
            while let Some(fault) = faults.pop_front_if(|(moment, _)| *moment < order) {
                taken.push_back(fault);
            }
        }
        taken
    }

    /// Tells the parse faults that come before a moment of the innermost text.
    pub(crate) fn tell_faults_before(&mut self, order: u32) {
        while let Some(fault) = self
            .faults
            .last_mut()
            .and_then(|faults| faults.pop_front_if(|(moment, _)| *moment < order))
        {
            self.report(fault.1);
        }
    }

    /// The values being merged are for their block alone, if any are.
    pub(crate) fn settle_alone(&self) {
        if let Some(settling) = &self.settling {
            settling.own.set(true);
        }
    }

    pub(crate) fn set_origins(&mut self, origins: &Arc<Origins>) {
        if let Some(settling) = &mut self.settling {
            settling.origins = Arc::clone(origins);
        }
    }
}
