//! The guard process as the master's companion: forked when a configuration has an `ha` block,
//! replaced if it dies or hangs, and told about every new configuration.
//!
//! A guard serves the pid file's server, not one master: the master of a new binary finds the guard
//! of the old one, and the addresses stay.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_ha::Refusal;
use weir_ha::guard::master::{Found, Link, News, find};
use weir_ha::guard::{self, program};
use weir_ha::keepalived::find_here;
use weir_ha::plan::Plan;
use weir_ha::readiness::{Beats, DRAIN, Slot};
use weir_ha::settings::Ha;
use weir_sys::process::{self, Fork};
use weir_sys::{interface, title, user};

use crate::channel::Order;
use crate::children::Child;
use crate::console::Console;
use crate::linking;
use crate::master::Master;
use crate::modules::core::Process;
use crate::sockets;

/// How often the master looks whether the guard beats.
const LOOK: Duration = Duration::from_millis(250);

/// The pause before another guard is started.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// The longest time that a server about to end waits until another node has its addresses.
const GIVE_UP: Duration = Duration::from_millis(500);

/// The plan of a configuration for this host, which is `node` by its identity, or else knows itself
/// by its addresses.
///
/// # Errors
/// The block cannot be carried out here; the reason has been logged.
pub(crate) fn plan(
    ha: &Ha,
    node: Option<&str>,
    process: &Process,
    prefix: &Path,
    console: &Console,
) -> Result<Plan, ()> {
    judge(ha, node, process, prefix)
        .map_err(|reason| console.log(Level::Emerg, format_args!("\"ha\": {reason}")))
}

fn judge(ha: &Ha, node: Option<&str>, process: &Process, prefix: &Path) -> Result<Plan, Refusal> {
    if !process.master {
        return Err("it needs a master process, so \"master_process off\" must go".into());
    }
    if !user::is_root() {
        return Err("it needs root, which alone may change the addresses of interfaces".into());
    }
    program::check()?;
    let own = interface::addresses().map_err(|error| format!("getifaddrs() failed: {error}"))?;
    let here = find_here(ha, node, &own)?;
    let left = linking::folder(prefix).left();
    let plan = Plan::of(ha, &here, &guard::folder(&process.pid), left)?;
    let mut interfaces = plan.addresses().map(|(.., on)| on).chain([&here.interface]);
    let missing = interfaces.find(|name| !interface::exists(name)).cloned();
    drop(interfaces);
    match missing {
        Some(name) => Err(format!("this host has no interface \"{name}\"").into()),
        None => Ok(plan),
    }
}

/// The master's view of the guard.
#[derive(Debug, Default)]
pub(crate) struct Guarding {
    /// The words that the master's workers and the guard share. Made with the first worker.
    beats: Option<Beats>,
    /// The number of workers so far.
    workers: u64,
    link: Option<Link>,
    folder: Option<PathBuf>,
    /// What the guard has been told.
    told: Option<Plan>,
    next_try: Option<Instant>,
    /// Requests under way are being answered before that, until this time at most.
    draining: Option<Instant>,
    /// The addresses are being given up, until this time at most.
    giving_up: Option<Instant>,
    given_up: bool,
}

impl Guarding {
    /// The slot of the next worker.
    ///
    /// # Errors
    /// A system error.
    pub(crate) fn slot(&mut self) -> std::io::Result<Slot> {
        let beats = match self.beats.take() {
            Some(beats) => beats,
            None => Beats::new()?,
        };
        self.workers += 1;
        let slot = beats.slot(self.workers);
        self.beats = Some(beats);
        Ok(slot)
    }

    /// The connection to the guard.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// The guard's folder.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let look = self.link.as_ref().map(|_| Instant::now() + LOOK);
        let waits = self.giving_up.or(self.draining).filter(|_| !self.given_up);
        look.into_iter().chain(self.next_try).chain(waits).min()
    }

    /// Has the guard open its logs again.
    pub(crate) fn reopen(&self) {
        self.link.iter().for_each(Link::reopen);
    }

    /// In a forked child: lets go of what is the master's.
    pub(crate) fn let_go(&mut self) {
        *self = Self::default();
    }

    /// Takes leave of the guard, which ends unless another master follows.
    pub(crate) fn leave(&mut self) {
        if let Some(link) = self.link.take() {
            link.leave();
        }
        self.told = None;
    }

    /// Lets go of the guard, which waits for the master of a new binary for a time.
    pub(crate) fn hand_on(&mut self) {
        self.link = None;
    }

    /// Takes the news of the guard.
    fn hear(&mut self, console: &Console) {
        let (Some(link), Some(beats)) = (&self.link, &self.beats) else { return };
        let trouble = match link.news() {
            Some(News::GivenUp) => {
                self.given_up = true;
                return;
            }
            Some(News::Ended) => "the guard process has ended, replacing it",
            Some(News::OtherVersion) => {
                "the guard process is of another version of Weir, replacing it"
            }
            None if link.hangs(beats) => "the guard process hangs, replacing it",
            None => return,
        };
        console.log(Level::Alert, trouble);
        let ended = link.news() == Some(News::Ended);
        if let Some(link) = self.link.take().filter(|_| !ended) {
            link.kill();
        }
        beats.forget_guard();
        self.told = None;
        self.next_try = Some(Instant::now() + TRY_AGAIN);
    }
}

