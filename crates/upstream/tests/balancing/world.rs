//! A world: requests arrive, are balanced, wait at servers and end, in virtual time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    mem,
    sync::Arc,
};

use weir_upstream::{
    Causes, Group, Moment, Now, Outcome, Peer, Pick, Progress, Request, Retry, Timings,
};

use crate::configuration;
use crate::judge::{Fault, Judge};
use crate::plan::{Kind, Micros, Plan, START};
use crate::report::Report;
use crate::server::{AttemptId, Server};

/// The time of a connection, in microseconds.
const CONNECT: Micros = 300;

/// A fault of the world, as a bug in the code would bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Retries without asking the budget.
    RetriesAnyway,
    /// A request is not freed.
    ForgetsToFree,
    /// The group gets other words than the plan says.
    Misreads(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    /// A server has done its work.
    Answers(AttemptId),
    Refuses(AttemptId),
    TimesOut(AttemptId),
}

/// A request on its way.
struct Running<'a> {
    pick: Pick<'a>,
    client: u64,
    arrived: Micros,
    /// The time of the work at a server of mean 1.
    work: f64,
    tried: Vec<usize>,
    /// The current attempt.
    place: usize,
    begun: Micros,
    status: u16,
    /// Whether it counts as a retry under way.
    retries: bool,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    sabotage: Option<Sabotage>,
    group: &'a Arc<Group>,
    peers: Vec<Arc<Peer>>,
    servers: Vec<Server>,
    running: HashMap<AttemptId, Running<'a>>,
    events: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    numbers: u64,
    attempts: AttemptId,
    now: Micros,
    /// The draws of requests, which are the same for every method.
    arrivals: fastrand::Rng,
    /// The draws of the balancer.
    random: fastrand::Rng,
    judge: Judge,
    report: Report,
    left: usize,
}

