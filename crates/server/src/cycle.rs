//! One configuration of the server with everything that it has open: what nginx calls a cycle.
//!
//! It comes about in two steps. *Reading* asks and opens nothing but files to read; *opening* makes
//! folders, opens logs and binds sockets. So a configuration that is wrong changes nothing.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_conf::{Assembly, Diagnostic, Layout, Severity};
use weir_engine::error_log::directive::ErrorLogs;
use weir_engine::error_log::{Sink, Target};
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;
use weir_engine::{ErrorLog, Level};
use weir_sys::file::{self, Links};
use weir_sys::process;

use crate::assemble::{self, Main, Ready};
use crate::bundle::{Answers, Bundle};
use crate::channel::{self, Order};
use crate::children::Logs;
use crate::console::Console;
use crate::environment::Recorder;
use crate::modules::core::{Process, User};
use crate::paths::Paths;
use crate::serve::Plan;
use crate::sockets::{self, Socket};

/// Rights of a folder for temporary files.
const FOLDER_MODE: u32 = 0o700;

/// A configuration that has been read and is good, as far as reading can tell.
pub(crate) struct Draft {
    pub(crate) process: Process,
    /// Its texts; the plan has taken the rest.
    pub(crate) assembly: Assembly,
    main: Main,
    plan: Plan,
    bundle: Bundle,
    folders: Vec<PathBuf>,
    sockets: Vec<sockets::Wanted>,
}

impl Draft {
    /// Reads the configuration, and logs what there is to say about it. `syntax_is_ok` runs when
    /// the files have proved good, before the process's own needs are looked at.
    ///
    /// # Errors
    /// It cannot be used; why has been logged.
    pub(crate) fn read(
        paths: &Paths,
        globals: Option<&str>,
        console: &Console,
        syntax_is_ok: impl FnOnce(),
    ) -> Result<Self, ()> {
        let recorder = Recorder::default();
        let mut assembly = assemble::assemble(&paths.conf, &paths.prefix, globals, &recorder);
        let main = Main::of(&assembly);
        let plan = Plan::build(&mut assembly, &recorder, paths.prefix.clone());
        report(&assembly, console);
        let plan = plan.ok_or(())?;
        let sockets = plan.listens();
        syntax_is_ok();
        let process = main.process(&paths.prefix, console)?;
        check_connections(process.connections, sockets.len(), console)?;
        let (answers, wanted) = recorder.finish();
        let bundle = Bundle {
            generation: 0,
            conf: paths.conf.clone(),
            prefix: paths.prefix.clone(),
            globals: globals.map(str::to_owned),
            default_log: paths.error_log.clone(),
            answers,
            logs: wanted.logs,
            sockets: Vec::new(),
        };
        Ok(Self { process, main, plan, assembly, bundle, folders: wanted.folders, sockets })
    }

    /// Makes, opens and binds what the configuration wants, and keeps what `old` sockets it can.
    ///
    /// # Errors
    /// It cannot be done; why has been logged.
    pub(crate) fn open(
        mut self,
        old: &[Socket],
        generation: u64,
        test: bool,
        console: &Console,
    ) -> Result<Cycle, ()> {
        let user = self.process.user.as_ref();
        for folder in &self.folders {
            make_folder(folder, user).map_err(|text| console.log(Level::Emerg, text))?;
        }
        let main_log = self.main.logs();
        add_default_log(&mut self.bundle, main_log);
        let logs = open_logs(&self.bundle.logs, self.process.links(), console)?;
        let error_log = main_error_log(main_log, &self.bundle, &logs);
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
        })
    }
}

/// A configuration in force, or about to be.
#[derive(Debug)]
pub(crate) struct Cycle {
    pub(crate) process: Process,
    pub(crate) bundle: Bundle,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) error_log: ErrorLog,
    /// Standard error is one of its logs, so it stays what it is.
    pub(crate) stderr_is_log: bool,
    pub(crate) logs: Logs,
    /// What a worker serves by that is started for it. A worker takes it out of its own memory, the
    /// master's stays for the next one.
    pub(crate) ready: Option<Ready>,
}

