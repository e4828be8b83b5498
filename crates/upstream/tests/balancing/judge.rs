//! The promises that hold in every world. The accounts are the judge's own.

use std::{collections::HashMap, sync::Arc};

use weir_upstream::{Admission, Group, Health, Now, Peer, Request, RetryBudget};

use crate::methods::{Choosing, Spread};
use crate::plan::Plan;
use crate::report::Report;

/// The fault of a world: a promise that was broken.
pub(crate) type Fault = String;

pub(crate) fn claim(holds: bool, fault: impl FnOnce() -> Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault()) }
}

pub(crate) struct Judge {
    /// The requests at each server.
    conns: Vec<u64>,
    /// The requests that are retries under way.
    retrying: u64,
    /// The server of each client.
    homes: HashMap<u64, usize>,
}

/// The state of the servers before a choice.
pub(crate) struct Before {
    available: Vec<bool>,
    ejected: Vec<bool>,
    working: Vec<bool>,
}

/// Whether a server counts for the part of its locality.
fn works(peer: &Peer, now: Now) -> bool {
    let is_open = peer.limits.admission == Admission::Open;
    is_open && peer.health() == Health::Good && !peer.is_failed(now)
}

impl Judge {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { conns: vec![0; plan.servers.len()], retrying: 0, homes: HashMap::new() }
    }

    /// Looks at the servers before a choice.
    pub(crate) fn look(&self, peers: &[Arc<Peer>], now: Now) -> Before {
        Before {
            available: peers.iter().map(|peer| peer.is_available(now)).collect(),
            ejected: peers.iter().map(|peer| peer.health() != Health::Good).collect(),
            working: peers.iter().map(|peer| works(peer, now)).collect(),
        }
    }

    /// No server was found for a request that has tried some.
    pub(crate) fn refused(
        &self,
        plan: &Plan,
        before: &Before,
        tried: &[usize],
    ) -> Result<(), Fault> {
        let backup = plan.servers.iter().any(|server| server.is("backup"));
        let left = (0..plan.servers.len())
            .find(|place| before.available[*place] && !tried.contains(place) && !backup);
        claim(left.is_none(), || format!("no server was found, but {left:?} can take the request"))
    }

    /// A server was chosen.
    pub(crate) fn chosen(
        &mut self,
        plan: &Plan,
        (peers, place): (&[Arc<Peer>], usize),
        before: &Before,
        (client, tried): (u64, &[usize]),
    ) -> Result<(), Fault> {
        let (peer, server) = (&peers[place], &plan.servers[place]);
        claim(!server.is("down") && !server.is("drain"), || format!("server {place} was chosen"))?;
        claim(peer.limits.admission == Admission::Open, || format!("server {place} is closed"))?;
        claim(peer.health() == Health::Good, || format!("server {place} is not healthy"))?;
        let nobody = !before.available.contains(&true);
        // Ejections end at a choice, in time or when nobody is left.
        let returns = before.ejected[place];
        claim(before.available[place] || returns, || {
            format!("server {place} is unavailable, others are not")
        })?;
        let backup = plan.servers.iter().any(|server| server.is("backup"));
        claim(!tried.contains(&place) || backup, || format!("server {place} was tried before"))?;
        if !nobody && !backup {
            self.judge_choice(plan, (peers, place), before, client, tried)?;
        }
        self.conns[place] += 1;
        let (own, known) =
            (self.conns[place], peer.state.conns.load(std::sync::atomic::Ordering::Relaxed));
        claim(own == known, || format!("server {place} has {own} requests, and not {known}"))?;
        let max = server.max_conns;
        claim(max == 0 || own <= max, || format!("server {place} has {own} of {max} requests"))
    }

    /// The promise of the method about a choice.
    fn judge_choice(
        &mut self,
        plan: &Plan,
        (peers, place): (&[Arc<Peer>], usize),
        before: &Before,
        client: u64,
        tried: &[usize],
    ) -> Result<(), Fault> {
        let weight = |place: usize| u64::from(plan.servers[place].weight);
        let near = |it: usize| plan.servers[it].locality() == plan.servers[place].locality();
        let able = || {
            // It may have been ejected just now.
            let works = |it: &usize| peers[*it].health() == Health::Good;
            let able = move |it: &usize| before.available[*it] && !tried.contains(it) && works(it);
            let near = move |it: &usize| plan.preferred.is_empty() || near(*it);
            (0..plan.servers.len()).filter(able).filter(near)
        };
        match plan.method.choosing {
            Choosing::Free => Ok(()),
            // The weights of servers that warm up are not known here.
            Choosing::Least if plan.text().contains("slow_start") => Ok(()),
            Choosing::Least => {
                let more =
                    |it: &usize| self.conns[place] * weight(*it) > self.conns[*it] * weight(place);
                let less = able().find(more);
                claim(less.is_none(), || format!("server {place} has more than server {less:?}"))
            }
            Choosing::Sticks => {
                let home = *self.homes.entry(client).or_insert(place);
                let stays = home == place || !able().any(|it| it == home);
                // One that tried others has gone on from them.
                claim(stays || !plan.is_calm(), || format!("client {client} went to {place}"))
            }
            Choosing::Bounded(percent) => {
                let total: u64 = able().map(weight).sum();
                let active = self.conns.iter().sum::<u64>() + 1;
                let room = |it: usize| {
                    let places = (active * percent).div_ceil(100);
                    (places * weight(it)).div_ceil(total.max(1)).max(1)
                };
                let someone = able().any(|it| self.conns[it] + 1 < room(it));
                let fits = self.conns[place] < room(place);
                let calm = plan.is_calm() && tried.is_empty();
                claim(fits || !someone || !calm, || {
                    format!("server {place} has no room, with {} of {active}", self.conns[place])
                })
            }
        }
    }

    /// `prefer_locality`: a request leaves the first preferred locality that is here only if that
    /// one works too little, or no server of it can take the request.
    pub(crate) fn judge_locality(
        &self,
        plan: &Plan,
        (peers, place): (&[Arc<Peer>], usize),
        before: &Before,
        tried: &[usize],
        now: Now,
    ) -> Result<(), Fault> {
        let primary = || (0..peers.len()).filter(|it| !plan.servers[*it].is("backup"));
        let of = |name: &[u8]| {
            let name = name.to_vec();
            primary().filter(move |it| plan.servers[*it].locality().as_bytes() == name)
        };
        let here = plan.preferred.iter().find(|name| of(name).next().is_some());
        let Some(first) = here else { return Ok(()) };
        let weight = |it: usize| plan.servers[it].weight;
        let all: u32 = of(first).map(weight).sum();
        let working: u32 =
            of(first).filter(|&it| before.working[it] && works(&peers[it], now)).map(weight).sum();
        let enough = match plan.directives.contains("overflow=off") {
            true => working > 0,
            false => working * 140 >= all * 100,
        };
        let able = of(first).find(|it| before.available[*it] && !tried.contains(it));
        let is_first = of(first).any(|it| it == place);
        claim(is_first || !enough || able.is_none(), || {
            format!("server {place} is too far away, {able:?} is nearer")
        })
    }

    pub(crate) fn freed(&mut self, place: usize) {
        self.conns[place] -= 1;
    }

    /// A request begins to be a retry; `freed`: it has no server now.
    pub(crate) fn retries(
        &mut self,
        budget: Option<RetryBudget>,
        freed: bool,
    ) -> Result<(), Fault> {
        if let Some(RetryBudget { percent, min }) = budget {
            let active = self.conns.iter().sum::<u64>() + u64::from(freed);
            let (most, now) = (min.max(active * percent / 100), self.retrying);
            claim(now < most, || format!("{now} retries of {most}, with {active} requests"))?;
        }
        self.retrying += 1;
        Ok(())
    }

    pub(crate) fn retried(&mut self) {
        self.retrying -= 1;
    }

    /// All requests have ended.
    pub(crate) fn end(
        &self,
        plan: &Plan,
        group: &Arc<Group>,
        report: &Report,
    ) -> Result<(), Fault> {
        let left: Vec<u64> = (group.peers().iter())
            .map(|peer| peer.state.conns.load(std::sync::atomic::Ordering::Relaxed))
            .collect();
        claim(left.iter().all(|&count| count == 0), || format!("requests are left: {left:?}"))?;
        let own = &self.conns;
        claim(own.iter().all(|&count| count == 0), || format!("attempts are left: {own:?}"))?;
        claim(self.retrying == 0, || format!("{} retries are left", self.retrying))?;
        let only = RetryBudget { percent: 0, min: 1 };
        let may = group.start(Request::default()).begin_retry(Some(only));
        claim(may, || "a retry is left in the group".to_owned())?;
        let ended = report.latencies.len() as u64 + report.errors;
        claim(ended == plan.requests as u64, || format!("{ended} requests have ended"))?;
        if plan.is_calm() {
            claim(report.errors == 0, || format!("{} errors without a reason", report.errors))?;
            judge_spread(plan, report)?;
        }
        Ok(())
    }
}

