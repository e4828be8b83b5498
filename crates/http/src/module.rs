//! The interface of modules: directives, variables, phase handlers and filters.
//!
//! A module is data and function pointers, listed once in `modules.rs`. When a snapshot is built,
//! each location gets its own short lists of what is enabled there ([`Handlers`]), so that an
//! unused module costs its requests nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use weir_conf::{Block, Diagnostic, Environment, Fault, Settings, Table, TypeMap};
use weir_engine::duty::Duty;
use weir_engine::error_log::directive::ERROR_LOGS;
use weir_engine::error_log::{ErrorLog, Level, Part};
use weir_engine::log_files::LogFile;
use weir_upstream::Registry;

use crate::pass::course::Passing;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::snapshot::{Configuration, Generation};
use crate::status_tree::Tree;
use crate::variables::VariableRow;

/// The modules of a server, in order.
pub(crate) type Modules = &'static [&'static Module];

/// The future of an asynchronous handler.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

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
    /// The end of the rewrite phase, with the settings of the `if` blocks that apply; also if the
    /// URI has been rewritten and a location is chosen anew.
    PostRewrite,
    /// Limits on requests and connections.
    PreAccess,
    /// Access control; `satisfy` decides how several handlers combine.
    Access,
    /// Right before content (try_files, mirror).
    PreContent,
    /// Content without an exclusive handler: index, autoindex, static files.
    Content,
    /// After the response (access_log).
    Log,
}

impl Phase {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PostRead => "post_read",
            Self::ServerRewrite => "server_rewrite",
            Self::Rewrite => "rewrite",
            Self::PostRewrite => "post_rewrite",
            Self::PreAccess => "preaccess",
            Self::Access => "access",
            Self::PreContent => "precontent",
            Self::Content => "content",
            Self::Log => "log",
        }
    }
}

/// The number of phases.
pub(crate) const PHASES: usize = Phase::Log as usize + 1;

/// The decision of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No decision: the next handler of the phase runs (nginx: NGX_DECLINED).
    Next,
    /// Granted: ends the phase, but in the access phase only this handler agrees (NGX_OK).
    Granted,
    /// The response has been produced, in full or as far as possible.
    Done,
    /// Respond with this status, through `error_page` where it applies.
    Status(u16),
    /// The URI or the location has changed; continue at this point.
    Restart(EntryPoint),
    /// Close the connection without sending another byte.
    Abort,
}

impl From<Rejection> for Verdict {
    fn from(rejection: Rejection) -> Self {
        Self::Status(rejection.status())
    }
}

/// The point where a redirected request continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint {
    /// An internal redirect: the server's rewrite directives run again.
    ServerRewrite,
    /// A rewritten URI: the location is chosen again.
    FindLocation,
    /// A named location: its rewrite phase is next.
    Rewrite,
}

/// A phase handler. Synchronous ones cost no allocation.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Decides immediately.
    Sync(fn(&mut Request) -> Verdict),
    /// May wait, for a subrequest or a timer.
    Async(for<'a> fn(&'a mut Request) -> Pending<'a, Verdict>),
    /// Decides how to pass the request to an upstream, which shared code then does. Only for
    /// [`Module::content`].
    Pass(for<'a> fn(&'a mut Request) -> Passing<'a>),
}

/// Processes the head of a response before it is sent: changes fields, adds body filters. A
/// rejection replaces the response.
pub(crate) type HeaderFilter = fn(&mut Request) -> Result<(), Rejection>;

/// Whether the errors of a request are answered by a module: see [`Module::answers_errors`].
pub(crate) type AnswersErrors = fn(&Request) -> bool;

/// Whether these settings enable a part of a module.
pub(crate) type Enabled = fn(&Settings) -> bool;

/// A phase handler, with the condition for a location to get it.
pub struct PhaseHandler {
    /// Its phase.
    pub phase: Phase,
    /// Whether a location gets it.
    pub enabled: Enabled,
    /// The handler.
    pub handler: Handler,
}

/// The whole configuration, for a module to complete and check.
pub struct Prepare<'a> {
    /// The root of the assembled tree.
    pub root: &'a Block,
    /// The registries that setters have filled.
    pub registries: &'a mut TypeMap,
    /// Files, name resolution and logs, as during the assembly.
    pub env: &'a dyn Environment,
    /// The diagnostics, to which warnings and further faults are added.
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

/// A check of the whole configuration: see [`Module::prepare`].
pub(crate) type Preparation = fn(&mut Prepare<'_>) -> Result<(), Fault>;

/// The duties of a module in a configuration: see [`Module::duties`]. A duty that uses the
/// configuration holds the guard, too.
pub(crate) type FindDuties = fn(&Arc<Configuration>, &Arc<Registry>, &Generation) -> Vec<Duty>;

/// A module. `MODULE` constants are built on [`Module::NONE`].
pub struct Module {
    /// nginx's name of the module, without `ngx_http_` and `_module`.
    pub name: &'static str,
    /// Its directives.
    pub tables: &'static [&'static Table],
    /// Its variables.
    pub variables: &'static [VariableRow],
    /// Its phase handlers. Those of several modules run in the order of the modules.
    pub handlers: &'static [PhaseHandler],
    /// The exclusive content handler of locations with the module's directive (`proxy_pass`,
    /// `stub_status`).
    pub content: Option<fn(&Settings) -> Option<Handler>>,
    /// Whether a location passes requests on, so that its name without the slash is redirected.
    pub passes: Option<Enabled>,
    /// Whether a block serves CONNECT, so that its server accepts such requests.
    pub connects: Option<Enabled>,
    /// Its header filter.
    pub header_filter: Option<(Enabled, HeaderFilter)>,
    /// Whether an error of a request is answered in its location, by the module's header filter,
    /// instead of by a page that keeps the error's status (`error_page`).
    pub(crate) answers_errors: Option<(Enabled, AnswersErrors)>,
    /// The work of the module beside requests, while a configuration is in force.
    pub duties: Option<FindDuties>,
    /// What the module tells other modules about the instance.
    pub(crate) status: Option<Tree>,
    /// Runs once after the assembly of the configuration: completes and checks what needs all of it
    /// (zones, upstreams defined after their use), with nginx's messages.
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
        answers_errors: None,
        duties: None,
        status: None,
        prepare: None,
    };
}

/// The handlers and filters of one location, collected when the snapshot is built.
#[derive(Default)]
pub struct Handlers {
    /// The handlers by phase.
    pub phases: [Box<[Handler]>; PHASES],
    /// The exclusive content handler.
    pub content: Option<Handler>,
    /// The header filters, in order.
    pub header_filters: Box<[HeaderFilter]>,
    /// Whether errors are answered in place ([`Module::answers_errors`]).
    pub(crate) answers_errors: Option<AnswersErrors>,
    /// The error log in force, already open; None means the process's own.
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

    /// Writes a message about a connection and what it is to: `…, client: …, server: …`.
    pub fn log_connection(&self, level: Level, connection: u64, message: &str, ends: [&str; 2]) {
        let [client, server] = ends;
        let parts = [Part::bare("client", client), Part::bare("server", server)];
        match &self.error_log {
            Some(log) => log.log_about(level, connection, message, &parts),
            None => {
                weir_engine::error_log::process_log().log_about(level, connection, message, &parts)
            }
        }
    }

    /// Collects the handlers and filters of `modules` that `settings` enable.
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
            answers_errors: modules
                .iter()
                .filter_map(|m| m.answers_errors)
                .find_map(|(enabled, answers)| enabled(settings).then_some(answers)),
            error_log: settings.get(&ERROR_LOGS).open(files),
        }
    }
}