impl Cycle {
    /// Sends it to a worker that serves by another one and has to read it, or to one that is
    /// [`ready`](Self::ready).
    ///
    /// # Errors
    /// The system's; then the worker knows nothing of it.
    pub(crate) fn send(&mut self, channel: &OwnedFd) -> std::io::Result<()> {
        let bundle = self.bundle.seal()?;
        self.forget_answers();
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![bundle.as_fd()];
        descriptors.extend(self.logs.iter().map(|log| log.as_fd()));
        descriptors.extend(self.sockets.iter().map(|socket| socket.fd.as_fd()));
        channel::send_order(channel, Order::Load, &descriptors)
    }

    /// Forgets what the outside world answered while the configuration was read: nobody reads it
    /// again.
    pub(crate) fn forget_answers(&mut self) {
        self.bundle.answers = Answers::default();
    }

    /// Closes what it has open, as far as nobody else uses it.
    pub(crate) fn let_go(&mut self) {
        self.sockets.clear();
        self.logs = Arc::default();
        self.error_log = ErrorLog::default();
    }

    /// Says how the threads wait for what happens.
    pub(crate) fn log_method(&self, console: &Console) {
        let method = self.process.method;
        console.log(Level::Notice, format_args!("using the \"{method}\" event method"));
    }

    /// Warns of more connections than there can be descriptors.
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

    /// Lets standard error go where the main log goes, unless it is one of the logs.
    pub(crate) fn redirect_stderr(&self, console: &Console) {
        if !self.stderr_is_log {
            console.redirect_stderr(&self.error_log);
        }
    }
}

/// Opens log files again, by their names. They stay root's: a worker is sent descriptors and needs
/// no right to open them.
pub(crate) fn reopen(logs: &Logs, console: &Console) {
    for log in logs.iter() {
        if let Err(error) = log.reopen() {
            let what = format!("open() \"{}\" failed", log.path().display());
            console.log(Level::Emerg, Failed(&what, &error));
        }
    }
}

/// Sends log files to a worker, which writes to them from then on.
///
/// # Errors
/// The system's.
pub(crate) fn send_logs(logs: &Logs, channel: &OwnedFd) -> std::io::Result<()> {
    let descriptors: Vec<_> = logs.iter().map(|log| log.as_fd()).collect();
    channel::send_order(channel, Order::Reopen, &descriptors)
}

/// A thread needs a connection for each socket that it accepts from, and one to be called by.
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

/// Logs what the configuration's reading has found; on a terminal with the line and a hint below.
fn report(assembly: &Assembly, console: &Console) {
    let terminal = std::io::stderr().is_terminal();
    // https://no-color.org
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    for diagnostic in &assembly.diagnostics {
        let place = diagnostic.span.map(|span| assembly.sources.place(span)).unwrap_or_default();
        console.log(level(diagnostic), format_args!("{}{place}", diagnostic.message));
        let pretty = terminal.then(|| diagnostic.pretty(&assembly.sources, colour)).flatten();
        if let Some(text) = pretty.filter(|_| console.on_terminal()) {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

/// The reason for which a configuration cannot be used.
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

/// Makes a folder for the worker's user. The parents of a folder that no configuration has named
/// are made as well, because they are ours to make.
fn make_folder(path: &Path, user: Option<&User>) -> Result<(), String> {
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
        let what = format!("mkdir() \"{}\" failed", path.display());
        return Err(Failed(&what, &error).to_string());
    }
    let Some(user) = user else { return Ok(()) };
    let links = Links::not_of(Some(user.uid));
    file::give_folder(path, user.uid, FOLDER_MODE, links)
        .map_err(|(what, error)| Failed(&what, &error).to_string())
}

/// Makes sure that the file of a main log that the configuration does not name is opened as well.
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

/// The main log: what the configuration says, and the default file unless that has a file.
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
    targets.push(Target { level: Level::Error, sink });
    ErrorLog::new(targets)
}
