//! Pages of documentation: each is listed in `docs/SUMMARY.md`, and whatever page or file of `docs`
//! a page names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tree;

/// Pages outside of `docs` that the site has, too.
const OUTSIDE: [&str; 2] = ["README.md", "CHANGELOG.md"];

/// Pages outside of `docs` whose names of pages are checked.
const CHECKED: [&str; 4] = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md"];

/// The Markdown files in a folder, as paths from the root of the workspace.
fn pages(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(tree::root().join(folder)).expect("the folder is readable");
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let pages = names.filter(|name| name.ends_with(".md"));
    pages.map(|name| format!("{folder}/{name}")).collect()
}

/// The targets of links in a page.
fn links(text: &str) -> Vec<&str> {
    let parts = text.split("](").skip(1);
    let targets = parts.filter_map(|part| part.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains(':') && !target.starts_with('#')).collect()
}

/// The names of files of `docs` in backquotes.
fn names(text: &str) -> Vec<&str> {
    let spans = text.split('`').filter(|span| span.starts_with("docs/"));
    spans.filter(|span| !span.contains(['\n', ' ', '<', '*', '…'])).collect()
}

#[test]
fn the_summary_lists_every_page() {
    let summary = tree::text("docs/SUMMARY.md");
    let listed: BTreeSet<String> = links(&summary).into_iter().map(str::to_owned).collect();
    let all = pages("docs").into_iter().chain(pages("docs/howto"));
    let all = all.map(|page| page.trim_start_matches("docs/").to_owned());
    let reference = ["reference/README.md", "reference/variables.md"].map(str::to_owned);
    let mut expected: BTreeSet<String> = all.filter(|page| page != "SUMMARY.md").collect();
    expected.extend(OUTSIDE.map(str::to_owned).into_iter().chain(reference));
    assert_eq!(listed, expected, "docs/SUMMARY.md (left) and the pages (right)");
}

#[test]
fn pages_name_what_exists() {
    let mut lost = Vec::new();
    let all = pages("docs").into_iter().chain(pages("docs/howto"));
    for page in all.chain(CHECKED.map(str::to_owned)).filter(|page| page != "docs/SUMMARY.md") {
        let text = tree::text(&page);
        let folder = Path::new(&page).parent().expect("a page has a folder");
        for link in links(&text) {
            let (target, _) = link.split_once('#').unwrap_or((link, ""));
            if !tree::root().join(folder).join(target).exists() {
                lost.push(format!("{page}: {link}"));
            }
        }
        let unknown = names(&text).into_iter().filter(|name| !tree::root().join(name).exists());
        lost.extend(unknown.map(|name| format!("{page}: {name}")));
    }
    assert_eq!(lost, [""; 0]);
}

#[test]
fn a_test_runs_each_how_to() {
    let tests = tree::rust_files("tests");
    for page in pages("docs/howto") {
        let name = page.trim_start_matches("docs/");
        assert!(tests.iter().any(|(_, text)| text.contains(name)), "no test names {page}");
    }
}

#[test]
fn links_and_names_are_found() {
    let text = "See [this](a.md#b), [that](https://x.y/), `docs/c.md` and `docs/<page>.conf`.";
    assert_eq!((links(text), names(text)), (vec!["a.md#b"], vec!["docs/c.md"]));
}
