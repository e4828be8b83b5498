//! The cache of responses (`proxy_cache`; nginx: `ngx_http_file_cache`): which responses are kept
//! and for how long, where they are, and who fetches them.
//!
//! ```text
//!  key ─▶ index ─┬─ fresh ───▶ opened file ─▶ answer
//!                ├─ stale ───▶ fetch, or answer meanwhile (use_stale, background_update)
//!                └─ absent ──▶ fetch, or wait for the one who does (lock)
//!                                 │
//!            upstream ─▶ freshness ─▶ temporary file ─▶ named file ─▶ index
//!
//!  beside requests: loader (files of earlier processes), manager (inactive, max_size, min_free),
//!                   recorder (the index file), purger (wildcards)
//! ```
//!
//! A file is complete and checked, or does not exist: it gets its name when its last byte has been
//! written. The index is in memory, shared by all threads and found again by reloads; the files are
//! the truth, and whatever the index says, a file is used only if its content proves what it is.

pub(crate) mod answer;
mod background;
pub(crate) mod consult;
pub(crate) mod counters;
pub(crate) mod duties;
mod faults;
mod fetch;
pub(crate) mod file;
pub(crate) mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod index;
pub(crate) mod index_codec;
mod index_file;
pub(crate) mod key;
mod lock;
mod opened;
pub(crate) mod path;
mod purge;
pub(crate) mod rfc9111;
pub(crate) mod settings;
pub(crate) mod shown;
mod sought;
mod storing;
pub(crate) mod valid;
pub(crate) mod variables;
pub(crate) mod volume;
mod wildcards;
pub(crate) mod zone;
