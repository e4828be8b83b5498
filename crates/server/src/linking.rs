//! The master's part of the links between nodes: it alone reads and writes the files of the node's
//! identity, binds the sockets, and hands both to the worker.
//!
//! The identity has a way of its own to the worker, apart from configurations: a partner that joins
//! or leaves must not put a configuration in force that somebody is editing. The folder is watched,
//! so `weir ha` only writes files.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use weir_conf::Layout;
use weir_edge::listen::ListenSpec;
use weir_engine::clock;
use weir_engine::digest::sha256;
use weir_engine::listen::ListenOptions;
use weir_engine::os_error::Failed;
use weir_engine::tls::certificate_pem;
use weir_engine::{Addr, Level};
use weir_ha::identity::{Folder, FolderError, Identity, Peer, Refused, hex, is_name};
use weir_ha::link::{LinkPlan, Request, Status, show};
use weir_ha::readiness::{self, Slot};
use weir_ha::settings::{Ha, VirtualAddress};
use weir_sys::folder_watch::FolderWatch;
use weir_sys::memory_file;

use crate::bundle::{Answers, LinkBundle};
use crate::channel::{self, Order, Report};
use crate::children::Child;
use crate::console::Console;
use crate::master::Master;
use crate::mirroring;
use crate::paths::full_name;

/// The folder of a server's identity.
pub(crate) fn folder(prefix: &Path) -> Folder {
    let state = Layout::built().state.below(&prefix.to_string_lossy());
    Folder::at(full_name(prefix, Path::new(state)).join("ha"))
}

/// The links that a configuration wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) bundle: LinkBundle,
    pub(crate) sockets: Vec<ListenSpec>,
    /// `None` without links.
    pub(crate) folder: Option<Folder>,
    /// The name of this node by its identity.
    pub(crate) node: Option<String>,
}

/// Finds out which links a block wants. Without an identity there are none.
///
/// # Errors
/// The identity is damaged, or is no node of the block; the reason has been logged.
pub(crate) fn wanted(
    ha: Option<&Ha>,
    prefix: &Path,
    answers: &Answers,
    console: &Console,
) -> Result<Wanted, ()> {
    let Some(ha) = ha else { return Ok(Wanted::default()) };
    let fatal = |reason: &dyn fmt::Display| {
        console.log(Level::Emerg, format_args!("\"ha\": {reason}"));
    };
    let folder = folder(prefix);
    if folder.left().exists() {
        let what = "\"ha\": this node has left the pair (\"weir ha leave\"): it has no addresses \
                    and no links; take the block out, or come back by \"weir ha join\" or \
                    \"weir ha init\"";
        console.log(Level::Warn, what);
        return Ok(Wanted::default());
    }
    if !folder.is_made() {
        let what = "\"ha\": this node has no identity yet, so there are no links to other nodes; \
                    \"weir ha init\" or \"weir ha join\" makes one";
        console.log(Level::Notice, what);
        return Ok(Wanted::default());
    }
    let identity = folder.read().map_err(|error| fatal(&error))?;
    let block = ha.link_block();
    let Some(own) = block.addresses(&identity.name) else {
        let (name, names) = (&identity.name, block.names());
        fatal(&format_args!(
            "this node is \"{name}\" by its identity in {}, and the block has the nodes {names}",
            folder.path().display()
        ));
        return Err(());
    };
    // The own address may come later than the server.
    let options = ListenOptions { free_bind: true, ..ListenOptions::default() };
    let listen = |address| ListenSpec { address, options: options.clone() };
    let link = |address| listen(Addr::Inet(SocketAddr::new(address, block.port)));
    let mut sockets: Vec<_> = own.iter().copied().map(link).collect();
    sockets.push(listen(Addr::unix(show::socket(folder.path()))));
    let bundle = LinkBundle {
        sockets: sockets.iter().map(ListenSpec::name).collect(),
        configuration: hex(&digest(answers)),
    };
    Ok(Wanted { bundle, sockets, folder: Some(folder), node: Some(identity.name) })
}

