//! Files of responses, and what each thread remembers of them for further hits.
//!
//! The body of a small response stays in memory, and some of their files stay open, as do a few of
//! medium ones: a hit then costs one system call (`fstat`, or `stat` of a closed one) before it is
//! sent, which notices a file that was replaced, deleted or changed in place. A large one is opened
//! for each hit, so that a deleted file frees its blocks, but its head is not read again while the
//! file is the same.
//! The first hit reads the body to compare its sums, block by block; later ones leave it to the
//! kernel.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;
use weir_engine::file_io::File;
use weir_wire::header::Headers;

use super::counters::CacheCounters;
use super::file::{self, BLOCK, Broken, Head};
use super::index::{Kept, Varied};
use super::key::Digest;
use super::volume::{self, Volume};
use crate::piece::Piece;
use crate::request::Request;

mod memory;

use memory::remembered;
pub(crate) use memory::{Asks, forget, keep, reuse};

/// The maximum length of a body that is kept in memory with its file, in bytes.
const MOST_IN_MEMORY: u64 = 16 * 1024;

/// The length of the first read of a file, which usually brings the head and all of a small body.
const FIRST_READ: usize = 32 * 1024;

/// An open response.
pub(crate) struct Opened {
    known: Rc<Known>,
    path: PathBuf,
    /// None once it is closed, which happens only if the body is in memory.
    file: RefCell<Option<Rc<File>>>,
    /// The counters of the cache.
    pub(crate) counters: CacheCounters,
}

/// What is known of a response's file.
pub(crate) struct Known {
    /// The head; its fields are in `fields`.
    pub(crate) head: Head,
    /// The fields of the head.
    pub(crate) fields: Rc<Headers>,
    /// The offset of the body.
    start: u64,
    /// The body, if it is small.
    memory: Option<Rc<[u8]>>,
    /// The sums of the blocks.
    sums: Vec<u8>,
    /// The number of blocks from the start whose sums were right.
    checked: Cell<u64>,
    stamp: Stamp,
    /// Whether the stamp tells any change since it was read.
    is_settled: bool,
}

impl Deref for Opened {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

/// What changes with the content of a file. Its time of change (`ctime`) is the system's own;
/// programs can set that of modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    node: (u64, u64),
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
    size: i64,
    links: bool,
    is_file: bool,
}

/// The age from which a file that changes has another stamp. A clock of the file system goes by
/// steps, of 10 ms at most.
const STEP: Duration = Duration::from_millis(100);

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        Ok(Self::found(&rustix::fs::fstat(file)?))
    }

    fn of_path(path: &Path) -> io::Result<Self> {
        Ok(Self::found(&rustix::fs::stat(path)?))
    }

    fn found(found: &rustix::fs::Stat) -> Self {
        let changed = (found.st_ctime, i64::try_from(found.st_ctime_nsec).unwrap_or(0));
        let node = (found.st_dev, found.st_ino);
        let is_file = FileType::from_raw_mode(found.st_mode).is_file();
        Self { node, changed, size: found.st_size, links: found.st_nlink > 0, is_file }
    }

    /// Whether a change from now on shows. The number of a deleted file may be that of a new one,
    /// too, within a step.
    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let since = Duration::new(seconds.max(0).unsigned_abs(), u32::try_from(nanos).unwrap_or(0));
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since);
        // A time that is still to come was set by another clock, or before a jump.
        age.unwrap_or_else(|ahead| ahead.duration()) >= STEP
    }
}

