//! Installs the server: program, configuration, man page, systemd unit and log rotation. Takes the
//! path arguments of nginx's `configure`, and `DESTDIR` like `make install`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scratch::Scratch;
use crate::{Failure, cargo, release};

mod layout;

use layout::{Choice, Places};

/// What the program writes about itself (`--manual`), and the places for unpackaged programs.
const MANUAL: [(&str, &str); 5] = [
    ("weir.8", "/usr/local/share/man/man8/weir.8"),
    ("weir.conf.5", "/usr/local/share/man/man5/weir.conf.5"),
    ("weir.bash", "/usr/local/share/bash-completion/completions/weir"),
    ("_weir", "/usr/local/share/zsh/site-functions/_weir"),
    ("weir.fish", "/usr/local/share/fish/vendor_completions.d/weir.fish"),
];
/// The unit's path, in systemd's folder for the administrator.
const UNIT: &str = "/etc/systemd/system/weir.service";
/// The log rotation's path.
const ROTATIONS: &str = "/etc/logrotate.d";

/// The files of the configuration. An existing file is kept, and the shipped one is written beside
/// it with this suffix.
pub(crate) const CONF_FILES: [&str; 7] = [
    "nginx.conf",
    "proxy.conf",
    "mime.types",
    "fastcgi.conf",
    "fastcgi_params",
    "scgi_params",
    "uwsgi_params",
];
const SHIPPED: &str = "default";

/// The worker's user in the shipped configuration.
const USER: &str = "www";

/// The modes of programs and folders, and of other files.
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

/// Builds the server for the requested paths and installs it.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let choice = Choice::of(arguments)?;
    let configure = choice.configure()?;
    let program = if choice.quick {
        cargo::build_for(&configure, cargo::Profile::Release)?
    } else {
        release::build_for(&configure)?
    };
    let places = Places::of(&program)?;
    let destination = std::env::var_os("DESTDIR").unwrap_or_default();
    let scratch = Scratch::new("manual")?;
    let manual = manual_of(&program, &scratch)?;
    Installation { program, places, manual, destination: destination.into() }.install()
}

/// Has the program write its man pages and completions, and returns their folder.
pub(crate) fn manual_of(program: &Path, scratch: &Scratch) -> Result<PathBuf, Failure> {
    let folder = scratch.folder("manual")?;
    cargo::succeed(Command::new(program).arg("--manual").arg(&folder))?;
    Ok(folder)
}

/// An installation and its destination.
struct Installation {
    program: PathBuf,
    places: Places,
    /// The folder of man pages and completions.
    manual: PathBuf,
    /// The folder that stands for `/`; empty for `/` itself.
    destination: PathBuf,
}

impl Installation {
    fn install(&self) -> Result<(), Failure> {
        let places = &self.places;
        let program = std::fs::read(&self.program)
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        self.put(&places.program, &program, PROGRAM)?;
        let folder = Path::new(&places.conf).parent().unwrap_or(Path::new("/"));
        for name in CONF_FILES {
            let text = self.conf_file(&shipped(&Path::new("conf").join(name))?);
            // The configuration may be named differently from the shipped one.
            let path =
                if name == "nginx.conf" { places.conf.clone().into() } else { folder.join(name) };
            self.put_beside(&path, text.as_bytes())?;
        }
        for file in [&places.error_log, &places.access_log, &places.pid, &places.body_temp] {
            if let Some(parent) = Path::new(file).parent().filter(|_| file != "stderr") {
                self.make_folder(parent)?;
            }
        }
        for (name, place) in MANUAL {
            let from = self.manual.join(name);
            let text = std::fs::read(&from).map_err(|e| format!("{}: {e}", from.display()))?;
            self.put(place, &text, FILE)?;
        }
        self.put(UNIT, self.packaged("weir.service")?.as_bytes(), FILE)?;
        self.rotate_logs()
    }

    /// A configuration file with the layout's paths of logs and pid file.
    fn conf_file(&self, text: &str) -> String {
        // A daemon has no standard error.
        let error_log = match self.places.error_log.as_str() {
            "stderr" => format!("{}/error.log", self.log_folder()),
            path => path.to_owned(),
        };
        text.replace("logs/error.log", &error_log)
            .replace("logs/access.log", &self.places.access_log)
            .replace("logs/nginx.pid", &self.places.pid)
    }

    /// A file of `packaging/` with the paths filled in.
    fn packaged(&self, name: &str) -> Result<String, Failure> {
        let places = &self.places;
        let text = shipped(&Path::new("packaging").join(name))?;
        Ok(text
            .replace("@PROGRAM@", &places.program)
            .replace("@CONF@", &places.conf)
            .replace("@PREFIX@", &places.prefix)
            .replace("@PID@", &places.pid)
            .replace("@ERROR_LOG@", &places.error_log)
            .replace("@ACCESS_LOG@", &places.access_log)
            .replace("@LOGS@", &self.log_folder())
            .replace("@VERSION@", env!("CARGO_PKG_VERSION")))
    }

    fn log_folder(&self) -> String {
        let folder = Path::new(&self.places.access_log).parent();
        folder.map(|folder| folder.display().to_string()).unwrap_or_default()
    }