/// Forgets that this node has left a pair: the block has gone with which it was one.
pub(crate) fn come_back(prefix: &Path, console: &Console) {
    if let Err(error) = folder(prefix).forget_leave() {
        console.log(Level::Warn, format_args!("\"ha\": {error}"));
    }
}

/// The digest of all files that a configuration has read.
fn digest(answers: &Answers) -> [u8; 32] {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for (path, content) in &answers.files {
        let Ok(content) = content else { continue };
        let path = path.as_os_str().as_encoded_bytes();
        parts.push([&(path.len() as u64).to_be_bytes(), path].concat());
        parts.push((content.len() as u64).to_be_bytes().to_vec());
        parts.push(content.to_vec());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    sha256(&parts)
}

/// Refuses a `listen` on the port of links.
///
/// # Errors
/// There is one; the reason has been logged.
pub(crate) fn check_conflict(
    wanted: &Wanted,
    listens: &[ListenSpec],
    console: &Console,
) -> Result<(), ()> {
    for socket in &wanted.sockets {
        if listens.iter().any(|listen| listen.name() == socket.name()) {
            let what = format_args!(
                "\"ha\": \"listen {}\" is the port of links: change one of them (\"link_port\")",
                socket.address
            );
            console.log(Level::Emerg, what);
            return Err(());
        }
    }
    Ok(())
}

/// The plan of the worker's duty; `None` without links.
pub(crate) fn plan(
    ha: Option<&Ha>,
    generation: u64,
    bundle: &LinkBundle,
    sockets: Vec<(String, OwnedFd)>,
    reports: &Arc<OwnedFd>,
) -> Option<LinkPlan> {
    let ha = ha.filter(|_| !bundle.sockets.is_empty())?;
    let mut listeners = Vec::new();
    let mut status_socket = None;
    for (name, socket) in sockets {
        match Some(&name) == bundle.sockets.last() {
            true => status_socket = Some(Arc::new(socket)),
            false => listeners.push(Arc::new(socket)),
        }
    }
    let block = ha.link_block();
    let digest = hex(&block.digest());
    let configuration = bundle.configuration.clone();
    let shares = !ha.addresses.is_empty();
    let status = move || {
        let addresses = readiness::own().filter(|_| shares).and_then(Slot::guard_says);
        let is_fit = addresses.as_ref().is_some_and(|said| said.unfit.is_none());
        Status {
            weir: env!("CARGO_PKG_VERSION").to_owned(),
            generation,
            configuration: configuration.clone(),
            block: digest.clone(),
            // The keeper of the links knows it.
            uptime: 0,
            ready: shares.then_some(is_fit),
            addresses,
        }
    };
    let reports = Arc::clone(reports);
    let master = move |request| {
        // If the master is gone, no answer comes, and the node is told so.
        let _ = channel::send_report(&reports, &Report::Link(request));
    };
    let (status, master) = (Arc::new(status), Arc::new(master));
    let groups = ha.groups().into_iter().map(|group| {
        let shown = |known: &&VirtualAddress| format!("{}/{}", known.address, known.prefix);
        group.addresses.iter().map(shown).collect()
    });
    let groups = groups.collect();
    Some(LinkPlan { block, groups, listeners, status_socket, status, master })
}

/// The master's state of the links.
#[derive(Debug, Default)]
pub(crate) struct Linking {
    folder: Option<Folder>,
    watch: Option<FolderWatch>,
    /// The identity that workers have.
    identity: Vec<u8>,
}

impl Linking {
    /// Readable when the identity may have changed.
    pub(crate) fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// The identity of this node; `None` without links.
    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::decode(&self.identity)
    }

    /// Sends the identity to a worker that has just been started.
    pub(crate) fn send_to(&self, worker: &mut Child, console: &Console) {
        if self.folder.is_none() {
            return;
        }
        let sent = memory_file::sealed(&self.identity)
            .and_then(|file| worker.send(Order::Identity, &[file.as_fd()]));
        if let Err(error) = sent {
            let what = "the identity of the node could not be sent to the worker process";
            console.log(Level::Alert, Failed(what, &error));
        }
    }
}

