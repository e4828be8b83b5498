//! The guard: a process of root that runs keepalived, tells it whether this node is fit, and
//! removes the addresses if keepalived dies. It serves nothing on the network.
//!
//! The guard follows masters, usually one, during an upgrade of the binary two: the newest plan
//! counts, and a worker of any of them makes the node fit. After a master that was killed, the
//! guard goes on while its worker does.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_engine::os_error::Failed;
use weir_engine::{ErrorLog, Level};
use weir_sys::process::{self, monotonic_millis};
use weir_sys::signal::Signals;
use weir_sys::{interface, memory_file, wait};

use crate::keepalived::CONF_FILE;
use crate::plan::Plan;
use crate::readiness::{Beats, Change, Fitness};

pub mod adverts;
pub(crate) mod control;
pub mod master;
pub mod states;

pub mod log;
pub mod program;

mod child;
mod clients;
mod files;
mod handover;
mod news;
mod rivals;

pub use control::folder;
pub use handover::{NAME, STATE, go_on};

use child::Keepalived;
use clients::Clients;
use files::{LineBuffer, open_events, write_ready};
use handover::Program;
use states::States;

/// How often the guard looks at the beats.
const LOOK: Duration = Duration::from_millis(20);

/// How often it looks whether keepalived has been stopped or the node has lost its address, in
/// milliseconds.
const LOOK_AROUND: u64 = 100;

/// The signals that the guard reads.
const SIGNALS: [i32; 6] = [HUP, INT, QUIT, USR1, TERM, CHLD];
const HUP: i32 = 1;
const INT: i32 = 2;
const QUIT: i32 = 3;
const USR1: i32 = 10;
const TERM: i32 = 15;
const CHLD: i32 = 17;

/// Why a node holds nothing after `weir ha leave`.
const LEFT: &str = "it has left the pair (\"weir ha leave\"), and the \"ha\" block is still there";

/// The time in milliseconds without any master or fit worker after which the guard ends.
const ORPHAN: u64 = 1000;

/// What a new guard inherits from the master that forks it.
#[derive(Debug)]
pub struct Inherited {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The control socket.
    pub(crate) listener: OwnedFd,
    /// The lock of the folder, held until the end.
    pub(crate) lock: OwnedFd,
}

/// Runs the guard until it ends. `name` is that of the program in titles.
pub fn run(inherited: Inherited, log: ErrorLog, name: String) -> ! {
    let code = match Guard::start(inherited, log.clone(), name) {
        Ok(mut guard) => guard.watch(),
        Err((what, error)) => {
            log.log(Level::Emerg, 0, Failed(what, &error));
            2
        }
    };
    std::process::exit(code)
}

/// Why the node must not hold addresses, apart from being unfit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Asked {
    /// A master gives them up for ever.
    give_up: bool,
    /// A drill is under way.
    drill: bool,
}

struct Guard {
    /// The program's name in titles.
    name: String,
    folder: PathBuf,
    log: ErrorLog,
    signals: Signals,
    clients: Clients,
    /// Held until the end.
    lock: OwnedFd,
    events: File,
    event_lines: LineBuffer,
    said: LineBuffer,
    adverts: adverts::Sockets,
    keepalived: Keepalived,
    states: States,
    plan: Option<Plan>,
    /// The beats of a master that was killed.
    orphaned: Vec<Beats>,
    orphan_since: Option<u64>,
    change: Change,
    fitness: Fitness,
    /// What the file says.
    ready: Option<bool>,
    /// Why the node may not hold addresses.
    reason: Option<String>,
    /// The group that keepalived is to take back at the moment.
    urgent: Option<usize>,
    next_look: u64,
    /// The node's own address that its interface has lost: it would hear no adverts and take the
    /// others' addresses.
    lost: Option<IpAddr>,
    /// The node has left the pair (`weir ha leave`): keepalived does not run.
    left: bool,
    /// A program that this process could not go on with.
    refused: Option<Program>,
    ending: bool,
}

impl Guard {
    fn start(
        inherited: Inherited,
        log: ErrorLog,
        name: String,
    ) -> Result<Self, (&'static str, io::Error)> {
        let Inherited { folder, listener, lock } = inherited;
        control::sign(&listener).map_err(|error| ("listen() failed", error))?;
        let signals = Signals::block(&SIGNALS).map_err(|error| ("signalfd() failed", error))?;
        process::adopt_orphans().map_err(|error| ("prctl() failed", error))?;
        let events = open_events(&folder).map_err(|error| ("mkfifo() failed", error))?;
        let keepalived = Keepalived::new(&folder);
        if keepalived.end_strays() {
            log.log(Level::Warn, 0, "ha: ended keepalived, which a killed guard had left");
        }
        Ok(Self {
            name,
            log,
            signals,
            clients: Clients::new(listener),
            lock,
            events,
            event_lines: LineBuffer::default(),
            said: LineBuffer::default(),
            adverts: adverts::Sockets::open(),
            keepalived,
            states: States::default(),
            plan: None,
            orphaned: Vec::new(),
            orphan_since: None,
            change: Change::default(),
            fitness: Fitness::default(),
            ready: None,
            reason: None,
            urgent: None,
            next_look: 0,
            lost: None,
            left: false,
            refused: None,
            ending: false,
            folder,
        })
    }

