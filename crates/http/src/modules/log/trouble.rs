//! A log that cannot be written to: how often that is told, and when writing is left alone.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use weir_engine::clock;
use weir_engine::error_log::Level;
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;

use crate::request::Request;

/// Failures of one log are told no more often than this, in seconds.
const QUIET: i64 = 60;

/// What is known of one log's failures; times are seconds of the wall clock.
#[derive(Default)]
pub(super) struct Trouble {
    full_at: AtomicI64,
    told_at: AtomicI64,
}

impl Trouble {
    /// Whether the file system was found full within this second: writing to one is slow.
    pub(super) fn is_full(&self) -> bool {
        let full_at = self.full_at.load(Relaxed);
        full_at != 0 && full_at == clock::wall_secs()
    }

    /// Notes a failure, and tells of it now and then.
    pub(super) fn tell(&self, request: &Request, file: &LogFile, error: &io::Error) {
        let now = clock::wall_secs();
        if error.kind() == io::ErrorKind::StorageFull {
            self.full_at.store(now, Relaxed);
        }
        if now - self.told_at.load(Relaxed) >= QUIET {
            self.told_at.store(now, Relaxed);
            let what = format!("write() to \"{}\" failed", file.path().display());
            request.log(Level::Alert, &Failed(&what, error).to_string());
        }
    }
}
