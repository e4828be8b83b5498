//! The budget of retries: a group in trouble must not get a multiple of its requests
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/circuit_breaking>).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_engine::{Level, error_log::Seldom};

/// The limit of retries under way in a group: the larger of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// The share of the active requests, in percent.
    pub percent: u64,
    /// A number that is always allowed.
    pub min: u64,
}

impl RetryBudget {
    /// The default: 20 % of the active requests, and at least 10.
    pub const DEFAULT: Self = Self { percent: 20, min: 10 };

    /// The number of retries at this number of active requests.
    fn limit(self, active: u64) -> u64 {
        self.min.max((u128::from(active) * u128::from(self.percent) / 100) as u64)
    }
}

/// The retries under way in a group, shared by threads and outliving reloads.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    count: AtomicU64,
    exhausted: Seldom,
}

impl Retries {
    /// Begins a retry if the budget allows one more; otherwise the log says so, once a second.
    pub(crate) fn begin(&self, budget: RetryBudget, active: u64, group: &str) -> bool {
        let limit = budget.limit(active);
        let one_more = |count| (count < limit).then_some(count + 1);
        if self.count.fetch_update(Relaxed, Relaxed, one_more).is_ok() {
            return true;
        }
        let text = format_args!(
            "the budget of retries in upstream \"{group}\" is used up: {limit} at {active} active \
             requests"
        );
        self.exhausted.log(Level::Warn, text);
        false
    }

    /// Ends a retry.
    pub(crate) fn end(&self) {
        self.count.fetch_sub(1, Relaxed);
    }
}

/// The part of one request in them.
#[derive(Debug, Default)]
pub(crate) struct Retrying {
    /// Whether it counts as a retry under way.
    counts: bool,
    /// Its next retry is free.
    free: bool,
    /// It had a free one.
    had_free: bool,
}

impl Retrying {
    /// Makes the next retry free, once.
    pub(crate) fn forgive(&mut self) {
        self.free = !std::mem::replace(&mut self.had_free, true);
    }

    /// Whether the budget allows one more of the group's retries. A request that counts already
    /// goes on.
    pub(crate) fn begin(
        &mut self,
        (all, group): (&Retries, &str),
        active: impl FnOnce() -> u64,
        budget: RetryBudget,
    ) -> bool {
        if std::mem::take(&mut self.free) || self.counts {
            return true;
        }
        self.counts = all.begin(budget, active(), group);
        self.counts
    }

    pub(crate) fn end(&mut self, all: &Retries) {
        if std::mem::take(&mut self.counts) {
            all.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_engine::Addr;

    use super::*;
    use crate::{Group, Now, Outcome, Request, Timings};

    #[test]
    fn the_limit_is_a_share_of_active_requests_but_never_below_the_minimum() {
        let budget = RetryBudget { percent: 20, min: 3 };
        let limits = [0, 19, 20, 100, u64::MAX].map(|active| budget.limit(active));
        assert_eq!(limits, [3, 3, 4, 20, u64::MAX / 5]);
        assert_eq!(RetryBudget { percent: 0, min: 0 }.limit(1000), 0);
    }

    #[test]
    fn threads_never_exceed_it_together() {
        let (retries, budget) = (Retries::default(), RetryBudget { percent: 0, min: 5 });
        let under_way = AtomicU64::new(0);
        let begun = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        let held = (0..3).filter(|_| retries.begin(budget, 0, "g")).count() as u64;
                        assert!(under_way.fetch_add(held, Relaxed) + held <= 5);
                        begun.fetch_add(held, Relaxed);
                        under_way.fetch_sub(held, Relaxed);
                        (0..held).for_each(|_| retries.end());
                    }
                });
            }
        });
        assert!(begun.load(Relaxed) >= 5);
        assert_eq!(retries.count.load(Relaxed), 0);
    }

    fn group() -> Arc<Group> {
        let addresses = (1..5).map(|port| Addr::Inet(([127, 0, 0, 1], port).into())).collect();
        Group::transient("g", addresses)
    }

    #[test]
    fn a_request_counts_as_one_retry_from_its_first_to_its_answer() {
        let (group, mut random) = (group(), fastrand::Rng::with_seed(1));
        let budget = Some(RetryBudget { percent: 0, min: 1 });
        let mut picks = [0; 3].map(|_| group.start(Request::default()));
        for pick in &mut picks {
            pick.next(&mut random, Now::default()).unwrap();
            pick.free(Outcome::Failed, Timings::default(), Now::default());
        }
        let [first, second, third] = &mut picks;
        assert!(first.begin_retry(budget) && first.begin_retry(budget));
        assert!(!second.begin_retry(budget));
        assert!(third.begin_retry(None));
        // Of two stale connections the first is forgiven.
        second.give_back_try();
        assert!(second.begin_retry(budget) && !second.begin_retry(budget));
        second.give_back_try();
        assert!(!second.begin_retry(budget));
        first.end_retry();
        assert!(second.begin_retry(budget) && !first.begin_retry(budget));
        drop(picks);
        assert!(group.start(Request::default()).begin_retry(budget));
    }

    #[test]
    fn the_budget_grows_with_the_active_requests() {
        let (group, mut random) = (group(), fastrand::Rng::with_seed(1));
        let budget = Some(RetryBudget { percent: 50, min: 0 });
        let mut picks: Vec<_> = (0..10).map(|_| group.start(Request::default())).collect();
        for pick in &mut picks {
            pick.next(&mut random, Now::default()).unwrap();
        }
        let allowed = picks.iter_mut().filter_map(|pick| pick.begin_retry(budget).then_some(()));
        assert_eq!(allowed.count(), 5);
    }

    #[test]
    fn another_peer_is_one_that_was_not_tried_and_is_available() {
        let (group, mut random) = (group(), fastrand::Rng::with_seed(1));
        let now = Now::default();
        let mut pick = group.start(Request::default());
        let first = pick.next(&mut random, now).unwrap();
        for left in (0..3).rev() {
            assert!(pick.has_another(now));
            let mut other = group.start(Request::default());
            while other.next(&mut random, now).unwrap().name == first.name {}
            other.free(Outcome::Failed, Timings::default(), now);
            assert_eq!(pick.has_another(now), left > 0);
        }
    }
}
