//! What a module may add to the server: directives, variables, phase handlers, filters.
//!
//! A module is data and function pointers, listed once in `modules.rs`. When a
//! snapshot is built, each location gets its own short lists of what is switched on there
//! ([`Handlers`]), so that a module which a location does not use costs its requests nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use weir_conf::{Block, Diagnostic, Environment, Fault, Settings, Table, TypeMap};
use weir_engine::error_log::directive::ERROR_LOGS;
use weir_engine::error_log::{ErrorLog, Level};
use weir_engine::log_files::LogFile;

use crate::pass::Passing;
use crate::request::Request;
use crate::variables::VariableRow;

/// The modules of a server, in their order.
pub type Modules = &'static [&'static Module];

/// What an asynchronous handler returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The stations of a request, in order (nginx: `ngx_http_phases`). Content is not among them: it
/// is given by one handler of the location, or by the content modules in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Phase {
    /// The head has been read (realip).
    PostRead,
    /// Before a location is chosen (rewrite of the server level).
    ServerRewrite,
    /// Within the chosen location; may change the URI.
    Rewrite,
    /// Limits on requests and connections.
    PreAccess,
    /// Who may ask; `satisfy` decides how several handlers combine.
    Access,
    /// Just before content (try_files, mirror).
    PreContent,
    /// Content without an exclusive handler: index, autoindex, static files.
    Content,
    /// After the response (access_log).
    Log,
}

/// How many phases there are.
pub const PHASES: usize = Phase::Log as usize + 1;

/// What a handler decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to say: the next handler of the phase is asked (nginx: NGX_DECLINED).
    Next,
    /// Granted: in the access phase this handler is content, elsewhere the phase ends (NGX_OK).
    Granted,
    /// The response has been produced, whole or as far as it will get.
    Done,
    /// Answer with this status, through `error_page` where it applies.
    Status(u16),
    /// The URI or the location was changed on purpose; go on at this point.
    Restart(Entry),
    /// Close the connection without another byte.
    Abort,
}

/// Where a redirected request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An internal redirect: rewrite directives of the server run again.
    ServerRewrite,
    /// A rewritten URI: choose the location anew.
    FindLocation,
    /// A named location was set: its rewrite phase is next.
    Rewrite,
}

/// A phase handler. Synchronous ones cost no allocation.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Decides at once.
    Sync(fn(&mut Request) -> Verdict),
    /// May wait, for a subrequest or a timer.
    Async(for<'a> fn(&'a mut Request) -> Pending<'a, Verdict>),
    /// Says how the request is passed to an upstream; the way there is the same for all. Only for
    /// [`Module::content`].
    Pass(for<'a> fn(&'a mut Request) -> Passing<'a>),
}

/// Looks at the head of a response before it is sent: changes fields, adds body filters. `Err`
/// replaces the response with an error of that status.
pub type HeaderFilter = fn(&mut Request) -> Result<(), u16>;

/// Whether a part of a module has anything to do under these settings.
pub type Enabled = fn(&Settings) -> bool;

/// A handler at its phase, with the condition under which a location gets it.
pub struct PhaseHandler {
    /// Where it runs.
    pub phase: Phase,
    /// In which locations it runs.
    pub enabled: Enabled,
    /// What runs.
    pub handler: Handler,
}

/// What modules see when the whole configuration has been read.
pub struct Prepare<'a> {
    /// The root of the assembled tree.
    pub root: &'a Block,
    /// What setters left for each other.
    pub registries: &'a mut TypeMap,
    /// Files, names and logs, as while assembling.
    pub env: &'a dyn Environment,
    /// Warnings and further faults, in the order in which they are found.
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

/// A look at the whole configuration: see [`Module::prepare`].
pub type Preparation = fn(&mut Prepare<'_>) -> Result<(), Fault>;

/// Everything a module adds. `MODULE` constants are built on [`Module::NONE`].
pub struct Module {
    /// nginx's name of the module, without `ngx_http_` and `_module`.
    pub name: &'static str,
    /// Its directives.
    pub tables: &'static [&'static Table],
    /// Its variables.
    pub variables: &'static [VariableRow],
    /// Its handlers by phase; the order among modules is that of the list.
    pub handlers: &'static [PhaseHandler],
    /// The handler that answers every request of a location which has the module's directive
    /// (`proxy_pass`, `stub_status`).
    pub content: Option<fn(&Settings) -> Option<Handler>>,
    /// Whether a location passes its requests on, so that its name without the slash redirects.
    pub passes: Option<Enabled>,
    /// Whether a block serves CONNECT, so that its server takes such requests.
    pub connects: Option<Enabled>,
    /// Its look at a response's head.
    pub header_filter: Option<(Enabled, HeaderFilter)>,
    /// Runs once when the configuration has been assembled: finishes what needs the whole (zones,
    /// upstreams defined after their use), with nginx's messages.
    pub prepare: Option<Preparation>,
}

impl Module {
    /// A module that adds nothing.
    pub const NONE: Self = Self {
        name: "",
        tables: &[],
        variables: &[],
        handlers: &[],
        content: None,
        passes: None,
        connects: None,
        header_filter: None,
        prepare: None,
    };
}

/// What runs in one location, taken from all modules when the snapshot is built.
#[derive(Default)]
pub struct Handlers {
    /// The handlers by phase.
    pub phases: [Box<[Handler]>; PHASES],
    /// The exclusive content handler.
    pub content: Option<Handler>,
    /// The header filters, in the order in which they run.
    pub header_filters: Box<[HeaderFilter]>,
    /// The error log in force, already open; None stands for the process's own.
    pub error_log: Option<ErrorLog>,
}

impl Handlers {
    /// Writes to the error log in force.
    pub fn log(&self, level: Level, connection: u64, message: &str) {
        match &self.error_log {
            Some(log) => log.log(level, connection, message),
            None => weir_engine::error_log::process_log().log(level, connection, message),
        }
    }

    /// Collects what `modules` have to do under `settings`.
    pub fn collect(
        modules: &[&'static Module],
        settings: &Settings,
        files: &[Arc<LogFile>],
    ) -> Self {
        let mut phases: [Vec<Handler>; PHASES] = Default::default();
        for row in modules.iter().flat_map(|m| m.handlers) {
            if (row.enabled)(settings) {
                phases[row.phase as usize].push(row.handler);
            }
        }
        Self {
            phases: phases.map(Vec::into_boxed_slice),
            content: modules.iter().find_map(|m| m.content.and_then(|find| find(settings))),
            header_filters: modules
                .iter()
                .filter_map(|m| m.header_filter)
                .filter(|(enabled, _)| enabled(settings))
                .map(|(_, filter)| filter)
                .collect(),
            error_log: settings.get(&ERROR_LOGS).open(files),
        }
    }
}
