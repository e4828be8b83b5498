//! The compared servers and their backend.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::machine::{Cores, first_line};
use super::reload;
use super::workload::{Conf, Key, Workload};
use crate::scratch::{Scratch, template};
use crate::server::Server;
use crate::{Failure, cargo};

/// The environment of the servers, equal for all.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) cores: Cores,
    backend: Server,
    /// The backend for small responses: it costs less than the measured proxies.
    answers: Option<Server>,
    files: PathBuf,
    /// Last, since the servers end before their folder is removed.
    pub(super) scratch: Scratch,
}

/// The configuration of a server.
#[derive(Debug)]
enum Kind {
    /// nginx and programs that read its configuration, with these additional directives at the top
    /// level and in `events`.
    Nginx(&'static str, &'static str),
    HaProxy,
    Pingora,
    /// A program that only moves bytes, by `epoll`, by `io_uring`, or large ones by `splice`.
    Floor(&'static str),
}

/// A compared server.
#[derive(Debug)]
pub(super) struct Side {
    /// The name in the table.
    pub(super) name: &'static str,
    kind: Kind,
    /// The program, or the reason for its lack.
    binary: Result<PathBuf, Failure>,
    /// Its version.
    pub(super) version: String,
}

/// The mode for large responses only, which moves them without reading them.
const SPLICE: &str = "splice";

/// Debian's path of nginx.
pub(super) const NGINX: &str = "/usr/sbin/nginx";

/// Debian's path of HAProxy.
const HAPROXY: &str = "/usr/sbin/haproxy";

impl Side {
    /// Weir, nginx, HAProxy, Pingora, and the cost of moving the bytes alone.
    pub(super) fn all(weir: PathBuf) -> [Self; 8] {
        let version = |program: &Path, flag: &str| {
            first_line(&program.display().to_string(), &[flag]).unwrap_or_default()
        };
        let program = |name, kind, binary: PathBuf| {
            let version = version(&binary, "-v");
            Self { name, kind, binary: Ok(binary), version }
        };
        let unbuilt = |name, kind| {
            let binary = Err("it has not been built".to_owned());
            Self { name, kind, binary, version: String::new() }
        };
        let floor = |name, way| unbuilt(name, Kind::Floor(way));
        [
            program("Weir", Kind::Nginx(IN_FRONT, "use epoll;"), weir.clone()),
            Self {
                version: String::new(),
                ..program("Weir, io_uring", Kind::Nginx(IN_FRONT, "use io_uring;"), weir)
            },
            program("nginx", Kind::Nginx(IN_FRONT, ""), NGINX.into()),
            program("HAProxy", Kind::HaProxy, HAPROXY.into()),
            unbuilt("Pingora", Kind::Pingora),
            floor("epoll alone", "epoll"),
            floor("io_uring alone", "io_uring"),
            floor("splice alone", SPLICE),
        ]
    }

    /// Builds it, if it is one of those in `bench/`.
    pub(super) fn build(&mut self) {
        match self.kind {
            Kind::Nginx(..) | Kind::HaProxy => {}
            Kind::Floor(_) => self.binary = beside("floor"),
            Kind::Pingora => {
                self.binary = beside("pingora");
                self.version = match &self.binary {
                    Ok(_) => format!("pingora {}", pingora_version()),
                    Err(_) => "pingora could not be built".to_owned(),
                };
            }
        }
    }

    /// An instrumented Weir: one process, which may write anywhere. `events` sets its event method.
    pub(super) fn in_training(weir: PathBuf, events: &'static str) -> Self {
        let kind = Kind::Nginx("daemon off; master_process off;", events);
        Self { name: "Weir", kind, binary: Ok(weir), version: String::new() }
    }

    /// Whether the side supports the workload.
    pub(super) fn takes(&self, workload: &Workload) -> bool {
        match self.kind {
            // The event method does not matter for a reload.
            Kind::Nginx(_, events) if matches!(workload.conf, Conf::Many(_)) => {
                events != "use io_uring;"
            }
            // nginx ignores it without `directio`.
            Kind::Nginx(..) if workload.conf == Conf::SlowDisk("on") => self.name != "nginx",
            Kind::Nginx(..) => true,
            Kind::HaProxy | Kind::Pingora => matches!(workload.conf, Conf::Bare | Conf::Tls(_)),
            Kind::Floor(SPLICE) => workload.name == "body-1m",
            Kind::Floor(_) => workload.is_small_talk(),
        }
    }

