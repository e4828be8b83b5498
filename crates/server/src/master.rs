//! The master process: one thread that reads the configuration, opens what only root may open, and
//! keeps a worker running. It handles no connections.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_engine::Level;
use weir_engine::journal::{self, Files};
use weir_engine::os_error::Failed;
use weir_ha::readiness;
use weir_sys::daemon::Launcher;
use weir_sys::process::{self, Fork};
use weir_sys::signal::Signals;
use weir_sys::{pass_fd, title, wait};

use crate::channel::{self, Order};
use crate::children::{Child, Children, Kind};
use crate::console::Console;
use crate::cycle::Cycle;
use crate::guarding::Guarding;
use crate::linking::{self, Linking};
use crate::mirroring::{self, Mirroring};
use crate::notify::{self, Notifier};
use crate::paths::Paths;
use crate::signals::{self, Request};
use crate::{guarding, pid_file, reload, reopen, sockets, upgrade, worker};

/// The time a terminated worker has to exit after the first attempt. It doubles with each further
/// attempt.
const FIRST_PATIENCE: Duration = Duration::from_millis(50);

/// The limit of that time; then the worker is killed.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// The maximum number of reports read from a worker in one step.
const REPORTS_AT_ONCE: usize = 16;

/// The number of workers killed before one serves, after which the start fails.
const TRIES_AT_START: u32 = 10;

/// The pause between attempts to start a worker while none serves.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Facts of the process's start.
#[derive(Debug, Clone)]
pub(crate) struct Startup {
    pub(crate) paths: Paths,
    /// The `-g` option.
    pub(crate) globals: Option<String>,
    /// The arguments, the program's name first.
    pub(crate) args: Vec<OsString>,
    /// The environment as `NAME=value`.
    pub(crate) env: Vec<OsString>,
    /// The binary that started this one as its successor.
    pub(crate) parent: Option<i32>,
    /// The process runs in the background, by itself or because the previous binary did.
    pub(crate) daemonised: bool,
}

/// The state of the master.
pub(crate) struct Master {
    pub(crate) startup: Startup,
    pub(crate) console: Console,
    /// The configuration in force.
    pub(crate) cycle: Cycle,
    /// A configuration that a worker is loading.
    pub(crate) pending: Option<Pending>,
    /// The number of the newest configuration.
    pub(crate) generation: u64,
    pub(crate) children: Children,
    pub(crate) asked: Asked,
    pub(crate) guarding: Guarding,
    pub(crate) linking: Linking,
    pub(crate) mirroring: Mirroring,
    pub(crate) notifier: Notifier,
    /// The workers were told to quit, and a new binary serves alone.
    pub(crate) not_accepting: bool,
    /// The journals of workers, newest last, from the newest complete one on.
    journals: Vec<Arc<Files>>,
    /// The process that waits for the server to be up.
    launcher: Option<Launcher>,
    /// A worker has been serving.
    pub(crate) up: bool,
    /// The number of workers killed before one has served.
    killed_at_start: u32,
    /// The time of the next attempt to start a worker.
    next_try: Option<Instant>,
    /// When and after how long a wait the next signal is sent to terminated workers.
    patience: Option<(Instant, Duration)>,
}

/// A configuration being loaded by a worker.
pub(crate) struct Pending {
    pub(crate) cycle: Cycle,
    /// The worker's process ID.
    pub(crate) worker: i32,
}

/// Pending requests from signals.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) quit: bool,
    pub(crate) terminate: bool,
    pub(crate) reconfigure: bool,
    reopen: bool,
    change_binary: bool,
    stop_accepting: bool,
    reap: bool,
}

/// Runs the master until it ends.
pub(crate) fn run(
    startup: Startup,
    console: Console,
    cycle: Cycle,
    signals: &Signals,
    launcher: Option<Launcher>,
) -> ! {
    let args: Vec<_> = startup.args.iter().map(|arg| arg.to_string_lossy()).collect();
    title::set(&format!("{}: master process {}", console.program(), args.join(" ")));
    let mut master = Master::new(startup, console, cycle, launcher);
    // The first process of a container is given orphans, which may have ended before it looked.
    master.asked.reap = true;
    master.start_workers();
    loop {
        master.wait(signals, &[]);
        master.step(signals);
    }
}

