//! The environment: a configuration's access to files, names and users.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log file that the environment has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogFile(pub u32);

/// Access to files, names and users. Errors carry the system's number where there is one, since
/// nginx's messages show it.
pub trait Environment {
    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Arc<[u8]>>;
    /// The whole content of a file that the process itself keeps up to date, such as a `state`
    /// file: no part of what the configuration says.
    fn read_state(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        self.read(path)
    }
    /// The matching paths, sorted as by glob(3); no match is no error.
    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>>;
    /// The addresses of a host, from the system's resolver.
    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
    /// Opens a log for appending.
    fn open_log(&self, path: &Path) -> io::Result<LogFile>;
    /// Creates a directory (`*_temp_path`, `*_cache_path`); an existing one is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The uid and the gid of a user.
    fn user(&self, name: &str) -> Option<(u32, u32)>;
    /// The gid of a group.
    fn group(&self, name: &str) -> Option<u32>;
}

/// The environment after a refusal: the rest is read for its faults, without DNS queries.
pub(crate) struct Refused<'a>(pub(crate) &'a dyn Environment);

impl Environment for Refused<'_> {
    fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        self.0.read(path)
    }

    fn read_state(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        self.0.read_state(path)
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        self.0.glob(pattern)
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![host.parse().unwrap_or(IpAddr::from([127, 0, 0, 1]))])
    }

    fn open_log(&self, path: &Path) -> io::Result<LogFile> {
        self.0.open_log(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn user(&self, name: &str) -> Option<(u32, u32)> {
        self.0.user(name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.0.group(name)
    }
}

/// A few files in memory, for tests and self-contained text.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Contents by path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Addresses by host name.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Memory {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

const NO_ENTRY: i32 = 2;

impl Environment for Memory {
    fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        let text = self.files.get(path).ok_or_else(|| io::Error::from_raw_os_error(NO_ENTRY))?;
        Ok(text.as_slice().into())
    }

    /// Supports only `*` and `?`, neither of which matches a slash.
    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let fits =
            |path: &&PathBuf| wildcard(pattern.as_bytes(), path.as_os_str().as_encoded_bytes());
        Ok(self.files.keys().filter(fits).cloned().collect())
    }

    fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        self.hosts.get(host).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn open_log(&self, _: &Path) -> io::Result<LogFile> {
        Ok(LogFile(0))
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn user(&self, _: &str) -> Option<(u32, u32)> {
        Some((65534, 65534))
    }

    fn group(&self, _: &str) -> Option<u32> {
        Some(65534)
    }
}

fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let stop = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
            (0..=stop).any(|skip| wildcard(rest, &text[skip..]))
        }
        (Some((b'?', rest)), Some((&b, tail))) if b != b'/' => wildcard(rest, tail),
        (Some((a, rest)), Some((b, tail))) if a == b => wildcard(rest, tail),
        _ => false,
    }
}

/// `(2: No such file or directory)`, the tail of nginx's messages about system calls.
pub fn errno_text(error: &io::Error) -> String {
    let error = match (error.raw_os_error(), error.kind()) {
        (None, io::ErrorKind::NotFound) => &io::Error::from_raw_os_error(NO_ENTRY),
        _ => error,
    };
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let tail = format!(" (os error {number})");
            format!("({number}: {})", text.strip_suffix(&tail).unwrap_or(&text))
        }
        None => format!("({text})"),
    }
}
