//! The `error_log` directive, in all its contexts.

use std::sync::Arc;

use weir_conf::{Arity, Cx, Fault, LogFile as Handle, Many, Node, Slot, Table, Value, directives};

use super::{ErrorLog, Form, Level, Sink, Target};
use crate::log_files::LogFile;
use crate::syslog::{Syslog, SyslogOptions};

/// The error logs of a block.
pub static ERROR_LOGS: Slot<ErrorLogs> = Slot::new();

/// The table of the directive.
pub const TABLE: Table = ErrorLogs::table(&ERROR_LOGS);

directives! {
    /// The logging of errors.
    pub struct ErrorLogs in
        [main, http, server, location, stream, stream_server, mail, mail_server]
    {
        /// Configures a log and its least severe level. Several logs may be given; a level includes
        /// those above it in the list emerg, alert, crit, error, warn, notice, info, debug. A
        /// syslog server is `syslog:server=address[,facility=name][,severity=name][,tag=word]
        /// [,nohostname]`. With `json`, each line is a JSON object (docs/howto/logs-and-traces.md).
        "error_log" => logs: Many<Destination>,
    }
}

impl ErrorLogs {
    /// The configured log, with `files` by the handles of the environment; `None` if nothing is
    /// configured and the process's log applies.
    ///
    /// A handle without a file is skipped, which happens only if `files` belong to another
    /// configuration.
    pub fn open(&self, files: &[Arc<LogFile>]) -> Option<ErrorLog> {
        if self.logs.is_empty() {
            return None;
        }
        Some(ErrorLog::new(self.logs.iter().filter_map(|log| log.open(files)).collect()))
    }

    /// Whether a file or standard error is among the targets, as the main log requires.
    pub fn has_file(&self) -> bool {
        self.logs.iter().any(|log| !matches!(log.to, To::Syslog(_)))
    }

    /// Whether standard error is among the targets; it is then not redirected.
    pub fn has_stderr(&self) -> bool {
        self.logs.iter().any(|log| matches!(log.to, To::Stderr))
    }
}

/// An `error_log` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The least severe level.
    pub level: Level,
    /// The form of the lines.
    pub form: Form,
    /// The destination.
    pub to: To,
}

/// The destination of an `error_log` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A file, opened by the environment.
    File(Handle),
    /// Standard error.
    Stderr,
    /// A syslog server.
    Syslog(SyslogOptions),
}

impl Destination {
    fn open(&self, files: &[Arc<LogFile>]) -> Option<Target> {
        let sink = match &self.to {
            To::File(handle) => Sink::File(Arc::clone(files.get(handle.0 as usize)?)),
            To::Stderr => Sink::Stderr,
            To::Syslog(options) => Sink::Syslog(Arc::new(Syslog::new(options.clone()))),
        };
        Some(Target { level: self.level, form: self.form, sink })
    }
}

impl Value for Destination {
    const SYNTAX: &'static str = "file | stderr | syslog:parameter=value[,...] [level] [json]";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let name = node.args[0].text().into_owned();
        let to = if name == "stderr" {
            To::Stderr
        } else if name.starts_with("memory:") {
            return Err(Fault::new("nginx was built without debug support").at(&node.args[0]));
        } else if let Some(parameters) = name.strip_prefix("syslog:") {
            To::Syslog(SyslogOptions::parse(parameters, cx).map_err(|f| f.at(&node.args[0]))?)
        } else {
            let path = cx.prefix_path(&name);
            let opened = cx.env().open_log(&path);
            To::File(opened.map_err(|e| Fault::new(format!("open() \"{name}\" failed ({e})")))?)
        };
        let (level, form) = how(node)?;
        Ok(Self { level, form, to })
    }
}

/// nginx's debug levels per subsystem; each accepts all levels.
const DEBUG_LEVELS: [&str; 7] = [
    "debug_core",
    "debug_alloc",
    "debug_mutex",
    "debug_event",
    "debug_http",
    "debug_mail",
    "debug_stream",
];

/// The level and the form.
fn how(node: &Node) -> Result<(Level, Form), Fault> {
    let mut form = Form::Plain;
    let mut level = None;
    let mut debug = false;
    for word in &node.args[1..] {
        let text = word.text();
        let invalid = || Fault::new(format!("invalid log level \"{text}\"")).at(word);
        if text == "json" {
            if form == Form::Json {
                return Err(Fault::new("duplicate parameter \"json\"").at(word));
            }
            form = Form::Json;
        } else if DEBUG_LEVELS.contains(&text.as_ref()) {
            if level.is_some() {
                return Err(invalid());
            }
            debug = true;
        } else {
            let named = Level::from_name(&text).ok_or_else(invalid)?;
            if debug || level.replace(named).is_some() {
                return Err(Fault::new(format!("duplicate log level \"{text}\"")).at(word));
            }
        }
    }
    let level = if debug { Level::Debug } else { level.unwrap_or(Level::Error) };
    Ok((level, form))
}

#[cfg(test)]
mod tests;