    /// Starts the server for a workload.
    pub(super) fn start(&self, stage: &Stage, workload: &Workload) -> Result<Server, Failure> {
        let binary = self.binary.clone()?;
        let threads = workload.threads.to_string();
        let cores = stage.cores.of_proxy(workload.threads);
        // Part of a path in a configuration.
        let name = self.name.replace(", ", "-");
        Server::start(&stage.scratch, &name, Some(&cores), &|port, folder| {
            let events = if let Kind::Nginx(_, events) = self.kind { events } else { "" };
            let conf = |name| stage.conf(name, workload, port, folder, events);
            let mut line: Vec<OsString> = vec![binary.clone().into()];
            match self.kind {
                Kind::Nginx(directives, _) => {
                    let upgrades = workload.conf == Conf::Upgrade;
                    let directives = if upgrades { BEHIND } else { directives };
                    line.extend(nginx_flags(directives).map(OsString::from));
                    line.push(conf(nginx_conf(workload.conf))?.into());
                }
                Kind::HaProxy => {
                    let tls = matches!(workload.conf, Conf::Tls(_));
                    line.extend(["-q", "-f"].map(OsString::from));
                    line.push(conf(if tls { "haproxy-tls.cfg" } else { "haproxy.cfg" })?.into());
                }
                Kind::Floor(way) => {
                    let backend = stage.backend(workload);
                    let words = [way.to_owned(), port.to_string(), backend.to_string()];
                    line.extend(words.map(OsString::from));
                }
                Kind::Pingora => {
                    let numbers = [port.to_string(), stage.backend(workload).to_string()];
                    line.extend(numbers.map(OsString::from));
                    line.push(threads.clone().into());
                    if let Conf::Tls(key) = workload.conf {
                        let (certificate, key) = stage.certificate(key);
                        line.extend([certificate.into(), key.into()]);
                    }
                }
            }
            Ok(line)
        })
    }
}

/// Directives that keep a server of nginx's kind in the foreground.
const IN_FRONT: &str = "daemon off;";

/// Only a daemon can be upgraded.
const BEHIND: &str = "daemon on;";

fn nginx_flags(directives: &'static str) -> [&'static str; 5] {
    ["-e", "stderr", "-g", directives, "-c"]
}

fn nginx_conf(conf: Conf) -> &'static str {
    match conf {
        Conf::Bare | Conf::Roomy => "proxy.conf",
        Conf::Tls(_) => "tls.conf",
        Conf::H2 => "h2.conf",
        Conf::H2Tls => "h2-tls.conf",
        Conf::Realistic => "realistic.conf",
        Conf::Static => "static.conf",
        Conf::Cache => "cache.conf",
        Conf::FastCgi => "fastcgi.conf",
        Conf::Everyday => "everyday.conf",
        Conf::Many(_) => "many.conf",
        Conf::Upgrade => "upgrade.conf",
        Conf::SlowDisk(_) => "slow-disk.conf",
    }
}

/// The bodies of the backend and the static workload, with their sizes.
const FILES: &[(&str, usize)] = &[("1k", 1 << 10), ("64k", 64 << 10), ("1m", 1 << 20)];

