//! The section about links of `docs/howto/pair.md`, word for word.

use std::process::Command;

use super::*;
use crate::harness::{Port, binary, is_nginx};

/// The commands of the section, one list for each node.
fn commands() -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/howto/pair.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## Link them\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let lines = |block: &str| {
        block.split("```").next().unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    blocks.map(lines).collect()
}

#[test]
fn the_page_links_two_nodes_that_run() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let nodes = [Node::unlinked(&port), Node::unlinked(&port)];
    let commands = commands();
    assert_eq!(commands.len(), 2);
    let mut token: Option<String> = None;
    for (node, lines) in nodes.iter().zip(&commands) {
        for line in lines {
            let words = line.strip_prefix("weir ").unwrap();
            let words = words.split(' ').map(|word| match (word, &token) {
                ("TOKEN", Some(token)) => token.as_str(),
                _ => word,
            });
            let words: Vec<&str> = words.collect();
            let mut command = Command::new(binary());
            command.args(words).arg("-p").arg(node.server.directory().path().join(""));
            let output = command.args(["-c", "nginx.conf", "-e", "error.log"]).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{line}: {errors}");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains("weir-join-") {
                token = Some(node::token(&text));
            }
        }
    }
    nodes[0].wait_status("link to b: up for");
    nodes[1].wait_status("link to a: up for");
    // Their files have other names here.
    nodes[0].wait_status("  the configuration of b differs from this node's");
}
