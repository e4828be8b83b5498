//! The modules of the process: the directives outside of `http` and `stream`.

pub(crate) mod core;
pub(crate) mod events;

use weir_conf::Table;

/// Their directive tables.
pub(crate) const TABLES: &[&Table] = &[&core::TABLE, &events::BLOCK_TABLE, &events::TABLE];
