//! The processes that the master has started.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use weir_engine::Level;
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;
use weir_sys::process::{self, Ending};

use crate::channel::{self, Order};
use crate::console::Console;
use crate::signals;

/// The exit code with which a worker says that another one would fail as well.
const FATAL: i32 = 2;

/// The log files of a configuration, in the order in which a worker knows them.
pub(crate) type Logs = Arc<[Arc<LogFile>]>;

/// What a child is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Serves; listens to orders at the other end.
    Worker(OwnedFd),
    /// Another binary, started to take over, by this name.
    NewBinary(OsString),
}

/// A process that the master has started and that it has not yet forgotten.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) kind: Kind,
    /// It has been told to end.
    pub(crate) exiting: bool,
    /// It is to be replaced if it ends without having been told to.
    pub(crate) respawn: bool,
    /// It has ended.
    pub(crate) exited: bool,
    /// The log files that a worker writes to; its configuration is not always the newest.
    pub(crate) logs: Logs,
}

impl Child {
    pub(crate) fn worker(pid: i32, channel: OwnedFd, logs: Logs) -> Self {
        let kind = Kind::Worker(channel);
        Self { pid, kind, exiting: false, respawn: true, exited: false, logs }
    }

    pub(crate) fn new_binary(pid: i32, program: OsString) -> Self {
        let kind = Kind::NewBinary(program);
        let logs = Arc::default();
        Self { pid, kind, exiting: false, respawn: false, exited: false, logs }
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Worker(_) => "worker process",
            Kind::NewBinary(_) => "new binary process",
        }
    }

    /// The channel of a worker.
    pub(crate) fn channel(&self) -> Option<&OwnedFd> {
        match &self.kind {
            Kind::Worker(channel) => Some(channel),
            Kind::NewBinary(_) => None,
        }
    }

    /// Whether it is a worker that takes part in what comes.
    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.kind, Kind::Worker(_)) && !self.exiting && !self.exited
    }

    /// Tells a worker to end, over the channel and, if that fails, with a signal.
    fn tell(&mut self, order: Order, console: &Console) {
        let Kind::Worker(channel) = &self.kind else { return };
        if self.exited || (self.exiting && order == Order::Quit) {
            return;
        }
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

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Children(pub(crate) Vec<Child>);

impl Children {
    /// Tells every worker to end when its last request has ended, or now.
    pub(crate) fn tell(&mut self, order: Order, console: &Console) {
        self.0.iter_mut().for_each(|child| child.tell(order, console));
    }

    /// Tells every worker but one to end when its last request has ended.
    pub(crate) fn quit_all_but(&mut self, pid: i32, console: &Console) {
        let others = self.0.iter_mut().filter(|child| child.pid != pid);
        others.for_each(|child| child.tell(Order::Quit, console));
    }

    /// Ends a worker that does what no worker does.
    pub(crate) fn kill_one(&mut self, pid: i32, console: &Console) {
        let worker = self.0.iter_mut().find(|child| child.pid == pid && !child.exited);
        worker.into_iter().for_each(|worker| worker.signal(signals::KILL, console));
    }

    /// Ends every worker that is left.
    pub(crate) fn kill(&mut self, console: &Console) {
        let workers = self.0.iter_mut().filter(|c| c.channel().is_some() && !c.exited);
        workers.for_each(|worker| worker.signal(signals::KILL, console));
    }

    /// Whether there is a new binary.
    pub(crate) fn new_binary(&self) -> bool {
        self.0.iter().any(|child| matches!(child.kind, Kind::NewBinary(_)) && !child.exited)
    }

    /// Whether a worker is there that has not been told to end.
    pub(crate) fn any_serving(&self) -> bool {
        self.0.iter().any(Child::is_serving)
    }

    /// Whether a worker is left, serving or ending.
    pub(crate) fn any_worker(&self) -> bool {
        self.0.iter().any(|child| child.channel().is_some() && !child.exited)
    }

    /// Notes and logs which children have ended.
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

    /// Takes out those that have ended.
    pub(crate) fn take_ended(&mut self) -> Vec<Child> {
        self.0.extract_if(.., |child| child.exited).collect()
    }
}
