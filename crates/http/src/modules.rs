//! Every module, in order. **The order has meaning**: handlers of a phase are asked, header
//! filters run, and body filters are chained in the order of this list.

use weir_conf::Table;

use crate::module::Module;
use crate::variables::{self, VariableRow};

mod geo;
mod headers;
mod index;
mod map;
mod not_modified;
mod proxy;
mod range;
mod rewrite;
mod split_clients;
mod static_files;

/// All modules. Filters come first, then what answers or judges requests.
#[rustfmt::skip]
pub const MODULES: &[&Module] = &[
    &not_modified::MODULE,
    &headers::MODULE,
    &range::MODULE,
    &proxy::MODULE,
    &rewrite::MODULE,
    &split_clients::MODULE,
    &map::MODULE,
    &geo::MODULE,
    &index::MODULE,
    &static_files::MODULE,
];

/// Every table of the crate, for the assembly.
pub fn tables() -> Vec<&'static Table> {
    let modules = MODULES.iter().flat_map(|module| module.tables.iter().copied());
    crate::core::TABLES
        .iter()
        .copied()
        .chain(modules)
        .chain(weir_upstream::tables())
        .chain(crate::pending::TABLES.iter().copied())
        .collect()
}

/// Every built-in variable.
pub fn variable_rows() -> impl Iterator<Item = &'static VariableRow> {
    variables::ROWS.iter().chain(MODULES.iter().flat_map(|module| module.variables))
}
