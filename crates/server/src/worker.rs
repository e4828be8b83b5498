//! The worker process: its first thread handles the master's orders, signals and configurations;
//! the others serve.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use weir_engine::Level;
use weir_engine::log_files::LogFiles;
use weir_engine::os_error::Failed;
use weir_ha::carrier::Tell;
use weir_ha::identity::Identity;
use weir_ha::link;
use weir_ha::mirror::limits;
use weir_sys::signal::Signals;
use weir_sys::{allocator, memory_file, process, title, wait};

use crate::assemble::Ready;
use crate::bundle::Bundle;
use crate::channel::{self, Order, Orders, Report};
use crate::children::Logs;
use crate::console::Console;
use crate::cycle;
use crate::fitness;
use crate::generation::Retired;
use crate::linking;
use crate::load_error::LoadError;
use crate::master::Startup;
use crate::mirroring;
use crate::modules::core::Process;
use crate::open_files;
use crate::pair_figures;
use crate::privileges;
use crate::reloads;
use crate::serve::Serving;
use crate::signals::{self, Request};
use crate::threads::{Load, Sockets, Threads};

/// The exit code that tells the master not to start a successor.
const FATAL: i32 = 2;

/// The largest message for the mirror in bytes: a set, and what belongs to it.
const LARGEST_TELL: u64 = limits::SET + (1 << 20);

/// The largest identity in bytes: sixteen certificates take some ten thousand.
const LARGEST_IDENTITY: u64 = 4 * 1024 * 1024;

/// The generation of an unreadable bundle.
pub(crate) const UNKNOWN: u64 = 0;

/// Serves until the process ends.
pub(crate) fn run(
    settings: Process,
    ready: Option<Ready>,
    startup: &Startup,
    console: Console,
    channel: OwnedFd,
) -> ! {
    privileges::become_worker(&settings, &startup.env, &console);
    title::set(&format!("{}: worker process", console.program()));
    let fatal = |what, error: std::io::Error| -> ! {
        let told = format_args!("{}{}", Failed(what, &error), open_files::explained(&error));
        console.log(Level::Emerg, told);
        std::process::exit(FATAL);
    };
    let signals = Signals::block(&signals::ALL).unwrap_or_else(|e| fatal("signalfd() failed", e));
    let mut worker = Worker::new(console.clone(), channel, ready)
        .unwrap_or_else(|error| fatal("socketpair() failed", error));
    worker.watch(&signals, startup.daemonised)
}

/// The state of the first thread.
pub(crate) struct Worker {
    console: Console,
    orders: Orders,
    /// The reporting direction of the channel, shared by all generations.
    reports: Arc<OwnedFd>,
    /// The channel to the master is open.
    has_master: bool,
    threads: Threads,
    /// The configuration inherited from the master's memory, until the order to load it arrives.
    ready: Option<Ready>,
    /// The configuration in force. Held until the process ends, so the last generation does not
    /// report its end.
    load: Option<Load>,
    retired: Retired,
    /// The log files of the last configuration, in the order of their handles.
    logs: Logs,
    quitting: bool,
    terminated: bool,
    /// The first configuration could not be loaded.
    failed: bool,
}

/// The state of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It goes on.
    Serving,
    /// Nothing is left to do.
    Ended,
    /// It could not start, and a successor would fail as well.
    Failed,
}

