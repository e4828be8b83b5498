//! Directives of nginx that this version accepts without effect, by module.
//!
//! Each is checked as in nginx, and accepted with a warning. A row goes when its module comes; a
//! row elsewhere with the same name and context takes precedence anyway. Access control has no rows
//! here: a configuration that relies on it is refused rather than served without.

mod mail;
mod main;
mod servers;
pub(crate) mod stream;
mod transport;
pub mod variables;
mod versions;

use weir_conf::Table;

/// The tables of pending directives, by part. They come after all other tables.
const PARTS: &[&[&Table]] = &[
    versions::TABLES,
    stream::TABLES,
    mail::TABLES,
    &[
        &main::MAIN,
        &main::Events::table(&main::EVENTS).unsupported(),
        &main::Quic::table(&main::QUIC).unsupported(),
    ],
];

/// The tables of pending directives.
pub fn tables() -> impl Iterator<Item = &'static Table> {
    PARTS.iter().flat_map(|part| part.iter().copied())
}
