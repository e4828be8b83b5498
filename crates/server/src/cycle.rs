//! A configuration of the server with its open files and sockets: nginx's cycle.
//!
//! A cycle is made in two steps. *Reading* only opens files for reading; *opening* creates folders,
//! opens logs and binds sockets. So an invalid configuration changes nothing.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_conf::{Assembly, Diagnostic, Layout, Severity};
use weir_edge::listen::ListenSpec;
use weir_engine::error_log::directive::ErrorLogs;
use weir_engine::error_log::{Form, Part, Sink, Target};
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;
use weir_engine::{ErrorLog, Level};
use weir_ha::identity::hex;
use weir_ha::plan::Plan as HaPlan;
use weir_ha::settings::Ha;
use weir_sys::file::{self, Links};
use weir_sys::process;

use crate::assemble::{self, Main, Ready};
use crate::bundle::{Answers, Bundle};
use crate::channel::Order;
use crate::children::{Child, Logs};
use crate::console::Console;
use crate::environment::Recorder;
use crate::guarding;
use crate::linking;
use crate::mirroring::{self, Certificates};
use crate::modules::core::{Process, User};
use crate::paths::Paths;
use crate::serve::{self, Plan};
use crate::sockets::{self, Socket};

/// The mode of folders for temporary files.
const FOLDER_MODE: u32 = 0o700;

/// A configuration that is valid as far as reading can tell.
pub(crate) struct Draft {
    pub(crate) process: Process,
    /// The source texts; the plan has consumed the rest.
    pub(crate) assembly: Assembly,
    main: Main,
    plan: Plan,
    bundle: Bundle,
    folders: Vec<PathBuf>,
    pub(crate) sockets: Vec<ListenSpec>,
    links: linking::Wanted,
    /// All files of a mirrored configuration.
    pub(crate) set: Option<Arc<[u8]>>,
    /// The certificates of a mirrored configuration.
    pub(crate) certificates: Certificates,
}

impl Draft {
    /// Reads the configuration and logs its diagnostics. `syntax_is_ok` runs once all files are
    /// valid, before the process's own settings are checked.
    ///
    /// # Errors
    /// The configuration is unusable; the reason has been logged.
    pub(crate) fn read(
        paths: &Paths,
        globals: Option<&str>,
        console: &Console,
        syntax_is_ok: impl FnOnce(),
    ) -> Result<Self, ()> {
        Self::read_from(paths, globals, console, Recorder::default(), syntax_is_ok)
    }

    /// Reads the configuration as the recorder shows it.
    ///
    /// # Errors
    /// As [`Draft::read`].
    pub(crate) fn read_from(
        paths: &Paths,
        globals: Option<&str>,
        console: &Console,
        recorder: Recorder,
        syntax_is_ok: impl FnOnce(),
    ) -> Result<Self, ()> {
        let mut assembly = assemble::assemble(&paths.conf, &paths.prefix, globals, &recorder);
        let main = Main::of(&assembly);
        serve::check_required(&mut assembly, main.ha());
        let plan = Plan::build(&mut assembly, &recorder, paths.prefix.clone());
        report(&assembly, console);
        let plan = plan.ok_or(())?;
        let mut sockets = plan.listens();
        if let Some(ha) = main.ha() {
            guarding::free_bind(ha, &mut sockets);
        }
        syntax_is_ok();
        let process = main.process(&paths.prefix, console)?;
        check_connections(process.connections, sockets.len(), console)?;
        let (answers, wanted) = recorder.finish();
        // Nodes have what state files say in common record by record.
        let told = answers.without(&wanted.states);
        let mut links = linking::wanted(main.ha(), &paths.prefix, &told, console)?;
        linking::check_conflict(&links, &sockets, console)?;
        sockets.extend_from_slice(&links.sockets);
        let linked = main.ha().filter(|_| links.folder.is_some());
        let set = mirroring::collect(linked, paths, &told);
        if let Some(set) = &set {
            // Files that each node has its own version of make no difference.
            links.bundle.configuration = hex(&set.content_digest());
        }
        let set = set.map(|set| set.to_bytes().into());
        let certificates = linked.map(|_| Certificates::of(&plan.certificates()));
        let certificates = certificates.unwrap_or_default();
        let bundle = Bundle {
            generation: 0,
            conf: paths.conf.clone(),
            prefix: paths.prefix.clone(),
            globals: globals.map(str::to_owned),
            default_log: paths.error_log.clone(),
            answers,
            logs: wanted.logs,
            sockets: Vec::new(),
            links: links.bundle.clone(),
        };
        let folders = wanted.folders;
        Ok(Self {
            process,
            main,
            plan,
            assembly,
            bundle,
            folders,
            sockets,
            links,
            set,
            certificates,
        })
    }

