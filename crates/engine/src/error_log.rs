//! The error log: levels, targets and lines, which are nginx's,
//! `2026/11/22 17:34:16 [error] 123#124: *5 message`, or JSON.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::sync::{Arc, RwLock};

pub mod directive;
mod line;
mod seldom;
mod stderr;

use line::Said;
pub use line::{Form, Part};
pub use seldom::Seldom;

use crate::log_files::LogFile;
use crate::syslog::Syslog;

/// The maximum length of a line, newline included; nginx's `NGX_MAX_ERROR_STR`.
pub const MAX_LINE: usize = 2048;

/// The severity of a line; a log with a level accepts that level and more severe ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The server cannot run.
    Emerg = 1,
    /// Immediate action is required; mostly a fault of the program or the machine.
    Alert,
    /// Something important failed.
    Crit,
    /// A request could not be served properly.
    Error,
    /// Unusual and noteworthy.
    Warn,
    /// Normal and noteworthy.
    Notice,
    /// Normal; faults of clients are reported here.
    Info,
    /// The steps of the program.
    Debug,
}

impl Level {
    /// All levels, most severe first.
    pub const ALL: [Self; 8] = [
        Self::Emerg,
        Self::Alert,
        Self::Crit,
        Self::Error,
        Self::Warn,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// The name in the configuration and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The level with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The destination of lines.
#[derive(Clone, Debug)]
pub enum Sink {
    /// A file.
    File(Arc<LogFile>),
    /// Standard error.
    Stderr,
    /// A syslog server.
    Syslog(Arc<Syslog>),
}

/// One `error_log` directive: a sink and the least severe level that it takes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Lines of this and more severe levels are written.
    pub level: Level,
    /// Their form.
    pub form: Form,
    /// Their destination.
    pub sink: Sink,
}

/// The error logs in force at one place in the configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ErrorLog {
    targets: Arc<[Target]>,
    level: Option<Level>,
    /// The most that a target in JSON accepts.
    json: Option<Level>,
}

impl ErrorLog {
    /// A log with these targets; without any, it accepts nothing.
    pub fn new(targets: Vec<Target>) -> Self {
        let level = targets.iter().map(|target| target.level).max();
        let of_json = targets.iter().filter(|target| target.form == Form::Json);
        let json = of_json.map(|target| target.level).max();
        Self { targets: targets.into(), level, json }
    }

    /// A log that writes to standard error.
    pub fn stderr(level: Level) -> Self {
        Self::new(vec![Target { level, form: Form::Plain, sink: Sink::Stderr }])
    }

    /// The targets, in the order of the configuration.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Whether any target accepts this level. Check it before formatting a costly message.
    pub fn takes(&self, level: Level) -> bool {
        self.level.is_some_and(|most| level <= most)
    }

    /// Whether a line of this level is also written in JSON, which has parts that others lack.
    pub fn takes_json(&self, level: Level) -> bool {
        self.json.is_some_and(|most| level <= most)
    }

    /// Writes a line to each target that accepts the level. `connection` is the connection's
    /// number, or 0.
    pub fn log(&self, level: Level, connection: u64, message: impl Display) {
        if self.takes(level) {
            self.write(level, connection, &message, &[]);
        }
    }

