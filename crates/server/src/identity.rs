//! Whether a process is a server, so that a pid file which was left behind, or which somebody else
//! has written, does not lead a signal to another program.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the title of a master says, be it Weir's or nginx's, whatever its program is called.
const TITLE: &[u8] = b": master process";

/// What the kernel appends to the name of a program that has been replaced since.
const DELETED: &[u8] = b" (deleted)";

/// The names of servers that take each other's place.
const NAMES: [&[u8]; 2] = [b"nginx", b"weir"];

/// What the kernel tells of a process.
struct Image {
    /// The file that it executes, which only its user and root may see.
    program: Option<PathBuf>,
    /// Its arguments, or the title that it has put in their place.
    title: Vec<u8>,
}

/// Finds out whether a process may be a server. One that is not there, or that nothing can be
/// learnt about, may be one: what the signal comes to will tell.
///
/// # Errors
/// The name of the program that it is instead.
pub(crate) fn check(pid: i32, own_name: &str) -> Result<(), String> {
    let of = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
    let Ok(title) = std::fs::read(of("cmdline")) else { return Ok(()) };
    let image = Image { program: std::fs::read_link(of("exe")).ok(), title };
    let same_file = std::env::current_exe().is_ok_and(|own| image.program == Some(own));
    if same_file || image.is_server(own_name) {
        return Ok(());
    }
    let name = std::fs::read(of("comm")).unwrap_or_default();
    Err(String::from_utf8_lossy(name.trim_ascii_end()).replace(char::is_control, " "))
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
        // On a foreign processor the emulator is the program, and ours its first argument.
        let emulated = program.starts_with(b"qemu-") && words.next().is_some_and(is_name);
        is_name(program) || is_name(first) || emulated
    }
}

/// The name of a program's file without the kernel's remark.
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
    fn other_programs_are_none() {
        assert!(!is_server(Some("/usr/bin/sleep"), "sleep\0now\0"));
        assert!(!is_server(Some("/usr/bin/vim"), "vim\0/etc/nginx\0"));
        // A thread of the kernel.
        assert!(!is_server(None, ""));
        assert!(!is_server(Some("/usr/bin/not-nginx"), "not-nginx\0"));
    }

    #[test]
    fn this_process_is_its_own_program() {
        assert_eq!(check(weir_sys::process::id(), "weir"), Ok(()));
    }
}
