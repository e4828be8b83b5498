//! Unnamed temporary files: they vanish with their last descriptor, however the process ends,
//! unless they are kept under a name.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

mod keep;
mod replace;

pub use keep::{Attributes, KeepError, keep};
pub use replace::{replace, replace_as};

/// Only the worker's user may read clients' data.
const OURS: Mode = Mode::from_raw_mode(0o600);

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Creates a file in `folder`, open for reading and writing.
///
/// # Errors
/// A system error if the folder is missing, not writable or full.
pub fn create(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, OURS) {
        Ok(fd) => Ok(fd.into()),
        // Not every file system supports unnamed files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => create_and_unlink(folder),
        Err(error) => Err(error.into()),
    }
}

fn create_and_unlink(folder: &Path) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    loop {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{number:010}.{}", std::process::id()));
        match rustix::fs::open(&path, flags, OURS) {
            Ok(fd) => {
                rustix::fs::unlink(&path)?;
                return Ok(fd.into());
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom, Write};

    #[test]
    fn both_ways_create_an_invisible_file() {
        let folder = std::env::temp_dir().join(format!("weir-temp-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for make in [create, create_and_unlink] {
            let mut file = make(&folder).unwrap();
            file.write_all(b"body").unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "body");
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
