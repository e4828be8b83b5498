//! Paths that the kernel would have to ask a disk for.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Aio;
use crate::error_log::{Level, process_log};

/// Has the kernel learn what is at a path, where `aio` says, unless it knows: then the loop does
/// not wait when it opens it. On kernels before 5.12, which do not tell, the loop waits.
pub async fn learn(aio: &Aio, path: &Path) {
    let Some(pool) = aio.pool() else { return };
    if is_known(path) {
        return;
    }
    let path = path.to_owned();
    match pool.run(move || rustix::fs::stat(&path).map(drop)) {
        // Whoever opens it hears what is wrong with it.
        Ok(work) => drop(work.await),
        Err(overflow) => process_log().log(Level::Error, 0, &overflow),
    }
}

/// Whether the kernel has every name of the path in memory, or the one that is not there.
fn is_known(path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED);
    !matches!(found, Err(Errno::AGAIN))
}
