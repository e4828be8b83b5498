//! Directives of nginx that this version accepts and does not act on, grouped by module.
//!
//! Each is accepted with a warning. A row goes when its module comes; a row elsewhere with the same
//! name and context is preferred anyway. What guards access has no row here: a configuration that
//! relies on it is refused rather than served without.

mod content;
mod filters;
mod mail;
mod main;
mod modules;
mod protocols;
mod proxy;
mod stream;
pub mod variables;

use std::sync::Arc;

use weir_conf::{Settings, Table};

pub use content::PENDING_CONTENT;

/// The tables of what is pending. They come behind all other tables.
pub const TABLES: &[&Table] = &[
    &protocols::FASTCGI,
    &protocols::UWSGI,
    &protocols::SCGI,
    &protocols::GRPC,
    &protocols::OTHERS,
    &proxy::PROXY,
    &filters::FILTERS,
    &modules::MODULES,
    &modules::VERSIONS,
    &main::MAIN,
    &content::Content::table(&PENDING_CONTENT),
    &stream::Stream::table(&stream::STREAM),
    &mail::Mail::table(&mail::MAIL),
];

/// The directive that would serve the content of a block and is not supported, if there is one.
pub(crate) fn content(settings: &Settings) -> Option<Arc<str>> {
    settings.get(&PENDING_CONTENT).content.clone()
}
