//! `weir --reference FOLDER`: generates the pages of `docs/reference` from the tables, and the list
//! of pending directives in `docs/differences.md` beside that folder.

#![allow(clippy::print_stderr, reason = "a tool for developers, without a log")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use weir_conf::reference::{idle_names, page, pending_names};
use weir_conf::{Body, Table};
use weir_http::modules::MODULES;

use crate::assemble;
use crate::modules;

mod examples;
mod variables;

use examples::Examples;

/// The markers around the generated part of `differences.md`.
const BEGIN: &str = "<!-- pending: begin -->\n";
const END: &str = "<!-- pending: end -->\n";

/// The name of that file, in the parent of the pages' folder.
const DIFFERENCES: &str = "differences.md";

/// The folder of examples, in the parent of the pages' folder.
const EXAMPLES: &str = "examples";

/// The number of names per line of the list.
const NAMES_PER_LINE: usize = 4;

/// Writes the pages to a folder and returns the exit code.
pub(crate) fn run(folder: &Path) -> i32 {
    match write(folder) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("weir: {}: {error}", folder.display());
            1
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in pages(&folder.join("..").join(EXAMPLES))? {
        std::fs::write(folder.join(name), text)?;
    }
    let differences = folder.join("..").join(DIFFERENCES);
    let text = std::fs::read_to_string(&differences)?;
    std::fs::write(differences, with_pending(&text)?)
}

/// The pages by file name, with the examples of a folder.
fn pages(examples: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    let mut index = String::from(
        "# Directives\n\nWritten from the tables of the code by `weir --reference docs/reference`.\n\n",
    );
    for (name, tables) in groups() {
        let known = rows(&tables);
        if known.is_empty() {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(index, "* [{name}]({name}.md): {}", known.join(", "));
        let examples = Examples::read(examples, &name)?;
        pages.insert(format!("{name}.md"), page(&name, &tables, |name| examples.get(name)));
    }
    let _ = writeln!(index, "* [variables]({}.md)", variables::PAGE);
    pages.insert(format!("{}.md", variables::PAGE), variables::page());
    pages.insert("README.md".to_owned(), index);
    Ok(pages)
}

/// The tables by page.
pub(crate) fn groups() -> Vec<(String, Vec<&'static Table>)> {
    let mut groups = vec![
        ("core".to_owned(), vec![&modules::core::TABLE, &ERROR_LOG]),
        ("events".to_owned(), vec![&modules::events::BLOCK_TABLE, &modules::events::TABLE]),
        ("ha".to_owned(), assemble::HA_TABLES.to_vec()),
        ("http_core".to_owned(), weir_http::core::TABLES.to_vec()),
        ("http_upstream".to_owned(), weir_upstream::tables()),
    ];
    for module in MODULES {
        let name = format!("http_{}", module.name);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, tables)) => tables.extend(module.tables),
            None => groups.push((name, module.tables.to_vec())),
        }
    }
    groups
}

static ERROR_LOG: Table = weir_engine::error_log::directive::TABLE;

/// The names of the supported directives.
fn rows(tables: &[&Table]) -> Vec<String> {
    let done = |table: &&Table| {
        let table = *table;
        table.rows().filter(|(_, row)| !table.is_pending(row)).collect::<Vec<_>>()
    };
    let work = tables.iter().flat_map(done).filter(|(_, row)| row.body != Body::Ignored);
    let mut names: Vec<_> = work.map(|(name, _)| name).collect();
    names.dedup();
    names
}

/// The text of `differences.md` with an updated list.
fn with_pending(text: &str) -> io::Result<String> {
    let missing = || io::Error::other(format!("{DIFFERENCES} has no markers for the list"));
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    let mut list = String::new();
    let tables = assemble::tables();
    let mut sections = vec![
        ("Directives that do nothing here", idle_names(&tables)),
        ("Directives that are missing", pending_names(&tables)),
    ];
    let variables = weir_http::pending::variables::names().iter();
    sections
        .push(("Variables that are missing", variables.map(|name| format!("${name}")).collect()));
    for (title, names) in sections {
        let _ = write!(list, "\n### {title}\n\n");
        for line in names.chunks(NAMES_PER_LINE) {
            let line: Vec<_> = line.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(list, "{},", line.join(", "));
        }
        let end = list.trim_end_matches(['\n', ',']).len();
        list.truncate(end);
        list.push('\n');
    }
    Ok(format!("{before}{BEGIN}{list}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    fn docs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
    }

    const ADVICE: &str = "is stale: run `cargo run -- --reference docs/reference`";

    #[test]
    fn the_pages_follow_from_the_tables() {
        let pages = pages(&docs().join(EXAMPLES)).unwrap();
        for (name, text) in &pages {
            let path = docs().join("reference").join(name);
            let written = std::fs::read_to_string(path).unwrap_or_default();
            assert!(written == *text, "docs/reference/{name} {ADVICE}");
        }
        for entry in std::fs::read_dir(docs().join("reference")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(pages.contains_key(&name), "docs/reference/{name} is a page without a table");
        }
        let text = std::fs::read_to_string(docs().join(DIFFERENCES)).unwrap();
        assert!(with_pending(&text).unwrap() == text, "docs/{DIFFERENCES} {ADVICE}");
    }

    #[test]
    fn every_directive_has_an_example() {
        let folder = docs().join(EXAMPLES);
        let mut lacking = Vec::new();
        for (page, tables) in groups() {
            // Directives that are always ignored or refused need none.
            if page == "http_vhost_traffic_status" {
                continue;
            }
            let examples = Examples::read(&folder, &page).unwrap();
            let lacks = |name: &String| examples.get(name).is_none() && name != "ssl_engine";
            let named = rows(&tables).into_iter().filter(lacks);
            lacking.extend(named.map(|name| format!("{page}.conf: {name}")));
        }
        assert!(lacking.is_empty(), "docs/{EXAMPLES} has no example of:\n{}", lacking.join("\n"));
    }

    #[test]
    fn every_directive_of_nginx_is_supported_or_listed() {
        let names = include_str!("../../tidy/nginx-directives.txt");
        let tables = assemble::tables();
        let rows = tables.iter().flat_map(|table| table.rows());
        let known: BTreeSet<_> = rows.map(|(name, _)| name).collect();
        let text = std::fs::read_to_string(docs().join(DIFFERENCES)).unwrap();
        let told = |name: &str| text.contains(&format!("`{name}`"));
        let silent = |name: &&str| !known.contains(*name) && !told(name);
        let silent: Vec<_> = names.lines().filter(silent).collect();
        assert!(silent.is_empty(), "in no table and not in docs/{DIFFERENCES}: {silent:?}");
    }
}
