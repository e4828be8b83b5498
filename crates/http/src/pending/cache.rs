//! The caches of protocols that are not supported yet. Their directives are checked, but nothing is
//! cached.

use weir_conf::{Slot, Table};

use crate::cache::settings::Caching;

static FASTCGI: Slot<Caching> = Slot::new();
static UWSGI: Slot<Caching> = Slot::new();
static SCGI: Slot<Caching> = Slot::new();

/// The cache directives of HTTP only.
const HTTP_ONLY: &[&str] = &["cache_convert_head"];

/// The tables of the cache.
pub(super) const TABLES: &[&Table] = &[
    &Caching::table(&FASTCGI).prefix("fastcgi_").except(HTTP_ONLY).unsupported(),
    &Caching::table(&UWSGI).prefix("uwsgi_").except(HTTP_ONLY).unsupported(),
    &Caching::table(&SCGI).prefix("scgi_").except(HTTP_ONLY).unsupported(),
];