/// Why there is no response in a file.
#[derive(Debug)]
pub(crate) enum Lost {
    /// There is no file.
    Missing,
    /// It is no cached response of this key, or it is damaged.
    Broken(&'static str),
    /// It cannot be read.
    Unread(&'static str, io::Error),
}

impl Opened {
    /// Opens the file of a response to a request with this key.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn open(
        request: &mut Request,
        volume: &Volume,
        digest: &Digest,
        key: &[u8],
    ) -> Result<Self, Lost> {
        let path = volume.file(digest);
        request.prepare_path(&path).await;
        let file = match volume::open(&path) {
            Ok(file) => Rc::new(File::new(file)),
            Err(error) if volume::is_missing(&error) => return Err(Lost::Missing),
            Err(error) => return Err(Lost::Unread("open()", error)),
        };
        let aio = request.aio().unwrap_or_default();
        request.client.set_aio(aio);
        let stamp = Stamp::of(&file).map_err(|error| Lost::Unread("fstat()", error))?;
        if !stamp.is_file {
            return Err(Lost::Broken("is no file"));
        }
        let known = remembered(volume, digest, stamp).filter(|known| known.head.key == key);
        let known = match known {
            Some(known) => known,
            None => Rc::new(Known::read(request, &file, stamp, digest, key).await?),
        };
        let (file, counters) = (RefCell::new(Some(file)), volume.counters.clone());
        Ok(Self { known, path, file, counters })
    }

    /// What the index has to know of it.
    pub(crate) fn kept(&self) -> Kept {
        let Head { times, main, variant, ref vary, .. } = self.head;
        let varied = (!vary.is_empty()).then(|| Varied { vary: vary.as_slice().into(), variant });
        Kept { times, size: volume::taken(self.stamp.size.unsigned_abs()), main, varied }
    }

    /// The file and the range of the body in it.
    ///
    /// # Panics
    /// If the body is in memory, and the response is remembered.
    pub(crate) fn file(&self) -> (Rc<File>, std::ops::Range<u64>) {
        let file = self.file.borrow().clone();
        let file = file.expect("only files whose bodies are in memory are closed");
        (file, self.start..self.start + self.head.body)
    }

    /// A block of the body with the right sum.
    ///
    /// # Errors
    /// It cannot be read, or its sum is wrong (`InvalidData`).
    pub(crate) async fn block(&self, request: &Request, block: u64) -> io::Result<Piece> {
        let at = block * BLOCK;
        let end = self.head.body.min(at + BLOCK);
        let mut bytes = weir_engine::buffer::take((end - at) as usize);
        let (file, _) = self.file();
        read_part(request, &file, &mut bytes, self.start + at, self.start + end).await?;
        if !self.is_right(block, &bytes) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.checked.get() == block {
            self.checked.set(block + 1);
        }
        Ok(Piece::from(bytes))
    }

    /// Deletes the file, which is damaged. Nothing opens it again, and the index learns it with the
    /// next look-up.
    pub(crate) fn discard(&self) {
        let _ = volume::delete(&self.path);
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes times in place, for other processes and the next start.
    ///
    /// # Errors
    /// The system's. The file is then as it was, or has a wrong sum.
    pub(crate) fn renew(&self, times: file::Times) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        // The file that was read, and no other one that has its name by now.
        let other = std::fs::OpenOptions::new().write(true).open(&self.path)?;
        if Stamp::of(&File::new(other.try_clone()?))? == self.stamp {
            other.write_all_at(&times.to_bytes(), file::RENEWED_AT)?;
        }
        Ok(())
    }

    /// Whether the file is still the one that was read.
    fn is_unchanged(&self) -> bool {
        let stamp = match &*self.file.borrow() {
            Some(file) => Stamp::of(file),
            None => Stamp::of_path(&self.path),
        };
        self.stamp.links && stamp.is_ok_and(|stamp| stamp == self.stamp)
    }
}

impl Known {
    /// Reads what precedes and follows the body, and the first block.
    async fn read(
        request: &Request,
        file: &File,
        stamp: Stamp,
        digest: &Digest,
        key: &[u8],
    ) -> Result<Self, Lost> {
        let is_settled = stamp.is_settled();
        let unread = |error| Lost::Unread("read()", error);
        let size = stamp.size.unsigned_abs();
        let mut bytes = Vec::new();
        let (head, start) = loop {
            let more = match Head::parse(&bytes) {
                Ok(parsed) => break parsed,
                Err(Broken::Short(length)) => length.max(FIRST_READ),
                Err(Broken::Version) => return Err(Lost::Broken("has another version")),
                Err(Broken::Magic) => return Err(Lost::Broken("is no cached response")),
                Err(Broken::Sum) => return Err(Lost::Broken("has a wrong checksum")),
            };
            let end = size.min(more as u64);
            if end <= bytes.len() as u64 {
                return Err(Lost::Broken("is too short"));
            }
            let start = bytes.len() as u64;
            read_part(request, file, &mut bytes, start, end).await.map_err(unread)?;
        };
        if head.key != key || !head.is_named(digest) {
            return Err(Lost::Broken("has another key"));
        }
        let start = start as u64;
        let body_end = start.saturating_add(head.body);
        if body_end.saturating_add(file::sums_length(head.body)) != size {
            return Err(Lost::Broken("has a wrong length"));
        }
        let mut sums = Vec::new();
        match bytes.len() as u64 == size {
            true => sums.extend_from_slice(&bytes[body_end as usize..]),
            false => read_part(request, file, &mut sums, body_end, size).await.map_err(unread)?,
        }
        let fields = Rc::new(head.fields.clone());
        let checked = Cell::new(0);
        let mut known =
            Self { head, fields, start, memory: None, sums, checked, stamp, is_settled };
        known.check_first(request, file, &bytes).await?;
        Ok(known)
    }

    /// Compares the sum of the first block, before anything of it is sent, and keeps a small body.
    async fn check_first(
        &mut self,
        request: &Request,
        file: &File,
        read: &[u8],
    ) -> Result<(), Lost> {
        let end = self.start + self.head.body.min(BLOCK);
        let mut bytes = Vec::new();
        let first = match read.get(self.start as usize..end as usize) {
            Some(bytes) => bytes,
            None => {
                let reading = read_part(request, file, &mut bytes, self.start, end);
                reading.await.map_err(|error| Lost::Unread("read()", error))?;
                &bytes
            }
        };
        if !first.is_empty() && !self.is_right(0, first) {
            return Err(Lost::Broken("has a wrong checksum"));
        }
        self.checked.set(1);
        if self.head.body <= MOST_IN_MEMORY {
            self.memory = Some(Rc::from(first));
        }
        Ok(())
    }

    fn is_right(&self, block: u64, bytes: &[u8]) -> bool {
        let at = block as usize * 4;
        self.sums.get(at..at + 4) == Some(&file::sum(bytes).to_le_bytes())
    }

    /// The body, if it is in memory.
    pub(crate) fn memory(&self) -> Option<Piece> {
        let body = self.memory.as_ref()?;
        Some(Piece::Shared(Rc::clone(body), 0..body.len()))
    }

    /// Whether all sums have been compared.
    pub(crate) fn is_checked(&self) -> bool {
        self.checked.get() >= self.blocks()
    }

    /// The number of blocks of the body.
    pub(crate) fn blocks(&self) -> u64 {
        self.head.body.div_ceil(BLOCK)
    }
}

/// Appends a part of a file.
async fn read_part(
    request: &Request,
    file: &File,
    into: &mut Vec<u8>,
    start: u64,
    end: u64,
) -> io::Result<()> {
    let mut at = start;
    while at < end {
        let piece = request.read_file(file, at, (end - at) as usize).await?;
        at += piece.len();
        into.extend_from_slice(piece.bytes().unwrap_or_default());
    }
    Ok(())
}
