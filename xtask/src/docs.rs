//! The documentation: the reference, from the tables of the server, and a site of all pages, by
//! mdBook.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, cargo};

/// The version of mdBook that is installed if there is none.
const MDBOOK: &str = "0.5.2";

/// The page of the site that lists all others.
const SUMMARY: &str = "SUMMARY.md";

/// Pages that lie beside `docs/`.
const OUTSIDE: [&str; 2] = ["README.md", "CHANGELOG.md"];

/// Writes the reference anew.
pub(crate) fn reference() -> Result<(), Failure> {
    let binary = cargo::build(cargo::Profile::Debug)?;
    let folder = cargo::root().join("docs/reference");
    cargo::succeed(Command::new(binary).arg("--reference").arg(folder))
}

/// Writes the reference anew, and builds the site in `target/site`.
pub(crate) fn site() -> Result<(), Failure> {
    reference()?;
    let target = cargo::target()?;
    let (source, site) = (target.join("site-source"), target.join("site"));
    let _ = fs::remove_dir_all(&source);
    let docs = cargo::root().join("docs");
    copy(&docs, &docs, &source.join("src"))?;
    for name in OUTSIDE {
        page(&cargo::root().join(name), Path::new(name), &source.join("src"))?;
    }
    move_file(&source.join("src/book.toml"), &source.join("book.toml"))?;
    list_the_reference(&source.join("src"))?;
    let mdbook = mdbook(&target)?;
    cargo::succeed(Command::new(mdbook).arg("build").arg(&source).arg("--dest-dir").arg(&site))?;
    println!("{}", site.join("index.html").display());
    Ok(())
}

/// mdBook: the installed one, or one that is installed below `target`.
fn mdbook(target: &Path) -> Result<PathBuf, Failure> {
    if Command::new("mdbook").arg("--version").output().is_ok() {
        return Ok("mdbook".into());
    }
    let tools = target.join("tools");
    let program = tools.join("bin/mdbook");
    if !program.exists() {
        let features = ["--no-default-features", "--features", "search"];
        let mut install = cargo::cargo(&["install", "--locked", "mdbook", "--version", MDBOOK]);
        cargo::succeed(install.args(features).arg("--root").arg(&tools))?;
    }
    Ok(program)
}

/// Copies a folder of `docs`, pages with links in place of names of other pages.
fn copy(docs: &Path, from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    for entry in fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.strip_prefix(docs).map_err(|error| error.to_string())?;
        if path.is_dir() {
            copy(docs, &path, &to.join(path.file_name().unwrap_or_default()))?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let root = to.ancestors().nth(name.components().count() - 1).unwrap_or(to);
            page(&path, name, root)?;
        } else {
            let target = to.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &target).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// Copies a page to its place below the root of the site's source.
fn page(from: &Path, name: &Path, root: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(from).map_err(|error| format!("{}: {error}", from.display()))?;
    let up = "../".repeat(name.components().count() - 1);
    let to = root.join(name);
    fs::write(&to, linked(&text, &up, title)).map_err(|error| format!("{}: {error}", to.display()))
}

/// The title of a page, by its path from the root of the workspace.
fn title(path: &str) -> Option<String> {
    let text = fs::read_to_string(cargo::root().join(path)).ok()?;
    text.lines().next()?.strip_prefix("# ").map(str::to_owned)
}

/// The text of a page with links, named by `title`, in place of the names of pages in backquotes;
/// `up` leads from the page to the root of the site.
fn linked(text: &str, up: &str, title: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut in_block = false;
    for line in text.split_inclusive('\n') {
        in_block ^= line.starts_with("```");
        // A span that goes on in the next line, or has several backquotes, holds no such name.
        let is_odd = line.matches('`').count() % 2 == 1 || line.contains("``");
        if in_block || is_odd {
            out.push_str(line);
            continue;
        }
        for (at, part) in line.split('`').enumerate() {
            if at % 2 == 0 {
                out.push_str(part);
                continue;
            }
            let name = part.strip_prefix("docs/").or(OUTSIDE.contains(&part).then_some(part));
            let name = name.filter(|name| name.ends_with(".md"));
            // Writing to a String cannot fail.
            let _ = match name.zip(title(part)) {
                Some((name, title)) => write!(out, "[{title}]({up}{name})"),
                None => write!(out, "`{part}`"),
            };
        }
    }
    out
}

/// Lists the pages of the reference below the entry of the directives.
fn list_the_reference(source: &Path) -> Result<(), Failure> {
    let path = source.join(SUMMARY);
    let summary = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let entries = fs::read_dir(source.join("reference")).map_err(|error| error.to_string())?;
    let mut names: Vec<_> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name != "README.md" && name != "variables.md");
    names.sort();
    let mut list = String::new();
    for name in names {
        let title = name.trim_end_matches(".md");
        // Writing to a String cannot fail.
        let _ = writeln!(list, "  - [{title}](reference/{name})");
    }
    let entry = "- [Directives](reference/README.md)\n";
    let text = summary.replace(entry, &format!("{entry}{list}"));
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn move_file(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(|error| format!("{}: {error}", from.display()))
}

#[cfg(test)]
mod tests {
    use super::linked;

    #[test]
    fn names_of_pages_become_links() {
        let text = "See `docs/cache.md` and `docs/a.json`, `x`.\n```\n`docs/cache.md`\n```\n";
        let expected = "See [The cache](../cache.md) and `docs/a.json`, `x`.\n\
                        ```\n`docs/cache.md`\n```\n";
        let title = |_: &str| Some("The cache".to_owned());
        assert_eq!(linked(text, "../", title), expected);
    }
}
