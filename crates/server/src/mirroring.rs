//! The master's part of the mirror: it signs, checks, stores and applies configuration sets. The
//! worker, which speaks to the other nodes, can do none of that.
//!
//! ```text
//!  reload: read the configuration ─▶ is it the set in force? ─yes─▶ put it in force, as ever
//!                                     └─no─▶ propose it ··· Apply ─▶ store ─▶ put in force ─▶ Applied
//!  a set of another node:    Check ─▶ read it in place of the files ··· Apply, as above,
//!                                                            with its files placed
//! ```

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_ha::Refusal;
use weir_ha::carrier::{self, Ask, MirrorPlan, Tell};
use weir_ha::identity::Identity;
use weir_ha::link::Block;
use weir_ha::mirror::{Durable, Name, Set, Version};
use weir_ha::set::{FileSet, Place, SetFile, Store, Stored};
use weir_ha::settings::Ha;
use weir_sys::memory_file;

use crate::bundle::Answers;
use crate::channel::{self, Order};
use crate::console::Console;
use crate::cycle::Draft;
use crate::linking;
use crate::master::Master;
use crate::paths::Paths;
use crate::reload;

mod check;
mod earlier;
mod expiry;

use check::{check, read, verify};
pub(crate) use expiry::Certificates;

/// The head of what a master signs: nothing else that the key signs begins so.
const SIGNED: &[u8] = b"weir configuration set 1\0";

/// The time after which a proposal without an answer is given up: the mirror's own limits are
/// shorter.
const PATIENCE: Duration = Duration::from_secs(120);

/// The limit of requests that wait while a configuration is being loaded. A worker has one check
/// and one change under way, so one with more has been compromised.
const MOST_WAITING: usize = 32;

/// The master's state of the mirror.
#[derive(Debug, Default)]
pub(crate) struct Mirroring {
    store: Option<Store>,
    /// The worker whose mirror has begun, with the number of its pair.
    begun: Option<(i32, [u8; 16])>,
    /// The number of the latest proposal.
    number: u64,
    /// The proposal that is not in force here yet, nor has an answer.
    proposed: Option<Proposal>,
    /// The proposal that is in force here, and has no answer yet: a worker that follows goes on
    /// with it.
    confirming: Option<(u64, Version)>,
    /// Requests of the worker with this process ID.
    waiting: VecDeque<(i32, Ask)>,
    /// The set that is being put in force.
    applying: Option<Applying>,
}

#[derive(Debug)]
struct Proposal {
    number: u64,
    digest: [u8; 32],
    worker: i32,
    since: Instant,
    /// Its files serve here already, since the server was started with them.
    at_start: bool,
}

#[derive(Debug)]
struct Applying {
    set: Set,
    worker: i32,
    /// What was durable before.
    before: Option<Stored>,
    /// Whether the files of this node were replaced by the set's.
    placed: bool,
}

impl Mirroring {
    /// Whether a reload must wait: one change is made at a time.
    pub(crate) fn is_busy(&self) -> bool {
        self.proposed.is_some() || self.applying.is_some()
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.proposed.as_ref().map(|proposal| proposal.since + PATIENCE)
    }

    /// Takes a request of a worker, for a later step.
    pub(crate) fn take(&mut self, worker: i32, ask: Ask) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back((worker, ask));
        }
    }
}

/// All files of a configuration that was read, as a set, except those that each node has its own
/// version of. `None` without a mirror.
pub(crate) fn collect(ha: Option<&Ha>, paths: &Paths, answers: &Answers) -> Option<FileSet> {
    let ha = ha.filter(|ha| ha.mirror)?;
    let is_local = |path: &Path| ha.local.iter().any(|local| local.path == path);
    let place = |path: &Path| Place::of(path, &paths.prefix).filter(|_| !is_local(path));
    let file = |(path, content): (&std::path::PathBuf, &Result<Arc<[u8]>, _>)| {
        let bytes = Arc::clone(content.as_ref().ok()?);
        let mode = std::fs::metadata(path).map_or(0o600, |found| found.permissions().mode());
        Some((place(path)?, SetFile { mode: mode & 0o777, bytes }))
    };
    let pattern = |(pattern, found): (&String, &Result<Vec<std::path::PathBuf>, _>)| {
        let found = found.as_ref().ok()?.iter().filter_map(|path| place(path)).collect();
        Some((place(Path::new(pattern))?, found))
    };
    Some(FileSet {
        conf: place(&paths.conf)?,
        files: answers.files.iter().filter_map(file).collect(),
        patterns: answers.globs.iter().filter_map(pattern).collect(),
    })
}