/// Blocks signals and makes them readable.
pub(crate) fn block_signals(console: &Console) -> Signals {
    Signals::block(&signals::ALL).unwrap_or_else(|error| {
        console.log(Level::Emerg, Failed("signalfd() failed", &error));
        std::process::exit(1)
    })
}

impl Master {
    /// A master without a worker.
    pub(crate) fn new(
        startup: Startup,
        console: Console,
        cycle: Cycle,
        launcher: Option<Launcher>,
    ) -> Self {
        Self {
            notifier: Notifier::of(&startup.env),
            startup,
            console,
            generation: cycle.bundle.generation,
            cycle,
            pending: None,
            children: Children::default(),
            asked: Asked::default(),
            guarding: Guarding::default(),
            linking: Linking::default(),
            mirroring: Mirroring::default(),
            not_accepting: false,
            journals: Vec::new(),
            launcher,
            up: false,
            killed_at_start: 0,
            next_try: None,
            patience: None,
        }
    }

    /// Handles everything that has happened.
    ///
    /// Ended children are reaped before anything that depends on them. Termination outranks a
    /// graceful quit, which outranks all other requests. A request stays set until it can be
    /// carried out, so every event repeats the step.
    pub(crate) fn step(&mut self, signals: &Signals) {
        self.read_signals(signals);
        self.read_reports();
        notify::tell(self);
        self.children.repeat_orders();
        if std::mem::take(&mut self.asked.reap) {
            self.children.note_endings(&self.console);
            self.bury();
        }
        if (self.asked.terminate || self.asked.quit) && guarding::is_giving_up(self) {
            return;
        }
        if (self.asked.terminate || self.asked.quit) && !self.children.any_worker() {
            self.exit();
        }
        if self.next_try.take_if(|at| *at <= Instant::now()).is_some() && !self.not_accepting {
            self.start_workers();
        }
        if self.asked.terminate {
            self.patience = Some(self.terminate());
        } else if self.asked.quit {
            // The worker accepts the queued connections; other holders would keep the sockets open.
            self.close_sockets();
            self.children.tell(Order::Quit, &self.console);
        } else {
            // A reload asks the other nodes, so the identity comes first.
            linking::follow(self);
            mirroring::step(self);
            self.do_what_was_asked();
            guarding::keep(self);
            notify::tell(self);
        }
    }

    fn do_what_was_asked(&mut self) {
        if self.asked.reconfigure && self.pending.is_none() && !self.mirroring.is_busy() {
            self.asked.reconfigure = false;
            if self.children.new_binary() {
                self.start_workers();
                self.not_accepting = false;
            } else {
                reload::reconfigure(self);
            }
        }
        // A worker that is loading a configuration is about to switch to other log files.
        if self.pending.is_none() && std::mem::take(&mut self.asked.reopen) {
            reopen::logs(self);
        }
        // A start that fails would remove the pid file of the new binary.
        if self.up && std::mem::take(&mut self.asked.change_binary) {
            self.console.log(Level::Notice, "changing binary");
            upgrade::start_new_binary(self);
        }
        if std::mem::take(&mut self.asked.stop_accepting) {
            self.not_accepting = true;
            self.children.tell(Order::Quit, &self.console);
        }
    }

