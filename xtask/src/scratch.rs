//! A folder for one run, and the configuration templates written to it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Failure, cargo};
use std::os::unix::process::CommandExt;

/// Removes the folder at the end of its standard input, which is the end of this program. A file
/// system that is mounted in it is unmounted before.
const JANITOR: &str = r#"
cat
while read -r _ place _; do
    case "$place" in "$0"/*) umount -l "$place" ;; esac
done </proc/mounts
rm -rf -- "$0" || { sleep 1; rm -rf -- "$0"; }"#;

/// A folder that is removed with this program, however that ends.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    janitor: Child,
}

impl Scratch {
    /// Creates a folder named `weir-NAME-…`.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::null());
        // In a process group of its own, which Ctrl-C on the terminal does not reach.
        let janitor = janitor.stderr(Stdio::null()).process_group(0).spawn();
        let janitor = janitor.map_err(|error| format!("sh: {error}"))?;
        let scratch = Self { path, janitor };
        std::fs::create_dir(&scratch.path).map_err(|error| scratch.told(&error))?;
        Ok(scratch)
    }

    /// The folder's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a subfolder.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(|error| self.told(&error))?;
        Ok(path)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(|error| self.told(&error))?;
        Ok(path)
    }

    fn told(&self, error: &std::io::Error) -> Failure {
        format!("{}: {error}", self.path.display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

/// A file of `bench/` with its uppercase words replaced, longer words before their prefixes.
pub(crate) fn template(name: &str, words: &[(&str, &str)]) -> Result<String, Failure> {
    let path = cargo::root().join("bench").join(name);
    let told = |error| format!("{}: {error}", path.display());
    let mut text = std::fs::read_to_string(&path).map_err(told)?;
    let mut words = words.to_vec();
    words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    for (word, value) in words {
        text = text.replace(word, value);
    }
    Ok(text)
}
