//! Messages of the process: to its error log and, until the server is up, to standard error with
//! the program's name in front.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

use weir_engine::error_log::{Part, Sink, process_log, set_process_log};
use weir_engine::os_error::Failed;
use weir_engine::{ErrorLog, Level};

thread_local! {
    /// The first message of level emerg since [`take_fault`].
    static FAULT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The first message of level emerg since the last call, for what is told of a reload.
pub(crate) fn take_fault() -> Option<String> {
    FAULT.take()
}

/// Prints the answer of a command on standard output. Nobody has to read it: a command whose output
/// is cut (`| head -1`) does the rest nevertheless.
pub(crate) fn say(text: impl Display) {
    let _ = write!(std::io::stdout(), "{text}");
}

/// As [`say`], with the end of the line.
pub(crate) fn say_line(text: impl Display) {
    say(format_args!("{text}\n"));
}

/// The output for messages of the process.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    program: String,
    log: ErrorLog,
    /// Whether messages of level warn and above also go to standard error; they do until the server
    /// is up.
    stderr: bool,
    /// There is no log: a command runs, not a server.
    is_command: bool,
    /// Messages of errors, kept in place of being logged.
    kept: Option<Rc<RefCell<Vec<String>>>>,
}

impl Console {
    /// The name is nginx if the program is called by that name, else weir.
    pub(crate) fn new(arg0: Option<&OsStr>) -> Self {
        let called = arg0.and_then(|arg0| Path::new(arg0).file_name());
        let program = if called == Some(OsStr::new("nginx")) { "nginx" } else { "weir" };
        let (log, kept) = (ErrorLog::default(), None);
        Self { program: program.to_owned(), log, stderr: true, is_command: false, kept }
    }

    /// For a command that is no server: severe messages go to the terminal alone.
    pub(crate) fn for_command(arg0: Option<&OsStr>) -> Self {
        Self { is_command: true, ..Self::new(arg0) }
    }

    /// The program's name in messages and process titles.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Sends the text of panics to the log. A loop adds the context where it catches one.
    pub(crate) fn log_panics() {
        std::panic::set_hook(Box::new(|panic| {
            let said = panic.to_string().replace('\n', " ");
            if !weir_engine::panics::keep(&said) {
                process_log().log(Level::Alert, 0, said);
            }
        }));
    }

    /// Switches to another log.
    pub(crate) fn set_error_log(&mut self, log: ErrorLog) {
        set_process_log(log.clone());
        self.log = log;
    }

    /// A copy with another log, for messages about a configuration that is not in force yet.
    pub(crate) fn with_log(&self, log: ErrorLog) -> Self {
        Self { log, ..self.clone() }
    }

    /// A console that only keeps errors, for a configuration that somebody else has asked about.
    pub(crate) fn keeping(&self) -> Self {
        let (program, log) = (self.program.clone(), ErrorLog::default());
        Self { program, log, stderr: false, is_command: false, kept: Some(Rc::default()) }
    }

    /// The errors that were kept, in one line.
    pub(crate) fn kept(&self) -> String {
        self.kept.as_ref().map(|kept| kept.borrow().join("; ")).unwrap_or_default()
    }

    /// Whether severe messages also go to standard error.
    pub(crate) fn on_terminal(&self) -> bool {
        self.stderr
    }

    /// Stops writing to standard error.
    pub(crate) fn leave_terminal(&mut self) {
        self.stderr = false;
    }

    /// Redirects standard error to the first file of a log.
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

    /// Logs a message of a sufficient level, and prints severe ones to the terminal as well.
    pub(crate) fn log(&self, level: Level, message: impl Display) {
        self.log_about(level, message, &[]);
    }

    /// Like [`Console::log`], with what a log in JSON has in addition.
    pub(crate) fn log_about(&self, level: Level, message: impl Display, parts: &[Part<'_>]) {
        if let Some(kept) = &self.kept {
            if level <= Level::Error {
                kept.borrow_mut().push(message.to_string());
            }
            return;
        }
        if level <= Level::Emerg {
            FAULT.with_borrow_mut(|fault| _ = fault.get_or_insert_with(|| message.to_string()));
        }
        if self.is_command && self.stderr && level <= Level::Warn {
            return self.print(format_args!("[{level}] {message}"));
        }
        if !self.log.takes(level) {
            return;
        }
        self.log.log_about(level, 0, &message, parts);
        if self.stderr && level <= Level::Warn && !self.log_is_terminal(level) {
            self.print(format_args!("[{level}] {message}"));
        }
    }

    /// Prints a line to standard error with the program's name in front. Errors are ignored.
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
    fn the_name_follows_from_argument_zero() {
        assert_eq!(Console::new(Some(OsStr::new("/usr/sbin/nginx"))).program(), "nginx");
        assert_eq!(Console::new(Some(OsStr::new("./nginx-new"))).program(), "weir");
        assert_eq!(Console::new(None).program(), "weir");
    }
}
