//! Messages of the process itself: to its error log and, while somebody may be looking at the
//! terminal, to standard error with the program's name at the head.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use weir_engine::error_log::{Sink, process_log, set_process_log};
use weir_engine::os_error::Failed;
use weir_engine::{ErrorLog, Level};

/// The process's own voice.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    program: String,
    log: ErrorLog,
    /// Whether messages of level warn and above go to standard error as well: until the server
    /// is up.
    stderr: bool,
}

impl Console {
    /// `arg0` decides the name: nginx for whoever calls the program by that name, else weir.
    pub(crate) fn new(arg0: Option<&OsStr>) -> Self {
        let called = arg0.and_then(|arg0| Path::new(arg0).file_name());
        let program = if called == Some(OsStr::new("nginx")) { "nginx" } else { "weir" };
        Self { program: program.to_owned(), log: ErrorLog::default(), stderr: true }
    }

    /// The name at the head of messages and titles.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Lets a panic be told in the log, which is where somebody looks: in a loop by whoever knows
    /// what it was about.
    pub(crate) fn log_panics() {
        std::panic::set_hook(Box::new(|panic| {
            let said = panic.to_string().replace('\n', " ");
            if !weir_engine::panics::keep(&said) {
                process_log().log(Level::Alert, 0, said);
            }
        }));
    }

    /// Writes to another log from now on.
    pub(crate) fn set_error_log(&mut self, log: ErrorLog) {
        set_process_log(log.clone());
        self.log = log;
    }

    /// The same with another log, for what concerns a configuration that is not in force yet.
    pub(crate) fn with_log(&self, log: ErrorLog) -> Self {
        Self { program: self.program.clone(), log, stderr: self.stderr }
    }

    /// Whether grave messages go to standard error.
    pub(crate) fn on_terminal(&self) -> bool {
        self.stderr
    }

    /// Nobody looks at the terminal any more.
    pub(crate) fn leave_terminal(&mut self) {
        self.stderr = false;
    }

    /// Lets standard error go where the first file of a log goes.
    pub(crate) fn redirect_stderr(&self, log: &ErrorLog) {
        let file = log.targets().iter().find_map(|target| match &target.sink {
            Sink::File(file) => Some(file),
            _ => None,
        });
        if let Some(file) = file
            && let Err(error) = weir_sys::daemon::redirect_stderr(file.as_fd())
        {
            self.log(Level::Alert, Failed("dup2(STDERR_FILENO) failed", &error));
        }
    }

    /// Writes a message that the log takes, and if it is grave enough, to the terminal as well.
    pub(crate) fn log(&self, level: Level, message: impl Display) {
        if !self.log.takes(level) {
            return;
        }
        self.log.log(level, 0, &message);
        if self.stderr && level <= Level::Warn && !self.log_is_terminal(level) {
            self.print(format_args!("[{level}] {message}"));
        }
    }

    /// Prints a line to standard error with the program's name at its head. Nothing is left to do
    /// when that fails.
    pub(crate) fn print(&self, message: impl Display) {
        let line = format!("{}: {message}\n", self.program);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn log_is_terminal(&self, level: Level) -> bool {
        let targets = self.log.targets().iter();
        targets.filter(|target| level <= target.level).any(|t| matches!(t.sink, Sink::Stderr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_it_is_called_by_decides() {
        assert_eq!(Console::new(Some(OsStr::new("/usr/sbin/nginx"))).program(), "nginx");
        assert_eq!(Console::new(Some(OsStr::new("./nginx-new"))).program(), "weir");
        assert_eq!(Console::new(None).program(), "weir");
    }
}
