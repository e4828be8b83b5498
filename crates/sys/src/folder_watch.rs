//! Changes in folders, by inotify(7).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

/// The size of the buffer for events: several with the longest names.
const EVENTS: usize = 4096;

/// A watch of some folders. Its descriptor is readable when a name in one of them was made, removed
/// or replaced.
#[derive(Debug)]
pub struct FolderWatch(OwnedFd);

impl FolderWatch {
    /// Watches these folders. What they contain is to be read afterwards.
    ///
    /// # Errors
    /// Those of inotify_init(2) and inotify_add_watch(2).
    pub fn new(folders: &[&Path]) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR;
        for folder in folders {
            inotify::add_watch(&fd, *folder, flags)?;
        }
        Ok(Self(fd))
    }

    /// Takes the changes so far; whether there were any.
    pub fn take(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(&self.0, &mut buffer);
        let mut any = false;
        while reader.next().is_ok() {
            any = true;
        }
        any
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_noticed_once() {
        let folder = std::env::temp_dir().join(format!("weir-folder-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        let watch = FolderWatch::new(&[&folder, &folder.join("inner")]).unwrap();
        assert!(!watch.take());
        std::fs::write(folder.join("inner/new"), "x").unwrap();
        assert!(watch.take() && !watch.take());
        std::fs::rename(folder.join("inner/new"), folder.join("name")).unwrap();
        assert!(watch.take());
        std::fs::remove_file(folder.join("name")).unwrap();
        assert!(watch.take() && !watch.take());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(FolderWatch::new(&[&folder]).is_err());
    }
}