    fn watch(&mut self) -> i32 {
        loop {
            self.wait();
            let now = monotonic_millis();
            while let Ok(Some(signal)) = self.signals.next() {
                match signal.number {
                    TERM | INT | QUIT => self.ending = true,
                    USR1 => log::reopen(&self.log),
                    _ => {}
                }
            }
            let groups = self.plan.as_ref().map_or(0, |plan| plan.groups.len());
            if self.clients.read(&self.states, groups) {
                log::reopen(&self.log);
            }
            self.take_plan(now);
            self.judge(now);
            self.hear(now);
            self.tend(now);
            self.say();
            self.answer(now);
            self.take_back();
            self.renew();
            if self.ending && self.keepalived.is_away() {
                self.clean_up();
                return 0;
            }
        }
    }

    fn wait(&self) {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd(), self.events.as_fd()];
        fds.extend(self.keepalived.log_fd());
        fds.extend(self.adverts.fds());
        fds.extend(self.clients.fds());
        if wait::readable(&fds, Some(LOOK)).is_err() {
            std::thread::sleep(LOOK);
        }
    }

    /// Adopts a new plan, and forgets masters that have gone.
    fn take_plan(&mut self, now: u64) {
        if let Some(plan) = self.clients.new_plan()
            && self.plan.as_ref() != Some(&plan)
        {
            let is_first = self.plan.is_none();
            self.adopt(plan, is_first, now);
        }
        self.orphaned.extend(self.clients.orphaned());
        if self.clients.has_masters() {
            self.orphaned.clear();
            self.orphan_since = None;
        } else if self.clients.dismissed() {
            self.ending = true;
        } else if self.orphaned.iter().any(|beats| self.is_fit(beats, now)) {
            self.orphan_since = None;
        } else if now.saturating_sub(*self.orphan_since.get_or_insert(now)) > ORPHAN {
            self.log.log(Level::Alert, 0, "ha: no master process and no worker is left, ending");
            self.ending = true;
        }
    }

    fn adopt(&mut self, plan: Plan, is_first: bool, now: u64) {
        if let Some(log) = log::open(&plan.log).filter(|_| self.knows_other_log(&plan)) {
            self.log = log;
        }
        if let Err(error) = self.follow(&plan.folder) {
            let what = format!(
                "ha: the guard's folder could not become {}, so it goes on with the earlier block",
                plan.folder.display()
            );
            return self.log.log(Level::Alert, 0, Failed(&what, &error));
        }
        self.left = plan.left.exists();
        for quarrel in rivals::find(&plan, &self.folder) {
            self.log.log(Level::Alert, 0, format_args!("ha: {quarrel}"));
        }
        let known = self.plan.as_ref().is_some_and(|old| old.conf == plan.conf);
        if !known && let Err(error) = self.write_conf(&plan.conf) {
            let what = "ha: keepalived's configuration could not be written";
            self.log.log(Level::Alert, 0, Failed(what, &error));
        }
        if !known && !is_first {
            self.log.log(Level::Notice, 0, "ha: the block has changed, keepalived reads it");
            self.keepalived.reload();
        }
        self.states.fit(&plan, now);
        if is_first {
            self.remove(&plan);
        }
        self.plan = Some(plan);
    }

    /// Whether a plan has another log than the one in use.
    fn knows_other_log(&self, plan: &Plan) -> bool {
        log::describe(&self.log) != plan.log
    }

    /// Takes the folder of another pid file, with everything in it. keepalived finds its files by
    /// its working directory, and the rest by its configuration.
    fn follow(&mut self, folder: &Path) -> io::Result<()> {
        if *folder == self.folder {
            return Ok(());
        }
        control::vacate(folder)?;
        std::fs::rename(&self.folder, folder)?;
        self.keepalived.follow(folder);
        self.folder = folder.to_owned();
        Ok(())
    }

    /// Writes the configuration and renames it into place, so that keepalived reads no part of it.
    fn write_conf(&self, text: &str) -> io::Result<()> {
        let fresh = self.folder.join("keepalived.conf.new");
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, self.folder.join(CONF_FILE))
    }

    fn is_fit(&self, beats: &Beats, now: u64) -> bool {
        self.plan.as_ref().is_some_and(|plan| beats.judge(now, plan.stall).is_ok())
    }

    /// Decides whether this node may hold addresses, and writes it down for keepalived.
    fn judge(&mut self, now: u64) {
        let Some(plan) = &self.plan else { return };
        let beats = self.clients.beats().chain(&self.orphaned);
        let mut verdict = Err(crate::readiness::Unfit::NoWorker);
        for beats in beats {
            beats.beat_as_guard();
            if verdict.is_err() {
                verdict = beats.judge(now, plan.stall);
            }
        }
        let was_fit = self.ready == Some(true);
        let verdict = self.change.bridge(verdict, now, was_fit, self.clients.beats());
        let fit = self.fitness.update(now, verdict.is_ok() && self.lost.is_none());
        let Asked { give_up, drill } = self.clients.asked();
        self.reason = match verdict {
            _ if self.ending || give_up => Some("the server is shutting down".to_owned()),
            _ if self.left => Some(LEFT.to_owned()),
            _ if drill => Some("a drill is under way".to_owned()),
            _ if let Some(address) = self.lost => Some(format!("no interface has {address}")),
            Err(unfit) => Some(unfit.in_words(&plan.required).to_string()),
            Ok(()) if !fit => Some("it has been fit again for less than a second".to_owned()),
            Ok(()) => None,
        };
        let ready = self.reason.is_none();
        if self.ready == Some(ready) {
            return;
        }
        match write_ready(&self.folder, ready) {
            Ok(()) => {
                let was = self.ready.replace(ready);
                match &self.reason {
                    Some(reason) if was.is_some() => {
                        self.log.log(
                            Level::Warn,
                            0,
                            format_args!("ha: this node is unfit: {reason}"),
                        );
                    }
                    None => self.log.log(Level::Notice, 0, "ha: this node is fit"),
                    Some(_) => {}
                }
            }
            Err(error) => {
                // Without the file, keepalived would go on as before.
                let what = "ha: the track file could not be written, ending keepalived";
                self.log.log(Level::Alert, 0, Failed(what, &error));
                self.keepalived.end(now);
            }
        }
    }

    /// Looks after keepalived's processes.
    fn tend(&mut self, now: u64) {
        while let Ok(Some((pid, ending))) = process::reap() {
            if self.keepalived.note(pid, now) && !self.ending && !self.left {
                let what = format_args!("ha: keepalived process {pid} {ending}");
                self.log.log(Level::Alert, 0, what);
            }
        }
        if now >= self.next_look {
            self.next_look = now + LOOK_AROUND;
            self.keepalived.hurry();
            self.lost = self.plan.as_ref().and_then(lost_address);
            self.left = self.plan.as_ref().is_some_and(|plan| plan.left.exists());
            if self.keepalived.kill_if_frozen(now) {
                let what = "ha: keepalived is stopped and sends no adverts, killing it";
                self.log.log(Level::Alert, 0, what);
            }
        }
        if self.keepalived.step(now) {
            let why = if self.left { LEFT } else { "keepalived has ended" };
            let messages = self.states.stop(why, now);
            self.announce(&messages);
            if let Some(plan) = self.plan.take() {
                self.remove(&plan);
                self.plan = Some(plan);
            }
        }
        if self.left && self.keepalived.is_away() {
            let messages = self.states.stop(LEFT, now);
            self.announce(&messages);
        }
        if self.ending || self.left {
            self.keepalived.end(now);
        } else if self.plan.as_ref().is_some_and(|plan| !plan.groups.is_empty())
            && self.ready.is_some()
            && self.keepalived.is_due(now)
        {
            match self.keepalived.start(now) {
                Ok(pid) => {
                    self.log.log(
                        Level::Notice,
                        0,
                        format_args!("ha: start keepalived process {pid}"),
                    );
                }
                Err(error) => {
                    let what = "ha: keepalived could not be started";
                    self.log.log(Level::Alert, 0, Failed(what, &error));
                }
            }
        }
    }

    /// Starts and ends the time in which keepalived takes a group back that others hold.
    fn take_back(&mut self) {
        let wanted = self.clients.wants_back(&self.states);
        let wanted = wanted.filter(|_| self.reason.is_none());
        if wanted == self.urgent {
            return;
        }
        let Some(plan) = &self.plan else { return };
        let text = match wanted.and_then(|group| plan.groups.get(group)) {
            Some(group) => &group.urgent,
            None => &plan.conf,
        };
        if self.write_conf(text).is_ok() {
            self.keepalived.reload();
            self.urgent = wanted;
        }
    }

    /// Removes the addresses from their interfaces.
    fn remove(&self, plan: &Plan) {
        for (address, prefix, on) in plan.addresses() {
            if let Err(error) = interface::remove_address(on, *address, *prefix) {
                let what = format!("ha: {address} could not be removed from {on}");
                self.log.log(Level::Alert, 0, Failed(&what, &error));
            }
        }
    }

    fn clean_up(&self) {
        if let Some(plan) = &self.plan {
            self.remove(plan);
        }
        // Those who wait for the lock see that the file has gone.
        let _ = std::fs::remove_dir_all(&self.folder);
        self.log.log(Level::Notice, 0, "ha: guard process exits");
    }
}

/// An address of the node itself that no interface has.
fn lost_address(plan: &Plan) -> Option<IpAddr> {
    let own = interface::addresses().ok()?;
    let has = |address: &IpAddr| own.iter().any(|(_, known)| known == address);
    plan.nodes[plan.here].1.iter().copied().find(|address| !has(address))
}

/// Reads a plan from a memory file.
fn plan_in(file: OwnedFd) -> Option<Plan> {
    Plan::from_json(&memory_file::read(file, control::LONGEST_TEXT).ok()?)
}
