//! Failures of a log whose lines may go to different files: how often they are reported, and when
//! writing is skipped. Other logs keep track of that themselves.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use weir_engine::clock;
use weir_engine::error_log::Level;
use weir_engine::log_files::LogFile;
use weir_engine::losses::{self, Losses};
use weir_engine::os_error::Failed;

use crate::Session;

/// The failures of one log.
#[derive(Default)]
pub(super) struct Trouble {
    /// The last second in which a disk was full, by the wall clock.
    full_at: AtomicI64,
    /// Whether lines have been lost.
    any: AtomicBool,
    losses: Mutex<Losses>,
}

impl Trouble {
    /// Whether a disk was found full within this second. Writing to a full disk is slow, so the
    /// line then counts as lost.
    pub(super) fn is_full(&self) -> bool {
        let full_at = self.full_at.load(Relaxed);
        let is_full = full_at != 0 && full_at == clock::wall_secs();
        if is_full {
            self.with(|losses| losses.add(1));
        }
        is_full
    }

    /// Reports lost lines, after a line has been written.
    pub(super) fn is_over<S: Session>(&self, session: &S) {
        if self.any.load(Relaxed)
            && let Some(lost) = self.with(|losses| losses.over(clock::wall_secs()))
        {
            session.log(Level::Error, &format!("{} of an access log", losses::in_words(lost)));
        }
    }

    /// Records a failure, and reports it from time to time.
    pub(super) fn tell<S: Session>(&self, session: &S, file: &Arc<LogFile>, error: &io::Error) {
        if error.kind() == io::ErrorKind::StorageFull {
            self.full_at.store(clock::wall_secs(), Relaxed);
        }
        // A file that stays open counts its losses itself.
        let lost = u64::from(Arc::strong_count(file) == 1);
        let is_news = self.with(|losses| {
            losses.add(lost);
            losses.is_news(clock::wall_secs())
        });
        if is_news {
            tell(session, file, error);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Losses) -> T) -> T {
        let mut losses = self.losses.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let result = act(&mut losses);
        self.any.store(losses.any(), Relaxed);
        result
    }
}

/// Reports a failure.
pub(super) fn tell<S: Session>(session: &S, file: &LogFile, error: &io::Error) {
    let what = format!("write() to \"{}\" failed", file.path().display());
    session.log(Level::Alert, &Failed(&what, error).to_string());
}