    /// Installs the log rotation, unless another file rotates the logs already: logrotate rejects a
    /// log that is listed twice.
    fn rotate_logs(&self) -> Result<(), Failure> {
        let pattern = format!("{}/*.log", self.log_folder());
        let folder = self.below_destination(Path::new(ROTATIONS));
        let others = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut others = others.map(|entry| entry.path()).filter(|path| !path.ends_with("weir"));
        let other = others
            .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(&pattern)));
        if let Some(other) = other {
            println!("{}: left out, {} rotates {pattern}", ROTATIONS, other.display());
            return Ok(());
        }
        let path = Path::new(ROTATIONS).join("weir");
        self.put(path, self.packaged("logrotate")?.as_bytes(), FILE)
    }

    /// Writes a configuration file, or beside it if it exists.
    fn put_beside(&self, path: &Path, content: &[u8]) -> Result<(), Failure> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".");
        beside.push(SHIPPED);
        self.put(Path::new(&beside), content, FILE)?;
        if self.below_destination(path).exists() {
            println!("{}: kept", path.display());
            return Ok(());
        }
        self.put(path, content, FILE)?;
        if path == Path::new(&self.places.conf) && !has_user() {
            println!(
                "there is no user {USER}: make one (useradd --system {USER}), or name another in {}",
                path.display()
            );
        }
        Ok(())
    }

    /// Writes a file under a temporary name and renames it, so that a running program keeps its own
    /// file.
    fn put(&self, path: impl AsRef<Path>, content: &[u8], mode: u32) -> Result<(), Failure> {
        let path = path.as_ref();
        self.make_folder(path.parent().unwrap_or(Path::new("/")))?;
        let target = self.below_destination(path);
        let mut fresh = target.clone().into_os_string();
        fresh.push(".new");
        let write = || {
            std::fs::write(&fresh, content)?;
            std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode))?;
            std::fs::rename(&fresh, &target)
        };
        write().map_err(|error| format!("{}: {error}", target.display()))?;
        println!("{}", target.display());
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> Result<(), Failure> {
        let folder = self.below_destination(path);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn below_destination(&self, path: &Path) -> PathBuf {
        if self.destination.as_os_str().is_empty() {
            return path.to_owned();
        }
        self.destination.join(path.strip_prefix("/").unwrap_or(path))
    }
}

fn has_user() -> bool {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    users.lines().any(|line| line.starts_with(&format!("{USER}:")))
}

fn shipped(path: &Path) -> Result<String, Failure> {
    let path = cargo::root().join(path);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The output of `-V`.
fn version_of(program: &Path) -> Result<String, Failure> {
    let output = Command::new(program).arg("-V").output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "configure arguments: --prefix=/etc/nginx --sbin-path=/usr/sbin/weir \
        --conf-path=/etc/nginx/nginx.conf --error-log-path=/var/log/nginx/error.log \
        --http-log-path=/var/log/nginx/access.log --pid-path=/run/nginx.pid \
        --http-client-body-temp-path=/var/cache/nginx/client_temp";

    fn installation(scratch: &Scratch) -> Installation {
        let program = scratch.write("built", b"program").unwrap();
        let places = Places::read(VERSION).unwrap();
        let manual = scratch.folder("manual").unwrap();
        for (name, _) in MANUAL {
            std::fs::write(manual.join(name), name).unwrap();
        }
        Installation { program, places, manual, destination: scratch.folder("root").unwrap() }
    }

    #[test]
    fn files_are_installed_at_their_paths() {
        let scratch = Scratch::new("install").unwrap();
        let installation = installation(&scratch);
        installation.install().unwrap();
        let read = |path: &str| {
            let path = installation.destination.join(path);
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        assert_eq!(read("usr/sbin/weir"), "program");
        let conf = read("etc/nginx/nginx.conf");
        assert!(conf.contains(" /run/nginx.pid;") && !conf.contains("logs/"), "{conf}");
        read("etc/nginx/mime.types.default");
        let unit = read("etc/systemd/system/weir.service");
        assert!(unit.contains("ExecStart=/usr/sbin/weir ") && !unit.contains("@P"), "{unit}");
        let rotation = read("etc/logrotate.d/weir");
        assert!(rotation.contains("/var/log/nginx/*.log {") && !rotation.contains('@'));
        assert_eq!(read("usr/local/share/man/man8/weir.8"), "weir.8");
        assert_eq!(read("usr/local/share/zsh/site-functions/_weir"), "_weir");
        let program = installation.destination.join("usr/sbin/weir");
        assert_eq!(std::fs::metadata(program).unwrap().permissions().mode() & 0o777, PROGRAM);
        assert!(installation.destination.join("var/cache/nginx").is_dir());
    }

    #[test]
    fn a_log_to_standard_error_becomes_a_file() {
        let scratch = Scratch::new("install-log").unwrap();
        let mut installation = installation(&scratch);
        installation.places.error_log = "stderr".to_owned();
        installation.install().unwrap();
        let conf = std::fs::read_to_string(installation.destination.join("etc/nginx/nginx.conf"));
        assert!(conf.unwrap().contains(" /var/log/nginx/error.log;"));
    }

    #[test]
    fn an_administrators_files_are_kept() {
        let scratch = Scratch::new("install-kept").unwrap();
        let installation = installation(&scratch);
        let root = &installation.destination;
        std::fs::create_dir_all(root.join("etc/nginx")).unwrap();
        std::fs::create_dir_all(root.join("etc/logrotate.d")).unwrap();
        std::fs::write(root.join("etc/nginx/nginx.conf"), "events {}").unwrap();
        std::fs::write(root.join("etc/logrotate.d/nginx"), "/var/log/nginx/*.log {\n}").unwrap();
        installation.install().unwrap();
        assert_eq!(
            std::fs::read_to_string(root.join("etc/nginx/nginx.conf")).unwrap(),
            "events {}"
        );
        assert!(root.join("etc/nginx/nginx.conf.default").is_file());
        assert!(!root.join("etc/logrotate.d/weir").exists());
    }
}
