//! The duty to check the servers of a group. It learns of changed servers at once, and keeps its
//! schedule over reloads.

use std::{cell::Cell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use tokio::sync::{
    Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use weir_engine::{
    Level,
    duty::{Duty, Plans},
    error_log::process_log,
    event_loop::{JoinHandle, spawn_joined},
    timer,
};

use crate::{
    check::{
        lag::Lag,
        probe::{CheckPlan, Finding, Probe, Probed},
        schedule::{Job, Schedule},
    },
    clock::Now,
    group::Group,
    peer::Peer,
    registry::Registry,
    server::Admission,
};

/// The limit of probes under way in the process, of all groups. The others wait for their turn, and
/// nothing is concluded from that.
const MAX_PROBES: usize = 1024;

/// The time in milliseconds between two notes of what agents say about weights and limits, and of
/// first results that change no verdict.
const WORDS_EVERY: u64 = 1000;

/// The longest time between two looks at the schedule, in milliseconds.
const IDLE: u64 = 3_600_000;

static SLOTS: Semaphore = Semaphore::const_new(MAX_PROBES);

impl Group {
    /// The duty to check the servers of this group and its heirs by `plan`. A running one takes the
    /// plan over.
    pub fn check_duty(&self, registry: &Arc<Registry>, plan: CheckPlan) -> Duty {
        let what = format!("check the servers of {}", self.config.key);
        self.probing_duty(what, registry, plan)
    }

    /// A duty, with this key, to probe the servers of this group and its heirs by `plan`.
    pub(crate) fn probing_duty(
        &self,
        key: String,
        registry: &Arc<Registry>,
        plan: CheckPlan,
    ) -> Duty {
        let (registry, group) = (Arc::clone(registry), self.config.key.clone());
        let begin = move |plans| keep(Arc::clone(&registry), group.clone(), plans);
        Duty::planned(key, plan, begin)
    }
}

async fn keep(registry: Arc<Registry>, key: String, mut plans: Plans<CheckPlan>) {
    let mut checker = Checker::new(plans.current());
    // The duty must not keep the group alive, so it looks it up again each time.
    while let Some(group) = registry.of_key(&key).pop() {
        let mut change = group.peers_change.subscribe();
        checker.set_group(&group);
        let health_change = group.health_change.clone();
        drop(group);
        let mut ended = None;
        loop {
            let pause = checker.turn(ended.take());
            if std::mem::take(&mut checker.has_judged) {
                health_change.iter().for_each(|change| change.notify_one());
            }
            tokio::select! {
                () = plans.changed() => {
                    checker.set_plan(plans.current());
                    break;
                }
                // An error is the end of the group.
                _ = change.changed() => break,
                next = checker.ended.recv() => ended = next,
                () = timer::sleep(pause) => {}
            }
        }
    }
}

/// The checks of a group, under way.
struct Checker {
    plan: Arc<CheckPlan>,
    probe: Rc<dyn Probe>,
    /// The name of the group.
    group: String,
    schedule: Schedule,
    /// The peers that are probed, by serial.
    peers: HashMap<u64, Arc<Peer>>,
    /// The probes under way.
    running: HashMap<Job, Running>,
    lag: Lag,
    /// A verdict has changed, or what `has_heard` is to be noted.
    has_judged: bool,
    /// Other words of an agent have changed, or there is a first result that changes no verdict.
    has_heard: bool,
    /// When they were noted, in milliseconds.
    noted: u64,
    random: fastrand::Rng,
    /// The results of probes that have ended.
    ended: UnboundedReceiver<Ended>,
    end: UnboundedSender<Ended>,
}

/// A probe under way, which ends with this.
struct Running {
    /// When it began, in milliseconds; `None` while it waits for its turn.
    started: Rc<Cell<Option<u64>>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The end of a probe. One without a finding was stopped, or has panicked.
struct Ended {
    job: Job,
    finding: Option<Finding>,
}

/// Sends the end of a probe, however it comes.
struct Ending {
    ended: Ended,
    to: UnboundedSender<Ended>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Ended { job, finding } = &mut self.ended;
        let _ = self.to.send(Ended { job: *job, finding: finding.take() });
    }
}

impl Checker {
    fn new(plan: Arc<CheckPlan>) -> Self {
        let (end, ended) = unbounded_channel();
        Self {
            probe: (plan.probe)(),
            plan,
            group: String::new(),
            schedule: Schedule::default(),
            peers: HashMap::new(),
            running: HashMap::new(),
            lag: Lag::default(),
            has_judged: false,
            has_heard: false,
            noted: 0,
            random: fastrand::Rng::new(),
            ended,
            end,
        }
    }

    /// Follows a reload. Changed checks are due at once.
    fn set_plan(&mut self, plan: Arc<CheckPlan>) {
        let before = std::mem::replace(&mut self.plan, plan);
        self.probe = (self.plan.probe)();
        for (number, check) in self.plan.checks.iter().enumerate() {
            if before.checks.get(number).is_some_and(|before| before != check) {
                self.schedule.hurry(number, check, now(), &mut self.random);
            }
        }
    }

    /// Follows a change of the servers. Those that are down are not probed.
    fn set_group(&mut self, group: &Group) {
        group.name().clone_into(&mut self.group);
        let peers = group.peers().into_iter();
        let probed = peers.filter(|peer| peer.limits.admission != Admission::Down);
        let probed = probed.map(|peer| (peer.serial(), peer)).collect();
        let before = std::mem::replace(&mut self.peers, probed);
        for (_, peer) in before.iter().filter(|(serial, _)| !self.peers.contains_key(serial)) {
            for (number, check) in self.plan.checks.iter().enumerate() {
                self.probe.forget(number, &self.probe.place(check, peer));
            }
        }
        let serials: Vec<u64> = self.peers.keys().copied().collect();
        let gone = self.schedule.set(&self.plan.checks, &serials, now(), &mut self.random);
        for job in gone {
            self.running.remove(&job);
        }
    }

    /// Takes the results that have come, `first` before the others, and starts the probes that are
    /// due. Returns the time until there is more to do.
    fn turn(&mut self, first: Option<Ended>) -> Duration {
        let now = now();
        if let Some(delay) = self.lag.look(now, true) {
            let text = format!(
                "health checks were {delay} ms late, timeouts of probes in that time do not count"
            );
            process_log().log(Level::Warn, 0, text);
        }
        let mut next = first;
        while let Some(ended) = next.take().or_else(|| self.ended.try_recv().ok()) {
            self.finish(ended, now);
        }
        while let Some(job) = self.schedule.take(now) {
            self.start(job);
        }
        if self.has_heard && now.saturating_sub(self.noted) >= WORDS_EVERY {
            (self.has_judged, self.has_heard, self.noted) = (true, false, now);
        }
        self.lag.look(now, !self.running.is_empty());
        let words = self.has_heard.then(|| self.noted.saturating_add(WORDS_EVERY));
        let wakes = [self.schedule.next(), self.lag.next(), words];
        let wake = wakes.into_iter().flatten().min().unwrap_or(now.saturating_add(IDLE));
        Duration::from_millis(wake.saturating_sub(now))
    }

    fn start(&mut self, job: Job) {
        let (Some(peer), Some(check)) =
            (self.peers.get(&job.peer), self.plan.checks.get(job.check))
        else {
            return;
        };
        if !self.probe.wants(peer) {
            let now = now();
            self.schedule.done(job, check, now, now, &mut self.random);
            return;
        }
        let address = self.probe.place(check, peer);
        let (probe, started) = (Rc::clone(&self.probe), Rc::new(Cell::new(None)));
        let (begun, to) = (Rc::clone(&started), self.end.clone());
        let task = spawn_joined(async move {
            let mut ending = Ending { ended: Ended { job, finding: None }, to };
            let _slot = SLOTS.acquire().await;
            begun.set(Some(now()));
            ending.ended.finding = Some(probe.probe(job.check, address).await);
        });
        self.running.insert(job, Running { started, task });
    }

    fn finish(&mut self, ended: Ended, now: u64) {
        let Ended { job, finding } = ended;
        let (Some(running), Some(check)) =
            (self.running.remove(&job), self.plan.checks.get(job.check))
        else {
            return;
        };
        let started = running.started.get().unwrap_or(now);
        let is_wanted = self.schedule.done(job, check, started, now, &mut self.random);
        let Some(peer) = self.peers.get(&job.peer).filter(|_| is_wanted) else { return };
        // A probe that has panicked says nothing, and the panic was logged.
        let Some(finding) = finding else { return };
        if finding.probed == Probed::TimedOut && self.lag.was_late_since(started) {
            return;
        }
        let (before, words) = (peer.judgement(), peer.state.said.noted());
        let lines = self.probe.conclude(job.check, check, peer, finding, Now::current());
        let after = peer.judgement();
        self.has_judged |= after.verdicts != before.verdicts;
        self.has_heard |= after != before || peer.state.said.noted() != words;
        self.tell(job.check, peer, &lines);
    }

    /// Logs lines about a peer.
    fn tell(&self, number: usize, peer: &Peer, lines: &[(Level, String)]) {
        let Some(check) = self.plan.checks.get(number) else { return };
        let (at, group) = (&peer.name, &self.group);
        for (level, line) in lines {
            let subject = self.probe.subject(check);
            let mut line = format!("{line}, {subject} of peer {at} in upstream \"{group}\"");
            if let Some(port) = check.port {
                line.push_str(&format!(", port {port}"));
            }
            self.probe.log(number, *level, &line);
        }
    }
}

/// The time in milliseconds.
fn now() -> u64 {
    Now::current().millis
}

#[cfg(test)]
mod tests;
