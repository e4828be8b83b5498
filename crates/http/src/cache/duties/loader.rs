//! The loader: takes what the index file says into the index, then looks for all files that an
//! earlier process has left. It reads the heads of those that the index does not know, deletes
//! those that are no cached responses of this version, and forgets entries without files. Until it
//! has ended, requests look at files themselves.

use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weir_engine::duty::Plans;
use weir_engine::error_log::{Level, process_log};

use super::walk::{Met, Walk};
use super::{on_a_thread, pause, recorder};
use crate::cache::faults::not_worked_on;
use crate::cache::file::{self, Broken, Head};
use crate::cache::index::{Kept, Now, Varied};
use crate::cache::key::Digest;
use crate::cache::path::{Limits, Pace};
use crate::cache::volume::{self, Volume, open};

/// The length of the first read of a file, in bytes.
const FIRST_READ: usize = 4096;

/// The age from which a temporary file beside the responses is not that of a live process.
const STALE: Duration = Duration::from_secs(600);

pub(super) async fn load(volume: Arc<Volume>, mut plans: Plans<Limits>) {
    recorder::restore(&volume).await;
    let mut loading = Loading::default();
    loop {
        let limits = plans.current();
        let (other, now) = (Arc::clone(&volume), Now::of_turn());
        let pace = limits.loader;
        let turn = on_a_thread(move || {
            let more = loading.go_on(&other, pace, now);
            (loading, more)
        });
        // Without a thread, the files are found by requests.
        let Ok((back, more)) = turn.await else { return };
        loading = back;
        if !more {
            break;
        }
        pause(&mut plans, limits.loader.sleep).await;
    }
    let other = Arc::clone(&volume);
    let forget = move || other.index.forget_unseen(|digest| other.file(digest).exists());
    let _ = on_a_thread(forget).await;
    volume.index.warmed();
    let folder = volume.folder.display();
    let Loading { found, dropped, .. } = loading;
    let message = format!("http file cache: {folder} {found} responses, {dropped} files dropped");
    process_log().log(Level::Notice, 0, message);
}

/// What a walk through the folder finds.
#[derive(Default)]
struct Loading {
    walk: Walk,
    found: u64,
    dropped: u64,
}

impl Loading {
    /// Reads files until a pause. Returns whether there are more.
    fn go_on(&mut self, volume: &Volume, pace: Pace, now: Now) -> bool {
        let mut walk = std::mem::take(&mut self.walk);
        let more = walk.go_on(volume, pace, |met| self.meet(volume, met, now));
        self.walk = walk;
        more
    }

    /// Takes a file into the index, or deletes it. Returns whether that took a look at it.
    fn meet(&mut self, volume: &Volume, met: &Met<'_>, now: Now) -> bool {
        let path = met.path;
        if is_left_over(met.name, path) {
            let _ = volume::delete(path);
            return true;
        }
        let Some(digest) = met.digest() else { return false };
        // Where no request looks for it, it is none.
        let is_in_place = *path == volume.file(&digest);
        if is_in_place && volume.index.sees(&digest) {
            self.found += 1;
            return false;
        }
        match if is_in_place { kept(path, &digest) } else { Ok(None) } {
            Ok(Some(kept)) => {
                // A request may have found it since the index was asked.
                let is_new = volume.index.found(&digest, kept, now);
                self.found += 1;
                // It may have been purged since it was read.
                if is_new && !path.exists() {
                    volume.index.purge(&digest);
                }
            }
            Ok(None) => {
                self.dropped += 1;
                if let Err(error) = volume::delete(path) {
                    not_worked_on("unlink()", path, &error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => not_worked_on("read()", path, &error),
        }
        true
    }
}

/// Whether there is such a process, other than one that has ended and whose status its parent has
/// not asked for (a zombie).
fn lives(process: &str) -> bool {
    let Ok(stat) = std::fs::read(Path::new("/proc").join(process).join("stat")) else {
        return false;
    };
    // The name before it may be any text.
    let behind = stat.rsplit(|&byte| byte == b')').next().unwrap_or_default();
    !matches!(behind.trim_ascii_start().first(), Some(b'Z' | b'X'))
}

/// Whether a file is one that a killed process was about to rename: a number and a process id. The
/// process is no more, or is another one that has the same id by now.
fn is_left_over(name: &[u8], path: &Path) -> bool {
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let Some(dot) = name.iter().position(|&byte| byte == b'.') else { return false };
    let (number, process) = (&name[..dot], &name[dot + 1..]);
    if number.len() < 10 || !digits(number) || !digits(process) {
        return false;
    }
    let process = String::from_utf8_lossy(process);
    let lives = || lives(&process) || !Path::new("/proc/self").exists();
    // A time in the future is that of a clock that was set back since.
    let is_old = |modified: SystemTime| match SystemTime::now().duration_since(modified) {
        Ok(age) => age >= STALE,
        Err(future) => future.duration() >= STALE,
    };
    !lives() || std::fs::metadata(path).and_then(|found| found.modified()).is_ok_and(is_old)
}

/// The response in a file; None if there is none.
fn kept(path: &Path, digest: &Digest) -> io::Result<Option<Kept>> {
    let file = open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(None);
    }
    let size = found.size();
    let mut bytes = Vec::new();
    let head = loop {
        let more = match Head::parse(&bytes) {
            Ok((head, length)) => break (head, length),
            Err(Broken::Short(length)) => length.max(FIRST_READ),
            Err(_) => return Ok(None),
        };
        let end = usize::try_from(size).unwrap_or(usize::MAX).min(more);
        if end <= bytes.len() {
            return Ok(None);
        }
        let start = bytes.len();
        bytes.resize(end, 0);
        file.read_exact_at(&mut bytes[start..], start as u64)?;
    };
    let (head, length) = head;
    let whole = (length as u64).checked_add(head.body);
    let whole = whole.and_then(|whole| whole.checked_add(file::sums_length(head.body)));
    if whole != Some(size) || !head.is_named(digest) {
        return Ok(None);
    }
    let varied = (!head.vary.is_empty())
        .then(|| Varied { vary: head.vary.as_slice().into(), variant: head.variant });
    Ok(Some(Kept { times: head.times, size: volume::taken(size), main: head.main, varied }))
}
