//! What the API shows, for other modules: a module never uses another one, so they ask the module
//! that has the tree by [`Module::status`](crate::module::Module::status).

use std::sync::Arc;

use serde_json::Value;
use weir_conf::Settings;
use weir_upstream::Group;

/// The functions of the module that has the tree.
#[derive(Clone, Copy)]
pub(crate) struct Tree {
    /// Answers a question: a status of HTTP, and the object or the refusal. It may take long, and
    /// so belongs on another thread.
    pub(crate) read: fn(&Question) -> (u16, Value),
    /// Whether a location with these settings takes changes.
    pub(crate) is_writable: fn(&Settings) -> bool,
}

/// A question: a path of the API's latest version.
#[derive(Clone)]
pub(crate) struct Question {
    /// The path behind the version, such as `http/upstreams/backend`; its segments are escaped.
    pub(crate) path: String,
    /// The query string.
    pub(crate) args: Vec<u8>,
    /// The groups that exist.
    pub(crate) groups: Vec<Arc<Group>>,
    /// The address of the server that was asked.
    pub(crate) address: String,
}