/// The plan of the worker's duty.
pub(crate) fn plan(ha: &Ha, block: &Block, reports: &Arc<OwnedFd>) -> MirrorPlan {
    let nodes = block.nodes.iter().filter_map(|(name, _)| Name::new(name)).collect();
    let reports = Arc::clone(reports);
    let master: carrier::Master = Arc::new(move |ask: &Ask| channel::send_ask(&reports, ask));
    MirrorPlan {
        nodes,
        master: Some(master).filter(|_| ha.mirror),
        has_addresses: !ha.addresses.is_empty(),
    }
}

/// The identity of this node, if its configuration is mirrored.
fn identity(master: &Master) -> Option<Identity> {
    master.cycle.set.as_ref()?;
    master.linking.identity()
}

fn signed(identity: &Identity, proposer: &str, digest: &[u8; 32]) -> Vec<u8> {
    [SIGNED, &identity.pair, proposer.as_bytes(), b"\0", digest].concat()
}

/// Tells a worker what is durable, and proposes a configuration that was changed while the server
/// did not run. For a worker that has just got the identity.
pub(crate) fn begin(master: &mut Master, worker: i32) {
    let Some(identity) = identity(master) else {
        master.mirroring.begun = None;
        return;
    };
    let Some(me) = Name::new(&identity.name) else { return };
    // Partners come and go without it.
    if master.mirroring.begun == Some((worker, identity.pair)) {
        return;
    }
    let Some(held) = stored(master) else { return };
    master.mirroring.begun = Some((worker, identity.pair));
    tell(master, worker, &Tell::Begin { me, held: held.clone() });
    confirm(master, worker);
    let Some(bytes) = master.cycle.set.clone() else { return };
    let is_new = match held {
        Some((_, durable)) => !FileSet::are_same(&durable, &bytes),
        // A node that has joined takes the others' configuration.
        None => identity.peers.is_empty(),
    };
    // What is being loaded is not in force yet.
    let is_idle = master.pending.is_none() && !master.mirroring.is_busy();
    if is_new && is_idle {
        submit(master, worker, &identity, bytes, true);
    }
}

/// Has a worker answer the proposal that another worker has put in force.
fn confirm(master: &mut Master, worker: i32) {
    if let Some((number, version)) = master.mirroring.confirming.clone() {
        tell(master, worker, &Tell::Confirm(number, version));
    }
}

fn digest_of(state: &[u8]) -> Option<[u8; 32]> {
    Durable::decode(state).ok().map(|state| state.version().digest)
}

/// What is durable. `None` if it cannot be read, which has been logged.
#[expect(clippy::option_option, reason = "nothing durable is not the same as nothing readable")]
fn stored(master: &mut Master) -> Option<Option<Stored>> {
    let read = open_store(master)?.read(digest_of);
    let log = |error| {
        let what = "the state of the mirror could not be read";
        master.console.log(Level::Alert, Failed(what, &error));
    };
    read.map_err(log).ok()
}

fn open_store(master: &mut Master) -> Option<&Store> {
    if master.mirroring.store.is_none() {
        let folder = master.cycle.links.folder.as_ref()?.path().join("mirror");
        match Store::open(&folder, &master.startup.paths.prefix) {
            Ok(store) => master.mirroring.store = Some(store),
            Err(error) => {
                let what = format!("mkdir() \"{}\" failed", folder.display());
                master.console.log(Level::Alert, Failed(&what, &error));
            }
        }
    }
    master.mirroring.store.as_ref()
}

/// Sends a message to a worker.
fn tell(master: &mut Master, worker: i32, tell: &Tell) {
    let mut children = master.children.0.iter_mut();
    let Some(child) = children.find(|child| child.pid == worker && !child.exited) else { return };
    let sent = memory_file::sealed(&tell.encode())
        .and_then(|file| child.send(Order::Mirror, &[file.as_fd()]));
    if let Err(error) = sent {
        let what = "a message for the mirror could not be sent to the worker process";
        master.console.log(Level::Alert, Failed(what, &error));
    }
}