/// The spread that the method promises.
pub(crate) fn judge_spread(plan: &Plan, report: &Report) -> Result<(), Fault> {
    let all = report.choices.len() as f64;
    let equal = plan.servers.iter().all(|server| server.weight == plan.servers[0].weight);
    for (place, count) in report.counts(plan.servers.len()).into_iter().enumerate() {
        let (count, share) = (count as f64, plan.shares()[place]);
        let draws = match plan.method.choosing {
            // A server has whole clients.
            Choosing::Sticks | Choosing::Bounded(_) => {
                1.0 / (1.0 / all + 1.0 / plan.clients as f64)
            }
            Choosing::Least | Choosing::Free => all,
        };
        let by_chance = 6.0 * all * (share * (1.0 - share) / draws).sqrt() + 6.0;
        let (most, least) = match plan.method.spread {
            Spread::Exact => {
                let slack = plan.servers.len() as f64;
                (all * share + slack, all * share - slack)
            }
            Spread::Within(times) => (all * share * times + by_chance, 0.0),
            Spread::EqualWithin(times) if equal => (all * share * times + by_chance, 0.0),
            Spread::EqualWithin(_) => continue,
        };
        claim((least..=most).contains(&count), || {
            format!("server {place} has {count} of {all} requests, and not {least:.0} to {most:.0}")
        })?;
    }
    Ok(())
}
