//! The last ten minutes, so that a page that is opened now shows what led to now. A duty notes
//! them, where there is a dashboard; no reload ends it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use weir_engine::duty::{Duty, Plans};
use weir_engine::{clock, stats, timer};
use weir_upstream::Group;

use crate::counters;

/// The time between two points of the whole instance.
const STEP: Duration = Duration::from_secs(2);

/// The number of points of the whole instance: ten minutes.
const POINTS: usize = 300;

/// The number of steps between two points of a group.
const GROUP_STEPS: u64 = 5;

/// The number of points of a group: ten minutes.
const GROUP_POINTS: usize = 60;

/// The maximum number of groups with a history, which bounds its memory to 1 MB.
const MOST_GROUPS: usize = 1000;

/// The counts of the whole instance at one moment.
#[derive(Clone, Copy, Default)]
struct Point {
    /// Milliseconds since 1970.
    at: u64,
    requests: u64,
    /// Open connections, idle ones among them.
    connections: u64,
    /// Of all server zones: bytes received and sent, and the responses by class.
    received: u64,
    sent: u64,
    classes: [u64; 5],
}

impl Point {
    fn now() -> Self {
        let totals = stats::totals();
        let mut point = Self {
            at: clock::msec(),
            requests: totals.requests,
            connections: totals.active,
            ..Self::default()
        };
        for (_, zone) in counters::server_zones() {
            point.received += zone.received;
            point.sent += zone.sent;
            for (sum, count) in point.classes.iter_mut().zip(zone.responses.classes) {
                *sum += count;
            }
        }
        point
    }

    fn shown(&self) -> Value {
        let Self { at, requests, connections, received, sent, classes: [a, b, c, d, e] } = self;
        json!([at, requests, connections, received, sent, a, b, c, d, e])
    }
}

/// The requests and failures of a group in each interval, and their sums so far.
#[derive(Default)]
struct Course {
    sums: (u64, u64),
    points: VecDeque<(u32, u32)>,
}

#[derive(Default)]
struct History {
    points: VecDeque<Point>,
    groups: HashMap<String, Course>,
    steps: u64,
}

static HISTORY: Mutex<Option<History>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<History>> {
    HISTORY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The duty that notes the history of these groups.
pub(super) fn duty(groups: Vec<Arc<Group>>) -> Duty {
    Duty::planned("the history of dashboards".to_owned(), groups, note)
}

async fn note(mut plans: Plans<Vec<Arc<Group>>>) {
    let _forget = Forget;
    loop {
        let groups = plans.current();
        lock().get_or_insert_default().step(&groups);
        timer::sleep(STEP).await;
    }
}

/// Frees the history when the last dashboard is gone.
struct Forget;

impl Drop for Forget {
    fn drop(&mut self) {
        *lock() = None;
    }
}

impl History {
    fn step(&mut self, groups: &[Arc<Group>]) {
        push(&mut self.points, Point::now(), POINTS);
        if self.steps.is_multiple_of(GROUP_STEPS) {
            self.groups.retain(|name, _| groups.iter().any(|group| group.name() == name));
            for group in groups.iter().take(MOST_GROUPS) {
                self.groups.entry(group.name().to_owned()).or_default().step(sums(group));
            }
        }
        self.steps += 1;
    }
}

/// The requests and the failures of a group.
fn sums(group: &Group) -> (u64, u64) {
    let peers = group.peers();
    let states = peers.iter().map(|peer| &peer.state);
    states.fold((0, 0), |(requests, failures), state| {
        (requests + state.requests.load(Relaxed), failures + state.failures.load(Relaxed))
    })
}

impl Course {
    fn step(&mut self, sums: (u64, u64)) {
        let begins = self.points.is_empty();
        // Less than before if a server has been removed or its counts have been reset.
        let more = |now: u64, before: u64| match begins {
            true => 0,
            false => u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX),
        };
        let point = (more(sums.0, self.sums.0), more(sums.1, self.sums.1));
        self.sums = sums;
        push(&mut self.points, point, GROUP_POINTS);
    }

    fn shown(&self) -> Value {
        let requests: Vec<u32> = self.points.iter().map(|point| point.0).collect();
        let failures: Vec<u32> = self.points.iter().map(|point| point.1).collect();
        json!([requests, failures])
    }
}

/// Adds a point; the oldest one goes when there are too many.
fn push<T>(points: &mut VecDeque<T>, point: T, most: usize) {
    if points.len() == most {
        points.pop_front();
    }
    points.push_back(point);
}

/// The point of now, as in the history.
pub(super) fn now() -> Value {
    Point::now().shown()
}

/// The history as the page gets it.
pub(super) fn shown() -> Value {
    let history = lock();
    let Some(history) = &*history else { return json!({ "points": [], "groups": {} }) };
    let groups = history.groups.iter().map(|(name, course)| (name.clone(), course.shown()));
    json!({
        "points": history.points.iter().map(Point::shown).collect::<Vec<_>>(),
        "group_step": (STEP.as_millis() as u64) * GROUP_STEPS,
        "groups": groups.collect::<Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_has_the_differences_of_the_last_minutes() {
        let mut course = Course::default();
        for step in 0..100 {
            course.step((step * 3, step));
        }
        course.step((0, 0));
        assert_eq!(course.points.len(), GROUP_POINTS);
        assert!(course.points.iter().take(GROUP_POINTS - 1).all(|point| *point == (3, 1)));
        // The counts have been reset.
        assert_eq!(course.points.back(), Some(&(0, 0)));
    }
}
