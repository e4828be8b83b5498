use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::cache::file::Times;
use crate::cache::index::{Kept, Looked, Terms};
use crate::cache::key::Levels;
use crate::cache::path::{CachePath, Limits, Pace};

const NOW: Now = Now { mono: 1_000_000, wall: 1_700_000_000 };

/// A folder for a cache, deleted at the end of a test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-index-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A new cache in it.
    fn volume(&self, name: &str) -> Arc<Volume> {
        let limits = Limits {
            zone: 1 << 20,
            inactive: Duration::from_secs(600),
            max_size: None,
            min_free: 0,
            manager: Pace::default(),
            loader: Pace::default(),
            has_purger: false,
            purger: Pace::default(),
        };
        let (folder, name) = (self.0.clone(), format!("{name} in {}", self.0.display()));
        let path = CachePath { folder, levels: Levels::default(), name, temp: None, limits };
        Volume::of(&path.name, &path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn digest(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

/// Stores a response that is valid for this many seconds.
fn store(volume: &Volume, number: u32, seconds: i64) {
    let main = digest(number);
    let times = Times { valid: NOW.wall + seconds, updating: 0, error: 0, date: NOW.wall };
    volume.index.stored(&main, Kept { times, size: 4096, main, varied: None }, NOW);
}

/// Whether a response is there and fresh, to a cache that has read the file.
fn is_fresh(volume: &Volume, number: u32) -> bool {
    let terms = Terms { min_uses: 9, counts: false, chosen: false, lock: None };
    matches!(volume.index.look_up(&digest(number), NOW, &terms), Looked::Fresh(_))
}

/// A file with a snapshot of 1 to 5 and a journal by which 2 is gone, 3 is another, and 6 is new.
fn written(folder: &Folder) -> (Vec<u8>, u64) {
    let volume = folder.volume("first");
    (1..=5).for_each(|number| store(&volume, number, 100));
    let mut file = IndexFile::create(&volume, NOW).unwrap();
    let snapshot = file.length;
    volume.index.purge(&digest(2));
    store(&volume, 3, -1);
    assert!(file.append(&volume, NOW).unwrap());
    store(&volume, 6, 100);
    assert!(file.append(&volume, NOW).unwrap());
    (std::fs::read(path(&volume)).unwrap(), snapshot)
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let folder = Folder::new("read");
    written(&folder);
    let volume = folder.volume("second");
    read(&volume, NOW, false).unwrap();
    let fresh = [1, 2, 3, 4, 5, 6].map(|number| is_fresh(&volume, number));
    assert_eq!(fresh, [true, false, false, true, true, true]);
    assert!(volume.index.has_file(&digest(3)) && !volume.index.has_file(&digest(2)));
    // Without their files, none of them is taken over.
    let volume = folder.volume("third");
    read(&volume, NOW, true).unwrap();
    assert_eq!(volume.index.bytes(), 0);
}

/// A writer that is killed leaves the file with any length: what is read is what was true once.
#[test]
fn a_file_may_end_anywhere() {
    let folder = Folder::new("end");
    let (bytes, snapshot) = written(&folder);
    let file = folder.0.join("weir/index");
    for length in 0..bytes.len() {
        std::fs::write(&file, &bytes[..length]).unwrap();
        let volume = folder.volume(&length.to_string());
        match read(&volume, NOW, false) {
            Err(Unread::Damaged(Damage::Short)) => {
                assert!((length as u64) < snapshot && volume.index.len() == 0, "{length}");
            }
            Ok(Some(_)) => {
                assert!(length as u64 >= snapshot);
                assert!(is_fresh(&volume, 1) && !is_fresh(&volume, 6), "{length}");
                assert_eq!(is_fresh(&volume, 2), is_fresh(&volume, 3), "{length}: one block");
            }
            other => panic!("{length}: {other:?}"),
        }
    }
}

/// Whatever bit is flipped, nothing is read that was not true once. A wrong length of a block of
/// the journal may look as if the file ended in it.
#[test]
fn a_flipped_bit_makes_nothing_up() {
    let folder = Folder::new("flip");
    let (bytes, snapshot) = written(&folder);
    let file = folder.0.join("weir/index");
    let mut noticed = 0;
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << (at % 8);
        std::fs::write(&file, &wrong).unwrap();
        let volume = folder.volume(&at.to_string());
        match read(&volume, NOW, false) {
            Err(Unread::Damaged(_)) => {
                assert_eq!(volume.index.len(), 0, "{at}");
                noticed += 1;
            }
            Ok(Some(_)) => {
                assert!(at as u64 >= snapshot && is_fresh(&volume, 1) && !is_fresh(&volume, 6));
                assert_eq!(is_fresh(&volume, 2), is_fresh(&volume, 3), "{at}");
            }
            other => panic!("{at}: {other:?}"),
        }
    }
    assert!(noticed > bytes.len() - 8, "{noticed}");
}

/// One at a time writes, and a folder that was made anew is another one.
#[test]
fn a_lock_has_one_owner() {
    let folder = Folder::new("lock");
    let (one, two) = (folder.volume("one"), folder.volume("two"));
    assert!(one.take_lock() && one.has_lock() && !one.take_lock());
    assert!(!two.take_lock() && !two.has_lock());
    one.unlock();
    assert!(two.take_lock());
    std::fs::rename(&folder.0, folder.0.with_extension("old")).unwrap();
    std::fs::create_dir(&folder.0).unwrap();
    let _old = Folder(folder.0.with_extension("old"));
    assert!(!two.has_lock() && one.take_lock() && !two.take_lock());
}

/// A named pipe in the place of a file makes no thread wait for its reader.
#[test]
fn named_pipes_are_no_index_files() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let pipe = |path: &Path| {
        let _ = std::fs::remove_file(path);
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    let folder = Folder::new("pipes");
    let volume = folder.volume("first");
    std::fs::create_dir(volume.own_folder()).unwrap();
    pipe(&volume.own_folder().join("index.new"));
    let mut file = IndexFile::create(&volume, NOW).unwrap();
    pipe(&path(&volume));
    store(&volume, 1, 100);
    assert!(!file.append(&volume, NOW).is_ok_and(|goes_on| goes_on));
    assert!(read(&volume, NOW, false).is_err());
}
