//! Access logs (<https://nginx.org/en/docs/http/ngx_http_log_module.html>).

use std::cell::Cell;
use std::sync::Arc;

use weir_conf::{Contexts, Cx, Fault, Inherit, Layout, LogFile as Handle, Node, Slot, directives};
use weir_engine::log_buffer::{self, Buffering};
use weir_engine::syslog::Syslog;
use weir_script::escape::Escape;
use weir_script::log_format::LogFormat;
use weir_script::{Template, Variables};

use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::Request;

mod destination;
mod files;
mod trouble;

use destination::set_access_log;
use files::Cache;
use trouble::Trouble;

pub(crate) const MODULE: Module = Module {
    name: "log",
    tables: &[&Logging::table(&LOG)],
    handlers: &[PhaseHandler {
        phase: Phase::Log,
        enabled: |settings| !settings.get(&LOG).logs.off,
        handler: Handler::Sync(write),
    }],
    ..Module::NONE
};

static LOG: Slot<Logging> = Slot::new();

/// The format that every configuration has.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

directives! {
    /// What is told of requests, and where.
    pub(super) struct Logging as LoggingWritten in [http, server, location] {
        /// A log of requests: a file, whose name may have variables, or a syslog server; the name
        /// of a format, `combined` without one; and how much may wait in memory and how long. Each
        /// thread has a buffer of its own. Several logs may be given.
        "access_log" in [http, server, location, location_if, limit_except] [1+]:
            "off | path [format [buffer=size] [gzip[=level]] [flush=time] [if=condition]]"
            => set_access_log,
        /// What the lines of a log look like.
        "log_format" in [http] [2+]: "name [escape=default|json|none] string ..." => set_format,
        /// How many files with variables in their names are kept open, for how long without use,
        /// from which number of uses on, and after which time it is checked that they are still
        /// the ones of that name.
        "open_log_file_cache" => cache: Cache,
        field logs: Inherit<Logs>,
    }
    finish = Logging::finish;
}

/// The logs in force.
#[derive(Clone, Default)]
pub(super) struct Logs {
    /// Nothing is told, whatever else was said.
    off: bool,
    list: Arc<Vec<AccessLog>>,
}

/// One `access_log` directive.
struct AccessLog {
    to: To,
    format: Arc<LogFormat>,
    /// Only requests for which this is neither empty nor `0`.
    condition: Option<Template>,
    trouble: Trouble,
}

/// Where the lines go.
enum To {
    File(Handle),
    Buffer(Handle, Buffering),
    /// A file whose name is different from request to request.
    Computed(Template),
    Syslog(Arc<Syslog>),
}

impl Logging {
    /// What is in no log of its own goes to the default one. nginx merges nothing into `http {}`
    /// itself, so that the default is opened only for a server that needs it.
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if self.logs.off || !self.logs.list.is_empty() || cx.context() == Contexts::HTTP {
            return Ok(());
        }
        let path = cx.prefix_path(Layout::built().http_log_path);
        let handle =
            cx.env().open_log(&path).map_err(|error| destination::refused(&path, &error))?;
        let format = Formats::find(cx, "combined").unwrap_or_default();
        let (condition, trouble) = (None, Trouble::default());
        let log = AccessLog { to: To::File(handle), format, condition, trouble };
        self.logs.list = Arc::new(vec![log]);
        Ok(())
    }
}

/// The formats of an assembly, in the order of the text.
#[derive(Default)]
struct Formats(Vec<(String, Arc<LogFormat>)>);

impl Formats {
    /// nginx looks names up without regard to case, and defines them with.
    fn find(cx: &mut Cx<'_>, name: &str) -> Option<Arc<LogFormat>> {
        if name.eq_ignore_ascii_case("combined") {
            let variables = cx.registry::<Variables>();
            let format = LogFormat::compile(&[COMBINED.as_bytes()], Escape::Default, variables);
            return format.ok().map(Arc::new);
        }
        let known = &cx.registry::<Self>().0;
        let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, format)| Arc::clone(format))
    }
}

fn set_format(_: &mut LoggingWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let name = node.args[0].text().into_owned();
    let known = |known: &[(String, _)]| known.iter().any(|(known, _)| *known == name);
    if name == "combined" || known(&cx.registry::<Formats>().0) {
        return Err(Fault::new(format!("duplicate \"log_format\" name \"{name}\"")));
    }
    let parts: Vec<_> = node.args[1..].iter().map(|word| word.value.as_slice()).collect();
    let format = LogFormat::parse(&parts, cx.registry::<Variables>())?;
    cx.registry::<Formats>().0.push((name, Arc::new(format)));
    Ok(())
}

thread_local! {
    /// The line being put together, and its memory for the next one.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The longest line whose memory is kept for the next one.
const KEPT_LINE: usize = 64 * 1024;

/// Tells of a request in every log in force.
fn write(request: &mut Request) -> Verdict {
    let location = request.location.clone();
    let logging = location.settings.get(&LOG);
    let mut line = LINE.take();
    for log in logging.logs.list.iter() {
        if log.applies(request, &mut line) {
            line.clear();
            log.format.eval(request, &mut line);
            log.write(request, &mut line, &logging.cache);
        }
    }
    if line.capacity() <= KEPT_LINE {
        LINE.set(line);
    }
    Verdict::Next
}

impl AccessLog {
    fn applies(&self, request: &mut Request, scratch: &mut Vec<u8>) -> bool {
        let Some(condition) = &self.condition else { return true };
        scratch.clear();
        condition.eval(request, scratch);
        !scratch.is_empty() && scratch != b"0"
    }

    fn write(&self, request: &mut Request, line: &mut Vec<u8>, cache: &Cache) {
        if let To::Syslog(syslog) = &self.to {
            if let Some(news) = syslog.send(line) {
                syslog.tell(&news, |level, message| request.log(level, message));
            }
            return;
        }
        let computed = matches!(self.to, To::Computed(_));
        if computed && self.trouble.is_full() {
            return;
        }
        line.push(b'\n');
        let file = match &self.to {
            To::File(handle) | To::Buffer(handle, _) => {
                request.snapshot.log_file(*handle).map(Arc::clone)
            }
            To::Computed(path) => files::open(request, path, cache),
            To::Syslog(_) => None,
        };
        let Some(file) = file else { return };
        let written = match &self.to {
            To::Buffer(_, how) => log_buffer::append(&file, *how, line),
            _ => file.write(line),
        };
        match written {
            Ok(()) if computed => self.trouble.is_over(request),
            Ok(()) => {}
            Err(error) if computed => self.trouble.tell(request, &file, &error),
            Err(error) if file.is_news() => trouble::tell(request, &file, &error),
            Err(_) => {}
        }
    }
}

/// Writes out what this thread has in memory, and lets go of the files it has opened.
pub(super) fn flush() {
    log_buffer::flush();
    files::forget();
}