    /// The name of this node by its identity.
    pub(crate) fn node(&self) -> Option<&str> {
        self.links.node.as_deref()
    }

    /// The part of the `ha` block that concerns links.
    pub(crate) fn link_block(&self) -> Option<weir_ha::link::Block> {
        self.main.ha().map(Ha::link_block)
    }

    /// The `ha` block.
    pub(crate) fn ha(&self) -> Option<&Ha> {
        self.main.ha()
    }

    /// The sockets that it needs.
    pub(crate) fn sockets(&self) -> &[ListenSpec] {
        &self.sockets
    }

    /// Creates folders, opens logs and binds sockets; reuses `old` sockets where possible.
    ///
    /// # Errors
    /// Something could not be opened; the reason has been logged.
    pub(crate) fn open(
        mut self,
        old: &[Socket],
        generation: u64,
        test: bool,
        console: &Console,
    ) -> Result<Cycle, ()> {
        // Without shared addresses there is nothing to guard.
        let shares = self.main.ha().filter(|ha| !ha.addresses.is_empty());
        let prefix = &self.bundle.prefix;
        let ha = shares.map(|ha| guarding::plan(ha, self.node(), &self.process, prefix, console));
        let mut ha = ha.transpose()?;
        if self.main.ha().is_none() && !test {
            linking::come_back(prefix, console);
        }
        let user = self.process.user.as_ref();
        for folder in &self.folders {
            make_folder(folder, user)
                .map_err(|(call, error)| console.log(Level::Emerg, Failed(&call, &error)))?;
        }
        let main_log = self.main.logs();
        add_default_log(&mut self.bundle, main_log);
        let logs = open_logs(&self.bundle.logs, self.process.links(), console)?;
        let error_log = main_error_log(main_log, &self.bundle, &logs);
        ha.iter_mut().for_each(|plan| plan.log = weir_ha::guard::log::describe(&error_log));
        let console = &console.with_log(error_log.clone());
        let sockets = sockets::open(&self.sockets, old, self.process.threads, test, console)?;
        self.bundle.generation = generation;
        self.bundle.sockets = sockets.iter().map(|socket| socket.name.clone()).collect();
        let ready = self.main.ready(generation, self.plan, self.process.clone());
        Ok(Cycle {
            process: self.process,
            bundle: self.bundle,
            logs: logs.into(),
            sockets,
            error_log,
            stderr_is_log: ready.stderr_is_log,
            ready: Some(ready),
            ha,
            links: self.links,
            set: self.set,
            certificates: self.certificates,
        })
    }
}

/// A configuration in force or being loaded.
#[derive(Debug)]
pub(crate) struct Cycle {
    pub(crate) process: Process,
    pub(crate) bundle: Bundle,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) error_log: ErrorLog,
    /// One of its logs is standard error, which therefore is not redirected.
    pub(crate) stderr_is_log: bool,
    pub(crate) logs: Logs,
    /// The settings for newly forked workers. A worker takes them from its own copy of the memory;
    /// the master's copy stays for the next one.
    pub(crate) ready: Option<Ready>,
    /// The guard's part of the `ha` block.
    pub(crate) ha: Option<HaPlan>,
    /// The part of the links between nodes.
    pub(crate) links: linking::Wanted,
    /// All files of a mirrored configuration.
    pub(crate) set: Option<Arc<[u8]>>,
    /// The certificates of a mirrored configuration.
    pub(crate) certificates: Certificates,
}

