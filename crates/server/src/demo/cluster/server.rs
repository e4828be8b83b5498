//! A web server of the cluster, in a process of its own, which can be killed.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::demo::listen;
use crate::demo::web_server::WebServer;

/// The process: serves on a free port, which it prints, until its standard input ends. So none
/// outlives the demo.
pub(in crate::demo) fn run(number: usize) -> i32 {
    let serve = || -> std::io::Result<()> {
        let listener = listen(0)?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        let _server = WebServer::start(number, listener)?;
        std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
    };
    i32::from(serve().is_err())
}

/// A server and its process.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts the server with this number.
    ///
    /// # Errors
    /// Those of the process and its port.
    pub(super) fn start(number: usize) -> std::io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["demo", "server", &number.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the demo, which still has to finish the requests.
            .process_group(0)
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().parse() {
            Ok(address) => Ok(Self { address, child }),
            Err(_) => Err(Error::other(format!("server {number} does not start"))),
        }
    }

    /// The number of its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
