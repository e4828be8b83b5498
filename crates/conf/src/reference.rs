//! The reference pages, generated from the tables: syntax, default, context, description.

use crate::context::Contexts;
use crate::table::{Body, Row, Table};
use std::fmt::Write;

/// A Markdown page about some tables, with the directives in table order, each with the example
/// that `example` gives for its name. Pending rows are left out; [`pending_names`] lists them.
pub fn page<'a>(
    title: &str,
    tables: &[&Table],
    example: impl Fn(&str) -> Option<&'a str>,
) -> String {
    let mut out = format!("# {title}\n");
    for table in tables {
        let rows: Vec<_> = table.rows().filter(|(_, row)| !table.is_pending(row)).collect();
        if rows.is_empty() {
            continue;
        }
        out.push('\n');
        for line in table.doc {
            push_line(&mut out, line);
        }
        for (name, row) in rows {
            directive(&mut out, &name, row, table.contexts_of(row));
            if let Some(example) = example(&name) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\n```nginx\n{example}```\n");
            }
        }
    }
    out
}

/// The same for a man page, in troff's language and shorter: syntax, default and context of each
/// directive, and what it does.
pub fn manual(tables: &[&Table]) -> String {
    let mut out = String::new();
    for table in tables {
        for (name, row) in table.rows().filter(|(_, row)| !table.is_pending(row)) {
            let end = ending(row);
            let space = if row.syntax.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = writeln!(out, ".TP\n\\fB{name}\\fR{space}{}{end}", troff(row.syntax));
            let _ = writeln!(out, "In {}.", table.contexts_of(row));
            if let Some(default) = (row.default)().filter(|default| !default.is_empty()) {
                let _ = writeln!(out, "Default: {}.", troff(&default));
            }
            for line in row.doc.iter().map(|line| line.trim()) {
                // A line that begins with a dot or a quote would be a request.
                let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
                let line = if line.is_empty() { ".sp".to_owned() } else { troff(line) };
                let _ = writeln!(out, "{guard}{line}");
            }
        }
    }
    out
}

/// Text as troff takes it, without the marks of code.
fn troff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('`', "")
}

/// The words in the description of a row whose directive is read and checked, and changes nothing.
const NO_EFFECT: &str = "Has no effect";

/// The names of directives that do nothing by design, sorted, without duplicates.
pub fn idle_names(tables: &[&'static Table]) -> Vec<String> {
    let idle = |table: &&'static Table| {
        let table = *table;
        let is_idle = |row: &Row| row.doc.iter().any(|line| line.contains(NO_EFFECT));
        let rows = table.rows().filter(move |(_, row)| !table.is_pending(row) && is_idle(row));
        rows.map(|(name, _)| name)
    };
    let names: std::collections::BTreeSet<_> = tables.iter().flat_map(idle).collect();
    names.into_iter().collect()
}

/// The names of directives that are not supported yet, sorted, without duplicates.
pub fn pending_names(tables: &[&'static Table]) -> Vec<String> {
    let rows = || {
        let of = |table: &&'static Table| {
            let table = *table;
            table.rows().map(move |(name, row)| (name, table.is_pending(row)))
        };
        tables.iter().flat_map(of)
    };
    let done: std::collections::HashSet<_> =
        rows().filter(|(_, pending)| !pending).map(|(name, _)| name).collect();
    let pending = rows().filter(|(name, pending)| *pending && !done.contains(name));
    let mut names: Vec<_> = pending.map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    names
}

/// What ends a directive.
fn ending(row: &Row) -> &'static str {
    match row.body {
        Body::None => ";",
        _ if row.syntax.ends_with('}') => "",
        _ => " { ... }",
    }
}

fn directive(out: &mut String, name: &str, row: &Row, contexts: Contexts) {
    let end = ending(row);
    let space = if row.syntax.is_empty() { "" } else { " " };
    let default = (row.default)().filter(|default| !default.is_empty());
    let default = default.map_or_else(|| "—".to_owned(), |value| format!("`{name} {value};`"));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n## {name}\n\n| | |\n|---|---|\n| Syntax | `{name}{space}{}{end}` |\n| Default | {default} |\n| Context | {} |\n\n",
        row.syntax.replace('|', "\\|"),
        contexts,
    );
    for line in row.doc {
        push_line(out, line);
    }
}

/// Appends a line of a doc comment, without the space after the slashes.
fn push_line(out: &mut String, line: &str) {
    out.push_str(line.strip_prefix(' ').unwrap_or(line));
    out.push('\n');
}
