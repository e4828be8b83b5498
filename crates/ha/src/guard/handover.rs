//! The guard goes on with another program: after an upgrade of the binary, its process executes the
//! program of the master that is left. keepalived, the addresses, the control socket and the
//! master's connection stay, since the process does.
//!
//! The state goes through a memory file, whose number is in the environment ([`STATE`]); it names
//! the descriptors that are left open. A guard that cannot go on so is replaced by its master as
//! one that was killed, which moves the addresses.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::io::FdFlags;
use serde_json::{Value, json};
use weir_engine::ErrorLog;
use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_sys::signal::Signals;
use weir_sys::{inherit, memory_file, process};

use super::child::Keepalived;
use super::clients::Clients;
use super::files::LineBuffer;
use super::states::States;
use super::{Guard, SIGNALS, adverts, control, log};
use crate::plan::{Plan, VERSION};
use crate::readiness::{Beats, Change, Fitness};

/// The environment variable with the number of the state's descriptor.
pub const STATE: &str = "WEIR_GUARD_STATE";

/// The environment variable with the program's name in titles.
pub const NAME: &str = "WEIR_GUARD_NAME";

/// The words with which a program is executed as a guard. One that does not know them ends.
const WORDS: [&str; 2] = ["ha", "guard"];

/// The space for a process title beyond the words, in bytes.
const TITLE_ROOM: usize = 300;

/// A program: its device and inode.
pub(super) type Program = (u64, u64);

fn program_of(process: &str) -> Option<Program> {
    let found = std::fs::metadata(format!("/proc/{process}/exe")).ok()?;
    Some((found.dev(), found.ino()))
}

impl Guard {
    /// Goes on with the program of the only master, if it is another one.
    pub(super) fn renew(&mut self) {
        let Some((master, _)) = self.clients.only_master() else { return };
        let Some(pid) = control::peer(master) else { return };
        let Some(theirs) = program_of(&pid.to_string()) else { return };
        if program_of("self") == Some(theirs) || self.refused == Some(theirs) || !self.is_quiet() {
            return;
        }
        let error = self.execute(pid, theirs);
        self.refused = Some(theirs);
        let what = "ha: the guard goes on with its old program: the new one could not be executed";
        self.log.log(Level::Alert, 0, Failed(what, &error));
    }

    /// Whether nothing is under way that another program would have to know of.
    fn is_quiet(&self) -> bool {
        let is_steady = self.orphaned.is_empty() && self.urgent.is_none() && !self.ending;
        is_steady && self.plan.is_some() && self.ready.is_some()
    }

