//! The index file of a cache, `weir/index` in its folder: reading it, and writing it as long as no
//! other process does. Whoever holds the lock on the folder (`flock`) writes; anyone may read.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::index::{Clocks, Index, Mark, Now};
use super::index_codec::{BLOCK_HEAD, BlockHead, Blocks, Damage, HEADER, Header, Record};
use super::key::Digest;
use super::volume::Volume;

/// The length of a piece of a snapshot that is written at once, in bytes.
const PIECE: usize = 256 * 1024;

/// The length of a journal up to which there is no new snapshot, in bytes.
const SHORT_JOURNAL: u64 = 1024 * 1024;

/// Why an index file is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is of no use.
    Damaged(Damage),
    /// The system's error.
    Failed(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The path of the index file.
pub(super) fn path(volume: &Volume) -> PathBuf {
    volume.own_folder().join("index")
}

/// Takes the entries of an index file into the index. With `checks`, only those that have files.
/// Returns the number of records; None without a file.
///
/// # Errors
/// It cannot be used, and nothing has been taken.
pub(super) fn read(volume: &Volume, now: Now, checks: bool) -> Result<Option<u64>, Unread> {
    let mut file = match super::volume::open(&path(volume)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = file.metadata()?.size();
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Err(Unread::Damaged(Damage::Short));
    }
    file.read_exact(&mut header)?;
    let header = Header::parse(&header, volume.levels).map_err(Unread::Damaged)?;
    let start = HEADER as u64;
    let journal = start.saturating_add(header.snapshot);
    if journal > length {
        return Err(Unread::Damaged(Damage::Short));
    }
    // All of it is checked before any of it is used.
    let snapshot_end = walk(&file, start, journal, |_| {})?;
    if snapshot_end.at != journal {
        return Err(Unread::Damaged(Damage::Short));
    }
    // A killed writer may have left a part of its last block.
    let end = walk(&file, journal, length, |_| {})?;
    let clocks = Clocks { now, end: snapshot_end.clock.max(end.clock) };
    let mut taken = Taken { volume, clocks, checks, gone: Default::default(), count: 0 };
    walk(&file, journal, end.at, |record| taken.take(record, Mark::Journal))?;
    walk(&file, start, journal, |record| taken.take(record, Mark::Snapshot))?;
    Ok(Some(taken.count))
}

/// Entries that are taken into the index.
struct Taken<'a> {
    volume: &'a Volume,
    clocks: Clocks,
    checks: bool,
    /// What the journal says is gone.
    gone: std::collections::HashSet<Digest>,
    count: u64,
}

impl Taken<'_> {
    fn take(&mut self, record: Record, mark: Mark) {
        let index: &Index = &self.volume.index;
        match (record, mark) {
            (Record::Gone(digest), Mark::Journal) => {
                index.unrestore(&digest);
                self.gone.insert(digest);
            }
            (Record::Kept(noted), Mark::Snapshot) if self.gone.contains(&noted.digest) => {}
            (Record::Kept(noted), _) => {
                let is_there = || self.volume.file(&noted.digest).exists();
                if self.checks && !index.has_file(&noted.digest) && !is_there() {
                    return;
                }
                self.count += u64::from(index.restore(&noted, mark, self.clocks));
            }
            (Record::Gone(_), Mark::Snapshot) => {}
        }
    }
}

/// How far the blocks of a file could be read.
struct End {
    /// The offset behind the last block.
    at: u64,
    /// The time of the last block, 0 without one.
    clock: u64,
}

/// Reads blocks between two offsets. The last one may be cut off.
fn walk(file: &File, start: u64, end: u64, mut each: impl FnMut(Record)) -> Result<End, Unread> {
    let mut file = file;
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(PIECE, file.take(end - start));
    let mut bytes = Vec::new();
    let mut found = End { at: start, clock: 0 };
    while end - found.at >= BLOCK_HEAD as u64 {
        let mut head = [0; BLOCK_HEAD];
        reader.read_exact(&mut head)?;
        let head = BlockHead::parse(&head).map_err(Unread::Damaged)?;
        let next = found.at + (BLOCK_HEAD + head.length) as u64;
        if next > end {
            break;
        }
        bytes.resize(head.length, 0);
        reader.read_exact(&mut bytes)?;
        head.records(&bytes, &mut each).map_err(Unread::Damaged)?;
        found = End { at: next, clock: found.clock.max(head.clock) };
    }
    Ok(found)
}