impl Cycle {
    /// Sends the configuration to a worker: a serving one, which has to read it, or a new one that
    /// is [`ready`](Self::ready).
    ///
    /// # Errors
    /// A system error; the worker has received nothing.
    pub(crate) fn send(&mut self, worker: &mut Child) -> std::io::Result<()> {
        let bundle = self.bundle.seal()?;
        self.forget_answers();
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![bundle.as_fd()];
        descriptors.extend(self.logs.iter().map(|log| log.as_fd()));
        descriptors.extend(self.sockets.iter().map(|socket| socket.fd.as_fd()));
        worker.send(Order::Load, &descriptors)
    }

    /// Builds the configuration in the master, so that a forked worker can serve at once. The
    /// configuration is not read again.
    pub(crate) fn build(&mut self) {
        self.forget_answers();
        if let Some(ready) = &mut self.ready {
            ready.build(&self.logs);
        }
    }

    /// Drops the recorded answers, which are not needed again.
    pub(crate) fn forget_answers(&mut self) {
        self.bundle.answers = Answers::default();
    }

    /// Closes its files and sockets, except those in use elsewhere.
    pub(crate) fn let_go(&mut self) {
        self.sockets.clear();
        // A built configuration holds its log files.
        self.ready = None;
        self.logs = Arc::default();
        self.error_log = ErrorLog::default();
    }

    /// Logs the event method.
    pub(crate) fn log_method(&self, console: &Console) {
        let method = self.process.method;
        console.log(Level::Notice, format_args!("using the \"{method}\" event method"));
    }

    /// Warns if the connections exceed the descriptor limit.
    pub(crate) fn check_limits(&self, console: &Console) {
        let Ok((soft, _)) = process::open_files_limit() else { return };
        let limit = self.process.open_files.unwrap_or(soft);
        let connections = self.process.connections;
        if connections > soft && connections > limit {
            console.log(
                Level::Warn,
                format_args!(
                    "{connections} worker_connections exceed open file resource limit: {limit}"
                ),
            );
        }
    }

    /// Redirects standard error to the main log, unless it is itself a log.
    pub(crate) fn redirect_stderr(&self, console: &Console) {
        if !self.stderr_is_log {
            console.redirect_stderr(&self.error_log);
        }
    }
}

/// Reopens log files by name. They stay owned by root: workers receive descriptors and need no
/// permission to open them.
pub(crate) fn reopen(logs: &Logs, console: &Console) {
    for log in logs.iter() {
        if let Err(error) = log.reopen() {
            let what = format!("open() \"{}\" failed", log.path().display());
            console.log(Level::Emerg, Failed(&what, &error));
        }
    }
}

/// Sends log files to a worker, which switches to them.
///
/// # Errors
/// A system error.
pub(crate) fn send_logs(logs: &Logs, worker: &mut Child) -> std::io::Result<()> {
    let descriptors: Vec<_> = logs.iter().map(|log| log.as_fd()).collect();
    worker.send(Order::Reopen, &descriptors)
}

/// Checks the minimum of connections: each thread needs one per listening socket and one for
/// wakeups.
fn check_connections(connections: u64, sockets: usize, console: &Console) -> Result<(), ()> {
    if connections > sockets as u64 {
        return Ok(());
    }
    console.log(
        Level::Emerg,
        format_args!(
            "{connections} worker_connections are not enough for {sockets} listening sockets"
        ),
    );
    Err(())
}

