//! The servers that are compared.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, cargo};

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(10);

/// One of the servers.
#[derive(Debug)]
pub(super) struct Side {
    /// What it is called in the table.
    pub(super) name: &'static str,
    binary: PathBuf,
    conf: &'static str,
    /// Flags in front of the configuration file.
    flags: &'static [&'static str],
}

const NGINX_FLAGS: &[&str] = &["-e", "stderr", "-c"];

impl Side {
    /// Weir, nginx and HAProxy.
    pub(super) fn all(weir: PathBuf) -> [Self; 3] {
        let nginx = PathBuf::from("/usr/sbin/nginx");
        let haproxy = PathBuf::from("/usr/sbin/haproxy");
        [
            Self { name: "Weir", binary: weir, conf: "proxy.conf", flags: NGINX_FLAGS },
            Self { name: "nginx", binary: nginx, conf: "proxy.conf", flags: NGINX_FLAGS },
            Self { name: "HAProxy", binary: haproxy, conf: "haproxy.cfg", flags: &["-q", "-f"] },
        ]
    }

    /// Starts it in front of a backend.
    pub(super) fn start(&self, backend: u16) -> Result<Running, Failure> {
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("weir-bench-{port}"));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let source = cargo::root().join("bench").join(self.conf);
        let text = std::fs::read_to_string(&source).map_err(|error| error.to_string())?;
        let text = text
            .replace("PORT_OF_BACKEND", &backend.to_string())
            .replace("PORT", &port.to_string())
            .replace("FOLDER", &folder.display().to_string());
        let conf = folder.join(self.conf);
        std::fs::write(&conf, text).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.binary);
        command.args(self.flags).arg(&conf).stdin(Stdio::null()).stdout(Stdio::null());
        let log =
            std::fs::File::create(folder.join("stderr")).map_err(|error| error.to_string())?;
        let child = command.stderr(log).spawn();
        let child = child.map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let mut running = Running { child, port, folder };
        running.wait_until_it_listens(self.name)?;
        Ok(running)
    }
}

/// The backend of all: nginx with a small answer from memory.
pub(super) fn backend() -> Result<Running, Failure> {
    let binary = PathBuf::from("/usr/sbin/nginx");
    let side = Side { name: "the backend", binary, conf: "backend.conf", flags: NGINX_FLAGS };
    side.start(0)
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(|error| error.to_string())?.port())
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// Where it listens.
    pub(super) port: u16,
    folder: PathBuf,
}

impl Running {
    fn wait_until_it_listens(&mut self, name: &str) -> Result<(), Failure> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || started.elapsed() > START {
                let told = std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
                return Err(format!("{name} does not start:\n{told}"));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    /// CPU time of all its threads so far, in nanoseconds.
    pub(super) fn cpu(&self) -> u64 {
        self.processes().into_iter().flat_map(threads).map(|path| on_cpu(&path)).sum()
    }

    /// Memory of all its processes in bytes, shared pages counted once.
    pub(super) fn memory(&self) -> u64 {
        let of = |process: u32| {
            let path = format!("/proc/{process}/smaps_rollup");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0");
            line.split_whitespace()
                .next()
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.processes().into_iter().map(of).sum::<u64>() * 1024
    }

    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(&process) = found.get(next) {
            found.extend(children(process));
            next += 1;
        }
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut term = Command::new("kill");
        let _ = term.args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn children(process: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |&child: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1) == Some(&process.to_string())
    };
    numbers.filter(is_child).collect()
}

fn threads(process: u32) -> Vec<PathBuf> {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let entries = std::fs::read_dir(tasks).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn on_cpu(thread: &Path) -> u64 {
    let text = std::fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
