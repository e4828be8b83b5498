//! Path lookups that may need a disk.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Aio;
use crate::error_log::{Level, process_log};

/// Loads the path into the kernel's caches, in the place that `aio` selects, unless it is cached: a
/// following open does not block the loop. Kernels before 5.12 cannot tell, and the open blocks.
pub async fn learn(aio: &Aio, path: &Path) {
    let Some(pool) = aio.pool() else { return };
    if is_known(path) {
        return;
    }
    let path = path.to_owned();
    match pool.run(move || rustix::fs::stat(&path).map(drop)) {
        // The following open reports any error.
        Ok(work) => drop(work.await),
        Err(overflow) => process_log().log(Level::Error, 0, &overflow),
    }
}

/// Whether the kernel has every component of the path cached, or knows one to be missing.
fn is_known(path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED);
    !matches!(found, Err(Errno::AGAIN))
}
