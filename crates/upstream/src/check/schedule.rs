//! When each server is probed.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::config::CheckConfig;

/// The time within which the first probes of that many servers are spread: a millisecond for each,
/// at most an interval.
const SPREAD: u64 = 1;

/// One check of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Job {
    /// The number of the check in its group.
    pub(super) check: usize,
    /// The serial number of the peer's state.
    pub(super) peer: u64,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Waits until this time.
    Waits(u64),
    /// A probe is under way; afterwards the next is due at once if this is set.
    Runs { again: bool },
}

/// The jobs of a group. Times are in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    jobs: BTreeMap<Job, Turn>,
    /// The waiting jobs by time.
    queue: BTreeSet<(u64, Job)>,
}

impl Schedule {
    /// Removes the jobs of checks and peers that are gone, and adds those that are new: their first
    /// probes are due at once, but spread. Returns the removed jobs whose probes are under way.
    pub(super) fn set(
        &mut self,
        checks: &[CheckConfig],
        peers: &[u64],
        now: u64,
        random: &mut fastrand::Rng,
    ) -> Vec<Job> {
        let wanted = |check| peers.iter().map(move |&peer| Job { check, peer });
        let wanted: BTreeSet<Job> = (0..checks.len()).flat_map(wanted).collect();
        let gone: Vec<Job> =
            self.jobs.keys().filter(|job| !wanted.contains(job)).copied().collect();
        let stopped = gone.into_iter().filter(|job| self.remove(*job)).collect();
        for (number, check) in checks.iter().enumerate() {
            let of_check = wanted.iter().filter(|job| job.check == number);
            let new: Vec<Job> =
                of_check.filter(|job| !self.jobs.contains_key(job)).copied().collect();
            self.spread(&new, check, now, random);
        }
        stopped
    }

    /// Makes all probes of a check due at once, but spread: those under way are repeated.
    pub(super) fn hurry(
        &mut self,
        number: usize,
        check: &CheckConfig,
        now: u64,
        random: &mut fastrand::Rng,
    ) {
        let mut waiting = Vec::new();
        for (job, turn) in self.jobs.iter_mut().filter(|(job, _)| job.check == number) {
            match turn {
                Turn::Waits(_) => waiting.push(*job),
                Turn::Runs { again } => *again = true,
            }
        }
        self.spread(&waiting, check, now, random);
    }

    fn spread(&mut self, jobs: &[Job], check: &CheckConfig, now: u64, random: &mut fastrand::Rng) {
        let count = jobs.len() as u64;
        let within = check.interval.min(count * SPREAD);
        for (place, job) in (0..).zip(jobs) {
            let due = now + within * place / count + jitter(check, random);
            self.wait(*job, due);
        }
    }

    /// The time of the next probe; it may have passed.
    pub(super) fn next(&self) -> Option<u64> {
        self.queue.first().map(|&(due, _)| due)
    }

    /// Takes a job that is due.
    pub(super) fn take(&mut self, now: u64) -> Option<Job> {
        let &(due, job) = self.queue.first()?;
        if due > now {
            return None;
        }
        self.queue.pop_first();
        self.jobs.insert(job, Turn::Runs { again: false });
        Some(job)
    }

    /// A probe that began at `started` has ended. The next one is due an interval after it began;
    /// after a probe that took longer, at the next multiple. False if the job is not wanted any
    /// more.
    pub(super) fn done(
        &mut self,
        job: Job,
        check: &CheckConfig,
        started: u64,
        now: u64,
        random: &mut fastrand::Rng,
    ) -> bool {
        let Some(&Turn::Runs { again }) = self.jobs.get(&job) else { return false };
        let elapsed = now.saturating_sub(started);
        let intervals = elapsed.div_ceil(check.interval.max(1)).max(1);
        let due = match again {
            true => now,
            false => started.saturating_add(intervals.saturating_mul(check.interval.max(1))),
        };
        self.wait(job, due.saturating_add(jitter(check, random)));
        true
    }

    fn wait(&mut self, job: Job, due: u64) {
        self.remove(job);
        self.jobs.insert(job, Turn::Waits(due));
        self.queue.insert((due, job));
    }

    /// Removes a job; returns whether its probe is under way.
    fn remove(&mut self, job: Job) -> bool {
        match self.jobs.remove(&job) {
            Some(Turn::Waits(due)) => {
                self.queue.remove(&(due, job));
                false
            }
            Some(Turn::Runs { .. }) => true,
            None => false,
        }
    }
}

