//! What is asked of a set before its files are placed or anything of it is in force.

use weir_engine::tls::is_signed_by;
use weir_ha::Refusal;
use weir_ha::mirror::Set;
use weir_ha::set::FileSet;

use super::{identity, signed};
use crate::cycle::Draft;
use crate::environment::Recorder;
use crate::master::Master;

/// Tries a set out, as `-t` does. What is in force elsewhere is followed even if it has expired.
///
/// # Errors
/// Why it cannot be put in force here.
pub(super) fn check(master: &Master, set: &Set, is_proposal: bool) -> Result<(), Refusal> {
    let draft = read(master, set)?;
    if is_proposal {
        master.cycle.certificates.check(&draft.certificates)?;
    }
    let console = master.console.keeping();
    let opened = draft.open(&master.cycle.sockets, master.generation, true, &console);
    opened.map(drop).map_err(|()| Refusal::from(console.kept()))
}

/// Reads a set in place of this node's files.
///
/// # Errors
/// Why it cannot be put in force here.
pub(super) fn read(master: &Master, set: &Set) -> Result<Draft, Refusal> {
    let files = verify(master, set)?;
    let paths = &master.startup.paths;
    if files.conf.path(&paths.prefix) != paths.conf {
        let there = files.conf.path(&paths.prefix);
        let (here, there) = (paths.conf.display(), there.display());
        return Err(Refusal::from(format!(
            "its main file is {there}, and the one of this node is {here}"
        )));
    }
    let console = master.console.keeping();
    let recorder = Recorder::of_set(files, &paths.prefix);
    let globals = master.startup.globals.as_deref();
    Draft::read_from(paths, globals, &console, recorder, || ())
        .map_err(|()| Refusal::from(console.kept()))
}

/// The files of a set whose digest and signature are right.
pub(super) fn verify(master: &Master, set: &Set) -> Result<FileSet, Refusal> {
    let identity = identity(master).ok_or("this node mirrors no configuration")?;
    let proposer = set.version.proposer.as_str();
    if FileSet::digest(&set.bytes) != set.version.digest {
        return Err(Refusal::from("its digest is wrong"));
    }
    let message = signed(&identity, proposer, &set.version.digest);
    let is_signed = match identity.peers.iter().find(|peer| peer.name == proposer) {
        Some(peer) => {
            peer.der().is_some_and(|der| is_signed_by(&der, &message, &set.info.signature))
        }
        None if proposer == identity.name => {
            let key = identity.certified_key().map_err(|error| Refusal::from(error.to_string()))?;
            key.chain().first().is_some_and(|der| is_signed_by(der, &message, &set.info.signature))
        }
        None => {
            return Err(Refusal::from(format!("its proposer \"{proposer}\" is not pinned here")));
        }
    };
    if !is_signed {
        return Err(Refusal::from(format!("it is not signed by \"{proposer}\"")));
    }
    FileSet::from_bytes(&set.bytes).map_err(|error| Refusal::from(error.to_string()))
}
