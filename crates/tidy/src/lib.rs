//! Rules about the code, as tests: who may depend on whom, where `unsafe` may stand, how large
//! files may become. What is written in `ARCHITECTURE.md` and can be checked is checked here.

#![forbid(unsafe_code)]

#[cfg(test)]
mod layers;
#[cfg(test)]
mod listed;
#[cfg(test)]
mod sizes;
#[cfg(test)]
mod walls;

#[cfg(test)]
mod tree {
    //! The files of the workspace.

    use std::fs;
    use std::path::{Path, PathBuf};

    /// The root of the workspace.
    pub(crate) fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The text of a file below the root.
    pub(crate) fn text(path: &str) -> String {
        fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Every Rust file below a folder, as a path from the root, with its text.
    pub(crate) fn rust_files(folder: &str) -> Vec<(String, String)> {
        let mut files = Vec::new();
        collect(&root().join(folder), &mut files);
        files.sort();
        files
    }

    fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    collect(&path, files);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).expect("below the root");
                let text = fs::read_to_string(&path).expect("a readable file");
                files.push((name.display().to_string(), text));
            }
        }
    }

    /// The text without its comments and without what follows `mod tests`.
    pub(crate) fn code(text: &str) -> String {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
    }
}