/// The right to write the index file of a folder.
#[derive(Debug)]
pub(super) struct Lock {
    folder: File,
}

impl Lock {
    /// Takes the right, unless another process or configuration has it.
    ///
    /// # Errors
    /// The system's. Some file systems lock no folders.
    pub(super) fn take(folder: &Path) -> io::Result<Option<Self>> {
        let folder = File::open(folder)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { folder })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the folder still has its name.
    pub(super) fn is_for(&self, folder: &Path) -> bool {
        let here = std::fs::metadata(folder).ok();
        here.is_some_and(|here| self.folder.metadata().is_ok_and(|own| node(&own) == node(&here)))
    }
}

/// The numbers of a file or folder.
fn node(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// An index file that is written. It is not open meanwhile, so that its disk can be made read-only.
#[derive(Debug)]
pub(super) struct IndexFile {
    node: (u64, u64),
    path: PathBuf,
    /// The offset of the journal.
    journal: u64,
    /// The length.
    length: u64,
}

impl IndexFile {
    /// Writes a snapshot of the index in place of an earlier file. From then on, the index notes
    /// what changes.
    ///
    /// # Errors
    /// The system's. The earlier file is as it was.
    pub(super) fn create(volume: &Volume, now: Now) -> io::Result<Self> {
        let (folder, path) = (volume.own_folder(), path(volume));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let new = folder.join("index.new");
        // Whatever else has the name, such as a named pipe, is not opened.
        super::volume::delete(&new)?;
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        let written = Self::write_snapshot(&file, volume, now);
        let written = written.and_then(|length| {
            let node = node(&file.metadata()?);
            std::fs::rename(&new, &path).map(|()| (node, length))
        });
        match written {
            Ok((node, journal)) => Ok(Self { node, path, journal, length: journal }),
            Err(error) => {
                let _ = super::volume::delete(&new);
                Err(error)
            }
        }
    }

    /// Writes a snapshot. Returns the length of the file.
    fn write_snapshot(file: &File, volume: &Volume, now: Now) -> io::Result<u64> {
        let mut out = BufWriter::with_capacity(PIECE, file);
        out.write_all(&[0; HEADER])?;
        let mut blocks = Blocks::new(now.mono);
        let mut snapshot = 0;
        let mut write = |blocks: &mut Blocks| {
            let bytes = blocks.take();
            snapshot += bytes.len() as u64;
            out.write_all(&bytes)
        };
        volume.index.begin_changes();
        volume.index.record(|record| {
            blocks.put(&record);
            match blocks.len() >= PIECE {
                true => write(&mut blocks),
                false => Ok(()),
            }
        })?;
        write(&mut blocks)?;
        out.flush()?;
        let header = Header { levels: volume.levels, snapshot };
        file.write_all_at(&header.to_bytes(), 0)?;
        Ok(HEADER as u64 + snapshot)
    }

    /// Appends what has changed. Returns whether the file goes on; otherwise it is to be replaced.
    ///
    /// # Errors
    /// The system's. The file is of no use any more.
    pub(super) fn append(&mut self, volume: &Volume, now: Now) -> io::Result<bool> {
        // A named pipe in its place makes nobody wait.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new().write(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if super::volume::is_missing(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        if node(&file.metadata()?) != self.node {
            return Ok(false);
        }
        let mut blocks = Blocks::new(now.mono);
        if !volume.index.take_changes(|record| blocks.put(&record)) {
            return Ok(false);
        }
        let bytes = blocks.take();
        file.write_all_at(&bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(self.length - self.journal < self.journal.max(SHORT_JOURNAL))
    }
}

#[cfg(test)]
mod tests;