/// Proposes a configuration to all nodes, unless it is the one in force. Returns whether it has, or
/// has refused it.
pub(crate) fn propose(master: &mut Master, draft: &Draft) -> bool {
    let (Some(bytes), Some(identity)) = (draft.set.clone(), identity(master)) else { return false };
    let in_force = master.cycle.set.as_ref();
    if in_force.is_some_and(|in_force| FileSet::are_same(in_force, &bytes)) {
        return false;
    }
    let serving = master.children.0.iter().find(|child| child.is_serving());
    let Some(worker) = serving.map(|child| child.pid) else { return false };
    if master.mirroring.begun.is_none_or(|(begun, _)| begun != worker) {
        return false;
    }
    if master.cycle.certificates.allow(&draft.certificates, &master.console) {
        submit(master, worker, &identity, bytes, false);
    }
    true
}

fn submit(master: &mut Master, worker: i32, identity: &Identity, bytes: Arc<[u8]>, at_start: bool) {
    let digest = FileSet::digest(&bytes);
    let key = identity.certified_key().ok();
    let message = signed(identity, &identity.name, &digest);
    let Some(signature) = key.and_then(|key| key.sign(&message)) else {
        return master.console.log(Level::Alert, "the key of this node's identity signs nothing");
    };
    master.mirroring.number += 1;
    let number = master.mirroring.number;
    tell(master, worker, &Tell::Propose { number, digest, signature, bytes });
    let since = Instant::now();
    master.mirroring.proposed = Some(Proposal { number, digest, worker, since, at_start });
    master.console.log(Level::Notice, "mirror: proposing the configuration to all nodes");
}

/// Carries out what workers have asked for, unless a configuration is being loaded.
pub(crate) fn step(master: &mut Master) {
    let late = |proposal: &mut Proposal| proposal.since.elapsed() > PATIENCE;
    if let Some(proposal) = master.mirroring.proposed.take_if(late) {
        let what = "mirror: no answer to the proposed configuration, reload again";
        master.console.log(Level::Emerg, what);
        if proposal.at_start && master.pending.is_none() {
            earlier::put_in_force(master);
        }
    }
    while master.pending.is_none() && master.mirroring.applying.is_none() {
        let Some((worker, ask)) = master.mirroring.waiting.pop_front() else { return };
        carry_out(master, worker, ask);
    }
}

fn carry_out(master: &mut Master, worker: i32, ask: Ask) {
    match ask {
        Ask::Check(set, is_proposal) => {
            let result = check(master, &set, is_proposal);
            tell(
                master,
                worker,
                &Tell::Checked(set.version, result.map_err(|refusal| refusal.to_string())),
            );
        }
        Ask::Apply(set, state) => apply(master, worker, set, &state),
        Ask::Store(serial, state) => store(master, worker, serial, &state),
        Ask::KeepAside(loser, winner) => keep_aside(master, &loser, &winner.to_string()),
        Ask::Answer(number, in_force, text) => {
            let ended = |proposal: &mut Proposal| proposal.number == number;
            let proposal = master.mirroring.proposed.take_if(ended);
            master.mirroring.confirming.take_if(|(confirming, _)| *confirming == number);
            if in_force {
                return master.console.log(Level::Notice, format_args!("mirror: {text}"));
            }
            let what = format_args!("mirror: the configuration is not in force: {text}");
            master.console.log(Level::Emerg, what);
            if proposal.is_some_and(|proposal| proposal.at_start) {
                earlier::put_in_force(master);
            }
        }
    }
}

/// Stores a set and puts it in force.
fn apply(master: &mut Master, worker: i32, set: Set, state: &[u8]) {
    let version = set.version.clone();
    match try_to_apply(master, worker, set, state) {
        Ok(draft) => reload::put_in_force(master, draft),
        Err(refusal) => {
            tell(master, worker, &Tell::Applied(version, Err(refusal.to_string())));
        }
    }
}

fn try_to_apply(
    master: &mut Master,
    worker: i32,
    set: Set,
    state: &[u8],
) -> Result<Draft, Refusal> {
    if digest_of(state) != Some(set.version.digest) {
        return Err(Refusal::from("its state is not its own"));
    }
    let mut draft = read(master, &set)?;
    draft.set = Some(Arc::clone(&set.bytes));
    let before = stored(master).ok_or("the state of the mirror cannot be read")?;
    // The files of the set that is proposed here are here already, or have been edited further.
    let proposed = master.mirroring.proposed.as_ref();
    let placed = proposed.is_none_or(|proposed| proposed.digest != set.version.digest);
    let store = open_store(master).ok_or("the state of the mirror cannot be stored")?;
    if let Err(error) = store.put(&set.bytes, state, placed) {
        restore(master, before, placed);
        return Err(Refusal::from(error.to_string()));
    }
    master.mirroring.applying = Some(Applying { set, worker, before, placed });
    Ok(draft)
}

