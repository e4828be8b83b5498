//! The nginx of this host: its program, its paths, its running master.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use weir_conf::FileId;

use super::Reason;
use super::record::Record;
use crate::pid_file;

/// The beginning of a master's command line in `ps`.
const TITLES: [&str; 2] = ["nginx: master process ", "weir: master process "];

/// An installed nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nginx {
    /// The path by which it is called.
    pub(super) program: PathBuf,
    /// The file that can be executed now: the kept one while Weir has the place.
    pub(super) file: PathBuf,
    /// Its version, for example `nginx/1.22.1`.
    pub(super) version: String,
    /// Its arguments of `configure`.
    pub(super) configure: String,
    /// The configuration file and prefix in use.
    pub(super) conf: PathBuf,
    pub(super) prefix: Option<PathBuf>,
}

impl Nginx {
    /// The nginx at a path.
    pub(super) fn at(program: &Path) -> Result<Self, Reason> {
        Self::of(program, program)
    }

    /// The nginx of an adoption: the kept file, or the one in its place before that and after.
    pub(super) fn kept(record: &Record) -> Result<Self, Reason> {
        let file = if record.kept.exists() { &record.kept } else { &record.program };
        Self::of(&record.program, file)
    }

    fn of(program: &Path, file: &Path) -> Result<Self, Reason> {
        let shown = file.display();
        let output = Command::new(file).arg("-V").output();
        let output = output.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Reason(format!(
                "there is no nginx at {shown}: \"weir adopt --nginx=PROGRAM\" names another place; \
                 on a host without nginx, weir.service serves /etc/weir"
            )),
            _ => Reason(format!("{shown}: {error}")),
        })?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = |start: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(start));
            line.map(|line| line.trim().to_owned())
        };
        let version = line("nginx version: ").ok_or(format!("{shown} is no nginx"))?;
        if text.contains("weir version:") {
            return Err(format!("{shown} is Weir, and not by \"weir adopt\"").into());
        }
        let configure = line("configure arguments:").unwrap_or_default();
        let conf = path_of(&configure, "--conf-path", "conf/nginx.conf");
        let mut nginx = Self {
            program: program.to_owned(),
            file: file.to_owned(),
            version,
            configure,
            conf,
            prefix: None,
        };
        nginx.heed_the_master()?;
        Ok(nginx)
    }

    /// Takes over `-c` and `-p` of the running master.
    fn heed_the_master(&mut self) -> Result<(), Reason> {
        let Some(pid) = self.master()?.or_else(|| self.unnamed_master()) else { return Ok(()) };
        let words = words_of(pid);
        let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1);
        if let Some(prefix) = after("-p") {
            // A relative one begins where the master was started.
            let start = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            self.prefix = Some(start.join(prefix));
        }
        if let Some(conf) = after("-c") {
            self.conf = self.below_prefix(Path::new(conf));
        }
        match self.master()? {
            Some(named) if named == pid => Ok(()),
            _ => Err(format!(
                "process {pid} runs {}, but {} does not name it: end it, or write its number there",
                self.program.display(),
                self.pid_file().display()
            )
            .into()),
        }
    }

    /// A running master that the pid file does not name, which has another configuration or has
    /// lost that file. Those of containers are none of this host.
    fn unnamed_master(&self) -> Option<u32> {
        self.masters().into_iter().min()
    }

    /// The running masters of this program on this host.
    pub(super) fn masters(&self) -> Vec<u32> {
        let root = |path: &str| fs::metadata(path).ok().map(|data| (data.dev(), data.ino()));
        let own = root("/");
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let words = words_of(*pid);
            words.first().is_some_and(|called| {
                Path::new(called).file_name() == self.program.file_name()
                    && (!called.starts_with('/') || Path::new(called) == self.program)
            }) && root(&format!("/proc/{pid}/root")) == own
        })
        .collect()
    }

    /// Whether a master was told not to become a daemon, by `-g` or its configuration.
    pub(super) fn is_foreground(&self, master: u32) -> bool {
        let line = words_of(master).join(" ");
        if line.contains("daemon on") || line.contains("daemon off") {
            return line.contains("daemon off");
        }
        let text = fs::read(&self.conf).unwrap_or_default();
        let parsed = weir_conf::parser::parse(&text, FileId(0));
        let mut nodes = parsed.nodes.iter().filter(|node| node.name.is("daemon"));
        nodes.any(|node| node.arg(0).is_some_and(|word| word.is("off")))
    }

    fn below_prefix(&self, path: &Path) -> PathBuf {
        let built = path_of(&self.configure, "--prefix", "/usr/local/nginx");
        self.prefix.as_ref().unwrap_or(&built).join(path)
    }

    /// The pid file of the configuration.
    pub(super) fn pid_file(&self) -> PathBuf {
        let text = fs::read(&self.conf).unwrap_or_default();
        match pid_of(&text) {
            Some(path) => self.below_prefix(&path),
            None => path_of(&self.configure, "--pid-path", "logs/nginx.pid"),
        }
    }

    /// The running master of this program, if there is one.
    pub(super) fn master(&self) -> Result<Option<u32>, Reason> {
        let file = self.pid_file();
        let Some(pid) = read_pid(&file) else {
            let old = pid_file::old_name(&file);
            return match read_pid(&old).filter(|pid| !words_of(*pid).is_empty()) {
                None => Ok(None),
                Some(pid) => Err(format!(
                    "process {pid} of {} hands over to another one just now: try again when {} is \
                     there",
                    old.display(),
                    file.display()
                )
                .into()),
            };
        };
        let words = words_of(pid);
        let Some(called) = words.first() else { return Ok(None) };
        if !Path::new(called).is_absolute() {
            return Err(format!(
                "process {pid} was started as \"{called}\", without a path, so it cannot hand over: \
                 restart it as {} first",
                self.program.display()
            )
            .into());
        }
        if Path::new(called) != self.program {
            return Err(format!(
                "process {pid} runs {called}, not {}: \"weir adopt --nginx={called}\"",
                self.program.display()
            )
            .into());
        }
        Ok(Some(pid))
    }

    /// Runs the program's `-t` on the configuration.
    pub(super) fn test(&self) -> std::io::Result<Output> {
        let mut command = Command::new(&self.file);
        self.arguments(&mut command);
        command.output()
    }

    /// Adds the arguments of a test of the configuration.
    pub(super) fn arguments(&self, command: &mut Command) {
        command.arg("-t").arg("-c").arg(&self.conf);
        if let Some(prefix) = &self.prefix {
            command.arg("-p").arg(prefix);
        }
    }
}

