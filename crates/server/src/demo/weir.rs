//! Weir itself, as the demos run it.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::signals;

/// The time limit for Weir's start.
const START: Duration = Duration::from_secs(10);

/// Weir as a child process, from this process's own executable.
pub(super) struct Weir(Child);

impl Weir {
    /// Starts with the `nginx.conf` of a folder, and waits until it accepts connections.
    ///
    /// # Errors
    /// It does not start; the text has its error log.
    pub(super) fn start(folder: &Path, front: SocketAddr) -> std::io::Result<Self> {
        let mut prefix = folder.as_os_str().to_owned();
        prefix.push("/");
        let binary: PathBuf = std::env::current_exe()?;
        let mut command = Command::new(binary);
        command
            .arg("-p")
            .arg(prefix)
            .args(["-c", "nginx.conf", "-e", "logs/error.log", "-g", "daemon off;"])
            .stdin(Stdio::null())
            // Ctrl-C is for the demo, which then ends its children in their order.
            .process_group(0);
        // Also if the demo is killed.
        weir_sys::process::end_with_parent(&mut command);
        let mut weir = Self(command.spawn()?);
        let begun = Instant::now();
        while TcpStream::connect(front).is_err() {
            if weir.0.try_wait()?.is_some() || begun.elapsed() > START {
                weir.stop();
                let log = std::fs::read_to_string(folder.join("logs/error.log"));
                return Err(std::io::Error::other(format!(
                    "Weir does not start\n{}",
                    log.unwrap_or_default()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(weir)
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it.
    pub(super) fn stop(&mut self) {
        let id = i32::try_from(self.0.id()).unwrap_or_default();
        let _ = weir_sys::process::kill(id, signals::TERM);
        let _ = self.0.wait();
    }
}