    /// Waits for a signal, a report, or readable data on one of the `others`.
    pub(crate) fn wait(&self, signals: &Signals, others: &[BorrowedFd<'_>]) {
        let heard = self.children.0.iter().filter(|child| !child.silent);
        let channels = heard.filter_map(Child::channel).map(AsFd::as_fd);
        let mut fds: Vec<_> = std::iter::once(signals.as_fd()).chain(channels).collect();
        fds.extend_from_slice(others);
        fds.extend(self.guarding.link().map(AsFd::as_fd));
        fds.extend(self.linking.watch());
        let patience = self.patience.map(|(until, _)| until);
        let until = patience.into_iter().chain(self.next_try).chain(self.guarding.next_look());
        let until = until.chain(self.mirroring.next_look()).chain(self.children.next_look());
        let until = until.min();
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        if let Err(error) = wait::readable(&fds, timeout) {
            self.console.log(Level::Alert, Failed("poll() failed", &error));
            std::thread::sleep(FIRST_PATIENCE);
        }
    }

    fn read_signals(&mut self, signals: &Signals) {
        while let Ok(Some(signal)) = signals.next() {
            let may_upgrade = !self.parent_is_there() && !self.children.new_binary();
            let daemonised = self.startup.daemonised;
            match signals::to_master(signal, daemonised, may_upgrade, &self.console) {
                Request::Quit => self.asked.quit = true,
                Request::Terminate => self.asked.terminate = true,
                Request::Reconfigure => self.asked.reconfigure = true,
                Request::Reopen => self.asked.reopen = true,
                Request::ChangeBinary => self.asked.change_binary = true,
                Request::StopAccepting => self.asked.stop_accepting = true,
                Request::Reap => self.asked.reap = true,
                Request::ChangeBinaryIgnored | Request::None => {}
            }
        }
    }

    /// Handles the workers' reports. A worker that sends an invalid report has been compromised and
    /// is killed; one that sends reports without end cannot keep the master busy.
    pub(crate) fn read_reports(&mut self) {
        let mut reports = Vec::new();
        let mut frauds = Vec::new();
        for child in self.children.0.iter_mut().filter(|child| !child.exited && !child.silent) {
            for _ in 0..REPORTS_AT_ONCE {
                let Some(channel) = child.channel() else { break };
                match channel::next_report(channel) {
                    Ok(Some(report)) => reports.push((child.pid, report)),
                    Ok(None) => break,
                    Err(error) => {
                        // Usually the worker is about to exit, which takes longer with more memory.
                        // Until it is reaped, its closed channel would wake the master again and
                        // again.
                        child.silent = true;
                        self.asked.reap = true;
                        if error.kind() == std::io::ErrorKind::InvalidData {
                            frauds.push(child.pid);
                        }
                        break;
                    }
                }
            }
        }
        for (pid, report) in reports {
            reload::take_report(self, pid, report);
        }
        for pid in frauds {
            let what = format_args!("worker process {pid} sent an invalid report, killing it");
            self.console.log(Level::Alert, what);
            self.children.kill_one(pid, &self.console);
        }
    }

    /// Replaces children that have ended, where required.
    fn bury(&mut self) {
        for child in self.children.take_ended() {
            match child.kind {
                Kind::Worker(_) => {
                    let ending = self.asked.terminate || self.asked.quit;
                    reload::worker_has_ended(self, child.pid);
                    if child.exiting || ending || self.children.any_serving() {
                        continue;
                    }
                    self.killed_at_start += u32::from(!self.up);
                    if !self.up && (!child.respawn || self.killed_at_start > TRIES_AT_START) {
                        self.fail();
                    }
                    weir_http::instance::note_respawn();
                    if child.respawn {
                        self.try_to_start_worker(false);
                    } else {
                        self.try_again();
                    }
                }
                Kind::NewBinary(program) => upgrade::new_binary_has_ended(self, &program),
                Kind::Guard => {}
            }
        }
    }

    /// Marks the server as up once a worker serves, and releases the launcher.
    pub(crate) fn come_up(&mut self) {
        if std::mem::replace(&mut self.up, true) {
            return;
        }
        self.cycle.redirect_stderr(&self.console);
        self.console.leave_terminal();
        if let Some(launcher) = self.launcher.take() {
            launcher.release();
        }
    }

    /// Ends a failed start, whose reason has been logged.
    pub(crate) fn fail(&mut self) -> ! {
        pid_file::remove(&self.cycle.process.pid, &self.console);
        self.close_sockets();
        std::process::exit(1)
    }

    /// Starts the worker, with nginx's log message.
    pub(crate) fn start_workers(&mut self) {
        self.console.log(Level::Notice, "start worker processes");
        self.try_to_start_worker(false);
    }

    /// Starts a worker with the current or the pending configuration. If it fails while none
    /// serves, it is tried again later.
    pub(crate) fn try_to_start_worker(&mut self, pending: bool) {
        match self.start_worker(pending) {
            Ok(()) => self.next_try = None,
            Err((what, error)) => {
                let what = format!("{what} failed while spawning \"worker process\"");
                self.console.log(Level::Alert, Failed(&what, &error));
                self.try_again();
            }
        }
    }

    fn try_again(&mut self) {
        if !self.up {
            self.fail();
        }
        if !self.children.any_serving() {
            self.next_try = Some(Instant::now() + TRY_AGAIN);
        }
    }

    fn start_worker(&mut self, pending: bool) -> Result<(), (&'static str, std::io::Error)> {
        let (near, far) = pass_fd::pair().map_err(|error| ("socketpair()", error))?;
        if let Some(complete) = self.journals.iter().rposition(|journal| journal.are_complete()) {
            self.journals.drain(..complete);
        }
        let journal = Arc::new(Files::new().map_err(|error| ("memfd_create()", error))?);
        weir_ha::carrier::reserve_ticket_keys();
        let slot = self.guarding.slot().map_err(|error| ("memfd_create()", error))?;
        let cycle = match &mut self.pending {
            Some(pending_one) if pending => &mut pending_one.cycle,
            _ => &mut self.cycle,
        };
        cycle.build();
        match process::fork().map_err(|error| ("fork()", error))? {
            Fork::Child => {
                drop(near);
                let settings = cycle.process.clone();
                let ready = cycle.ready.take();
                let console = std::mem::replace(&mut self.console, Console::new(None));
                // Channels, sockets and log files are the master's: the worker receives its own,
                // and would keep removed files open.
                self.children.0.clear();
                self.cycle.let_go();
                self.pending = None;
                journal::begin(journal, self.journals.first().map(|journal| &**journal));
                readiness::begin(slot);
                self.guarding.let_go();
                self.let_go_in_child();
                worker::run(settings, ready, &self.startup, console, far)
            }
            Fork::Parent(pid) => {
                self.console.log(Level::Notice, format_args!("start worker process {pid}"));
                let mut worker = Child::worker(pid, near, cycle.logs.clone());
                if let Err(error) = cycle.send(&mut worker) {
                    let what = format!("configuration of worker process {pid} could not be sent");
                    self.console.log(Level::Alert, Failed(&what, &error));
                }
                self.linking.send_to(&mut worker, &self.console);
                self.children.0.push(worker);
                self.journals.push(journal);
                if let Some(pending_one) = self.pending.as_mut().filter(|_| pending) {
                    pending_one.worker = pid;
                }
                mirroring::begin(self, pid);
            }
        }
        Ok(())
    }

    /// In a forked child: drops what is the master's alone.
    pub(crate) fn let_go_in_child(&mut self) {
        self.launcher = None;
        self.journals.clear();
        self.linking = Linking::default();
        self.mirroring = Mirroring::default();
    }

    /// Terminates workers and kills those that do not exit; returns when to look again.
    fn terminate(&mut self) -> (Instant, Duration) {
        let now = Instant::now();
        let length = match self.patience {
            Some((until, length)) if now < until => return (until, length),
            Some((_, length)) => length * 2,
            None => FIRST_PATIENCE,
        };
        if length > LAST_PATIENCE {
            self.children.kill(&self.console);
        } else {
            self.children.tell(Order::Terminate, &self.console);
        }
        (now + length, length)
    }

    /// Closes the listening sockets. Unix sockets are unlinked unless another binary uses them.
    fn close_sockets(&mut self) {
        let new_binary = self.children.new_binary();
        let parent_is_there = self.parent_is_there();
        for socket in self.cycle.sockets.drain(..) {
            if !new_binary && (!socket.inherited || !parent_is_there) {
                sockets::remove_name(&socket.addr, &self.console);
            }
        }
    }

    /// Whether the binary that this one replaces is still running.
    pub(crate) fn parent_is_there(&self) -> bool {
        Some(process::parent_id()) == self.startup.parent
    }

    /// Whether a binary that started this one, or was started by it, shares its sockets.
    pub(crate) fn shares_sockets(&self) -> bool {
        let inherited = self.cycle.sockets.iter().any(|socket| socket.inherited);
        self.children.new_binary() || (inherited && self.parent_is_there())
    }

    fn exit(&mut self) -> ! {
        let pid = &self.cycle.process.pid;
        if let Some(successor) = self.children.new_binary_id() {
            pid_file::remove(&pid_file::old_name(pid), &self.console);
            self.notifier.name_successor(successor);
            self.guarding.hand_on();
        } else {
            pid_file::remove(pid, &self.console);
            self.guarding.leave();
        }
        self.console.log(Level::Notice, "exit");
        self.close_sockets();
        std::process::exit(0)
    }
}
