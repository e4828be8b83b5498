//! Debian hosts for checks of the packages: namespaces over the files of a fresh installation, which
//! no host changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scratch::Scratch;
use crate::{Failure, cargo};

use super::said;

/// What a host with nginx has besides a minimal Debian.
const BESIDE: &str = "nginx certbot python3-certbot-nginx pebble logrotate curl systemd \
    openssl apparmor strace gdb binutils unattended-upgrades libnginx-mod-http-echo \
    libnginx-mod-http-subs-filter libnginx-mod-stream procps fail2ban goaccess";

/// Makes the files of a host with more packages: `$1` is the folder, `$2` the packages. Nothing is
/// started while they are installed.
const ADD: &str = r#"
set -eu
cd "$1"
rm -rf full work
mkdir -p full work root
mount -t overlay overlay -o lowerdir=plain,upperdir=full,workdir=work root
mount -t proc proc root/proc
cp /etc/resolv.conf root/etc/resolv.conf
printf '#!/bin/sh\nexit 101\n' > root/usr/sbin/policy-rc.d
chmod 755 root/usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
chroot root apt-get -q update
chroot root apt-get -q -y install --no-install-recommends $2
chroot root apt-get clean
# Modules of nginx are for the case that wants them.
rm -f root/etc/nginx/modules-enabled/*
rm -rf root/usr/sbin/policy-rc.d root/var/lib/apt/lists/*
printf %s "$2" > full.done
"#;

/// A host: `$1` are the folders with its files, `$2` a folder for what it changes, `$3` the packages,
/// `$4` the cases, `$5` the case.
const HOST: &str = r#"
set -eu
mount -t tmpfs weir-check "$2"
mkdir "$2/changed" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/changed,workdir=$2/work" "$2/root"
cd "$2/root"
mkdir -p pkg checks
mount --bind "$3" pkg
mount --bind "$4" checks
mount -t proc proc proc
mount -t tmpfs run run
mount -t tmpfs tmp tmp
ip link set lo up
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive \
    chroot . bash -eu -c '. /checks/host.bash; . "/checks/$0"' "$5"
"#;

/// The files of hosts. They are kept below the target folder, and made anew once that is removed.
#[derive(Debug)]
pub(super) struct Hosts {
    folder: PathBuf,
}

impl Hosts {
    /// Installs them if they are not there yet, with the machine's release and mirror.
    pub(super) fn new() -> Result<Self, Failure> {
        let folder = cargo::target()?.join("debian-root");
        let told = |error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(told)?;
        if !folder.join("plain.done").exists() {
            let _ = std::fs::remove_dir_all(folder.join("plain"));
            let (mirror, release) = source()?;
            let mut command = Command::new("debootstrap");
            command.args(["--variant=minbase", "--include=ca-certificates", &release]);
            cargo::succeed(command.arg(folder.join("plain")).arg(mirror))?;
            std::fs::write(folder.join("plain.done"), "").map_err(told)?;
        }
        // Made anew when other packages are wanted.
        if std::fs::read_to_string(folder.join("full.done")).is_ok_and(|with| with == BESIDE) {
            return Ok(Self { folder });
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "sh", "-c", ADD, "sh"]);
        cargo::succeed(command.arg(&folder).arg(BESIDE))?;
        Ok(Self { folder })
    }

    /// Runs a case on a host with nginx and its company, or on a minimal one; returns whether it
    /// passes, and what it has said.
    pub(super) fn run(
        &self,
        case: &Path,
        packages: &Path,
        scratch: &Scratch,
    ) -> Result<(bool, String), Failure> {
        let told = |error: std::io::Error| format!("{}: {error}", case.display());
        let text = std::fs::read_to_string(case).map_err(told)?;
        let plain = self.folder.join("plain").display().to_string();
        let files = match text.starts_with("# Minimal.") {
            true => plain,
            false => format!("{}:{plain}", self.folder.join("full").display()),
        };
        let name = case.file_name().unwrap_or_default();
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            HOST,
            "sh",
        ]);
        command.arg(files).arg(scratch.folder("host")?).arg(packages);
        command.arg(case.parent().unwrap_or(Path::new("/"))).arg(name);
        let output = command.output().map_err(told)?;
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), said))
    }
}

/// The mirror and the release of this machine's own packages.
fn source() -> Result<(String, String), Failure> {
    let format = "$(LABEL) $(REPO_URI) $(RELEASE)";
    let lines = said("apt-get", &["indextargets", "--format", format, "Created-By: Packages"])?;
    let line = lines.lines().find_map(|line| line.strip_prefix("Debian "));
    let (mirror, release) = line
        .and_then(|line| line.split_once(' '))
        .ok_or("apt-get knows no source of Debian's packages")?;
    Ok((mirror.to_owned(), release.to_owned()))
}
