//! A file as a source: it is read whenever it changes.

use std::{
    fs::OpenOptions,
    future::Future,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use weir_engine::{
    event_loop::on_a_thread,
    file_watch::{FileWatch, Watcher},
    os_error::Failed,
    timer,
};

use super::{MAX_SIZE, Report, Source, entry::Reader, list};
use crate::discovery::SourceError;

/// The time between two looks at a file whose changes the kernel does not tell, such as those that
/// another machine makes, or of more folders than it watches for a user. Another file in its place
/// is read at once, and one that is being written when two looks in a row find the same.
const LOOK: Duration = Duration::from_secs(2);

/// A FIFO without a writer would block (open(2)).
const O_NONBLOCK: i32 = 0o4000;

/// A file that lists servers.
pub(super) struct Watched {
    path: Arc<Path>,
    reader: Reader,
    /// What reads the kernel's events; `None` before the first look, and if it cannot watch.
    watcher: Option<Watcher>,
    /// `None` likewise.
    watch: Option<FileWatch>,
    /// What was seen when it was read; `None` before.
    seen: Option<Stamp>,
}

/// What changes with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Missing,
    File { device: u64, inode: u64, size: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl Stamp {
    fn of(path: &Path) -> Self {
        std::fs::metadata(path).map_or(Self::Missing, |found| Self::File {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Whether it is another file, and not the same one with a change.
    fn is_other(self, seen: Self) -> bool {
        let file = |stamp| match stamp {
            Self::Missing => None,
            Self::File { device, inode, .. } => Some((device, inode)),
        };
        file(self).is_some() && file(self) != file(seen)
    }
}

impl Watched {
    pub(super) fn new(path: Arc<Path>, reader: Reader) -> Self {
        Self { path, reader, watcher: None, watch: None, seen: None }
    }

    async fn look(&mut self) -> Report {
        if self.seen.is_some() {
            self.change().await;
        }
        if self.watcher.is_none() {
            self.watcher = Watcher::here().ok();
        }
        let maker = self.watcher.as_ref().map(Watcher::maker);
        let (path, reader) = (Arc::clone(&self.path), self.reader);
        let looked = on_a_thread(move || {
            // A change after the watch is made is told, and one after the stamp is seen later.
            let watch = maker.and_then(|maker| maker.watch(&path).ok());
            let stamp = Stamp::of(&path);
            let report = match read(&path).and_then(|text| list::read(&text, reader)) {
                Ok(listing) => Report::List(listing),
                Err(reason) => Report::Lost(reason),
            };
            (watch, stamp, report)
        });
        let Ok((watch, stamp, report)) = looked.await else {
            (self.watch, self.seen) = (None, Some(Stamp::Missing));
            return Report::Lost("no thread could be started".into());
        };
        self.watch = watch;
        self.seen = Some(stamp);
        report
    }

    /// Waits until the file may have changed.
    async fn change(&self) {
        let told = async {
            match &self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = told => {}
            () = self.unlike() => {}
        }
    }

    /// Waits until there is another file, or it looks unlike what was seen, twice alike.
    async fn unlike(&self) {
        let mut before = None;
        loop {
            timer::sleep(LOOK).await;
            let path = Arc::clone(&self.path);
            let Ok(now) = on_a_thread(move || Stamp::of(&path)).await else { continue };
            let is_other = self.seen.is_some_and(|seen| now.is_other(seen));
            if is_other || Some(now) != self.seen && Some(now) == before {
                return;
            }
            before = Some(now);
        }
    }
}

impl Source for Watched {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Report> + '_>> {
        Box::pin(self.look())
    }
}

/// Reads a list from a file.
///
/// # Errors
/// What has failed.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let failed =
        |call: &str, error: &io::Error| Failed(&format!("{call} failed"), error).to_string();
    let opened = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let file = opened.map_err(|error| failed("open()", &error))?;
    if !file.metadata().map_err(|error| failed("fstat()", &error))?.is_file() {
        return Err("is not a regular file".into());
    }
    let mut text = Vec::new();
    let read = file.take(MAX_SIZE as u64 + 1).read_to_end(&mut text);
    read.map_err(|error| failed("read()", &error))?;
    match text.len() > MAX_SIZE {
        true => Err(format!("is longer than {} MiB", MAX_SIZE >> 20).into()),
        false => Ok(text),
    }
}
