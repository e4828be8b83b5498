//! What stands against taking a host over just now: a package under way, a master that may not end.

use std::fs;
use std::path::Path;
use std::process::Command;

use weir_sys::file::is_locked;

use super::Reason;
use super::nginx::Nginx;

/// Held by dpkg while it changes packages.
const DPKG_LOCK: &str = "/var/lib/dpkg/lock";

/// Requires that no package of the program is being changed. A dpkg that runs has read the list of
/// diversions, and would overwrite what takes the program's place.
pub(super) fn none_of_packages(program: &Path) -> Result<(), Reason> {
    if is_locked(Path::new(DPKG_LOCK)).unwrap_or(false) {
        return Err("dpkg is changing packages just now: try again when it has ended".into());
    }
    let Some((package, state)) = package_of(program) else { return Ok(()) };
    match state.as_str() {
        "installed" => Ok(()),
        _ => Err(format!(
            "the package {package} of {} is {state}: finish that first, by \"dpkg --configure \
             -a\" or \"apt-get -f install\"",
            program.display()
        )
        .into()),
    }
}

/// Requires that a master may end once another one serves: what has started it in the foreground
/// takes its end for that of the server.
pub(super) fn none_of_master(nginx: &Nginx, master: u32) -> Result<(), Reason> {
    let program = nginx.program.display();
    if master == 1 {
        return Err(format!(
            "process 1 is {program}: with its end the container ends. Replace the container \
             instead (docs/howto/container.md)"
        )
        .into());
    }
    match nginx.is_foreground(master) {
        false => Ok(()),
        true => Err(format!(
            "process {master} runs in the foreground (\"daemon off\"): what has started it would \
             take its end for that of the server. Stop it there, call \"weir adopt\", and start it again"
        )
        .into()),
    }
}

/// The package that has installed a file, and its state; nothing without dpkg, or if it is none's.
fn package_of(file: &Path) -> Option<(String, String)> {
    let said = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).env("LC_ALL", "C").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let owner = |file: &str| said("dpkg-query", &["--search", file]).and_then(|text| owner(&text));
    // Once /usr has been merged, dpkg may know the file below either folder.
    let file = file.to_str()?;
    let package = owner(file).or_else(|| owner(file.strip_prefix("/usr")?))?;
    let state = said("dpkg-query", &["--show", "--showformat=${db:Status-Status}", &package])?;
    Some((package, state))
}

/// The package in a line `nginx: /usr/sbin/nginx`, which may follow lines about diversions.
fn owner(text: &str) -> Option<String> {
    let is_diversion = |line: &&str| {
        ["diversion by ", "local diversion "].iter().any(|head| line.starts_with(head))
    };
    let mut lines = text.lines().filter(|line| !is_diversion(line));
    lines.find_map(|line| Some(line.split_once(": ")?.0.to_owned()))
}

/// Other running masters of the program, which go on as they are.
pub(super) fn other_masters(nginx: &Nginx) -> Vec<u32> {
    let Ok(Some(master)) = nginx.master() else { return Vec::new() };
    let parent = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        line.and_then(|line| line.trim().parse::<u32>().ok())
    };
    // Those before and after an upgrade are parent and child.
    let is_other =
        |pid: &u32| *pid != master && parent(master) != Some(*pid) && parent(*pid) != Some(master);
    nginx.masters().into_iter().filter(is_other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_file_is_behind_its_diversion() {
        let text = "local diversion from: /a\nlocal diversion to: /b\nnginx: /a\n";
        assert_eq!(owner(text).as_deref(), Some("nginx"));
        let text = "diversion by x from: /a\ndiversion by x to: /b\nnginx-core:amd64: /a\n";
        assert_eq!(owner(text).as_deref(), Some("nginx-core:amd64"));
        assert_eq!(owner(""), None);
    }
}
