//! A terminal of a test's own.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::harness::{binary, until};

/// `weir top` in a terminal of its own.
pub(super) struct Terminal {
    pub(super) child: Child,
    pub(super) shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub(super) fn open(url: &str) -> Self {
        Self::sized(url, "", (120, 30))
    }

    /// A terminal of a size, with variables of the environment.
    pub(super) fn sized(url: &str, variables: &str, (columns, rows): (u32, u32)) -> Self {
        let program = binary();
        let size = format!("stty cols {columns} rows {rows}");
        let program = program.display();
        Self::run(&format!("{size}; exec env {variables} {program} top {url}"))
    }

    /// A terminal in which a shell runs a command.
    pub(super) fn run(command: &str) -> Self {
        let mut script = Command::new("script");
        script.args(["--quiet", "--flush", "--command", command, "/dev/null"]);
        script.env("TERM", "xterm");
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut output, all) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                all.lock().unwrap().extend_from_slice(&bytes[..length]);
            }
        });
        Self { child, shown }
    }

    pub(super) fn wait(&self, text: &str) {
        let shown = || String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned();
        until(text, || shown().contains(text));
        self.shown.lock().unwrap().clear();
    }

    /// The bytes that were shown since the last wait.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    pub(super) fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = self.shown();
            eprintln!("shown last: {:?}", shown.rsplit("\x1b[H").next());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
