//! Assembly: from files and tables to the tree of blocks with their settings.

mod advice;
mod include;
pub(crate) mod lookup;
mod merge;
pub(crate) mod state;
mod walk;

use crate::context::Contexts;
use crate::cx::{BlockId, Open};
use crate::diagnostic::Diagnostic;
use crate::environment::{Environment, Memory, Refused};
use crate::node::Word;
use crate::settings::Settings;
use crate::source::{Origin, SourceMap, Span};
use crate::table::Table;
use crate::type_map::TypeMap;
use lookup::Lookup;
use state::State;
use std::path::Path;
use walk::Walk;

/// A block of the finished configuration. A clone shares the settings.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Unique in this assembly.
    pub id: BlockId,
    /// Its context, which decides the directives allowed in it.
    pub context: Contexts,
    /// The name of its directive; empty for main.
    pub name: String,
    /// The arguments of its directive.
    pub args: Vec<Word>,
    /// The place of its directive.
    pub span: Span,
    /// Its closing brace.
    pub close: Span,
    /// The values in force in it.
    pub settings: Settings,
    /// Its child blocks, in the order of the text.
    pub blocks: Vec<Self>,
}

impl Block {
    /// The child blocks of one context.
    pub fn children(&self, context: Contexts) -> impl Iterator<Item = &Self> {
        self.blocks.iter().filter(move |block| block.context == context)
    }

    /// This block and all its descendants, outer blocks first.
    pub fn walk(&self) -> Vec<&Self> {
        let mut all = Vec::new();
        let mut left = vec![self];
        while let Some(block) = left.pop() {
            all.push(block);
            left.extend(block.blocks.iter().rev());
        }
        all
    }
}

/// A configuration that has been read. Use it only if it is [`ok`](Self::ok).
pub struct Assembly {
    /// The block main.
    pub root: Block,
    /// The registries that the setters filled.
    pub registries: TypeMap,
    /// Every text read.
    pub sources: SourceMap,
    /// The messages in nginx's order.
    pub diagnostics: Vec<Diagnostic>,
}

impl Assembly {
    /// Whether the configuration can be used: it has no fatal message.
    pub fn ok(&self) -> bool {
        !self.diagnostics.iter().any(|diagnostic| diagnostic.severity.is_fatal())
    }

    /// The messages in nginx's one-line form.
    pub fn one_lines(&self) -> Vec<String> {
        self.diagnostics.iter().map(|diagnostic| diagnostic.one_line(&self.sources)).collect()
    }
}

/// Assembles one text without a file system, for tests and for self-contained text.
pub fn assemble_text(tables: &[&'static Table], text: &str) -> Assembly {
    let env = Memory::default().with("/nginx.conf", text);
    assemble(tables, Path::new("/nginx.conf"), Path::new("/"), None, &env)
}

/// Reads the main file and its includes. `prefix` is the argument of `-p`, `globals` that of `-g`;
/// the globals are read first, as in nginx.
pub fn assemble(
    tables: &[&'static Table],
    main_file: &Path,
    prefix: &Path,
    globals: Option<&str>,
    env: &dyn Environment,
) -> Assembly {
    assemble_with(TypeMap::default(), tables, main_file, prefix, globals, env)
}

/// Same as [`assemble`], with registries that are filled in advance.
pub fn assemble_with(
    registries: TypeMap,
    tables: &[&'static Table],
    main_file: &Path,
    prefix: &Path,
    globals: Option<&str>,
    env: &dyn Environment,
) -> Assembly {
    let lookup = Lookup::new(tables);
    let mut state = State::new(tables.len(), main_file, prefix);
    state.registries = registries;
    state.open.push(Open { context: Contexts::MAIN, ..Open::default() });
    let refused = Refused(env);
    let mut walk = Walk { env, refused: &refused, tables, lookup: &lookup, state: &mut state };
    if let Some(text) = globals.filter(|text| !text.is_empty()) {
        walk.text(Origin::CommandLine, text.as_bytes().into());
    }
    walk.main_file(main_file);
    walk.settle_main();
    state.count_idle();
    let root = state.open.pop().unwrap_or_default();
    let root = merge::finished(root, None);
    let State { registries, sources, diagnostics, .. } = state;
    Assembly { root, registries, sources, diagnostics }
}
