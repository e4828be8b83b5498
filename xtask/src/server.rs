//! A server started on a port of its own, which ends with this program.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::scratch::Scratch;

/// The time limit for the start; valgrind is slow.
const START: Duration = Duration::from_secs(60);

/// The time limit for the end.
const END: Duration = Duration::from_secs(10);

/// The number of attempts, as another program may take the port first.
const ATTEMPTS: usize = 3;

/// A running server; stopped on drop, and by the kernel if this program dies.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// The listening port on 127.0.0.1.
    pub(crate) port: u16,
    /// The folder that it may write to.
    pub(crate) folder: PathBuf,
    /// The program with its arguments.
    pub(crate) line: Vec<OsString>,
    /// The time of the start.
    pub(crate) started: Instant,
}

/// The command for a server with the given port and folder.
pub(crate) type Line<'a> = &'a dyn Fn(u16, &Path) -> Result<Vec<OsString>, Failure>;

impl Server {
    /// Starts a server and waits until it listens; pinned to these cores, in taskset's notation, if
    /// given.
    pub(crate) fn start(
        scratch: &Scratch,
        name: &str,
        cores: Option<&str>,
        line: Line<'_>,
    ) -> Result<Self, Failure> {
        let mut outcome = Err(String::new());
        for _ in 0..ATTEMPTS {
            outcome = Self::attempt(scratch, name, cores, line);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn attempt(
        scratch: &Scratch,
        name: &str,
        cores: Option<&str>,
        line: Line<'_>,
    ) -> Result<Self, Failure> {
        let port = free_port()?;
        let folder = scratch.folder(&format!("{name}-{port}"))?;
        let log = File::create(folder.join("stderr")).map_err(|error| error.to_string())?;
        // Both replace themselves by the given program, so the process ID stays.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]);
        if let Some(cores) = cores {
            command.args(["taskset", "--cpu-list", cores]);
        }
        let line = line(port, &folder)?;
        command.args(&line).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("setpriv: {error}"))?;
        let mut server = Self { child, port, folder, line, started };
        server.wait_until_it_listens(name)?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self, name: &str) -> Result<(), Failure> {
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let status = self.child.try_wait().ok().flatten();
            // The launcher of a daemon ends well.
            let failed = status.is_some_and(|status| !status.success());
            if failed || started.elapsed() > START {
                return Err(format!("{name} does not start:\n{}", self.told()));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The content of its standard error.
    pub(crate) fn told(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// The ID of the started process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and returns the content of its standard error.
    pub(crate) fn end(mut self) -> String {
        self.terminate();
        self.told()
    }

    fn terminate(&mut self) {
        let gone = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        if gone(&mut self.child) {
            return;
        }
        let mut term = Command::new("kill");
        let _ = term.args(["-TERM", &self.child.id().to_string()]).status();
        let told = Instant::now();
        while !gone(&mut self.child) {
            if told.elapsed() > END {
                let _ = self.child.kill();
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.terminate();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(|error| error.to_string())?.port())
}
