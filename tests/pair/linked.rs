//! Nodes that are linked and mirror what they have.

use std::collections::BTreeSet;

use super::node::Node;
use super::*;

/// The configuration, the same on all nodes but for the file `local.conf`, which has
/// their names. A change is another number in `$changes`. A busy machine is no reason to give the
/// address up.
const CONF: &str = "
pid nginx.pid; error_log error.log info; worker_processes 1;
events { worker_connections 256; }
ha {
    node a 192.168.56.11; node b 192.168.56.12; %nodes%
    address 192.168.56.100/24; stall 5s; local local.conf;
}
http {
    access_log off; default_type text/plain;
    client_body_temp_path body; proxy_temp_path proxy;
    keyval_zone zone=pairs:64k; keyval $arg_key $found zone=pairs;
    limit_req_zone $arg_key zone=rate:64k rate=10r/s sync;
    map $host $changes { default \"0\"; }
    include local.conf;
    server {
        listen 192.168.56.100:80; listen 8080;
        location /here { return 200 $node; }
        location /changes { return 200 $changes; }
        location /limited { limit_req zone=rate burst=5 nodelay; try_files /none =204; }
        %locations%
        location /api { api write=on; allow 127.0.0.1; deny all; }
    }
}
";

/// Starts so many nodes and links them; `locations` are for their server.
pub(super) fn linked<'a>(
    network: &'a Network,
    directory: &Directory,
    count: usize,
    locations: &str,
) -> Vec<Node<'a>> {
    let third = if count > 2 { "node c 192.168.56.13;" } else { "" };
    let conf = CONF.replace("%nodes%", third).replace("%locations%", locations);
    let mut nodes: Vec<Node<'a>> = Vec::new();
    for number in 1..=count {
        let mut node = Node::unstarted(network, directory, number, &conf);
        node.put("local.conf", &format!("map $host $node {{ default {}; }}", node.name()));
        if nodes.is_empty() {
            node.ha(&["init", "a"]);
        }
        for other in &nodes {
            let said = other.ha(&["init"]);
            let token = said.split_whitespace().find(|word| word.starts_with("weir-join-"));
            node.ha(&["join", token.unwrap(), node.name()]);
        }
        node.launch();
        nodes.push(node);
    }
    nodes
}

/// The changes in a configuration, or in the answer of `/changes`.
pub(super) fn changes_of(text: &str) -> BTreeSet<u32> {
    let list = text.split("$changes { default \"").nth(1).and_then(|rest| rest.split('"').next());
    list.unwrap_or(text).split(',').filter_map(|number| number.parse().ok()).collect()
}

/// A configuration with another change.
pub(super) fn with_change(text: &str, change: u32) -> String {
    let list = text.split("$changes { default \"").nth(1).unwrap().split('"').next().unwrap();
    let changed = format!("$changes {{ default \"{list},{change}\"");
    text.replace(&format!("$changes {{ default \"{list}\""), &changed)
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Acknowledged,
    Applied,
    Nothing,
    /// None came.
    None,
}

/// The answer to a change in the log of its node, which begins after some bytes.
pub(super) fn answer_to(node: &Node<'_>, change: u32, before: usize) -> Option<Answer> {
    let log = node.log();
    let log = log.get(before..)?;
    // Another version has replaced the file.
    let is_gone = !changes_of(&node.read("nginx.conf")).contains(&change);
    let Some((_, after)) = log.rsplit_once("mirror: proposing the configuration") else {
        return is_gone.then_some(Answer::Nothing);
    };
    let in_force = || {
        let (_, changes) = node.ask("GET", "/changes", "")?;
        changes_of(&changes).contains(&change).then_some(())
    };
    if after.contains("mirror: the configuration is not in force: ") {
        return Some(Answer::Nothing);
    }
    let answer = match after {
        _ if after.contains(" is in force on all nodes") => Answer::Acknowledged,
        _ if after.contains(" is applied here, but not yet everywhere") => Answer::Applied,
        _ => return is_gone.then_some(Answer::Nothing),
    };
    // It may have been replaced in between.
    match in_force() {
        Some(()) => Some(answer),
        None => is_gone.then_some(Answer::Nothing),
    }
}