/// Lets a world run to its end.
///
/// # Errors
/// A broken promise.
pub(crate) fn run(plan: &Plan, sabotage: Option<Sabotage>) -> Result<Report, Fault> {
    let mut text = plan.text();
    if let Some(Sabotage::Misreads(from, to)) = sabotage {
        text = text.replace(from, to);
    }
    let group = configuration::group(&text);
    World::new(plan, &group, sabotage).run()
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, group: &'a Arc<Group>, sabotage: Option<Sabotage>) -> Self {
        let mut arrivals = fastrand::Rng::with_seed(plan.seed);
        // Primary servers stand before backup servers.
        let mut peers = group.peers();
        peers.sort_by_key(|peer| peer.id);
        Self {
            plan,
            sabotage,
            group,
            peers,
            servers: plan.servers.iter().map(|server| Server::new(server.slots)).collect(),
            running: HashMap::new(),
            events: BinaryHeap::new(),
            numbers: 0,
            attempts: 0,
            now: START,
            random: arrivals.fork(),
            arrivals,
            judge: Judge::new(plan),
            report: Report::default(),
            left: plan.requests,
        }
    }

    fn run(mut self) -> Result<Report, Fault> {
        self.at(1, Event::Arrives);
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            self.now = time;
            match event {
                Event::Arrives => self.arrives()?,
                Event::Answers(attempt) => self.answered(attempt)?,
                Event::Refuses(attempt) => self.failed(attempt, Causes::ERROR)?,
                Event::TimesOut(attempt) => self.failed(attempt, Causes::TIMEOUT)?,
            }
        }
        let Self { plan, group, judge, report, servers, running, .. } = self;
        drop(running);
        assert!(servers.iter().all(|server| server.count() == 0), "the world itself forgets");
        judge.end(plan, group, &report)?;
        Ok(report)
    }

    fn at(&mut self, wait: Micros, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((self.now + wait, self.numbers, event)));
    }

    fn moment(&self) -> Now {
        let millis = self.now / 1000;
        Now { seconds: (millis / 1000).cast_signed(), millis }
    }

    fn arrives(&mut self) -> Result<(), Fault> {
        let draw = |random: &mut fastrand::Rng| -(1.0 - random.f64()).ln();
        self.left -= 1;
        let gap = draw(&mut self.arrivals) * self.plan.gap();
        if self.left > 0 {
            self.at((gap as Micros).max(1), Event::Arrives);
        }
        let client = self.arrivals.u64(..self.plan.clients);
        let work = draw(&mut self.arrivals);
        let key = format!("client {client}");
        let [.., a, b, c] = (client as u32).to_be_bytes();
        let address = std::net::IpAddr::from([a, b, c, 1]);
        let request = Request {
            client: Some(address),
            key: key.as_bytes(),
            sticky: b"",
            localities: &self.plan.preferred,
        };
        let running = Running {
            pick: self.group.start(request),
            client,
            arrived: self.now,
            work,
            tried: Vec::new(),
            place: 0,
            begun: 0,
            status: 200,
            retries: false,
        };
        self.attempt(running)
    }

    /// One attempt of a request.
    fn attempt(&mut self, mut running: Running<'a>) -> Result<(), Fault> {
        let (plan, now) = (self.plan, self.moment());
        let before = self.judge.look(&self.peers, now);
        let Ok(peer) = running.pick.next(&mut self.random, now) else {
            self.judge.refused(plan, &before, &running.tried)?;
            self.report.refused += 1;
            self.ends_badly(running);
            return Ok(());
        };
        let place = self.peers.iter().position(|it| it.id == peer.id).expect("a known server");
        self.judge.judge_locality(plan, (&self.peers, place), &before, &running.tried, now)?;
        let of = (running.client, &*running.tried);
        self.judge.chosen(plan, (&self.peers, place), &before, of)?;
        self.report.choices.push((self.now - START, place));
        self.report.retries += u64::from(!running.tried.is_empty());
        running.tried.push(place);
        (running.place, running.begun, running.status) = (place, self.now, 200);
        self.attempts += 1;
        let attempt = self.attempts;
        match self.trouble_of(place) {
            Some(Kind::Refusing) => {
                self.servers[place].hang(attempt);
                self.at(CONNECT, Event::Refuses(attempt));
            }
            Some(Kind::Erring(share)) if self.arrivals.f64() < share => {
                running.status = 500;
                self.servers[place].hang(attempt);
                self.at(2 * CONNECT, Event::Answers(attempt));
            }
            Some(Kind::Hanging) => self.servers[place].hang(attempt),
            _ if self.servers[place].take(attempt) => self.works(attempt, place, running.work),
            _ => {}
        }
        self.at(self.plan.timeout, Event::TimesOut(attempt));
        self.running.insert(attempt, running);
        Ok(())
    }

    fn trouble_of(&self, place: usize) -> Option<Kind> {
        let since = self.now - START;
        let mut troubles = self.plan.troubles.iter().filter(|it| it.server == place);
        troubles.find(|it| (it.from..it.until).contains(&since)).map(|it| it.kind)
    }

    /// A server begins to work on an attempt.
    fn works(&mut self, attempt: AttemptId, place: usize, work: f64) {
        let slowness = match self.trouble_of(place) {
            Some(Kind::Slow(times)) => times,
            _ => 1.0,
        };
        let time = work * self.plan.servers[place].mean * slowness;
        self.at(CONNECT + time as Micros, Event::Answers(attempt));
    }

    /// Takes an attempt from its server, which goes on with the next one.
    fn leaves(&mut self, attempt: AttemptId) -> Option<Running<'a>> {
        let running = self.running.remove(&attempt)?;
        let next = self.servers[running.place].end(attempt);
        if let Some(next) = next {
            let work = self.running[&next].work;
            self.works(next, running.place, work);
        }
        Some(running)
    }

    fn retry(&self) -> Retry {
        Retry { causes: self.plan.causes, timeout: 0 }
    }

    /// A server answers.
    fn answered(&mut self, attempt: AttemptId) -> Result<(), Fault> {
        let Some(mut running) = self.leaves(attempt) else { return Ok(()) };
        let now = self.moment();
        let time = now.millis - running.begun / 1000;
        let timings = Timings { connect: Some(0), header: Some(time), response: Some(time) };
        let status = running.status;
        let progress = Progress { tries: running.pick.tries(), ..Progress::default() };
        if let Some(cause) = Causes::of_status(status)
            && self.retry().refuses(cause, &progress)
            && self.begins_retry(&mut running, false)?
        {
            self.free(&mut running, cause.outcome(), timings);
            return self.attempt(running);
        }
        let outcome = Outcome::of_status(status);
        running.pick.end_retry();
        if mem::take(&mut running.retries) {
            self.judge.retried();
        }
        running.pick.reached(Moment::Header, time, outcome, now);
        if self.sabotage == Some(Sabotage::ForgetsToFree) && attempt == 100 {
            mem::forget(running);
            return Ok(());
        }
        self.free(&mut running, outcome, timings);
        if status == 200 {
            self.report.latencies.push(self.now - running.arrived);
        } else {
            self.ends_badly(running);
        }
        Ok(())
    }

    /// An attempt has failed.
    fn failed(&mut self, attempt: AttemptId, cause: Causes) -> Result<(), Fault> {
        let Some(mut running) = self.leaves(attempt) else { return Ok(()) };
        self.free(&mut running, cause.outcome(), Timings::default());
        let progress = Progress { tries: running.pick.tries(), ..Progress::default() };
        if self.retry().goes_on(cause, &progress) && self.begins_retry(&mut running, true)? {
            return self.attempt(running);
        }
        self.ends_badly(running);
        Ok(())
    }

    fn begins_retry(&mut self, running: &mut Running<'a>, freed: bool) -> Result<bool, Fault> {
        let allowed = running.pick.begin_retry(self.plan.budget);
        let goes_on = allowed || self.sabotage == Some(Sabotage::RetriesAnyway);
        if goes_on && !mem::replace(&mut running.retries, true) {
            self.judge.retries(self.plan.budget, freed)?;
        }
        Ok(goes_on)
    }

    fn free(&mut self, running: &mut Running<'a>, outcome: Outcome, timings: Timings) {
        running.pick.free(outcome, timings, self.moment());
        self.judge.freed(running.place);
    }

    fn ends_badly(&mut self, running: Running<'a>) {
        if running.retries {
            self.judge.retried();
        }
        self.report.errors += 1;
    }
}
