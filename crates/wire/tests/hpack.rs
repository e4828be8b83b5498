//! Header compression against another implementation, and with stories: the heads of connections.
//!
//! `WEIR_HPACK_STORIES` names a folder of stories in the format of the project hpack-test-case, all
//! of which are run besides our own.

#[path = "hpack/pairs.rs"]
mod pairs;
#[path = "hpack/random.rs"]
mod random;
#[path = "hpack/stories.rs"]
mod stories;
