//! Rate-limited log lines: once a second each, so that frequent events do not fill the disk.

use std::fmt::Display;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::{Level, process_log};
use crate::clock;

/// A rate-limited line in the process's log.
#[derive(Debug)]
pub struct Seldom {
    /// The second of the wall clock at which it was last written.
    written: AtomicI64,
    /// The number of lines withheld since.
    withheld: AtomicU64,
}

impl Seldom {
    /// A line that has not been written.
    pub const fn new() -> Self {
        Self { written: AtomicI64::new(0), withheld: AtomicU64::new(0) }
    }

    /// Writes the line, at most once a second; the next line tells how many were withheld.
    pub fn log(&self, level: Level, message: impl Display) {
        self.log_to(message, |message| process_log().log(level, 0, message));
    }

    /// As [`Self::log`], by another log's `write`.
    pub fn log_to(&self, message: impl Display, write: impl FnOnce(&dyn Display)) {
        match self.take(clock::wall_secs()) {
            None => {}
            Some(0) => write(&message),
            Some(1) => write(&format_args!("{message} (1 earlier message withheld)")),
            Some(more) => write(&format_args!("{message} ({more} earlier messages withheld)")),
        }
    }

    /// The number of lines withheld before this one; `None` if this one is withheld.
    fn take(&self, second: i64) -> Option<u64> {
        if self.written.swap(second, Relaxed) == second {
            self.withheld.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.withheld.swap(0, Relaxed))
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_a_second_and_counts_the_others() {
        let line = Seldom::new();
        let told: Vec<_> = [7, 7, 7, 8, 9, 9].map(|second| line.take(second)).into();
        assert_eq!(told, [Some(0), None, None, Some(2), Some(0), None]);
    }
}