/// The path that a configuration gives its pid file.
fn pid_of(text: &[u8]) -> Option<PathBuf> {
    let parsed = weir_conf::parser::parse(text, FileId(0));
    let node = parsed.nodes.iter().find(|node| node.name.is("pid"))?;
    Some(PathBuf::from(OsStr::from_bytes(&node.arg(0)?.value)))
}

/// The number in a pid file.
pub(super) fn read_pid(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The words of a master's command line; none if the process is no master.
fn words_of(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let rest = TITLES.iter().find_map(|title| line.strip_prefix(title));
    rest.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// A path of `configure`, below the prefix if it is not absolute.
fn path_of(configure: &str, name: &str, usual: &str) -> PathBuf {
    let value = |name: &str| {
        let words = configure.split_whitespace().filter_map(|word| word.split_once('='));
        words.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    Path::new(value("--prefix").unwrap_or("/usr/local/nginx")).join(value(name).unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_configure() {
        let configure =
            "--with-cc-opt='-g -O2' --prefix=/usr/share/nginx --pid-path=/run/nginx.pid";
        assert_eq!(path_of(configure, "--pid-path", "x"), PathBuf::from("/run/nginx.pid"));
        let conf = path_of(configure, "--conf-path", "conf/nginx.conf");
        assert_eq!(conf, PathBuf::from("/usr/share/nginx/conf/nginx.conf"));
        assert_eq!(path_of("", "--pid-path", "a"), PathBuf::from("/usr/local/nginx/a"));
    }

    #[test]
    fn the_pid_file_is_found_however_it_is_written() {
        let found = |text: &str| pid_of(text.as_bytes()).map(|path| path.display().to_string());
        assert_eq!(
            found("# pid /a;\nuser x;\n\tpid\t'/run/b c.pid' ; http { }").unwrap(),
            "/run/b c.pid"
        );
        assert_eq!(found("user x; pid logs/n.pid;").unwrap(), "logs/n.pid");
        assert_eq!(found("events { } http { }"), None);
    }
}
