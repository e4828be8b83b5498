//! Whether a process is a server, so that a signal from a stale or forged pid file does not reach
//! another program.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The mark in a master's process title, Weir's or nginx's, whatever its program is called.
const TITLE: &[u8] = b": master process";

/// The kernel's suffix for an executable that has been replaced.
const DELETED: &[u8] = b" (deleted)";

/// The program names of servers that replace each other.
const NAMES: [&[u8]; 2] = [b"nginx", b"weir"];

/// The kernel's information about a process.
struct Image {
    /// The executable, which only the process's user and root can see.
    program: Option<PathBuf>,
    /// The arguments, or the process title in their place.
    title: Vec<u8>,
}

/// A process that is no server, with the name of its program: the pid file is to blame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OtherProgram(String);

impl fmt::Display for OtherProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a server but \"{}\"", self.0)
    }
}

/// Checks that a process may be a server. A process that does not exist or cannot be inspected
/// passes: sending the signal will tell.
///
/// # Errors
/// It is another program.
pub(crate) fn check(pid: i32, own_name: &str) -> Result<(), OtherProgram> {
    let of = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
    let Ok(title) = std::fs::read(of("cmdline")) else { return Ok(()) };
    let image = Image { program: std::fs::read_link(of("exe")).ok(), title };
    let same_file = std::env::current_exe().is_ok_and(|own| image.program == Some(own));
    if same_file || image.is_server(own_name) {
        return Ok(());
    }
    let name = std::fs::read(of("comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(name.trim_ascii_end()).replace(char::is_control, " ");
    Err(OtherProgram(name))
}

impl Image {
    fn is_server(&self, own_name: &str) -> bool {
        if self.title.windows(TITLE.len()).any(|part| part == TITLE) {
            return true;
        }
        let is_name = |name: &[u8]| NAMES.contains(&name) || name == own_name.as_bytes();
        let program = self.program.as_deref().map(current_name).unwrap_or_default();
        let mut words = self.title.split(|&byte| byte == 0).map(file_name);
        let first = words.next().unwrap_or_default();
        // On an emulated processor, the emulator is the program and ours its first argument.
        let emulated = program.starts_with(b"qemu-") && words.next().is_some_and(is_name);
        is_name(program) || is_name(first) || emulated
    }
}

/// The file name of a program without the kernel's suffix.
fn current_name(program: &Path) -> &[u8] {
    let path = program.as_os_str().as_bytes();
    file_name(path.strip_suffix(DELETED).unwrap_or(path))
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_server(program: Option<&str>, title: &str) -> bool {
        let image = Image { program: program.map(PathBuf::from), title: title.into() };
        image.is_server("weir")
    }

    #[test]
    fn servers_are_known_by_title_program_or_first_word() {
        assert!(is_server(None, "nginx: master process nginx -c x\0"));
        assert!(is_server(Some("/opt/web-1.2"), "weir: master process /opt/web-1.2\0"));
        assert!(is_server(Some("/usr/sbin/nginx (deleted)"), "/usr/sbin/nginx\0-g\0daemon off;\0"));
        assert!(is_server(Some("/x/weir (deleted)"), ""));
        assert!(is_server(Some("/x/weir-2"), "/usr/sbin/weir\0-t\0"));
        assert!(is_server(Some("/usr/bin/qemu-aarch64"), "qemu-aarch64\0/usr/sbin/nginx\0"));
    }

    #[test]
    fn other_programs_are_not_servers() {
        assert!(!is_server(Some("/usr/bin/sleep"), "sleep\0now\0"));
        assert!(!is_server(Some("/usr/bin/vim"), "vim\0/etc/nginx\0"));
        // A kernel thread.
        assert!(!is_server(None, ""));
        assert!(!is_server(Some("/usr/bin/not-nginx"), "not-nginx\0"));
    }

    #[test]
    fn this_process_is_its_own_program() {
        assert_eq!(check(weir_sys::process::id(), "weir"), Ok(()));
    }
}
