//! When a certificate is renewed, and when a failed attempt is repeated. Times are in seconds since
//! 1970; `share` is a random number below one.

use std::time::Duration;

/// Certificates that live shorter than this count as short-lived, in seconds.
const SHORT: i64 = 10 * 86_400;

/// The time after the first failure.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// The factor from one failure to the next. With it, an authority that allows five failures an hour
/// is asked six times in the first.
const GROWTH: u32 = 4;

/// The longest time after a failure, unless the authority asks for more.
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 3600);

/// The longest time that an authority can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// The shortest and longest time until renewal information is asked for again (RFC 9773 section
/// 4.3.2).
const LEAST_ASKED: Duration = Duration::from_secs(60);
const MOST_ASKED: Duration = Duration::from_secs(86_400);

/// Without an answer about that.
const ASKED: Duration = Duration::from_secs(6 * 3600);

/// The shortest time from one certificate to the next, whatever clocks and authorities say.
const LEAST_REST: Duration = Duration::from_secs(10);

/// That time if the one before came early, too; four times as long after each further one.
const EARLY_REST: Duration = Duration::from_secs(3600);

/// The period in which the authority wants a renewal (RFC 9773 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// When a certificate with this validity is renewed: in the authority's window, or else with a
/// third of its life left, or half of a short one. The moments of many are spread over a twentieth
/// of it, and the last twentieth is left for failures, whatever the authority's window is.
pub(crate) fn due((from, until): (i64, i64), window: Option<Window>, share: f64) -> i64 {
    let life = (until - from).max(0);
    if let Some(Window { start, end }) = window {
        let latest = until.saturating_sub(life / 20);
        let (start, end) = (start.min(latest), end.min(latest));
        return start.saturating_add(portion(end.saturating_sub(start), share));
    }
    let left = if life < SHORT { life / 2 } else { life / 3 };
    until - left - portion(life / 20, share)
}

fn portion(length: i64, share: f64) -> i64 {
    (length.max(0) as f64 * share) as i64
}

/// The time until the next attempt after so many failures in a row, or what the authority asks for.
pub(crate) fn retry(failures: u32, asked: Option<Duration>, share: f64) -> Duration {
    let growth = GROWTH.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let own = FIRST_RETRY.saturating_mul(growth).min(LONGEST_RETRY);
    let own = own.mul_f64(0.75 + share / 2.0);
    match asked {
        // A little later, since others were told the same.
        Some(asked) => {
            asked.min(LONGEST_WAIT).max(own.min(FIRST_RETRY)) + own.mul_f64(share / 10.0)
        }
        None => own,
    }
}

/// The time after a certificate in which no other is ordered. `early` counts the renewals in a row
/// that came in the first third of a life: an authority that revokes is obeyed at once, and one
/// that never has enough ever more slowly, like a clock that nobody can put right.
pub(crate) fn rest(early: u32, life: Duration) -> Duration {
    let growth = GROWTH.checked_pow(early.saturating_sub(1)).unwrap_or(u32::MAX);
    let rest = if early == 0 { LEAST_REST } else { EARLY_REST.saturating_mul(growth) };
    rest.min(life / 4).max(LEAST_REST)
}

/// The time until renewal information is asked for again.
pub(crate) fn ask_again(asked: Option<Duration>) -> Duration {
    asked.map_or(ASKED, |asked| asked.clamp(LEAST_ASKED, MOST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn renewal_is_well_before_the_end() {
        let days = |life: i64, share| due((0, life * DAY), None, share) as f64 / DAY as f64;
        assert_eq!(days(90, 0.0), 60.0);
        assert!(days(90, 0.999) > 55.4 && days(90, 0.999) < 56.0);
        assert_eq!(days(6, 0.0), 3.0);
        assert_eq!(due((100, 50), None, 0.5), 50);
    }

    #[test]
    fn the_authoritys_window_counts() {
        let window = |start, end| due((0, 90 * DAY), Some(Window { start, end }), 0.5);
        assert_eq!(window(10, 20), 15);
        // Revoked: the window is in the past.
        assert_eq!(window(-20, -10), -15);
    }

    #[test]
    fn a_window_beyond_the_end_is_cut() {
        let window = |start, end| due((0, 100 * DAY), Some(Window { start, end }), 0.5);
        assert_eq!(window(94 * DAY, 200 * DAY), 94 * DAY + DAY / 2);
        assert_eq!(window(101 * DAY, 200 * DAY), 95 * DAY);
        assert_eq!(window(i64::MAX - 1, i64::MAX), 95 * DAY);
        assert_eq!(window(i64::MIN, i64::MAX), due_of_all());
        assert_eq!(due((0, 0), Some(Window { start: 5, end: 6 }), 0.5), 0);
    }

    /// Half of all time before the last twentieth of a hundred days, which is below any clock.
    fn due_of_all() -> i64 {
        i64::MIN + portion(i64::MAX, 0.5)
    }

    #[test]
    fn failures_are_repeated_ever_later() {
        let pauses: Vec<_> = (1..=8).map(|n| retry(n, None, 0.5).as_secs()).collect();
        assert_eq!(pauses, [10, 40, 160, 640, 2560, 10_240, 21_600, 21_600]);
        assert!(retry(u32::MAX, None, 0.99) < Duration::from_secs(28_000));
        assert!(retry(1, None, 0.0) < retry(1, None, 0.9));
    }

    #[test]
    fn certificates_that_come_early_come_ever_later() {
        let life = Duration::from_secs(90 * 86_400);
        let rests: Vec<_> = (0..=5).map(|early| rest(early, life).as_secs() / 10).collect();
        assert_eq!(rests, [1, 360, 1440, 5760, 23_040, 92_160]);
        assert_eq!(rest(u32::MAX, life), life / 4);
        assert_eq!(rest(9, Duration::from_secs(3600)), Duration::from_secs(900));
        assert_eq!(rest(9, Duration::ZERO), LEAST_REST);
    }

    #[test]
    fn the_authority_is_heard() {
        let asked = |seconds| retry(1, Some(Duration::from_secs(seconds)), 0.0).as_secs();
        assert_eq!((asked(3600), asked(0), asked(u64::MAX / 2)), (3600, 7, 7 * 86_400));
        assert_eq!(ask_again(Some(Duration::ZERO)), LEAST_ASKED);
        assert_eq!(ask_again(None), ASKED);
    }
}
