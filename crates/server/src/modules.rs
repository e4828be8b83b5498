//! The modules of the process itself: what stands in a configuration outside of `http` and
//! `stream`.

pub(crate) mod core;
pub(crate) mod events;

use weir_conf::Table;

/// Their tables.
pub(crate) const TABLES: &[&Table] = &[&core::TABLE, &events::BLOCK_TABLE, &events::TABLE];