/// Sees to it that the guard does what the configuration in force says.
pub(crate) fn keep(master: &mut Master) {
    master.guarding.hear(&master.console);
    if master.cycle.ha.is_none() {
        return master.guarding.leave();
    }
    if master.guarding.link.is_none() {
        if master.guarding.next_try.is_some_and(|at| at > Instant::now()) {
            return;
        }
        master.guarding.next_try = None;
        if let Err(error) = connect(master) {
            let what = "the guard process could not be started, trying again";
            master.console.log(Level::Alert, Failed(what, &error));
            master.guarding.next_try = Some(Instant::now() + TRY_AGAIN);
            return;
        }
    }
    let (Some(plan), guarding) = (&master.cycle.ha, &mut master.guarding) else { return };
    let (Some(link), Some(beats)) = (&guarding.link, &guarding.beats) else { return };
    if guarding.told.as_ref() == Some(plan) {
        return;
    }
    match link.send_plan(plan, beats) {
        Ok(()) => {
            // A reload may have moved the pid file, and the guard moves with it.
            guarding.folder = Some(plan.folder.clone());
            guarding.told = Some(plan.clone());
        }
        Err(error) => {
            let what = "the configuration could not be sent to the guard process";
            master.console.log(Level::Alert, Failed(what, &error));
            guarding.link = None;
            guarding.next_try = Some(Instant::now() + TRY_AGAIN);
        }
    }
}

/// Connects to the guard, or forks one.
fn connect(master: &mut Master) -> std::io::Result<()> {
    if master.guarding.beats.is_none() {
        master.guarding.beats = Some(Beats::new()?);
    }
    // A guard that runs learns of a moved pid file by the plan.
    let known = master.guarding.folder.clone().or_else(inherited_folder);
    let folder = known.unwrap_or_else(|| guard::folder(&master.cycle.process.pid));
    let link = match find(&folder)? {
        Found::Running(link) => link,
        Found::None(inherited) => {
            let Fork::Parent(pid) = process::fork()? else { become_guard(master, inherited) };
            drop(inherited);
            master.console.log(Level::Notice, format_args!("start guard process {pid}"));
            master.children.0.push(Child::guard(pid));
            Link::to_forked(&folder, pid)?
        }
    };
    master.guarding.folder = Some(folder);
    master.guarding.link = Some(link);
    Ok(())
}

/// Whether this process is a guard that goes on with another program.
pub(crate) fn is_handed_over(word: Option<&OsString>) -> bool {
    word.is_some_and(|word| word == "guard") && std::env::var_os(guard::STATE).is_some()
}

/// Goes on as the guard. Returns an exit code.
pub(crate) fn go_on() -> i32 {
    // Without a title, the process is only harder to find.
    let _ = title::prepare();
    let called = std::env::var_os(guard::NAME);
    title::set(&format!("{}: guard process", Console::new(called.as_deref()).program()));
    guard::go_on()
}

/// The environment variable with the guard's folder for a new binary, whose configuration may name
/// another pid file.
pub(crate) const FOLDER: &str = "WEIR_GUARD_FOLDER";

/// The folder of the guard of the binary that started this one, if it is still there.
fn inherited_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    folder.is_dir().then_some(folder)
}

fn become_guard(master: &mut Master, inherited: guard::Inherited) -> ! {
    title::set(&format!("{}: guard process", master.console.program()));
    let log = master.cycle.error_log.clone();
    // The terminal of the start is not the guard's.
    master.cycle.redirect_stderr(&master.console);
    // Sockets and channels are the master's.
    let_go(master);
    guard::run(inherited, log, master.console.program().to_owned())
}

fn let_go(master: &mut Master) {
    master.children.0.clear();
    master.cycle.let_go();
    master.pending = None;
    master.guarding.let_go();
    master.let_go_in_child();
}

/// Has the addresses given up before the server ends. Returns whether that is still under way.
///
/// A connection does not survive the move of its address. A graceful shutdown therefore answers
/// requests under way first, for [`DRAIN`] at most; new clients are not answered meanwhile, and
/// their next attempt reaches the other node.
pub(crate) fn is_giving_up(master: &mut Master) -> bool {
    // The guard goes on with the other binary, newer or older, and so do the sockets.
    if master.shares_sockets() || master.guarding.link.is_none() {
        return false;
    }
    let now = Instant::now();
    if master.asked.quit && !master.asked.terminate && master.guarding.giving_up.is_none() {
        let until = match master.guarding.draining {
            Some(until) => until,
            None => {
                sockets::hold_off(&master.cycle.sockets);
                master.children.tell(Order::Quit, &master.console);
                *master.guarding.draining.insert(now + DRAIN)
            }
        };
        if master.children.any_worker() && now < until {
            return true;
        }
    }
    let guarding = &mut master.guarding;
    let Some(link) = &guarding.link else { return false };
    let until = match guarding.giving_up {
        Some(until) => until,
        None => {
            guarding.given_up = link.give_up().is_err();
            *guarding.giving_up.insert(now + GIVE_UP)
        }
    };
    guarding.hear(&master.console);
    let guarding = &master.guarding;
    guarding.link.is_some() && !guarding.given_up && now < until
}

/// Marks the sockets of virtual addresses, which are bound before the addresses are here.
pub(crate) fn free_bind(ha: &Ha, sockets: &mut [weir_edge::listen::ListenSpec]) {
    for socket in sockets {
        let address = socket.address.ip();
        socket.options.free_bind = address.is_some_and(|address| ha.has_address(address));
    }
}
