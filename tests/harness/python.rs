//! Python's application servers, if they are installed.

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::{Directory, Signal, send_signal, until_some};

/// A server of a WSGI application, on a socket in its own folder.
pub(crate) struct Python {
    process: Child,
    /// The folder: the application is `app.py`, the socket `socket`.
    pub(crate) directory: Directory,
}

impl Python {
    /// Serves the application `name` of this text by uwsgi; None without uwsgi.
    pub(crate) fn uwsgi(text: &str, name: &str) -> Option<Self> {
        let mut command = Command::new("uwsgi");
        command
            .args(["--plugin", "python3", "--chmod-socket=777", "--need-app", "--master"])
            .args(["--die-on-term", "--threads=4", "--module", &format!("app:{name}"), "--chdir"]);
        Self::start(text, |directory| {
            command.arg(directory.path()).arg("--socket").arg(directory.join("socket"));
            command
        })
    }

    /// Serves the application by gunicorn, which speaks HTTP; None without gunicorn.
    pub(crate) fn gunicorn(text: &str, name: &str) -> Option<Self> {
        let mut command = Command::new("gunicorn");
        command.args(["--threads=4", "--umask=0", &format!("app:{name}"), "--chdir"]);
        Self::start(text, |directory| {
            let socket = format!("unix:{}", directory.join("socket").display());
            command.arg(directory.path()).args(["--bind", &socket]);
            command
        })
    }

    /// Ends the server; its folder stays.
    pub(crate) fn end(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            // Its children end with it.
            send_signal(self.process.id(), Signal::TERM);
        }
        let _ = self.process.wait();
    }

    fn start(text: &str, command: impl FnOnce(&Directory) -> Command) -> Option<Self> {
        let directory = Directory::new();
        directory.write("app.py", text);
        let mut command = command(&directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().ok()?;
        let mut python = Self { process, directory };
        until_some("the application", || {
            let status = python.process.try_wait().unwrap();
            assert!(status.is_none(), "the application's server ended: {status:?}");
            UnixStream::connect(python.directory.join("socket")).ok()
        });
        Some(python)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.end();
    }
}