/// Logs the diagnostics of a configuration; on a terminal with the source line and a hint.
fn report(assembly: &Assembly, console: &Console) {
    let terminal = std::io::stderr().is_terminal();
    // https://no-color.org
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    for diagnostic in &assembly.diagnostics {
        let place = diagnostic.span.map(|span| assembly.sources.place(span)).unwrap_or_default();
        let at = diagnostic.span.map(|span| assembly.sources.file_and_line(span));
        let parts = at.map(|(file, line)| [Part::json("file", file), Part::number("line", line)]);
        let message = format_args!("{}{place}", diagnostic.message);
        console.log_about(level(diagnostic), message, parts.as_ref().map_or(&[], |it| it));
        let pretty = terminal.then(|| diagnostic.pretty(&assembly.sources, colour)).flatten();
        if let Some(text) = pretty.filter(|_| console.on_terminal()) {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

/// The first fatal diagnostic of a configuration.
pub(crate) fn first_fault(assembly: &Assembly) -> String {
    let fault = assembly.diagnostics.iter().find(|diagnostic| diagnostic.severity.is_fatal());
    fault.map_or_else(String::new, |fault| {
        let place = fault.span.map(|span| assembly.sources.place(span)).unwrap_or_default();
        format!("{}{place}", fault.message)
    })
}

fn level(diagnostic: &Diagnostic) -> Level {
    match diagnostic.severity {
        Severity::Emerg => Level::Emerg,
        Severity::Alert => Level::Alert,
        Severity::Crit => Level::Crit,
        Severity::Error => Level::Error,
        Severity::Warn => Level::Warn,
        Severity::Notice => Level::Notice,
    }
}

/// Creates a folder owned by the worker's user. Missing parents of a default path are created as
/// well.
///
/// # Errors
/// The failed call, in nginx's words, and its error.
fn make_folder(path: &Path, user: Option<&User>) -> Result<(), (String, std::io::Error)> {
    let make = || std::fs::DirBuilder::new().mode(FOLDER_MODE).create(path);
    let made = match (make(), path.parent()) {
        (Err(error), Some(parent))
            if error.kind() == std::io::ErrorKind::NotFound
                && Layout::built().has_temp_folder(&path.to_string_lossy()) =>
        {
            std::fs::create_dir_all(parent).and_then(|()| make())
        }
        (made, _) => made,
    };
    if let Err(error) = made
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err((format!("mkdir() \"{}\" failed", path.display()), error));
    }
    let Some(user) = user else { return Ok(()) };
    let links = Links::not_of(Some(user.uid));
    file::give_folder(path, user.uid, FOLDER_MODE, links)
}

/// Adds the default log to a bundle's files, if the configuration names no file as its main log.
fn add_default_log(bundle: &mut Bundle, main: &ErrorLogs) {
    let Some(path) = bundle.default_log.as_ref().filter(|_| !main.has_file()) else { return };
    if !bundle.logs.contains(path) {
        bundle.logs.push(path.clone());
    }
}

fn open_logs(paths: &[PathBuf], links: Links, console: &Console) -> Result<Vec<Arc<LogFile>>, ()> {
    let open = |path: &PathBuf| {
        LogFile::open_by(path, links).map(Arc::new).map_err(|error| {
            let what = format!("open() \"{}\" failed", path.display());
            console.log(Level::Emerg, Failed(&what, &error));
        })
    };
    paths.iter().map(open).collect()
}

/// The main log: the configured targets, and the default file if none of them is a file.
pub(crate) fn main_error_log(
    main: &ErrorLogs,
    bundle: &Bundle,
    files: &[Arc<LogFile>],
) -> ErrorLog {
    let named = main.open(files).unwrap_or_default();
    if main.has_file() {
        return named;
    }
    let default = bundle.default_log.as_ref();
    let file = default.and_then(|path| files.iter().find(|file| file.path() == path));
    let sink = file.map_or(Sink::Stderr, |file| Sink::File(Arc::clone(file)));
    let mut targets = named.targets().to_vec();
    targets.push(Target { level: Level::Error, form: Form::Plain, sink });
    ErrorLog::new(targets)
}
