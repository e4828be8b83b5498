//! A disk that holds its answers on demand, in a directory of its own.

use std::path::PathBuf;

pub(crate) use weir_tests::slow_disk::Operation;
use weir_tests::slow_disk::SlowDisk;

use super::{Directory, skipped, until};

/// A mounted file system with its initial files and those created in it. Unmounted before its
/// directory is removed.
pub(crate) struct HeldDisk {
    disk: SlowDisk,
    _directory: Directory,
}

impl HeldDisk {
    /// Mounts a disk with these files. Returns `None` and prints a line if that is not possible.
    pub(crate) fn mount(files: &[(&str, &[u8])]) -> Option<Self> {
        let directory = Directory::new();
        let path = directory.join("disk");
        std::fs::create_dir(&path).unwrap();
        match SlowDisk::mount(&path, files) {
            Ok(disk) => Some(Self { disk, _directory: directory }),
            Err(reason) => {
                skipped(&reason);
                None
            }
        }
    }

    /// The mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.disk.path().to_owned()
    }

    /// Has each read of a file that is opened from now on reach the disk.
    pub(crate) fn bypass_cache(&self) {
        self.disk.bypass_cache();
    }

    /// Starts to hold operations of one kind.
    pub(crate) fn hold(&self, operation: Operation) {
        self.disk.hold(operation);
    }

    /// Waits until this many operations are held.
    #[track_caller]
    pub(crate) fn wait_held(&self, count: usize) {
        until("operations on the held disk", || self.held() >= count);
    }

    /// The number of held operations.
    pub(crate) fn held(&self) -> usize {
        self.disk.held()
    }

    /// Has operations of one kind fail with this number of an error, from now on.
    pub(crate) fn fail(&self, operation: Operation, error: i32) {
        self.disk.fail(operation, error);
    }

    /// Has no operation fail any more.
    pub(crate) fn mend(&self) {
        self.disk.mend();
    }

    /// Answers all held operations and stops holding.
    pub(crate) fn release(&self) {
        self.disk.release();
    }
}
