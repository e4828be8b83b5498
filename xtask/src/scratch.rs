//! A folder for one run, and the templates of configurations that are written into it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Failure, cargo};
use std::os::unix::process::CommandExt;

/// Waits for the end of its standard input, which is the end of this program, then removes.
const JANITOR: &str = r#"cat; rm -rf -- "$0" || { sleep 1; rm -rf -- "$0"; }"#;

/// A folder that vanishes with this program, however that ends.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    janitor: Child,
}

impl Scratch {
    /// Makes a folder whose name begins with `weir-NAME`.
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("weir-{name}-{}", std::process::id()));
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::null());
        // A group of its own, which Ctrl-C on the terminal does not reach.
        let janitor = janitor.stderr(Stdio::null()).process_group(0).spawn();
        let janitor = janitor.map_err(|error| format!("sh: {error}"))?;
        let scratch = Self { path, janitor };
        std::fs::create_dir(&scratch.path).map_err(|error| scratch.told(&error))?;
        Ok(scratch)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(|error| self.told(&error))?;
        Ok(path)
    }

    /// Writes a file in it, and tells its path.
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

/// A file of `bench/` with its words in capitals replaced, longer words before their beginnings.
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