fn jitter(check: &CheckConfig, random: &mut fastrand::Rng) -> u64 {
    if check.jitter == 0 { 0 } else { random.u64(0..=check.jitter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> fastrand::Rng {
        fastrand::Rng::with_seed(1)
    }

    /// Runs the schedule until `end`; each probe takes `length`. Returns the starts of the probes.
    fn run(
        schedule: &mut Schedule,
        checks: &[CheckConfig],
        (from, end): (u64, u64),
        length: u64,
    ) -> Vec<(u64, Job)> {
        let mut starts: Vec<(u64, Job)> = Vec::new();
        let mut running: Vec<(u64, Job)> = Vec::new();
        for now in from..end {
            while let Some(place) = running.iter().position(|(start, _)| start + length <= now) {
                let (start, job) = running.remove(place);
                schedule.done(job, &checks[job.check], start, now, &mut random());
            }
            while let Some(job) = schedule.take(now) {
                starts.push((now, job));
                running.push((now, job));
            }
        }
        starts
    }

    #[test]
    fn probes_begin_an_interval_apart_whatever_they_take() {
        for (length, gap) in [(0, 1000), (10, 1000), (1000, 1000), (1001, 2000), (2500, 3000)] {
            let checks = [CheckConfig::every(1000)];
            let mut schedule = Schedule::default();
            schedule.set(&checks, &[7], 100, &mut random());
            let starts = run(&mut schedule, &checks, (100, 10_000), length);
            let times: Vec<u64> = starts.iter().map(|(time, _)| *time).collect();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == gap), "{length}: {times:?}");
            assert_eq!(times[0], 100);
        }
    }

    #[test]
    fn first_probes_are_spread_and_stay_so() {
        let checks = [CheckConfig::every(1000), CheckConfig::every(500)];
        let peers: Vec<u64> = (0..1000).collect();
        let mut schedule = Schedule::default();
        schedule.set(&checks, &peers, 0, &mut random());
        let starts = run(&mut schedule, &checks, (0, 3000), 1);
        for check in 0..2 {
            let most = [1, 2][check];
            for time in 0..3000 {
                let at_once = starts.iter().filter(|(t, job)| *t == time && job.check == check);
                assert!(at_once.count() <= most);
            }
        }
        assert_eq!(starts.len(), 1000 * (3 + 6));
        // A small group waits for nothing.
        let mut small = Schedule::default();
        small.set(&checks, &[1, 2, 3], 0, &mut random());
        assert_eq!(run(&mut small, &checks, (0, 3), 1).len(), 6);
    }

    #[test]
    fn jitter_delays_each_probe_by_chance() {
        let checks = [CheckConfig { jitter: 300, ..CheckConfig::every(1000) }];
        let (mut schedule, mut random) = (Schedule::default(), random());
        let mut delays = BTreeSet::new();
        schedule.set(&checks, &[1], 0, &mut random);
        for _ in 0..200 {
            let due = schedule.next().unwrap();
            let job = schedule.take(due).unwrap();
            schedule.done(job, &checks[0], due, due + 5, &mut random);
            delays.insert(schedule.next().unwrap() - due - 1000);
        }
        assert!(delays.len() > 50 && delays.iter().all(|&delay| delay <= 300));
    }

    #[test]
    fn peers_come_and_go() {
        let checks = [CheckConfig::every(1000)];
        let (mut schedule, random) = (Schedule::default(), &mut random());
        schedule.set(&checks, &[1, 2], 0, random);
        let running = schedule.take(0).unwrap();
        assert_eq!(running.peer, 1);
        // The probe of the first is under way; the third is due at once, the second when it was.
        assert_eq!(schedule.set(&checks, &[2, 3], 0, random), [running]);
        assert!(!schedule.done(running, &checks[0], 0, 5, random));
        let next: Vec<u64> = std::iter::from_fn(|| schedule.take(1)).map(|job| job.peer).collect();
        assert_eq!(next, [3, 2]);
        assert_eq!((schedule.next(), schedule.take(1)), (None, None));
        // A second check brings its own jobs.
        let checks = [CheckConfig::every(1000), CheckConfig::every(1000)];
        assert!(schedule.set(&checks, &[2, 3], 10, random).is_empty());
        assert_eq!(schedule.take(20).map(|job| job.check), Some(1));
        assert_eq!(schedule.set(&[], &[2, 3], 10, random).len(), 3);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_changed_check_is_due_at_once() {
        let checks = [CheckConfig::every(1000)];
        let (mut schedule, random) = (Schedule::default(), &mut random());
        schedule.set(&checks, &[1, 2], 0, random);
        let first = schedule.take(0).unwrap();
        schedule.done(first, &checks[0], 0, 5, random);
        let second = schedule.take(5).unwrap();
        schedule.hurry(0, &checks[0], 10, random);
        assert_eq!(schedule.take(10), Some(first));
        assert_eq!(schedule.take(10), None);
        schedule.done(second, &checks[0], 5, 20, random);
        assert_eq!(schedule.take(20), Some(second));
    }
}
