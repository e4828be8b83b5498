//! `$variables`, and values computed from them, for http and for stream.
//!
//! The crate knows no requests. Values of a request come through [`Host`] (read) and [`Scope`]
//! (read, and store captures), so http and stream use the same templates, maps and conditions.
//!
//! * [`variables`]: registry of variable names, which become indices
//! * [`template`]: text with variables
//! * [`regex`]: PCRE syntax on engines with bounded time
//! * [`names`]: host names with wildcards, for `map` and for `server_name`
//! * [`map`], [`geo`], [`split_clients`]: variables computed from other variables
//! * [`blocks`]: those three as directives
//! * [`log_format`]: lines of access logs
//! * [`rewrite`], [`condition`]: the pure parts of the rewrite module

#![forbid(unsafe_code)]

pub mod blocks;
pub mod capture_regex;
pub mod cidr;
pub mod condition;
pub mod envsubst;
pub mod escape;
pub mod forwarded;
pub mod fuzz;
pub mod geo;
pub mod host;
pub mod json_format;
pub mod log_format;
pub mod map;
pub mod names;
pub mod regex;
pub mod rewrite;
pub mod split_clients;
pub mod template;
pub mod variables;

pub use blocks::{GeoBlock, MapBlock, SplitClientsBlock, words};
pub use capture_regex::CaptureRegex;
pub use host::{Host, Scope};
pub use regex::{Captures, Regex};
pub use template::Template;
pub use variables::{StreamVariables, VarId, Variables, variables};
