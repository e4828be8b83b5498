//! What a node has in common with the others, for `weir ha status`.

use serde_json::{Value, json};

use super::name::Name;
use super::version::Version;

/// What a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether configurations are mirrored, and not only records.
    pub has_configuration: bool,
    /// The version in force here.
    pub version: Option<Version>,
    /// The newest version that all nodes are known to have had.
    pub sealed: Option<Version>,
    /// The change that is under way.
    pub under_way: Option<(Version, Step)>,
    /// The version that could not be put in force here, and why.
    pub trouble: Option<(Version, String)>,
    /// The other nodes.
    pub nodes: Vec<NodeView>,
    /// The number of records.
    pub records: usize,
    /// Records of other nodes that had no room here.
    pub left_out: u64,
    /// Counted keys that had no room, and count here alone.
    pub untold: u64,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This node has proposed it, and waits for the others.
    Proposed,
    /// It comes from another node, and is being fetched and checked.
    Followed,
    /// It is being put in force.
    Applied,
}

/// Another node, as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: Name,
    /// Whether it is connected.
    pub is_connected: bool,
    /// The version in force there.
    pub version: Option<Version>,
    /// The version that could not be put in force there, and why.
    pub trouble: Option<(Version, String)>,
    /// The records, and parts of the comparison of records, that still have to go to it; `None`
    /// while it is away.
    pub waiting: Option<usize>,
}

impl View {
    /// The view as JSON. Versions are objects with `counter` and `proposer`.
    pub fn to_json(&self) -> Value {
        let node = |node: &NodeView| {
            json!({
                "node": node.name.as_str(),
                "connected": node.is_connected,
                "version": node.version.as_ref().map(version),
                "trouble": node.trouble.as_ref().map(trouble),
                "waiting": node.waiting,
            })
        };
        let step = |(changed, step): &(Version, Step)| {
            let step = match step {
                Step::Proposed => "proposed",
                Step::Followed => "followed",
                Step::Applied => "applied",
            };
            json!({ "version": version(changed), "step": step })
        };
        let is_acknowledged = self.version.is_some() && self.sealed == self.version;
        json!({
            "has_configuration": self.has_configuration,
            "version": self.version.as_ref().map(version),
            "acknowledged": is_acknowledged,
            "last_acknowledged": self.sealed.as_ref().map(version),
            "under_way": self.under_way.as_ref().map(step),
            "trouble": self.trouble.as_ref().map(trouble),
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
            "records": self.records,
            "left_out": self.left_out,
            "untold": self.untold,
        })
    }
}

fn version(version: &Version) -> Value {
    json!({ "counter": version.counter, "proposer": version.proposer.as_str() })
}

fn trouble((of, reason): &(Version, String)) -> Value {
    json!({ "version": version(of), "reason": reason })
}
