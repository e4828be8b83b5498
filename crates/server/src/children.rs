//! The master's child processes.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_engine::Level;
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;
use weir_sys::process::{self, Ending};

use crate::channel::{self, Order};
use crate::console::Console;
use crate::outbox::Outbox;
use crate::signals;

/// The pause before orders to a worker that does not read are repeated.
const REPEAT: Duration = Duration::from_millis(50);

/// A worker's exit code for an error that would recur in its successor.
const FATAL: i32 = 2;

/// The log files of a configuration, in the worker's order.
pub(crate) type Logs = Arc<[Arc<LogFile>]>;

/// The kind of a child process.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A worker, with the master's end of its channel.
    Worker(OwnedFd),
    /// A new binary that takes over, with its program name.
    NewBinary(OsString),
    /// The guard. The master finds it by its socket, and notices its end there.
    Guard,
}

/// A child process that the master keeps track of.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) kind: Kind,
    /// It has been told to end.
    pub(crate) exiting: bool,
    /// It is replaced if it ends unasked.
    pub(crate) respawn: bool,
    /// It has closed its end of the channel, or has sent an invalid report.
    pub(crate) silent: bool,
    /// It has ended.
    pub(crate) exited: bool,
    /// The worker's log files; its configuration may not be the newest.
    pub(crate) logs: Logs,
    /// The orders that its channel has not taken.
    waiting: Outbox,
}

impl Child {
    fn new(pid: i32, kind: Kind, logs: Logs) -> Self {
        let respawn = matches!(kind, Kind::Worker(_));
        let (exiting, silent, exited, waiting) = (false, false, false, Outbox::default());
        Self { pid, kind, exiting, respawn, silent, exited, logs, waiting }
    }

    pub(crate) fn worker(pid: i32, channel: OwnedFd, logs: Logs) -> Self {
        Self::new(pid, Kind::Worker(channel), logs)
    }

    pub(crate) fn new_binary(pid: i32, program: OsString) -> Self {
        Self::new(pid, Kind::NewBinary(program), Arc::default())
    }

    pub(crate) fn guard(pid: i32) -> Self {
        Self::new(pid, Kind::Guard, Arc::default())
    }

    /// Sends an order to a worker. One that its channel cannot take waits, and is repeated.
    ///
    /// # Errors
    /// As [`channel::send_order`]; `WouldBlock` if too many orders wait.
    pub(crate) fn send(&mut self, order: Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Kind::Worker(channel) = &self.kind else { return Ok(()) };
        self.waiting.send(channel, order, fds)
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Worker(_) => "worker process",
            Kind::NewBinary(_) => "new binary process",
            Kind::Guard => "guard process",
        }
    }

    /// The channel of a worker.
    pub(crate) fn channel(&self) -> Option<&OwnedFd> {
        match &self.kind {
            Kind::Worker(channel) => Some(channel),
            Kind::NewBinary(_) | Kind::Guard => None,
        }
    }

    /// Whether it is a worker that is neither ending nor ended.
    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.kind, Kind::Worker(_)) && !self.exiting && !self.exited
    }

    /// Tells a worker to end, over the channel or, if that fails, by a signal.
    fn tell(&mut self, order: Order, console: &Console) {
        let Kind::Worker(channel) = &self.kind else { return };
        if self.exited || (self.exiting && order == Order::Quit) {
            return;
        }
        self.waiting.clear();
        if channel::send_order(channel, order, &[]).is_err() {
            self.signal(signals::TERM, console);
        }
        self.exiting = true;
    }

    fn signal(&mut self, number: i32, console: &Console) {
        if let Err(error) = process::kill(self.pid, number) {
            let what = format!("kill({}, {number}) failed", self.pid);
            console.log(Level::Alert, Failed(&what, &error));
        }
    }
}

/// All child processes.
#[derive(Debug, Default)]
pub(crate) struct Children(pub(crate) Vec<Child>);

impl Children {
    /// Tells every worker to end, gracefully or now.
    pub(crate) fn tell(&mut self, order: Order, console: &Console) {
        self.0.iter_mut().for_each(|child| child.tell(order, console));
    }

    /// Tells every worker except one to end gracefully.
    pub(crate) fn quit_all_but(&mut self, pid: i32, console: &Console) {
        let others = self.0.iter_mut().filter(|child| child.pid != pid);
        others.for_each(|child| child.tell(Order::Quit, console));
    }

    /// Repeats orders that have not been sent. Those to a worker that has ended are dropped.
    pub(crate) fn repeat_orders(&mut self) {
        for child in self.0.iter_mut().filter(|child| !child.waiting.is_empty()) {
            if let Kind::Worker(channel) = &child.kind {
                let _ = child.waiting.repeat(channel);
            }
        }
    }

    /// When to repeat orders.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let waits = self.0.iter().any(|child| !child.exited && !child.waiting.is_empty());
        waits.then(|| Instant::now() + REPEAT)
    }

    /// Kills a worker that violates the protocol.
    pub(crate) fn kill_one(&mut self, pid: i32, console: &Console) {
        let worker = self.0.iter_mut().find(|child| child.pid == pid && !child.exited);
        worker.into_iter().for_each(|worker| worker.signal(signals::KILL, console));
    }

    /// Kills all remaining workers.
    pub(crate) fn kill(&mut self, console: &Console) {
        let workers = self.0.iter_mut().filter(|c| c.channel().is_some() && !c.exited);
        workers.for_each(|worker| worker.signal(signals::KILL, console));
    }

    /// Whether a new binary is running.
    pub(crate) fn new_binary(&self) -> bool {
        self.new_binary_id().is_some()
    }

    /// The process ID of a new binary that is running.
    pub(crate) fn new_binary_id(&self) -> Option<i32> {
        let is_it = |child: &&Child| matches!(child.kind, Kind::NewBinary(_)) && !child.exited;
        self.0.iter().find(is_it).map(|child| child.pid)
    }

    /// Whether a worker is serving.
    pub(crate) fn any_serving(&self) -> bool {
        self.0.iter().any(Child::is_serving)
    }

    /// Whether a worker is running, serving or ending.
    pub(crate) fn any_worker(&self) -> bool {
        self.0.iter().any(|child| child.channel().is_some() && !child.exited)
    }

    /// Reaps children that have ended, and logs how.
    pub(crate) fn note_endings(&mut self, console: &Console) {
        loop {
            match process::reap() {
                Ok(Some((pid, ending))) => self.note(pid, ending, console),
                Ok(None) => return,
                Err(error) => return console.log(Level::Alert, Failed("waitpid() failed", &error)),
            }
        }
    }

    fn note(&mut self, pid: i32, ending: Ending, console: &Console) {
        let child = self.0.iter_mut().find(|child| child.pid == pid);
        let name = child.as_ref().map_or("unknown process", |child| child.name());
        let level = match ending {
            Ending::Signal { .. } => Level::Alert,
            Ending::Code(_) => Level::Notice,
        };
        console.log(level, format_args!("{name} {pid} {ending}"));
        let Some(child) = child else { return };
        child.exited = true;
        if ending == Ending::Code(FATAL) && child.respawn {
            console.log(
                Level::Alert,
                format_args!("{name} {pid} exited with fatal code {FATAL} and cannot be respawned"),
            );
            child.respawn = false;
        }
    }

    /// Removes and returns the children that have ended.
    pub(crate) fn take_ended(&mut self) -> Vec<Child> {
        self.0.extract_if(.., |child| child.exited).collect()
    }
}
