//! The configuration language: from the bytes of `nginx.conf` to typed settings with positions.
//!
//! The crate implements no directive itself, except `include`. Modules describe theirs with
//! [`directives!`]; [`assemble()`] reads the files, walks the blocks, runs the setters and merges
//! the levels. Faults are collected; the first is the one at which nginx stops.
#![forbid(unsafe_code)]

pub mod assemble;
pub mod context;
pub mod cx;
pub mod diagnostic;
pub mod dump;
pub mod environment;
pub mod foreign;
pub mod layout;
mod lexer;
pub mod node;
pub mod parser;
pub mod reference;
pub mod settings;
pub mod source;
mod suggest;
pub mod table;
pub mod type_map;
pub mod value;

pub use assemble::{Assembly, Block, assemble, assemble_text, assemble_with};
pub use context::Contexts;
pub use cx::{BlockId, Cx, Open};
pub use diagnostic::{Diagnostic, Fault, Severity};
pub use dump::dump;
pub use environment::{Environment, LogFile};
pub use foreign::{Foreign, ForeignModules};
pub use layout::Layout;
pub use node::{Node, Word};
pub use parser::fuzz;
pub use settings::{Settings, Settled};
pub use source::{FileId, Places, SourceMap, Span};
pub use suggest::nearest;
pub use table::field::{Field, Inherit, Local, Many, RowField};
pub use table::{Arity, Body, Group, Origins, Row, Slot, Table, Written};
pub use type_map::TypeMap;
pub use value::Value;
