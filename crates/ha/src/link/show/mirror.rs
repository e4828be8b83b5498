//! The part of `weir ha status` about what the nodes have in common.

use std::fmt::Write;

use serde_json::Value;

/// The lines about a mirror, as [`crate::mirror::View::to_json`] writes it.
pub(super) fn text(view: &Value) -> String {
    let mut out = String::new();
    if view.is_null() {
        return "the mirror has not begun: the master has not told what is durable\n".to_owned();
    }
    let nodes = view["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if view["has_configuration"] == true {
        configuration(&mut out, view, nodes);
    } else {
        out.push_str("configuration: each node has its own here (\"mirror off\")\n");
    }
    let _ = writeln!(out, "shared records: {}", view["records"].as_u64().unwrap_or(0));
    for node in nodes {
        let name = name(node);
        match node["waiting"].as_u64() {
            None => {}
            Some(0) => {
                let _ = writeln!(out, "  {name} has been sent all");
            }
            Some(waiting) => {
                let _ = writeln!(out, "  {name} is catching up: {waiting} parts are on their way");
            }
        }
    }
    for (field, what) in [
        ("left_out", "records of other nodes had no room here"),
        ("untold", "counts had no room, and count here alone"),
    ] {
        if let Some(count @ 1..) = view[field].as_u64() {
            let _ = writeln!(out, "  {count} {what}");
        }
    }
    out
}

fn configuration(out: &mut String, view: &Value, nodes: &[Value]) {
    let own = &view["version"];
    let _ = match version(own) {
        None => writeln!(out, "configuration: no version has been agreed upon here yet"),
        Some(version) => {
            let known = match view["acknowledged"] == true {
                true => "all nodes have it",
                false => "not all nodes are known to have it",
            };
            writeln!(out, "configuration: version {version} is in force here; {known}")
        }
    };
    if let Some(version) = version(&view["under_way"]["version"]) {
        let step = match view["under_way"]["step"].as_str() {
            Some("proposed") => "is proposed here, and checked by the other nodes",
            Some("followed") => "comes from another node, and is checked here",
            _ => "is being put in force here",
        };
        let _ = writeln!(out, "  version {version} {step}");
    }
    trouble(out, "this node", &view["trouble"]);
    for node in nodes {
        let name = name(node);
        let _ = match (node["connected"] == true, version(&node["version"])) {
            (false, _) => writeln!(out, "  {name} is away"),
            (true, None) => writeln!(out, "  {name} has told no version yet"),
            (true, Some(version)) if node["version"] == *own => {
                writeln!(out, "  {name} has version {version}, too")
            }
            (true, Some(version)) => writeln!(out, "  {name} has version {version}"),
        };
        trouble(out, name, &node["trouble"]);
    }
}

fn name(node: &Value) -> &str {
    node["node"].as_str().unwrap_or_default()
}

fn version(version: &Value) -> Option<String> {
    let (counter, proposer) = (version["counter"].as_u64()?, version["proposer"].as_str()?);
    Some(format!("{counter} of {proposer}"))
}

fn trouble(out: &mut String, name: &str, trouble: &Value) {
    if let Some(version) = version(&trouble["version"]) {
        let reason = trouble["reason"].as_str().unwrap_or_default();
        let _ = writeln!(out, "  {name} cannot put version {version} in force: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::{Name, NodeView, Step, Version, View};

    fn version(counter: u64, proposer: &str) -> Version {
        Version { counter, proposer: Name::new(proposer).unwrap(), digest: [0; 32] }
    }

    fn node(name: &str, version: Option<Version>) -> NodeView {
        let (name, is_connected) = (Name::new(name).unwrap(), true);
        NodeView { name, is_connected, version, trouble: None, waiting: Some(0) }
    }

    fn view() -> View {
        View {
            has_configuration: true,
            version: Some(version(7, "a")),
            sealed: Some(version(7, "a")),
            under_way: None,
            trouble: None,
            nodes: vec![node("b", Some(version(7, "a")))],
            records: 12,
            left_out: 0,
            untold: 0,
        }
    }

    #[test]
    fn a_pair_in_step_says_so() {
        assert_eq!(
            text(&view().to_json()),
            "configuration: version 7 of a is in force here; all nodes have it\n  b has version 7 \
             of a, too\nshared records: 12\n  b has been sent all\n"
        );
    }

    #[test]
    fn what_differs_is_named_with_its_reason() {
        let mut shown = view();
        shown.sealed = Some(version(6, "b"));
        shown.under_way = Some((version(8, "a"), Step::Proposed));
        shown.trouble = Some((version(9, "b"), "a port is taken".to_owned()));
        shown.nodes[0].trouble = Some((version(7, "a"), "no such file".to_owned()));
        shown.nodes[0].version = Some(version(6, "b"));
        shown.nodes[0].waiting = Some(3);
        let away = NodeView { is_connected: false, waiting: None, ..node("c", None) };
        shown.nodes.extend([away, node("d", None)]);
        (shown.left_out, shown.untold) = (1, 2);
        assert_eq!(
            text(&shown.to_json()),
            "configuration: version 7 of a is in force here; not all nodes are known to have it\n\
             \x20 version 8 of a is proposed here, and checked by the other nodes\n\
             \x20 this node cannot put version 9 of b in force: a port is taken\n\
             \x20 b has version 6 of b\n\
             \x20 b cannot put version 7 of a in force: no such file\n\
             \x20 c is away\n\
             \x20 d has told no version yet\n\
             shared records: 12\n\
             \x20 b is catching up: 3 parts are on their way\n\
             \x20 d has been sent all\n\
             \x20 1 records of other nodes had no room here\n\
             \x20 2 counts had no room, and count here alone\n"
        );
    }

    #[test]
    fn a_mirror_without_configurations_says_so() {
        let off = View { has_configuration: false, nodes: Vec::new(), ..view() };
        assert_eq!(
            text(&off.to_json()),
            "configuration: each node has its own here (\"mirror off\")\nshared records: 12\n"
        );
        assert!(text(&Value::Null).starts_with("the mirror has not begun"));
    }
}
