//! Cycles of files: files that cannot be understood one by one.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, module_of};
use crate::tree;

/// The maximum number of files in a cycle; a folder with its children is easily a dozen.
const MOST: usize = 13;

/// The checked crates.
const CRATES: &[&str] = &[
    "conf", "script", "wire", "sys", "engine", "upstream", "acme", "edge", "http", "ha", "server",
];

/// The files that each file names.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// The edges between the files of a crate, by their modules.
fn edges(sources: &[&Source]) -> Edges {
    let modules: BTreeSet<String> =
        sources.iter().map(|source| module_of(&source.path).join("::")).collect();
    let file_of = |path: &str| {
        let mut path = path;
        loop {
            if modules.contains(path) {
                return Some(path.to_owned());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut edges = Edges::new();
    for source in sources {
        let from = module_of(&source.path).join("::");
        let named = source.named.iter().filter(|named| named.is_in("crate"));
        let to: BTreeSet<String> = named
            .filter_map(|named| file_of(&named.path))
            // The root only declares modules and re-exports names.
            .filter(|to| *to != from && to != "crate")
            .collect();
        edges.insert(from, to);
    }
    edges.remove("crate");
    edges
}

/// The largest set of files that all reach one another.
fn largest_cycle(edges: &Edges) -> BTreeSet<String> {
    let reached = |start: &str, edges: &Edges| {
        let mut seen = BTreeSet::new();
        let mut next = vec![start.to_owned()];
        while let Some(node) = next.pop() {
            for to in edges.get(&node).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let mut back = Edges::new();
    for (from, to) in edges {
        for to in to {
            back.entry(to.clone()).or_default().insert(from.clone());
        }
    }
    let mut largest = BTreeSet::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    for node in edges.keys() {
        if done.contains(node) {
            continue;
        }
        let forth = reached(node, edges);
        let cycle: BTreeSet<String> = forth.intersection(&reached(node, &back)).cloned().collect();
        done.extend(cycle.iter().cloned());
        if cycle.len() > largest.len() {
            largest = cycle;
        }
    }
    largest
}

#[test]
fn cycles_of_files_are_small() {
    let mut faults = Vec::new();
    for krate in CRATES {
        let of_crate = |source: &&Source| source.krate() == *krate;
        let sources: Vec<&Source> = tree::sources().iter().filter(of_crate).collect();
        let cycle = largest_cycle(&edges(&sources));
        if cycle.len() > MOST {
            let size = cycle.len();
            faults.push(format!("{krate}: {size} files in a cycle, {MOST} allowed: {cycle:?}"));
        }
    }
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_cycle_is_found() {
    let file = |path: &str, code| Source::parse(&format!("crates/x/src/{path}"), code);
    let sources = [
        file("lib.rs", "mod a; mod b; mod c; mod d;"),
        file("a.rs", "use crate::b::B;"),
        file("b.rs", "mod inner; use super::c; fn f() { c::g(); }"),
        file("b/inner.rs", "use crate::d::D;"),
        file("c.rs", "fn f() { crate::a::g(); }"),
        file("d.rs", "use std::fmt;"),
    ];
    let cycle = largest_cycle(&edges(&sources.iter().collect::<Vec<_>>()));
    let names: Vec<&str> = cycle.iter().map(String::as_str).collect();
    assert_eq!(names, ["crate::a", "crate::b", "crate::c"]);
}
