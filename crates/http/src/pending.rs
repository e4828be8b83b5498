//! Directives of nginx that this version accepts and does not act on, grouped by module.
//!
//! Each is read and checked as nginx does it, and accepted with a warning. A row goes when its
//! module comes; a row elsewhere with the same name and context is preferred anyway. What guards
//! access has no row here: a configuration that relies on it is refused rather than served without.

mod cache;
pub(crate) mod content;
mod filters;
mod mail;
mod main;
mod modules;
mod servers;
pub(crate) mod stream;
mod transport;
mod upstreams;
pub mod variables;
mod versions;

use weir_conf::Table;

use content::PENDING_CONTENT;

/// The tables of what is pending, a part each. They come behind all other tables.
const PARTS: &[&[&Table]] = &[
    upstreams::TABLES,
    cache::TABLES,
    versions::TABLES,
    stream::TABLES,
    mail::TABLES,
    &[
        &modules::Dav::table(&modules::DAV).unsupported(),
        &modules::Mp4::table(&modules::MP4).unsupported(),
        &modules::MODULES,
        &filters::FILTERS,
        &main::MAIN,
        &main::Events::table(&main::EVENTS).unsupported(),
        &main::Quic::table(&main::QUIC).unsupported(),
        &content::Content::table(&PENDING_CONTENT),
    ],
];

/// The tables of what is pending.
pub fn tables() -> impl Iterator<Item = &'static Table> {
    PARTS.iter().flat_map(|part| part.iter().copied())
}