/// The configuration of a reload is in force, in this worker.
pub(crate) fn in_force(master: &mut Master, worker: i32) {
    let applying = master.mirroring.applying.as_mut();
    let is_other = applying.is_some_and(|applying| {
        // The mirror of the old worker ends with it, and must not answer without its links.
        std::mem::replace(&mut applying.worker, worker) != worker
    });
    ended(master, Ok(()));
    if is_other {
        confirm(master, worker);
    }
}

/// Stores what was durable before, and places its files again if others were placed.
fn restore(master: &Master, before: Option<Stored>, placed: bool) {
    let Some(store) = &master.mirroring.store else { return };
    let Some((state, bytes)) = before else { return store.forget_state() };
    if let Err(error) = store.put(&bytes, &state, placed) {
        let what = format_args!("mirror: the earlier files could not be restored: {error}");
        master.console.log(Level::Alert, what);
    }
}

/// The set that was being applied is in force, or is not for this reason. Without one, nothing
/// happens.
pub(crate) fn ended(master: &mut Master, result: Result<(), Refusal>) {
    let Some(Applying { set, worker, before, placed }) = master.mirroring.applying.take() else {
        return;
    };
    match (&result, &master.mirroring.store) {
        (Ok(()), Some(store)) => store.forget_all_but(&set.version.digest),
        (Ok(()), None) => {}
        (Err(_), _) => restore(master, before, placed),
    }
    if result.is_ok() {
        // The answer, which may take its time, tells which nodes have it.
        if let Some(Proposal { number, .. }) = master.mirroring.proposed.take_if(|_| !placed) {
            master.mirroring.confirming = Some((number, set.version.clone()));
        }
    }
    tell(
        master,
        worker,
        &Tell::Applied(set.version, result.map_err(|refusal| refusal.to_string())),
    );
}

fn store(master: &mut Master, worker: i32, serial: u64, state: &[u8]) {
    let Some(Some((own, _))) = stored(master) else { return };
    if digest_of(&own) != digest_of(state) {
        return;
    }
    let Some(store) = &master.mirroring.store else { return };
    match store.keep(state) {
        Ok(()) => tell(master, worker, &Tell::Stored(serial)),
        Err(error) => {
            master
                .console
                .log(Level::Alert, Failed("the state of the mirror could not be written", &error));
        }
    }
}

fn keep_aside(master: &mut Master, loser: &Set, winner: &str) {
    if verify(master, loser).is_err() {
        return;
    }
    let name = format!("{}-of-{}", loser.version.counter, loser.version.proposer);
    let Some(store) = open_store(master) else { return };
    let (level, what) = match store.keep_aside(&name, &loser.bytes) {
        Ok(folder) => (Level::Warn, format!("is kept in {}", folder.display())),
        Err(error) => (Level::Alert, format!("could not be kept aside: {error}")),
    };
    let version = &loser.version;
    let what = format!("mirror: version {winner} has replaced version {version}, which {what}");
    master.console.log(level, what);
}

/// A worker has ended, and its mirror with it.
pub(crate) fn worker_has_ended(master: &mut Master, pid: i32) {
    master.mirroring.waiting.retain(|(worker, _)| *worker != pid);
    if master.mirroring.proposed.take_if(|proposal| proposal.worker == pid).is_some() {
        let what = "mirror: the worker process ended before the configuration was agreed upon, \
                    reload again";
        master.console.log(Level::Emerg, what);
    }
}

/// Places the files of a set whose master died meanwhile. To be called before anything is read.
pub(crate) fn finish_placing(prefix: &Path, console: &Console) {
    let folder = linking::folder(prefix).path().join("mirror");
    let Some(store) = Store::existing(&folder, prefix).filter(Store::is_unfinished) else { return };
    match store.read(digest_of) {
        Ok(Some((state, bytes))) => {
            if let Err(error) = store.put(&bytes, &state, true) {
                let what = format_args!(
                    "mirror: files of a configuration set could not be placed: {error}"
                );
                console.log(Level::Alert, what);
            }
        }
        Ok(None) => store.forget_state(),
        Err(error) => {
            console.log(Level::Alert, Failed("the state of the mirror could not be read", &error))
        }
    }
}
