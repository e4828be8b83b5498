//! Directives of nginx that this version accepts without effect, by module.
//!
//! Each is checked as in nginx, and accepted with a warning. A row goes when its module comes; a
//! row elsewhere with the same name and context takes precedence anyway. Access control has no rows
//! here: a configuration that relies on it is refused rather than served without.

pub(crate) mod content;
mod mail;
mod main;
mod servers;
pub(crate) mod stream;
mod transport;
mod upstreams;
pub mod variables;
mod versions;

use weir_conf::Table;

use content::PENDING_CONTENT;

/// The tables of pending directives, by part. They come after all other tables.
const PARTS: &[&[&Table]] = &[
    upstreams::TABLES,
    versions::TABLES,
    stream::TABLES,
    mail::TABLES,
    &[
        &main::MAIN,
        &main::Events::table(&main::EVENTS).unsupported(),
        &main::Quic::table(&main::QUIC).unsupported(),
        &content::Content::table(&PENDING_CONTENT),
    ],
];

/// The tables of pending directives.
pub fn tables() -> impl Iterator<Item = &'static Table> {
    PARTS.iter().flat_map(|part| part.iter().copied())
}
