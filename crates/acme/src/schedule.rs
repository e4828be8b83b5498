//! What is next for one certificate: an order, a question about its renewal, or nothing yet.
//!
//! It knows no clock: `now` is monotonic and measures pauses, `wall` is in seconds since 1970 by
//! the authority's clock and is compared with what certificates say. So a wall clock that jumps
//! can make a certificate due, but not orders follow each other.

use std::time::Duration;

use weir_engine::clock::Instant;

use crate::renewal::{self, Window};

/// The first second in which a certificate is valid, and the first in which it is not any longer.
pub(crate) type Validity = (i64, i64);

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The certificate is ordered.
    Order,
    /// The authority is asked when it wants a renewal.
    Ask,
    /// Nothing for this time.
    Wait(Duration),
}

/// The course of one certificate.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Those in a row.
    failures: u32,
    /// The place of the renewal within its period, chosen anew for each certificate.
    share: f64,
    window: Option<Window>,
    /// Whether the operator wants another certificate now.
    is_forced: bool,
    /// When renewal information is asked for.
    asks: Instant,
    /// Not to be ordered before.
    rests: Instant,
    /// When the last order was done here.
    issued: Option<Instant>,
    /// The renewals in a row that came long before their certificate's end.
    early: u32,
}

impl Schedule {
    /// The course from `now` on, with the first question after `first_question`. `share` is a
    /// random number below one, here and below.
    pub(crate) fn new(now: Instant, first_question: Duration, share: f64) -> Self {
        Self {
            failures: 0,
            share,
            window: None,
            is_forced: false,
            asks: now + first_question,
            rests: now,
            issued: None,
            early: 0,
        }
    }

    pub(crate) fn is_forced(&self) -> bool {
        self.is_forced
    }

    /// When a certificate is ordered or renewed, in seconds since 1970 by the authority's clock.
    pub(crate) fn due(&self, valid: Option<Validity>) -> i64 {
        let valid = valid.filter(|_| !self.is_forced);
        valid.map_or(i64::MIN, |valid| renewal::due(valid, self.window, self.share))
    }

    /// The earliest time of the next order, as [`Schedule::due`].
    pub(crate) fn next_order(&self, valid: Option<Validity>, now: Instant, wall: i64) -> i64 {
        let rest = i64::try_from(self.rests.since(now).as_secs()).unwrap_or(i64::MAX);
        self.due(valid).max(wall.saturating_add(rest))
    }

    /// What is next. `valid` is the validity of the certificate in force.
    pub(crate) fn next(&self, valid: Option<Validity>, now: Instant, wall: i64) -> Next {
        let (due, rest) = (self.due(valid), self.rests.since(now));
        if due <= wall && rest.is_zero() {
            return Next::Order;
        }
        let asks = self.asks.since(now);
        if valid.is_some() && asks.is_zero() {
            return Next::Ask;
        }
        let left = u64::try_from(due.saturating_sub(wall)).unwrap_or(0);
        let left = rest.max(Duration::from_secs(left));
        Next::Wait(if valid.is_some() { left.min(asks) } else { left })
    }

    /// The operator wants another certificate.
    pub(crate) fn force(&mut self, now: Instant) {
        self.is_forced = true;
        self.try_at_once(now);
    }

    /// Something has changed, so that what failed may succeed.
    pub(crate) fn try_at_once(&mut self, now: Instant) {
        (self.failures, self.rests) = (0, now);
    }

    /// There is another certificate.
    pub(crate) fn issued(&mut self, (from, until): Validity, now: Instant, share: f64) {
        let life = Duration::from_secs(u64::try_from(until.saturating_sub(from)).unwrap_or(0));
        // More than the longest rest, so that it does not end the row.
        let is_early = self.issued.is_some_and(|last| now.since(last) < life / 3);
        self.early = if is_early { self.early.saturating_add(1) } else { 0 };
        (self.failures, self.share, self.window) = (0, share, None);
        (self.is_forced, self.issued) = (false, Some(now));
        self.rests = now + renewal::rest(self.early, life);
        self.asks = now + renewal::ask_again(None).min(life / 4);
    }

    /// An order has failed. Returns the time until the next one; `asked` is what the authority asks
    /// for.
    pub(crate) fn failed(&mut self, asked: Option<Duration>, now: Instant, share: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = renewal::retry(self.failures, asked, share);
        self.rests = now + wait;
        wait
    }

    /// The authority wants a renewal in this period. Returns whether it has become due by that.
    pub(crate) fn inform(&mut self, window: Window, valid: Option<Validity>, wall: i64) -> bool {
        let before = self.due(valid);
        self.window = Some(window);
        self.due(valid) < before && self.due(valid) <= wall
    }

    /// Renewal information is asked for again after this time, or the usual one.
    pub(crate) fn ask_after(&mut self, wait: Option<Duration>, now: Instant) {
        self.asks = now + renewal::ask_again(wait);
    }

