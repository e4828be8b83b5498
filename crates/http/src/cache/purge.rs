//! Purging: the removal of responses by a request (`…_cache_purge`, as in NGINX Plus).

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_engine::event_loop::on_a_thread;

use super::faults;
use super::file::{Broken, Head};
use super::key::Digest;
use super::sought::Seeker;
use super::volume::{self, Volume, open};
use crate::module::Verdict;
use crate::request::Request;

/// The length of a read of a file's head, in bytes.
const READ: usize = 4096;

/// What has become of the responses that were to be removed.
#[derive(Default)]
struct Removal {
    /// Whether there were any.
    found: bool,
    /// A file that could not be deleted, and why.
    stays: Option<(PathBuf, io::Error)>,
}

impl Removal {
    /// There were some, or will be.
    const FOUND: Self = Self { found: true, stays: None };

    fn add(&mut self, other: Self) {
        self.found |= other.found;
        self.stays = self.stays.take().or(other.stays);
    }

    /// Deletes the file of a response, which may be missing.
    fn delete(&mut self, volume: &Volume, digest: &Digest) {
        let path = volume.file(digest);
        match std::fs::remove_file(&path) {
            Ok(()) => self.found = true,
            Err(error) if volume::is_missing(&error) => {}
            Err(error) => {
                volume.index.doom_files([*digest]);
                self.stays = Some((path, error));
            }
        }
    }
}

/// Removes the response with the request's key, or all whose keys begin like one that ends in an
/// asterisk. When the client has its answer, none of them is used any more. If a file could not be
/// deleted, the answer is 500, since a process that starts now would find it; the manager goes on
/// trying. With a purger, it deletes the files of the latter later on.
pub(super) async fn purge(
    request: &mut Request,
    volume: &Arc<Volume>,
    main: &Digest,
    has_purger: bool,
) -> Verdict {
    let (volume, main) = (Arc::clone(volume), *main);
    let key = request.attempts.cache.key.clone();
    let removed = on_a_thread(move || match key.strip_suffix(b"*") {
        // What the purger cannot be told is done at once.
        Some(prefix) if has_purger && leave(&volume, prefix) => Removal::FOUND,
        Some(prefix) => remove_all(&volume, |_| true, |head| head.key.starts_with(prefix)),
        None => {
            // Asked first, since the loader may end in between.
            let is_cold = volume.index.is_cold();
            let mut removal = remove(&volume, &main);
            if is_cold {
                removal.add(remove_unknown(&volume, &HashSet::from([main])));
            }
            removal
        }
    });
    match removed.await {
        Ok(Removal { stays: Some((path, error)), .. }) => {
            faults::not_worked_on("unlink()", &path, &error);
            Verdict::Status(500)
        }
        Ok(Removal { found: true, .. }) => request.send_all(204, b"", Vec::new()).await,
        Ok(_) => Verdict::Status(404),
        Err(_) => Verdict::Status(500),
    }
}

/// Leaves a purge to the purger. Returns whether it will do it, come what may.
fn leave(volume: &Volume, prefix: &[u8]) -> bool {
    volume.wildcards.add(prefix, volume.index.coming_version()).is_ok()
}

/// Removes all responses whose heads are `meant`, by a look at every file that is `asked` for.
fn remove_all(
    volume: &Volume,
    asked: impl Fn(&Digest) -> bool,
    meant: impl Fn(&Head) -> bool,
) -> Removal {
    let mut removal = Removal::default();
    let depth = volume.levels.depth();
    below(&volume.folder, depth, &mut |path, digest| {
        if asked(digest)
            && let Some(head) = head(path).filter(&meant)
        {
            removal.add(remove(volume, &head.main));
            removal.add(remove(volume, digest));
        }
    });
    removal
}

/// Removes the variants of responses that the index does not know yet, or has learnt of meanwhile.
fn remove_unknown(volume: &Volume, mains: &HashSet<Digest>) -> Removal {
    let is_unknown = |digest: &Digest| !volume.index.has_file(digest);
    let mut removal = remove_all(volume, is_unknown, |head| mains.contains(&head.main));
    mains.iter().for_each(|main| removal.add(remove(volume, main)));
    removal
}

/// Removes a response at once, and later, while the index does not know all files, variants that it
/// has missed.
pub(super) fn remove_in_background(volume: &Arc<Volume>, main: Digest) {
    let is_cold = volume.index.is_cold();
    remove(volume, &main);
    if !is_cold {
        return;
    }
    let seeker = volume.sought.ask(main);
    if seeker == Seeker::Other {
        return;
    }
    let (volume, own) = (Arc::clone(volume), Arc::clone(volume));
    let work = on_a_thread(move || match seeker {
        Seeker::Own => drop(remove_unknown(&own, &HashSet::from([main]))),
        _ => {
            while let Some(mains) = own.sought.next() {
                remove_unknown(&own, &mains);
            }
        }
    });
    weir_engine::event_loop::spawn(async move {
        // Without a thread, the next request tries again.
        if work.await.is_err() && seeker == Seeker::All {
            while volume.sought.next().is_some() {}
        }
    });
}

/// Removes a response with its variants, from the index and from the disk, where one may be that
/// the index does not know yet.
fn remove(volume: &Volume, digest: &Digest) -> Removal {
    let mut removal = Removal::default();
    // Twice, since the loader may have read a file before it was deleted, and found it afterwards.
    for _ in 0..2 {
        // A file is the proof: the index file may name one that has been purged since.
        for known in volume.index.purge(digest) {
            removal.delete(volume, &known);
        }
        removal.delete(volume, digest);
    }
    removal
}

/// Removes a response with its variants as far as they are older than a version.
pub(super) fn remove_before(volume: &Volume, main: &Digest, before: u64) {
    for digest in volume.index.purge_before(main, before) {
        // The purger tries again.
        let _ = volume.delete(&digest);
    }
}

/// Calls `visit` with every file of the cache, `depth` levels below a folder.
fn below(folder: &Path, depth: usize, visit: &mut dyn FnMut(&Path, &Digest)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if depth == 0 {
            if let Some(digest) = Digest::from_name(name.as_bytes()) {
                visit(&path, &digest);
            }
        } else if name.len() <= 2 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&path, depth - 1, visit);
        }
    }
}

/// The head of a response's file.
pub(super) fn head(path: &Path) -> Option<Head> {
    let mut file = open(path).ok()?;
    let mut bytes = Vec::new();
    loop {
        let more = match Head::parse(&bytes) {
            Ok((head, _)) => return Some(head),
            Err(Broken::Short(length)) => length.max(READ) - bytes.len(),
            Err(_) => return None,
        };
        let before = bytes.len();
        Read::by_ref(&mut file).take(more as u64).read_to_end(&mut bytes).ok()?;
        if bytes.len() == before {
            return None;
        }
    }
}
