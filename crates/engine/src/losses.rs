//! Lines that a log did not take: how many, and how often that is told. A log that takes some and
//! not others, by turns, must not fill another one with complaints.

/// The same is told again after so many seconds, as nginx does it with log files.
const QUIET: i64 = 60;

/// The losses of one log. Times are seconds of the wall clock.
#[derive(Debug, Default)]
pub struct Losses {
    /// Lines since the last that were told.
    lost: u64,
    /// When a failure was last told.
    failure_told: i64,
    /// When the number of lost lines was last told.
    number_told: i64,
}

impl Losses {
    /// Counts so many more.
    pub fn add(&mut self, lines: u64) {
        self.lost += lines;
    }

    /// Whether there are any that were not told.
    pub fn any(&self) -> bool {
        self.lost > 0
    }

    /// Whether a failure is to be told now.
    pub fn is_news(&mut self, now: i64) -> bool {
        is_due(&mut self.failure_told, now)
    }

    /// The log takes lines: how many were lost before, if there are some and it is time to tell.
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

/// `5 lines were lost`
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
    fn what_comes_and_goes_is_told_once_a_minute() {
        let mut losses = Losses::default();
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
    }
}
