//! Counts of lines that a log did not accept, and the rate of their reports: a log that fails
//! intermittently must not flood another one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The pause between equal reports in seconds, as for nginx's log files.
const QUIET: i64 = 60;

/// The lines that all logs of the process have lost.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The lines that all logs of the process have lost since its start.
pub fn lost_lines() -> u64 {
    LOST.load(Relaxed)
}

/// The losses of a log. Times are seconds of the wall clock.
#[derive(Debug, Default)]
pub struct Losses {
    /// Lines lost since the last report.
    lost: u64,
    /// The time of the last report of a failure.
    failure_told: i64,
    /// The time of the last report of lost lines.
    number_told: i64,
}

impl Losses {
    /// Counts lost lines.
    pub fn add(&mut self, lines: u64) {
        self.lost += lines;
        LOST.fetch_add(lines, Relaxed);
    }

    /// Whether there are unreported losses.
    pub fn any(&self) -> bool {
        self.lost > 0
    }

    /// Whether to report a failure now.
    pub fn is_news(&mut self, now: i64) -> bool {
        is_due(&mut self.failure_told, now)
    }

    /// The number of lost lines to report, now that the log accepts lines; `None` if there are none
    /// or the last report is recent.
    pub fn over(&mut self, now: i64) -> Option<u64> {
        let told = self.lost > 0 && is_due(&mut self.number_told, now);
        told.then(|| std::mem::take(&mut self.lost))
    }
}

fn is_due(told: &mut i64, now: i64) -> bool {
    let due = now - *told >= QUIET;
    if due {
        *told = now;
    }
    due
}

/// The losses in words: `5 lines were lost`.
pub fn in_words(lost: u64) -> String {
    match lost {
        1 => "1 line was lost".to_owned(),
        lost => format!("{lost} lines were lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intermittent_losses_are_reported_once_a_minute() {
        let (mut losses, before) = (Losses::default(), lost_lines());
        assert_eq!(losses.over(1000), None);
        let mut told = Vec::new();
        for now in 1000..1090 {
            losses.add(1);
            if losses.is_news(now) {
                told.push((now, 0));
            }
            told.extend(losses.over(now).map(|lost| (now, lost)));
        }
        assert_eq!(told, [(1000, 0), (1000, 1), (1060, 0), (1060, 60)]);
        assert!(losses.any());
        assert!(lost_lines() >= before + 90);
    }
}