/// Follows the configuration in force, and the files of the identity.
pub(crate) fn follow(master: &mut Master) {
    let wanted = &master.cycle.links;
    let linking = &mut master.linking;
    if linking.folder != wanted.folder {
        linking.folder.clone_from(&wanted.folder);
        linking.watch = None;
        linking.identity.clear();
    }
    let Some(folder) = linking.folder.clone() else { return };
    if linking.watch.is_none() {
        match FolderWatch::new(&[folder.path(), &folder.peers()]) {
            Ok(watch) => linking.watch = Some(watch),
            Err(error) => {
                let what = format!("watching \"{}\" failed", folder.path().display());
                master.console.log(Level::Alert, Failed(&what, &error));
            }
        }
    } else if !linking.watch.as_ref().is_some_and(FolderWatch::take) {
        return;
    }
    match folder.read() {
        Ok(identity) => hand_over(master, identity.encode()),
        // "weir ha leave": the links end.
        Err(FolderError::Missing(_)) => hand_over(master, Vec::new()),
        Err(error) => master.console.log(Level::Alert, format_args!("\"ha\": {error}")),
    }
}

/// Hands an identity to all workers, if it is another one than they have.
fn hand_over(master: &mut Master, identity: Vec<u8>) {
    if master.linking.identity == identity {
        return;
    }
    master.linking.identity = identity;
    for worker in master.children.0.iter_mut().filter(|child| !child.exited) {
        master.linking.send_to(worker, &master.console);
    }
    let serving = master.children.0.iter().find(|child| child.is_serving());
    if let Some(worker) = serving.map(|child| child.pid) {
        mirroring::begin(master, worker);
    }
}

/// Does what a worker asks for, as far as the identity allows it.
pub(crate) fn carry_out(master: &mut Master, request: Request) {
    let Some(folder) = master.linking.folder.clone() else { return };
    let (name, done) = match request {
        Request::Unpin { name } if is_name(&name) => {
            let done = folder.unpin(&name).map_err(PinError::Folder);
            (name, done)
        }
        Request::Pin { name, secret, certificate } if is_name(&name) => {
            let peer = Peer { name: name.clone(), certificate: certificate_pem(&certificate) };
            let done = pin(&folder, &peer, &secret);
            (name, done)
        }
        _ => return,
    };
    if let Err(reason) = done {
        let what = format_args!("\"ha\": node \"{name}\": {reason}");
        master.console.log(Level::Alert, what);
    }
    follow(master);
}

/// Why a node was not pinned.
enum PinError {
    Folder(FolderError),
    Refused(Refused),
    Certificate,
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(error) => error.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::Certificate => f.write_str("its certificate cannot be read"),
        }
    }
}

/// Pins the certificate of a node with the secret of the open invitation, which is used up first:
/// a token works once, whatever happens between.
fn pin(folder: &Folder, peer: &Peer, secret: &[u8; 16]) -> Result<(), PinError> {
    let identity = folder.read().map_err(PinError::Folder)?;
    let mut invitation = identity.invitation.ok_or(PinError::Refused(Refused::NotInvited))?;
    let now = u64::try_from(clock::wall_secs()).unwrap_or_default();
    invitation.judge(secret, now).map_err(PinError::Refused)?;
    if peer.der().is_none() {
        return Err(PinError::Certificate);
    }
    invitation.use_up(&peer.name);
    folder.write_invitation(&invitation).map_err(PinError::Folder)?;
    folder.pin(peer).map_err(PinError::Folder)
}