    /// Nothing is asked before.
    pub(crate) fn ask_not_before(&mut self, wait: Duration, now: Instant) {
        self.asks = self.asks.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    /// A machine with a certificate from an authority whose certificates live for `life` seconds.
    /// The authority is always there, and its clock is right.
    struct World {
        schedule: Schedule,
        valid: Option<Validity>,
        life: i64,
        /// Seconds, the same for the authority's clock and the monotonic one.
        time: i64,
        /// Our wall clock less the authority's, and what we have learnt about it.
        deviation: i64,
        known: i64,
        /// Whether the authority tells its time.
        tells_time: bool,
        window: Option<Window>,
        orders: Vec<i64>,
        /// The seconds in which no valid certificate was in force, after the first order.
        gap: i64,
    }

    impl World {
        fn new(life: i64) -> Self {
            let schedule = Schedule::new(Instant::from_nanos(0), Duration::ZERO, 0.5);
            let (orders, window, tells_time) = (Vec::new(), None, true);
            let (time, deviation, known, gap) = (0, 0, 0, 0);
            Self {
                schedule,
                valid: None,
                life,
                time,
                deviation,
                known,
                tells_time,
                window,
                orders,
                gap,
            }
        }

        fn now(&self) -> Instant {
            Instant::from_nanos(0) + Duration::from_secs(self.time.cast_unsigned())
        }

        /// The authority's time as far as it is known.
        fn wall(&self) -> i64 {
            self.time + self.deviation - self.known
        }

        /// A session begins: the authority's date is known.
        fn hear(&mut self) {
            if self.tells_time {
                self.known = self.deviation;
            }
        }

        fn run(&mut self, until: i64) {
            while self.time < until {
                match self.schedule.next(self.valid, self.now(), self.wall()) {
                    Next::Order => {
                        self.hear();
                        if self.schedule.due(self.valid) > self.wall() {
                            continue;
                        }
                        let valid = (self.time, self.time + self.life);
                        self.valid = Some(valid);
                        self.orders.push(self.time);
                        let now = self.now();
                        self.schedule.issued(valid, now, 0.5);
                    }
                    Next::Ask => {
                        self.hear();
                        let (wall, now) = (self.wall(), self.now());
                        if let Some(window) = self.window {
                            self.schedule.inform(window, self.valid, wall);
                        }
                        self.schedule.ask_after(None, now);
                    }
                    // The duty looks at its clocks every hour.
                    Next::Wait(left) => {
                        let left = left.as_secs().clamp(1, 3600).cast_signed();
                        let left = left.min(until - self.time);
                        let end = self.valid.map_or(0, |(_, end)| end);
                        self.gap += (self.time + left - end.max(self.time)).max(0);
                        self.time += left;
                    }
                }
            }
        }
    }

    #[test]
    fn certificates_are_renewed_all_their_lives() {
        // An hour, six days, ninety days, a year.
        for life in [HOUR, 6 * DAY, 90 * DAY, 365 * DAY] {
            let mut world = World::new(life);
            world.run(10 * life);
            assert!((14..=22).contains(&world.orders.len()), "{life}: {:?}", world.orders);
            assert_eq!(world.gap, 0, "{life}");
        }
    }

    #[test]
    fn a_clock_that_jumps_orders_nothing_and_misses_nothing() {
        for jumps in
            [[20 * 365 * DAY, 0], [-20 * 365 * DAY, 0], [100 * DAY, -100 * DAY], [-DAY, DAY]]
        {
            let mut world = World::new(90 * DAY);
            world.run(DAY);
            for jump in jumps {
                world.deviation = jump;
                world.run(world.time + 10 * DAY);
            }
            assert_eq!(world.orders, [0], "{jumps:?}");
            world.run(900 * DAY);
            assert!(world.orders.len() <= 17, "{jumps:?} {:?}", world.orders);
            assert_eq!(world.gap, 0, "{jumps:?}");
        }
    }

    #[test]
    fn without_the_authoritys_time_a_wrong_clock_costs_few_orders() {
        let mut world = World::new(90 * DAY);
        world.tells_time = false;
        world.run(DAY);
        // By this clock each certificate has ended when it comes.
        world.deviation = 365 * DAY;
        world.run(31 * DAY);
        assert!(world.orders.len() <= 8, "{:?}", world.orders);
        world.deviation = 0;
        world.run(400 * DAY);
        assert_eq!(world.gap, 0);
        // A clock that is late by less than what is left costs nothing.
        let mut late = World::new(90 * DAY);
        (late.tells_time, late.deviation) = (false, -20 * DAY);
        late.run(400 * DAY);
        assert_eq!(late.gap, 0);
    }

    #[test]
    fn one_that_is_revoked_early_is_replaced_within_hours() {
        let mut world = World::new(90 * DAY);
        world.run(DAY + HOUR);
        world.window = Some(Window { start: -2, end: -1 });
        world.run(world.time + 6 * HOUR);
        assert_eq!(world.orders.len(), 2);
        // An authority that never has enough is asked ever more rarely.
        world.run(world.time + 90 * DAY);
        assert!(world.orders.len() <= 10, "{:?}", world.orders);
    }

    #[test]
    fn a_wish_is_done_at_once_and_once() {
        let mut world = World::new(90 * DAY);
        world.run(60);
        world.schedule.failed(Some(Duration::from_secs(7200)), world.now(), 0.5);
        world.schedule.force(world.now());
        world.run(120);
        assert_eq!(world.orders.len(), 2);
        assert!(!world.schedule.is_forced());
    }

    #[test]
    fn a_failure_pauses_orders_and_not_questions() {
        let now = Instant::from_nanos(0);
        let mut schedule = Schedule::new(now, Duration::ZERO, 0.5);
        assert_eq!(schedule.next(None, now, 0), Next::Order);
        let wait = schedule.failed(None, now, 0.5);
        assert_eq!(schedule.next(None, now, 0), Next::Wait(wait));
        assert_eq!(schedule.next(Some((-90 * DAY, 0)), now, 0), Next::Ask);
        assert_eq!(schedule.next_order(None, now, 100), 110);
        schedule.try_at_once(now);
        assert_eq!(schedule.next(None, now, 0), Next::Order);
    }
}
