//! Time: a monotonic clock for deadlines, and wall-clock texts formatted once a second.

use std::cell::{Cell, RefCell};
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use crate::kernel::{ClockId, clock_gettime};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A point in monotonic time, in nanoseconds since the machine's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

/// Whole microseconds, the unit of times that users see. A type of its own, because other times are
/// counted in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

impl Micros {
    /// The microseconds of whole milliseconds.
    pub const fn of_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// The whole milliseconds.
    pub const fn millis(self) -> u64 {
        self.0 / 1000
    }

    /// The whole seconds.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl From<Micros> for Duration {
    fn from(micros: Micros) -> Self {
        Self::from_micros(micros.0)
    }
}

thread_local! {
    /// The monotonic time of the current turn of the thread's loop, read once per turn like nginx's
    /// `ngx_cached_time`. Zero without a loop.
    static TURN: Cell<Instant> = const { Cell::new(Instant(0)) };

    /// The second of the wall clock, for turns, and when it is read again.
    static SECOND: Cell<(i64, Instant)> = const { Cell::new((0, Instant(0))) };
}

/// The time for which a second of the wall clock counts: as long as a tick of most kernels, which
/// is the precision of the coarse clock.
const TICK: Duration = Duration::from_millis(4);

/// Starts a turn of the thread's loop with the current time. Returns whether it is the first turn
/// of a tick, for what need not be looked at in each.
pub(crate) fn begin_turn() -> bool {
    let now = precise();
    TURN.set(now);
    let ticks = now >= SECOND.get().1;
    if ticks {
        SECOND.set((coarse_secs(), now + TICK));
    }
    ticks
}

/// Clears the turn's time: the thread's loop has ended.
pub(crate) fn end_turns() {
    TURN.set(Instant(0));
}

fn coarse_secs() -> i64 {
    clock_gettime(ClockId::RealtimeCoarse).tv_sec
}

/// The monotonic time at the start of the loop's turn; without a loop, that of the kernel's last
/// tick. The cheapest clock, for deadlines and windows.
pub fn now() -> Instant {
    match TURN.get() {
        Instant(0) => read(ClockId::MonotonicCoarse),
        now => now,
    }
}

