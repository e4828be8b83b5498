//! The mutable state of an assembly.

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

/// The limit of warnings, and of faults; one last message reports the cut.
const MAX_DIAGNOSTICS: usize = 500;

/// The block whose values are being merged.
pub(crate) struct Settling {
    pub(crate) context: Contexts,
    pub(crate) id: BlockId,
    pub(crate) span: Span,
    /// The prefix of the table's directive names.
    pub(crate) prefix: &'static str,
    pub(crate) args: Vec<Word>,
    pub(crate) origins: Arc<Origins>,
    /// The result belongs to this block alone: a message was reported about the block, or `finish`
    /// asked which block it is.
    pub(crate) own: Cell<bool>,
}

pub(crate) struct State {
    pub(crate) sources: SourceMap,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) registries: TypeMap,
    /// The directory of the main file, with a trailing slash.
    pub(crate) conf_prefix: String,
    /// The prefix, with a trailing slash.
    pub(crate) prefix: String,
    /// The open blocks, main first; never empty while directives are set.
    pub(crate) open: Vec<Open>,
    /// The block that the current directive opens.
    pub(crate) child: Option<Open>,
    pub(crate) settling: Option<Settling>,
    /// The place of the current directive.
    pub(crate) span: Span,
    pub(crate) name: String,
    /// Whether the current setter has reported a fatal message itself.
    pub(crate) failed: bool,
    /// The parse faults not reported yet, a queue per text being walked, innermost last.
    pub(crate) faults: Vec<VecDeque<(u32, Diagnostic)>>,
    /// Whether a setter of the table failed: its `finish` would only report consequences.
    pub(crate) poisoned: Vec<bool>,
    /// Files read so far.
    pub(crate) files: usize,
    /// Names of modules that `load_module` asked for and Weir lacks.
    pub(crate) missing_modules: Vec<String>,
    blocks: u32,
    /// The number of warnings and of faults reported.
    told: [usize; 2],
    /// Warnings without effect, by wording: the index among the diagnostics, and the number of
    /// occurrences.
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

    /// Records an accepted directive as the first of its row, unless the block has one.
    pub(super) fn note_first(&mut self, known: Known, span: Span) {
        let Some(open) = self.open.last_mut() else { return };
        if !open.firsts.iter().any(|(first, _)| first.is(known)) {
            open.firsts.push((known, span));
        }
    }

    /// The place of the first directive of this row in the open block.
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
        // Inherited values have the same fault in every block that inherits them; one report
        // suffices.
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

    /// A warning that the current directive has no effect.
    pub(crate) fn no_effect(&mut self, message: String) {
        self.no_effect_at(message, Some(self.span));
    }

    /// A warning that what stands at `place` has no effect. Warnings of one wording are reported
    /// once, at the first place, since one included file may cause thirty.
    pub(crate) fn no_effect_at(&mut self, message: String, place: Option<Span>) {
        self.settle_alone();
        if let Some((_, times)) = self.idle.get_mut(&message) {
            *times += 1;
            return;
        }
        let at = self.diagnostics.len();
        self.report(Diagnostic::new(Severity::Warn, message.clone(), place));
        if self.diagnostics.len() > at {
            self.idle.insert(message, (at, 1));
        }
    }

    /// Appends the number of occurrences to the warnings of [`no_effect`](Self::no_effect).
    pub(crate) fn count_idle(&mut self) {
        for (message, (at, times)) in std::mem::take(&mut self.idle) {
            if times > 1 {
                self.diagnostics[at].message = format!("{message}, {times} times, first");
            }
        }
    }

    /// Whether the limit of faults is reached; further faults are dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.told[1] >= MAX_DIAGNOSTICS
    }

    /// Takes the parse faults of the innermost text before `order` on its clock.
    pub(crate) fn take_faults_before(&mut self, order: u32) -> VecDeque<(u32, Diagnostic)> {
        let mut taken = VecDeque::new();
        if let Some(faults) = self.faults.last_mut() {
            while let Some(fault) = faults.pop_front_if(|(moment, _)| *moment < order) {
                taken.push_back(fault);
            }
        }
        taken
    }

    /// Reports the parse faults of the innermost text before `order` on its clock.
    pub(crate) fn tell_faults_before(&mut self, order: u32) {
        while let Some(fault) = self
            .faults
            .last_mut()
            .and_then(|faults| faults.pop_front_if(|(moment, _)| *moment < order))
        {
            self.report(fault.1);
        }
    }

    /// Reserves the values being merged, if any, for their block alone.
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