impl Worker {
    /// A worker without a configuration.
    ///
    /// # Errors
    /// A system error.
    pub(crate) fn new(
        console: Console,
        channel: OwnedFd,
        ready: Option<Ready>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            console,
            reports: Arc::new(channel.try_clone()?),
            orders: Orders::new(channel),
            has_master: true,
            threads: Threads::new()?,
            ready,
            load: None,
            retired: Retired::new()?,
            logs: Logs::default(),
            quitting: false,
            terminated: false,
            failed: false,
        })
    }

    fn watch(&mut self, signals: &Signals, daemonised: bool) -> ! {
        loop {
            self.wait(signals);
            while let Ok(Some(signal)) = signals.next() {
                match signals::to_worker(signal, daemonised, &self.console) {
                    Request::Quit => {
                        self.quit();
                        // The master must know, whoever sent the signal.
                        let _ = channel::send_report(&self.reports, &Report::Quitting);
                    }
                    Request::Terminate => self.terminated = true,
                    Request::Reopen => self.reopen_by_name(),
                    _ => {}
                }
            }
            match self.step() {
                Progress::Serving => {}
                Progress::Ended => std::process::exit(0),
                Progress::Failed => std::process::exit(FATAL),
            }
        }
    }

    /// Handles orders, retired configurations and ended threads.
    pub(crate) fn step(&mut self) -> Progress {
        self.take_orders();
        self.retired.free();
        if self.failed {
            return Progress::Failed;
        }
        if !self.threads.join_ended() {
            self.console.log(Level::Alert, "a thread of the worker process ended unexpectedly");
            std::process::exit(1);
        }
        let finished = self.quitting && self.threads.is_empty();
        if !self.terminated && !finished {
            return Progress::Serving;
        }
        self.console.log(Level::Notice, "exiting");
        self.threads.end_care();
        self.threads.flush_logs();
        self.console.log(Level::Notice, "exit");
        Progress::Ended
    }

    /// The descriptors to wait for besides orders.
    pub(crate) fn inner(&self) -> [BorrowedFd<'_>; 2] {
        [self.threads.as_fd(), self.retired.as_fd()]
    }

    /// The worker's end of the channel, readable when an order arrives.
    pub(crate) fn orders(&self) -> BorrowedFd<'_> {
        self.orders.as_fd()
    }

    fn wait(&self, signals: &Signals) {
        let master = self.has_master.then(|| self.orders());
        let fds: Vec<_> = [signals.as_fd()].into_iter().chain(self.inner()).chain(master).collect();
        if let Err(error) = wait::readable(&fds, None) {
            self.console.log(Level::Alert, Failed("poll() failed", &error));
            std::process::exit(1);
        }
    }

    fn take_orders(&mut self) {
        while self.has_master {
            match self.orders.next() {
                Ok(Some((Order::Load, descriptors))) => self.take_load(descriptors),
                Ok(Some((Order::Reopen, descriptors))) => self.reopen(descriptors),
                Ok(Some((Order::Identity, descriptors))) => self.take_identity(descriptors),
                Ok(Some((Order::Mirror, descriptors))) => self.take_message(descriptors),
                Ok(Some((Order::Reloads, told))) => told.into_iter().for_each(reloads::take),
                Ok(Some((Order::Quit, _))) => self.quit(),
                Ok(Some((Order::Terminate, _))) => self.terminated = true,
                Ok(None) => return,
                // The master has ended; the worker keeps serving.
                Err(_) => {
                    self.has_master = false;
                    self.failed |= self.load.is_none() && !self.quitting;
                }
            }
        }
    }

    /// Loads a bundle and reports the result.
    fn take_load(&mut self, descriptors: Vec<OwnedFd>) {
        if self.quitting {
            return;
        }
        let report = match self.load(descriptors) {
            Ok(generation) => Report::Loaded(generation),
            Err((generation, reason)) => Report::Failed(generation, reason.to_string()),
        };
        let _ = channel::send_report(&self.reports, &report);
        // Returns the memory used for reading.
        allocator::give_back();
        // A worker without a first configuration cannot serve.
        self.failed |= self.load.is_none();
    }

    /// Takes over the identity of this node.
    fn take_identity(&self, descriptors: Vec<OwnedFd>) {
        let Some(file) = descriptors.into_iter().next() else { return };
        let read = memory_file::read(file, LARGEST_IDENTITY).ok();
        let identity = read.as_deref().and_then(Identity::decode);
        link::set_identity(identity);
    }

    /// Passes a message of the master on to the mirror.
    fn take_message(&self, descriptors: Vec<OwnedFd>) {
        let Some(file) = descriptors.into_iter().next() else { return };
        let read = memory_file::read(file, LARGEST_TELL).ok();
        match read.map(|bytes| Tell::decode(&bytes)) {
            Some(Ok(tell)) => weir_ha::carrier::tell(tell),
            _ => self.console.log(Level::Alert, "a message for the mirror could not be read"),
        }
    }

    fn load(&mut self, descriptors: Vec<OwnedFd>) -> Result<u64, (u64, LoadError)> {
        let mut descriptors = descriptors.into_iter();
        let lacks = || (UNKNOWN, LoadError::OpenFiles(self.orders.needed()));
        let bundle = descriptors.next().ok_or_else(lacks)?;
        let bundle =
            Bundle::unseal(bundle).map_err(|error| (UNKNOWN, LoadError::Descriptor(error)))?;
        let generation = bundle.generation;
        let load = self.prepare(&bundle, descriptors).map_err(|reason| (generation, reason))?;
        self.console.set_error_log(load.error_log.clone());
        if self.load.is_none() {
            pair_figures::begin();
        }
        if self.load.is_none()
            && let Err(error) = load.serving.restore()
        {
            self.console.log(Level::Alert, Failed("writing the journal failed", &error));
        }
        weir_http::instance::note_load(generation, process::parent_id().unsigned_abs());
        // Before the first request that may ask.
        load.serving.configuration.show_certificates();
        if let Err(reason) = self.threads.serve(&load) {
            self.load.iter().for_each(|old| old.serving.configuration.show_certificates());
            return Err((generation, reason));
        }
        // The launcher needs no further messages on the terminal.
        load.redirect_stderr(&self.console);
        self.console.leave_terminal();
        fitness::show_serving(&load);
        let old = self.load.replace(load);
        if let Some(old) = old {
            self.retired.add(old.serving.configuration);
        }
        LogFiles::process().forget_unused();
        Ok(generation)
    }

    /// Builds the settings of a bundle.
    fn prepare(
        &mut self,
        bundle: &Bundle,
        mut descriptors: impl Iterator<Item = OwnedFd>,
    ) -> Result<Load, LoadError> {
        self.threads.flush_logs();
        let ready = self.ready.take().filter(|ready| ready.generation == bundle.generation);
        LogFiles::process().enlist(ready.as_ref().map_or(&[], Ready::log_files));
        let logs = adopt_logs(&bundle.logs, &mut descriptors)?;
        let fds: Vec<OwnedFd> = descriptors.collect();
        if fds.len() != bundle.sockets.len() {
            return Err(LoadError::Bundle("a socket is missing in the bundle"));
        }
        let known = self.load.as_ref().map(|load| &load.sockets);
        let (beside, clients): (Vec<_>, Vec<_>) = std::iter::zip(bundle.sockets.clone(), fds)
            .partition(|(name, _)| bundle.links.sockets.contains(name));
        let (names, fds): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
        let sockets = Sockets::of(&names, fds, known);
        let ready = ready.map_or_else(|| Ready::read(bundle, &self.console), Ok)?;
        let error_log = cycle::main_error_log(&ready.logs, bundle, &logs);
        let (number, reports) = (bundle.generation, &self.reports);
        let links = linking::plan(ready.ha(), number, &bundle.links, beside, reports);
        let linked = links.as_ref().zip(ready.ha());
        let mirror = linked.map(|(links, ha)| mirroring::plan(ha, &links.block, reports));
        let generation = self.retired.generation(bundle.generation, &self.reports);
        let stderr_is_log = ready.stderr_is_log;
        let process = Arc::new(ready.process.clone());
        let beside = self.retired.beside();
        let configuration = ready.into_configuration(&logs);
        let serving = Serving { configuration, generation, beside, links, mirror };
        self.logs = logs;
        Ok(Load { serving, sockets, process, error_log, stderr_is_log })
    }

    /// Switches to the log files that the master has reopened.
    fn reopen(&mut self, descriptors: Vec<OwnedFd>) {
        self.console.log(Level::Notice, "reopening logs");
        self.threads.flush_logs();
        if descriptors.len() != self.logs.len() {
            self.console.log(Level::Emerg, open_files::too_few_for(self.orders.needed()));
        }
        for (log, fd) in self.logs.iter().zip(descriptors) {
            if let Err(error) = LogFiles::process().adopt(log.path(), fd) {
                let what = format!("dup2() \"{}\" failed", log.path().display());
                self.console.log(Level::Emerg, Failed(&what, &error));
            }
        }
        self.redirect_stderr();
    }

    /// Reopens the log files by name, with the permissions of the worker's user.
    fn reopen_by_name(&mut self) {
        self.console.log(Level::Notice, "reopening logs");
        self.threads.flush_logs();
        for (file, error) in LogFiles::process().reopen() {
            let what = format!("open() \"{}\" failed", file.path().display());
            self.console.log(Level::Emerg, Failed(&what, &error));
        }
        self.redirect_stderr();
    }

    fn redirect_stderr(&self) {
        self.load.iter().for_each(|load| load.redirect_stderr(&self.console));
    }

    fn quit(&mut self) {
        if std::mem::replace(&mut self.quitting, true) {
            return;
        }
        self.console.log(Level::Notice, "gracefully shutting down");
        fitness::show_quitting();
        title::set(&format!("{}: worker process is shutting down", self.console.program()));
        // The sockets are dropped with it, so new connections are refused instead of queued.
        let load = self.load.take();
        if let Some(load) = &load {
            self.threads.take_last_duties(load);
        }
        self.threads.quit(load.and_then(|load| load.process.shutdown_timeout));
    }
}

/// The log files of a bundle. A known path keeps its descriptor, so every generation that writes to
/// it switches to the new file.
fn adopt_logs(
    names: &[std::path::PathBuf],
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Logs, LoadError> {
    let adopt = |path: &std::path::PathBuf| {
        let fd =
            descriptors.next().ok_or(LoadError::Bundle("a log file is missing in the bundle"))?;
        LogFiles::process().adopt(path, fd).map_err(LoadError::Descriptor)
    };
    names.iter().map(adopt).collect()
}
