//! Access logs: formats, files, buffers, and the reports of failed writes.
//! <https://nginx.org/en/docs/http/ngx_http_log_module.html>

use std::cell::Cell;
use std::sync::Arc;

use weir_conf::{Contexts, Cx, Fault, Inherit, Layout, LogFile as Handle, directives};
use weir_engine::log_buffer::{self, Buffering};
use weir_engine::syslog::Syslog;
use weir_script::Template;
use weir_script::variables::is_stream;

use crate::Session;

mod destination;
mod files;
mod format;
mod trouble;

use destination::set_access_log;
use files::LogFileCache;
use format::{COMBINED_NAME, Format, Formats, set_format};
use trouble::Trouble;

directives! {
    /// Access logs.
    pub struct Logging as LoggingWritten in [http, server, location] {
        /// An access log: a file, whose name may have variables, or a syslog server; the name of a
        /// format, by default `combined`, or `weir_json`, which needs no definition, either
        /// (docs/howto/logs-and-traces.md); and an optional buffer, which each thread has for
        /// itself.
        /// Several logs can be set. A syslog server is `syslog:server=address[,facility=name]
        /// [,severity=name][,tag=word][,nohostname]`.
        "access_log" in [http, server, location, location_if, limit_except] [1+]:
            "off | path [format [buffer=size] [gzip[=level]] [flush=time] [if=condition]]"
            => set_access_log,
        /// Defines a format of log lines.
        "log_format" in [http] [2+]: "name [escape=default|json|none] string ..." => set_format,
        /// The cache of log files with variables in their names: the maximum number of files, the
        /// time without use after which one is closed, the minimum number of uses, and the time
        /// after which a file is checked.
        "open_log_file_cache" => cache: LogFileCache,
        field logs: Inherit<Logs>,
    }
    finish = Logging::finish;
}

/// The logs in force.
#[derive(Clone, Default)]
pub(super) struct Logs {
    /// Whether nothing is logged, whatever else is set.
    off: bool,
    list: Arc<Vec<AccessLog>>,
}

/// One `access_log` directive.
struct AccessLog {
    to: To,
    format: Arc<Format>,
    /// Requests are logged unless this is empty or `0`.
    condition: Option<Template>,
    trouble: Trouble,
}

/// The destination of lines.
enum To {
    File(Handle),
    Buffer(Handle, Buffering),
    /// A file whose name has variables.
    Computed(Template),
    Syslog(Arc<Syslog>),
}

impl Logging {
    /// Locations without `access_log` use the default log. nginx merges nothing into `http {}`
    /// itself, so that the default is opened only for a server that needs it; stream has none.
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let has_default = cx.context() != Contexts::HTTP && !is_stream(cx);
        if self.logs.off || !self.logs.list.is_empty() || !has_default {
            return Ok(());
        }
        let path = cx.prefix_path(Layout::built().http_log_path);
        let handle =
            cx.env().open_log(&path).map_err(|error| destination::refused(&path, &error))?;
        let Some(format) = Formats::find(cx, COMBINED_NAME) else { return Ok(()) };
        let (condition, trouble) = (None, Trouble::default());
        let log = AccessLog { to: To::File(handle), format, condition, trouble };
        self.logs.list = Arc::new(vec![log]);
        Ok(())
    }
}

thread_local! {
    /// The buffer of the current line, which is reused for the next one.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The maximum capacity of a buffer that is kept.
const KEPT_LINE: usize = 64 * 1024;

impl Logging {
    /// Whether sessions are logged.
    pub fn is_on(&self) -> bool {
        !self.logs.off
    }

    /// Writes a session to every log in force.
    pub fn write<S: Session>(&self, session: &mut S) {
        let mut line = LINE.take();
        for log in self.logs.list.iter() {
            if log.applies(session, &mut line) {
                line.clear();
                log.format.eval(session, &mut line);
                log.write(session, &mut line, &self.cache);
            }
        }
        if line.capacity() <= KEPT_LINE {
            LINE.set(line);
        }
    }
}

impl AccessLog {
    fn applies<S: Session>(&self, session: &mut S, scratch: &mut Vec<u8>) -> bool {
        let Some(condition) = &self.condition else { return true };
        scratch.clear();
        condition.eval(session, scratch);
        !scratch.is_empty() && scratch != b"0"
    }

    fn write<S: Session>(&self, session: &mut S, line: &mut Vec<u8>, cache: &LogFileCache) {
        if let To::Syslog(syslog) = &self.to {
            if let Some(news) = syslog.send(line) {
                syslog.tell(&news, |level, message| session.log(level, message));
            }
            return;
        }
        let computed = matches!(self.to, To::Computed(_));
        if computed && self.trouble.is_full() {
            return;
        }
        line.push(b'\n');
        let file = match &self.to {
            To::File(handle) | To::Buffer(handle, _) => session.log_file(*handle),
            To::Computed(path) => files::open(session, path, cache),
            To::Syslog(_) => None,
        };
        let Some(file) = file else { return };
        let written = match &self.to {
            To::Buffer(_, how) => log_buffer::append(&file, *how, line),
            _ => file.write(line),
        };
        match written {
            Ok(()) if computed => self.trouble.is_over(session),
            Ok(()) => {}
            Err(error) if computed => self.trouble.tell(session, &file, &error),
            Err(error) if file.is_news() => trouble::tell(session, &file, &error),
            Err(_) => {}
        }
    }
}

/// Flushes the buffers of this thread, and closes the files that it has opened.
pub fn flush() {
    log_buffer::flush();
    files::forget();
}