    /// Like [`ErrorLog::log`], with what is known about the event.
    pub fn log_about(
        &self,
        level: Level,
        connection: u64,
        message: impl Display,
        parts: &[Part<'_>],
    ) {
        if self.takes(level) {
            self.write(level, connection, &message, parts);
        }
    }

    #[cold]
    fn write(&self, level: Level, connection: u64, message: &dyn Display, parts: &[Part<'_>]) {
        LINE.with(|line| {
            // A message whose formatting logs gets a separate buffer.
            let mut own = Vec::new();
            let mut shared = line.try_borrow_mut();
            let line = shared.as_deref_mut().unwrap_or(&mut own);
            let said = Said { level, ids: ids(), connection, message, parts };
            for form in [Form::Plain, Form::Json] {
                let takes = |target: &&Target| level <= target.level && target.form == form;
                let mut targets = self.targets.iter().filter(takes).peekable();
                if targets.peek().is_some() {
                    said.write(form, line);
                }
                targets.for_each(|target| target.sink.write(level, form, line));
            }
        });
    }
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static IDS: (u32, u32) = (
        std::process::id(),
        rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(),
    );
}

/// The IDs of process and thread. Cached, and checked because a fork copies the cache.
fn ids() -> (u32, u32) {
    let process = std::process::id();
    IDS.with(|&(cached, thread)| {
        if cached == process {
            (process, thread)
        } else {
            (process, rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned())
        }
    })
}

impl Sink {
    /// Writes one line, newline included. A file's write error cannot be reported.
    fn write(&self, level: Level, form: Form, line: &[u8]) {
        match self {
            Self::File(file) => drop(file.write(line)),
            Self::Stderr => drop(stderr::write(form, line)),
            Self::Syslog(syslog) => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                if let Some(news) = syslog.send_severity(level as u8 - 1, line) {
                    // The log itself may be this syslog, which then has no further news.
                    syslog.tell(&news, |level, message| process_log().log(level, 0, message));
                }
            }
        }
    }
}

static PROCESS: RwLock<Option<ErrorLog>> = RwLock::new(None);

/// Sets nginx's main `error_log`, for messages outside of servers and requests.
pub fn set_process_log(log: ErrorLog) {
    *PROCESS.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(log);
}

/// The main log; until one is set, standard error from level `error` on.
pub fn process_log() -> ErrorLog {
    let log = PROCESS.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    log.unwrap_or_else(|| ErrorLog::stderr(Level::Error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_to(name: &str, level: Level) -> (ErrorLog, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("weir-error-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let file = Arc::new(LogFile::open(&path).unwrap());
        (ErrorLog::new(vec![Target { level, form: Form::Plain, sink: Sink::File(file) }]), path)
    }

    #[test]
    fn a_line_has_nginxs_form() {
        let (log, path) = log_to("form", Level::Error);
        log.log(Level::Warn, 1, "not taken");
        log.log(Level::Error, 5, format_args!("connect() failed ({}: x)", 111));
        log.log(Level::Emerg, 0, "no connection");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (process, thread) = ids();
        assert_eq!(lines.len(), 2);
        let head = format!(" [error] {process}#{thread}: *5 connect() failed (111: x)");
        assert_eq!(lines[0][19..], head);
        assert!(lines[1].ends_with(&format!(" [emerg] {process}#{thread}: no connection")));
    }

    #[test]
    fn each_target_has_its_form() {
        let (_, path) = log_to("forms", Level::Error);
        let file = Arc::new(LogFile::open(&path).unwrap());
        let target = |level, form| Target { level, form, sink: Sink::File(Arc::clone(&file)) };
        let log = ErrorLog::new(vec![
            target(Level::Warn, Form::Json),
            target(Level::Info, Form::Plain),
            target(Level::Error, Form::Json),
        ]);
        assert!(log.takes_json(Level::Warn) && !log.takes_json(Level::Info));
        for (level, lines) in [(Level::Error, 3), (Level::Warn, 2), (Level::Info, 1)] {
            std::fs::write(&path, "").unwrap();
            log.log_about(level, 0, "said", &[Part::bare("client", "c")]);
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(text.lines().next().unwrap().ends_with("said, client: c"), "{text}");
            let json = text.lines().filter(|line| line.ends_with("\"client\":\"c\"}"));
            assert_eq!(json.count(), lines - 1);
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn levels_have_names_and_an_order() {
        assert_eq!(Level::from_name("crit"), Some(Level::Crit));
        assert_eq!(Level::from_name("stderr"), None);
        assert!(!ErrorLog::default().takes(Level::Emerg));
    }
}
