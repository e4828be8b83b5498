//! Directives of nginx that this version accepts and does not act on, grouped by module.
//!
//! Each is read and checked as nginx does it, and accepted with a warning. A row goes when its
//! module comes; a row elsewhere with the same name and context is preferred anyway. What guards
//! access has no row here: a configuration that relies on it is refused rather than served without.

mod cache;
mod content;
mod filters;
mod mail;
mod main;
mod modules;
mod servers;
mod stream;
mod transport;
mod upstreams;
pub mod variables;
mod versions;

use std::sync::Arc;

use weir_conf::{Block, Contexts, Settings, Table};
use weir_upstream::ResolverConfig;

pub use content::PENDING_CONTENT;

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

/// The name servers that `stream {}` names, with their timeout in milliseconds.
pub(crate) fn stream_resolver(root: &Block) -> Option<(ResolverConfig, u64)> {
    stream::resolver(&root.blocks.iter().find(|block| block.context == Contexts::STREAM)?.settings)
}

/// The directive that would serve the content of a block and is not supported, if there is one.
pub(crate) fn content(settings: &Settings) -> Option<Arc<str>> {
    settings.get(&PENDING_CONTENT).content.clone()
}
