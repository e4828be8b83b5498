//! The loader: reads the heads of the files that an earlier process has left, and deletes those
//! that are no cached responses of this version. Until it has ended, requests look at files
//! themselves.

use std::fs::ReadDir;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weir_engine::duty::Plans;
use weir_engine::error_log::{Level, process_log};

use super::{Spell, on_a_thread, pause};
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
    let mut walk = Walk::default();
    loop {
        let limits = plans.current();
        let (other, now) = (Arc::clone(&volume), Now::of_turn());
        let pace = limits.loader;
        let turn = on_a_thread(move || {
            let more = walk.go_on(&other, pace, now);
            (walk, more)
        });
        // Without a thread, the files are found by requests.
        let Ok((back, more)) = turn.await else { return };
        walk = back;
        if !more {
            break;
        }
        pause(&mut plans, limits.loader.sleep).await;
    }
    volume.index.warmed();
    let folder = volume.folder.display();
    let Walk { found, dropped, .. } = walk;
    let message = format!("http file cache: {folder} {found} responses, {dropped} files dropped");
    process_log().log(Level::Notice, 0, message);
}

/// A walk through the folder, level by level.
#[derive(Default)]
struct Walk {
    /// The folders being read, from the top. None before the start.
    open: Option<Vec<ReadDir>>,
    found: u64,
    dropped: u64,
}

impl Walk {
    /// Reads files until a pause. Returns whether there are more.
    fn go_on(&mut self, volume: &Volume, pace: Pace, now: Now) -> bool {
        let mut spell = Spell::begin(pace);
        let mut open = self.open.take().unwrap_or_else(|| read_dir(&volume.folder));
        while let Some(folder) = open.last_mut() {
            let Some(Ok(entry)) = folder.next() else {
                open.pop();
                continue;
            };
            let (name, path) = (entry.file_name(), entry.path());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                if open.len() <= volume.levels.depth() && name.len() <= 2 {
                    open.extend(read_dir(&path));
                }
                continue;
            }
            if is_left_over(name.as_bytes(), &path) {
                let _ = volume::delete(&path);
            } else if open.len() == volume.levels.depth() + 1 {
                self.meet(volume, name.as_bytes(), &path, now);
            }
            if spell.is_over() {
                self.open = Some(open);
                return true;
            }
        }
        false
    }

    /// Takes a file into the index, or deletes it.
    fn meet(&mut self, volume: &Volume, name: &[u8], path: &Path, now: Now) {
        let Some(digest) = Digest::from_name(name) else { return };
        // Where no request looks for it, it is none.
        let is_in_place = *path == volume.file(&digest);
        match if is_in_place { kept(path, &digest) } else { Ok(None) } {
            Ok(Some(kept)) => {
                let is_new = volume.index.found(&digest, kept, now);
                self.found += u64::from(is_new);
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
    }
}

/// A folder that can be read.
fn read_dir(path: &Path) -> Vec<ReadDir> {
    match std::fs::read_dir(path) {
        Ok(folder) => vec![folder],
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            not_worked_on("opendir()", path, &error);
            Vec::new()
        }
    }
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
    let lives = || Path::new("/proc").join(&*process).exists() || !Path::new("/proc/self").exists();
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