impl Stage {
    /// Starts the backend, and creates files and certificates.
    pub(super) fn set(cores: Cores) -> Result<Self, Failure> {
        let scratch = Scratch::new("bench")?;
        let files = scratch.folder("files")?;
        for (name, size) in FILES {
            scratch.write(&format!("files/{name}"), &vec![b'x'; *size])?;
        }
        certificate(&scratch, "p256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])?;
        certificate(&scratch, "rsa", &["-newkey", "rsa:2048"])?;
        let backend =
            Server::start(&scratch, "backend", Some(&cores.of_load()), &|port, folder| {
                let words = [
                    ("PORT", &*port.to_string()),
                    ("FOLDER", &folder.display().to_string()),
                    ("FILES", &files.display().to_string()),
                ];
                let conf = folder.join("backend.conf");
                let text = template("conf/backend.conf", &words)?;
                std::fs::write(&conf, text).map_err(|error| error.to_string())?;
                let line = [NGINX].into_iter().chain(nginx_flags(IN_FRONT)).map(OsString::from);
                Ok(line.chain([conf.into()]).collect())
            })?;
        Ok(Self { cores, backend, answers: None, files, scratch })
    }

    /// Has small responses come from a program of their own from now on.
    pub(super) fn answer_cheaply(&mut self) -> Result<(), Failure> {
        let binary = beside("floor")?;
        let cores = self.cores.of_load();
        let server = Server::start(&self.scratch, "answers", Some(&cores), &|port, _| {
            Ok(vec![binary.clone().into(), "answer".into(), port.to_string().into()])
        })?;
        self.answers = Some(server);
        Ok(())
    }

    /// The backend's port for a workload.
    fn backend(&self, workload: &Workload) -> u16 {
        match &self.answers {
            Some(answers) if workload.has_small_answers() => answers.port,
            _ => self.backend.port,
        }
    }

    /// Writes a configuration to a server's folder and returns its path.
    fn conf(
        &self,
        name: &str,
        workload: &Workload,
        port: u16,
        folder: &Path,
        events: &str,
    ) -> Result<PathBuf, Failure> {
        let key = if let Conf::Tls(key) = workload.conf { key } else { Key::P256 };
        let (certificate, key) = self.certificate(key);
        let aio = if let Conf::SlowDisk(aio) = workload.conf { aio } else { "off" };
        let words = [
            ("THREADS", &*workload.threads.to_string()),
            ("BACKEND", &self.backend(workload).to_string()),
            ("PORT", &port.to_string()),
            ("EVENTS", events),
            ("AIO", aio),
            ("DISK", &self.disk().display().to_string()),
            ("FOLDER", &folder.display().to_string()),
            ("FILES", &self.files.display().to_string()),
            ("CERTIFICATE", &certificate.display().to_string()),
            ("KEY", &key.display().to_string()),
            ("BOTH", &certificate.with_extension("pem").display().to_string()),
        ];
        if let Conf::Many(sites) = workload.conf {
            reload::write(sites, self, folder, port, self.backend(workload))?;
        }
        let path = folder.join(name);
        let text = template(&format!("conf/{name}"), &words)?;
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(path)
    }

    /// The folder of the slow disk.
    pub(super) const DISK: &str = "disk";

    /// The mount point of the slow disk.
    pub(super) fn disk(&self) -> PathBuf {
        self.scratch.path().join(Self::DISK)
    }

    /// A certificate and its key.
    fn certificate(&self, key: Key) -> (PathBuf, PathBuf) {
        let name = match key {
            Key::P256 => "p256",
            Key::Rsa => "rsa",
        };
        let path = |ending| self.scratch.path().join(format!("{name}.{ending}"));
        (path("crt"), path("key"))
    }
}

/// Creates a certificate, its key, and a file with both for HAProxy.
fn certificate(scratch: &Scratch, name: &str, key: &[&str]) -> Result<(), Failure> {
    let path = |ending: &str| scratch.path().join(format!("{name}.{ending}"));
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]).args(key);
    command.arg("-keyout").arg(path("key")).arg("-out").arg(path("crt"));
    let output = command.output().map_err(|error| format!("openssl: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let read = |ending| std::fs::read(path(ending)).map_err(|error| error.to_string());
    let both = [read("crt")?, read("key")?].concat();
    scratch.write(&format!("{name}.pem"), &both)?;
    Ok(())
}

/// Builds a proxy in `bench/`, which is outside of the workspace.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failure> {
    let target = cargo::target()?.join(name);
    let manifest = cargo::root().join(format!("bench/{name}/Cargo.toml"));
    let mut command = cargo::cargo(&["build", "--quiet", "--release", "--locked"]);
    command.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&target);
    cargo::succeed(&mut command).map_err(|_| format!("bench/{name} could not be built"))?;
    Ok(target.join(format!("release/weir-bench-{name}")))
}

fn pingora_version() -> String {
    let lock = cargo::root().join("bench/pingora/Cargo.lock");
    let text = std::fs::read_to_string(lock).unwrap_or_default();
    let mut lines = text.lines().skip_while(|line| *line != "name = \"pingora\"");
    let version = lines.nth(1).and_then(|line| line.split('"').nth(1));
    version.unwrap_or("unknown").to_owned()
}
