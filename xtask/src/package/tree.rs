//! The file tree of a package, with its control files.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Failure, cargo};

/// The files of a package below a folder.
pub(super) struct Tree {
    root: PathBuf,
    /// The paths of files that an administrator may change.
    conf_files: String,
    bytes: u64,
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, conf_files: String::new(), bytes: 0 }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn program(&mut self, path: &str, content: &[u8]) -> Result<(), Failure> {
        self.put(path, content, 0o755)
    }

    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> Result<(), Failure> {
        self.put(path, content, 0o644)
    }

    /// A file that dpkg keeps if the administrator has changed it.
    pub(super) fn conf_file(&mut self, path: &str, content: &[u8]) -> Result<(), Failure> {
        // Writing to a String cannot fail.
        let _ = writeln!(self.conf_files, "/{path}");
        self.put(path, content, 0o644)
    }

    /// A file by gzip, without name and time.
    pub(super) fn compressed(&mut self, path: &str, content: &[u8]) -> Result<(), Failure> {
        let mut command = Command::new("gzip");
        command.args(["-9", "-n", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let told = |error: std::io::Error| format!("gzip: {error}");
        let mut child = command.spawn().map_err(told)?;
        let mut input = child.stdin.take().expect("it is piped");
        let given = content.to_owned();
        let writer = std::thread::spawn(move || input.write_all(&given));
        let output = child.wait_with_output().map_err(told)?;
        writer.join().expect("it does not panic").map_err(told)?;
        self.put(path, &output.stdout, 0o644)
    }

    pub(super) fn folder(&mut self, path: &str, mode: u32) -> Result<(), Failure> {
        let path = self.root.join(path);
        let made = std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)));
        made.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) -> Result<(), Failure> {
        let path = self.root.join(path);
        let made = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| std::os::unix::fs::symlink(to, &path));
        made.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A control file.
    pub(super) fn control(&mut self, name: &str, text: &str, mode: u32) -> Result<(), Failure> {
        self.put(&format!("DEBIAN/{name}"), text.as_bytes(), mode)
    }

    /// Writes the lists of changeable files and of sums.
    pub(super) fn finish_control(&mut self) -> Result<(), Failure> {
        if !self.conf_files.is_empty() {
            let list = self.conf_files.clone();
            self.control("conffiles", &list, 0o644)?;
        }
        let script = "find . -path ./DEBIAN -prune -o -type f -printf '%P\\0' | LC_ALL=C sort -z \
                      | xargs -0 -r md5sum > DEBIAN/md5sums && chmod 644 DEBIAN/md5sums";
        cargo::succeed(Command::new("sh").current_dir(&self.root).args(["-c", script]))
    }

    /// The size on a disk, as dpkg counts it.
    pub(super) fn kibibytes(&self) -> Result<u64, Failure> {
        Ok(self.bytes.div_ceil(1024))
    }

    /// Gives everything the same time, in seconds since 1970, and folders their mode.
    pub(super) fn date(&self, seconds: &str) -> Result<(), Failure> {
        let script = "find . -type d -exec chmod 755 {} +; find . -exec touch -h -d \"@$0\" {} +";
        cargo::succeed(Command::new("sh").current_dir(&self.root).args(["-c", script, seconds]))
    }

    fn put(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), Failure> {
        self.bytes += content.len() as u64;
        let path = self.root.join(path);
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            std::fs::write(&path, content)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))
        };
        write().map_err(|error| format!("{}: {error}", path.display()))
    }
}