/// The exact monotonic time, for values that users see, such as `$request_time`.
pub fn precise() -> Instant {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> Instant {
    let time = clock_gettime(clock);
    Instant(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

impl Instant {
    /// Later than any real instant.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the clock's start; for tests with a virtual clock.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the clock's start, like nginx's `ngx_current_msec`.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the clock's start.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Microseconds since `earlier`; zero if `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0) / 1000)
    }

    /// The exact microseconds since this instant.
    pub fn elapsed_micros(self) -> Micros {
        precise().micros_since(self)
    }

    /// The exact time since this instant.
    pub fn elapsed(self) -> Duration {
        precise().since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Self> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub secs: i64,
    /// Milliseconds within the second.
    pub millis: u16,
}

/// The wall-clock time with millisecond precision.
pub fn wall() -> Wall {
    let time = clock_gettime(ClockId::Realtime);
    Wall { secs: time.tv_sec, millis: u16::try_from(time.tv_nsec / 1_000_000).unwrap_or(0) }
}

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
pub fn wall_nanos() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Milliseconds since 1970-01-01 00:00:00 UTC, for `$msec`.
pub fn msec() -> u64 {
    let wall = wall();
    wall.secs.unsigned_abs() * 1000 + u64::from(wall.millis)
}

/// The wall-clock second, with the precision of [`now`].
pub fn wall_secs() -> i64 {
    match TURN.get() {
        Instant(0) => coarse_secs(),
        _ => SECOND.get().0,
    }
}

/// The formatted texts of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Texts {
    secs: i64,
    http_date: [u8; 29],
    error_log: [u8; 19],
    local: [u8; 26],
    iso8601: [u8; 25],
    syslog: [u8; 15],
    offset: i32,
}

struct TextCache {
    zone: TimeZone,
    texts: Option<Texts>,
}

thread_local! {
    static CACHE: RefCell<TextCache> =
        RefCell::new(TextCache { zone: TimeZone::system(), texts: None });
}

/// The `Date` field: `Sun, 22 Nov 2026 17:34:16 GMT`.
pub fn http_date() -> [u8; 29] {
    texts(|texts| texts.http_date)
}

/// The local time at the start of error log lines: `2026/11/22 17:34:16`.
pub(crate) fn error_log_time() -> [u8; 19] {
    texts(|texts| texts.error_log)
}

/// `$time_local`: `22/Nov/2026:17:34:16 +0000`.
pub fn time_local() -> [u8; 26] {
    texts(|texts| texts.local)
}

/// `$time_iso8601`: `2026-11-22T17:34:16+00:00`.
pub fn time_iso8601() -> [u8; 25] {
    texts(|texts| texts.iso8601)
}

/// The local time with milliseconds (RFC 3339): `2026-11-22T17:34:16.042+00:00`.
pub fn rfc3339() -> [u8; 29] {
    let wall = wall();
    let texts = texts_of(wall.secs, |texts| texts.iso8601);
    let mut text = *b"0000-00-00T00:00:00.000+00:00";
    text[..19].copy_from_slice(&texts[..19]);
    text[20] = b'0' + (wall.millis / 100 % 10) as u8;
    text[21..23].copy_from_slice(&pair(i64::from(wall.millis)));
    text[23..].copy_from_slice(&texts[19..]);
    text
}

/// The local time for syslog: `Nov 22 17:34:16`.
pub(crate) fn syslog_time() -> [u8; 15] {
    texts(|texts| texts.syslog)
}

/// The current offset of the local time zone from UTC in seconds, positive to the east.
pub fn local_offset() -> i32 {
    texts(|texts| texts.offset)
}

fn texts<T>(pick: impl FnOnce(&Texts) -> T) -> T {
    texts_of(wall_secs(), pick)
}

fn texts_of<T>(secs: i64, pick: impl FnOnce(&Texts) -> T) -> T {
    CACHE.with_borrow_mut(|cache| match &cache.texts {
        Some(texts) if texts.secs == secs => pick(texts),
        _ => {
            let texts = Texts::at(secs, offset(&cache.zone, secs));
            let picked = pick(&texts);
            cache.texts = Some(texts);
            picked
        }
    })
}

fn offset(zone: &TimeZone, secs: i64) -> i32 {
    Timestamp::from_second(secs).map_or(0, |at| zone.to_offset(at).seconds())
}

const DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

impl Texts {
    fn at(secs: i64, offset: i32) -> Self {
        let utc = Civil::at(secs);
        let local = Civil::at(secs + i64::from(offset));
        let minutes = offset.unsigned_abs() / 60;
        let sign = if offset < 0 { b'-' } else { b'+' };
        let zone = [pair(i64::from(minutes / 60)), pair(i64::from(minutes % 60))];
        let mut texts = Self {
            secs,
            http_date: *b"Sun, 00 Jan 0000 00:00:00 GMT",
            error_log: *b"0000/00/00 00:00:00",
            local: *b"00/Jan/0000:00:00:00 +0000",
            iso8601: *b"0000-00-00T00:00:00+00:00",
            syslog: *b"Jan  0 00:00:00",
            offset,
        };

        texts.http_date[..3].copy_from_slice(DAYS[utc.weekday]);
        texts.http_date[5..7].copy_from_slice(&pair(utc.day));
        texts.http_date[8..11].copy_from_slice(MONTHS[utc.month]);
        texts.http_date[12..16].copy_from_slice(&utc.year());
        texts.http_date[17..25].copy_from_slice(&utc.time());

        texts.error_log[..4].copy_from_slice(&local.year());
        texts.error_log[5..7].copy_from_slice(&pair(local.month as i64 + 1));
        texts.error_log[8..10].copy_from_slice(&pair(local.day));
        texts.error_log[11..].copy_from_slice(&local.time());

        texts.local[..2].copy_from_slice(&pair(local.day));
        texts.local[3..6].copy_from_slice(MONTHS[local.month]);
        texts.local[7..11].copy_from_slice(&local.year());
        texts.local[12..20].copy_from_slice(&local.time());
        texts.local[21] = sign;
        texts.local[22..24].copy_from_slice(&zone[0]);
        texts.local[24..].copy_from_slice(&zone[1]);

        texts.iso8601[..4].copy_from_slice(&local.year());
        texts.iso8601[5..7].copy_from_slice(&pair(local.month as i64 + 1));
        texts.iso8601[8..10].copy_from_slice(&pair(local.day));
        texts.iso8601[11..19].copy_from_slice(&local.time());
        texts.iso8601[19] = sign;
        texts.iso8601[20..22].copy_from_slice(&zone[0]);
        texts.iso8601[23..].copy_from_slice(&zone[1]);

        texts.syslog[..3].copy_from_slice(MONTHS[local.month]);
        texts.syslog[4..6].copy_from_slice(&pair(local.day));
        if local.day < 10 {
            texts.syslog[4] = b' ';
        }
        texts.syslog[7..].copy_from_slice(&local.time());
        texts
    }
}

fn pair(number: i64) -> [u8; 2] {
    let number = number.rem_euclid(100) as u8;
    [b'0' + number / 10, b'0' + number % 10]
}

/// A date and time in the proleptic Gregorian calendar.
struct Civil {
    year: i64,
    /// From 0 for January.
    month: usize,
    day: i64,
    /// From 0 for Sunday.
    weekday: usize,
    second: i64,
}

impl Civil {
    /// Days are counted from 0000-03-01, so that the leap day is the last of a year.
    fn at(secs: i64) -> Self {
        let days = secs.div_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = ((shifted_month + 2) % 12) as usize;
        Self {
            year: year_of_era + era * 400 + i64::from(month < 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            weekday: (days + 4).rem_euclid(7) as usize,
            second: secs.rem_euclid(86_400),
        }
    }

    fn year(&self) -> [u8; 4] {
        let (high, low) = (pair(self.year / 100), pair(self.year));
        [high[0], high[1], low[0], low[1]]
    }

    fn time(&self) -> [u8; 8] {
        let (h, m, s) =
            (pair(self.second / 3600), pair(self.second / 60 % 60), pair(self.second % 60));
        [h[0], h[1], b':', m[0], m[1], b':', s[0], s[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn texts_of_one_second() {
        let texts = Texts::at(1_795_368_856, -(4 * 3600 + 1800));
        assert_eq!(text(&texts.http_date), "Sun, 22 Nov 2026 17:34:16 GMT");
        assert_eq!(text(&texts.error_log), "2026/11/22 13:04:16");
        assert_eq!(text(&texts.local), "22/Nov/2026:13:04:16 -0430");
        assert_eq!(text(&texts.iso8601), "2026-11-22T13:04:16-04:30");
        assert_eq!(text(&texts.syslog), "Nov 22 13:04:16");
    }

    #[test]
    fn dates_are_right_at_the_calendars_edges() {
        let date = |secs| text(&Texts::at(secs, 0).http_date).to_owned();
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(date(951_868_799), "Tue, 29 Feb 2000 23:59:59 GMT");
        assert_eq!(date(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(date(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
        assert_eq!(text(&Texts::at(0, 0).syslog), "Jan  1 00:00:00");
    }

    #[test]
    fn instants_do_not_wrap() {
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(Instant::default() - Instant::NEVER, Duration::ZERO);
        assert!(precise() + Duration::from_millis(20) >= now());
    }
}