    /// Returns only on failure.
    fn execute(&self, master: i32, program: Program) -> io::Error {
        let path = path_of(master, program);
        let (state, kept) = match self.state() {
            Ok(state) => state,
            Err(error) => return error,
        };
        let mut words = vec![OsString::from("weir")];
        words.extend(WORDS.map(OsString::from));
        let is_own = |name: &OsStr| name == STATE || name == NAME || name == "SPARE";
        let others = std::env::vars_os().filter(|(name, _)| !is_own(name));
        let entry = |name: &OsStr, value: &OsStr| {
            let mut entry = name.to_owned();
            entry.push("=");
            entry.push(value);
            entry
        };
        let mut env: Vec<OsString> = others.map(|(name, value)| entry(&name, &value)).collect();
        env.push(format!("{STATE}={}", state.as_raw_fd()).into());
        env.push(format!("{NAME}={}", self.name).into());
        env.push(format!("SPARE={}", "X".repeat(TITLE_ROOM)).into());
        let kept = || kept.iter().copied().chain([state.as_fd()]);
        if let Some(error) = kept().find_map(|fd| process::keep_over_execute(fd).err()) {
            return error;
        }
        let error = process::execute(path.as_os_str(), &words, &env);
        for fd in kept() {
            let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
        error
    }

    /// The state in a memory file, and the descriptors that it names.
    fn state(&self) -> io::Result<(OwnedFd, Vec<BorrowedFd<'_>>)> {
        let unready = || io::Error::from(io::ErrorKind::ResourceBusy);
        let (master, beats) = self.clients.only_master().ok_or_else(unready)?;
        let plan = self.plan.as_ref().ok_or_else(unready)?;
        let keepalived = self.keepalived.to_json().ok_or_else(unready)?;
        let plan: Value = serde_json::from_slice(&plan.to_json())?;
        let said = self.keepalived.log_fd();
        let number = |fd: BorrowedFd<'_>| fd.as_raw_fd();
        let state = json!({
            "version": VERSION,
            "folder": self.folder.to_string_lossy(),
            "plan": plan,
            "log": log::describe(&self.log),
            "ready": self.ready,
            "reason": self.reason,
            "fitness": self.fitness.to_json(),
            "states": self.states.save(),
            "keepalived": keepalived,
            "listener": number(self.clients.listener().as_fd()),
            "lock": number(self.lock.as_fd()),
            "events": number(self.events.as_fd()),
            "said": said.map(number),
            "master": number(master.as_fd()),
            "beats": number(beats.as_fd()),
        });
        let file = memory_file::sealed(state.to_string().as_bytes())?;
        let own = [self.clients.listener().as_fd(), self.lock.as_fd(), self.events.as_fd()];
        let kept = own.into_iter().chain(said).chain([master.as_fd(), beats.as_fd()]);
        Ok((file, kept.collect()))
    }
}

/// The path of a master's program, by which the process gets its name; if another file has it now,
/// the kernel's.
fn path_of(master: i32, program: Program) -> PathBuf {
    let kernels = PathBuf::from(format!("/proc/{master}/exe"));
    let named = std::fs::read_link(&kernels).unwrap_or_default();
    let found = std::fs::metadata(&named).map(|found| (found.dev(), found.ino()));
    if found.is_ok_and(|found| found == program) { named } else { kernels }
}

/// Goes on as the guard that this process was with another program. Returns an exit code.
pub fn go_on() -> i32 {
    let number = std::env::var(STATE).ok().and_then(|number| number.parse::<u16>().ok());
    let state = number.and_then(|number| inherit::descriptor(number.into()));
    let Some(state) = state.and_then(|file| memory_file::read(file, control::LONGEST_TEXT).ok())
    else {
        return 2;
    };
    let Some(mut guard) = serde_json::from_slice(&state).ok().as_ref().and_then(Guard::resume)
    else {
        return 2;
    };
    guard.log.log(Level::Notice, 0, "ha: the guard process goes on with the program of the master");
    guard.watch()
}

impl Guard {
    fn resume(state: &Value) -> Option<Self> {
        if state["version"].as_u64()? != VERSION {
            return None;
        }
        let fd = |name: &str| {
            let number = i32::try_from(state[name].as_i64()?).ok()?;
            inherit::descriptor(number)
        };
        let plan = Plan::from_json(state["plan"].to_string().as_bytes())?;
        let folder = PathBuf::from(state["folder"].as_str()?);
        let beats = Beats::open(fd("beats")?).ok()?;
        let mut clients = Clients::new(fd("listener")?);
        clients.add_master(fd("master")?, beats, plan.clone());
        let stderr = || ErrorLog::stderr(Level::Error);
        Some(Self {
            name: std::env::var(NAME).unwrap_or_default(),
            log: log::open(&state["log"]).unwrap_or_else(stderr),
            signals: Signals::block(&SIGNALS).ok()?,
            clients,
            lock: fd("lock")?,
            events: File::from(fd("events")?),
            event_lines: LineBuffer::default(),
            said: LineBuffer::default(),
            adverts: adverts::Sockets::open(),
            keepalived: Keepalived::from_json(&folder, &state["keepalived"], fd("said")),
            states: States::load(&state["states"], plan.groups.len(), process::monotonic_millis()),
            left: plan.left.exists(),
            plan: Some(plan),
            orphaned: Vec::new(),
            orphan_since: None,
            change: Change::default(),
            fitness: Fitness::from_json(&state["fitness"]),
            ready: state["ready"].as_bool(),
            reason: state["reason"].as_str().map(str::to_owned),
            urgent: None,
            next_look: 0,
            lost: None,
            refused: None,
            ending: false,
            folder,
        })
    }
}
