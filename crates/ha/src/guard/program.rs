//! keepalived's program: where it is, and whether it will do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Refusal;

/// keepalived's program.
pub const PROGRAM: &str = "keepalived";

/// The oldest version whose configuration is written.
const OLDEST: (u32, u32) = (2, 2);

/// The folders of programs after those of `PATH`: the binary of an upgrade gets no `PATH`.
const FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/// What keepalived needs to move addresses and to send adverts: numbers and names of capabilities,
/// capabilities(7).
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")];

/// The path of keepalived's program; `None` if it is not installed.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named: Vec<_> = std::env::split_paths(&path).filter(|path| path.is_absolute()).collect();
    let mut files = named.into_iter().chain(FOLDERS.map(PathBuf::from));
    files.find_map(|folder| Some(folder.join(PROGRAM)).filter(|file| file.is_file()))
}

/// Checks that keepalived can run here.
///
/// # Errors
/// What to do, in words for the administrator.
pub fn check() -> Result<(), Refusal> {
    let Some(path) = program() else {
        return Err(format!(
            "it needs {PROGRAM}, which is not installed (Debian: apt install {PROGRAM})"
        )
        .into());
    };
    check_version(&path, &version_of(&path)?)?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    check_capabilities(&status)
}

/// What the program says of its version.
fn version_of(program: &Path) -> Result<String, Refusal> {
    let mut command = Command::new(program);
    let output = command.arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        format!("{} cannot be run ({error}): install {PROGRAM} again", program.display())
    })?;
    let said = [output.stderr, output.stdout].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn check_version(program: &Path, said: &str) -> Result<(), Refusal> {
    let word = said.split_whitespace().find_map(|word| word.strip_prefix('v'));
    let mut numbers = word.unwrap_or_default().split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        // Some distribution's way to say it: it may do.
        return Ok(());
    };
    if (major, minor) >= OLDEST {
        return Ok(());
    }
    Err(format!(
        "{} is version {}, and version {}.{} or newer is needed: update {PROGRAM}",
        program.display(),
        word.unwrap_or_default(),
        OLDEST.0,
        OLDEST.1
    )
    .into())
}

/// Looks for the capabilities in the text of `/proc/self/status`, proc_pid_status(5).
fn check_capabilities(status: &str) -> Result<(), Refusal> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(had) = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()) else {
        return Ok(());
    };
    let lacks = CAPABILITIES.iter().filter(|(number, _)| had >> number & 1 == 0);
    let lacks: Vec<&str> = lacks.map(|(_, name)| *name).collect();
    if lacks.is_empty() {
        return Ok(());
    }
    let flags = lacks.iter().map(|name| format!("--cap-add={}", name.replace("CAP_", "")));
    Err(format!(
        "{PROGRAM} needs {}, which this process does not have. A container gets it by \"{}\", in \
         the network of its host",
        lacks.join(" and "),
        flags.collect::<Vec<_>>().join(" ")
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: Result<(), Refusal>) -> String {
        result.map_or_else(|refusal| refusal.to_string(), |()| String::new())
    }

    #[test]
    fn old_versions_are_named_with_what_is_needed() {
        let check = |text: &str| said(check_version(Path::new("/x/keepalived"), text));
        for fine in ["Keepalived v2.2.0 (01/02,2021)", "Keepalived v2.10.1", "Keepalived v3.0", "?"]
        {
            assert_eq!(check(fine), "", "{fine}");
        }
        for old in ["2.0.20", "2.1.5", "1.3.9"] {
            let text = check(&format!("Keepalived v{old} (01/22,2020)\n\nCopyright"));
            let wanted = format!("/x/keepalived is version {old}, and version 2.2 or newer");
            assert!(text.starts_with(&wanted), "{text}");
        }
    }

    #[test]
    fn missing_capabilities_are_named() {
        let check = |set: &str| said(check_capabilities(&format!("Name:\tx\nCapEff:\t{set}\n")));
        assert_eq!(check("000001ffffffffff"), "");
        assert_eq!(said(check_capabilities("")), "");
        // What Docker leaves of root's.
        let text = check("00000000a80425fb");
        assert!(text.starts_with("keepalived needs CAP_NET_ADMIN, which"), "{text}");
        assert!(text.contains("\"--cap-add=NET_ADMIN\""), "{text}");
        let text = check("0000000000000000");
        assert!(text.contains("CAP_NET_ADMIN and CAP_NET_RAW, which"), "{text}");
        assert!(text.contains("--cap-add=NET_ADMIN --cap-add=NET_RAW"), "{text}");
    }
}
