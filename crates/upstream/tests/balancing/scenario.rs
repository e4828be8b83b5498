//! The world of a seed: a method, some servers, their weights and what is wrong with one of them.

use weir_upstream::{Causes, RetryBudget};

use crate::methods::METHODS;
use crate::plan::{Kind, Micros, Plan, SECOND, ServerPlan, Trouble};

/// The largest number of servers in most worlds.
const SERVERS: usize = 8;

/// That in a few: methods may do something else for many.
const MANY: usize = 40;

/// The limits of the number of requests.
const REQUESTS: std::ops::Range<usize> = 60..300;

/// Ejections that happen within a small world.
const EJECTION: &str =
    "outlier_ejection consecutive=3 interval=1s time=2s latency=3 min_requests=5 max=50%;";

/// Both.
const PREFER_AND_EJECT: &str = "prefer_locality a; outlier_ejection consecutive=3 interval=1s \
                                time=2s latency=3 min_requests=5 max=50%;";

/// The world of a seed. Seeds go through the methods in turn.
pub(crate) fn of_seed(seed: u64) -> Plan {
    let method = &METHODS[(seed % METHODS.len() as u64) as usize];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plan = Plan {
        seed,
        method,
        servers: servers(&mut random),
        directives: "",
        preferred: Vec::new(),
        requests: random.usize(REQUESTS),
        load: 0.1 + 0.8 * random.f64(),
        clients: random.u64(1..400),
        troubles: Vec::new(),
        causes: Causes::DEFAULT,
        budget: Some(RetryBudget::DEFAULT),
        timeout: 60 * SECOND,
    };
    if random.u8(..3) > 0 {
        add_trouble(&mut plan, &mut random);
    }
    if random.u8(..3) == 0 {
        add_words(&mut plan, &mut random);
    }
    if random.u8(..4) == 0 {
        add_localities(&mut plan, &mut random);
    }
    plan
}

fn servers(random: &mut fastrand::Rng) -> Vec<ServerPlan> {
    let most = if random.u8(..20) == 0 { MANY } else { SERVERS };
    let count = random.usize(2..=most);
    let (weights, capacities) = (random.bool(), random.u8(..3));
    let (slots, mean) = (random.usize(1..4), 2000.0 * f64::from(random.u32(1..30)));
    let server = |_| {
        let weight = if weights { random.u32(1..6) } else { 1 };
        let slots = match capacities {
            0 => random.usize(1..6),
            _ => slots * weight as usize,
        };
        ServerPlan::new(weight, slots, mean)
    };
    (0..count).map(server).collect()
}

/// One server fails, or is slow, for a while or until the end.
fn add_trouble(plan: &mut Plan, random: &mut fastrand::Rng) {
    let kind = match random.u8(..4) {
        0 => Kind::Slow(2.0 + 18.0 * random.f64()),
        1 => Kind::Erring(random.f64()),
        2 => Kind::Refusing,
        _ => Kind::Hanging,
    };
    let length = plan.length();
    let from = (length as f64 * 0.5 * random.f64()) as Micros;
    let until = if random.bool() { Micros::MAX } else { from + length / 3 };
    let server = random.usize(..plan.servers.len());
    plan.troubles.push(Trouble { server, kind, from, until });
    if random.bool() {
        plan.causes = Causes::DEFAULT | Causes::HTTP_500;
    }
    plan.timeout = SECOND / 10 * random.u64(1..30);
    plan.budget = match random.u8(..3) {
        0 => Some(RetryBudget { percent: random.u64(..40), min: random.u64(..5) }),
        1 => None,
        _ => plan.budget,
    };
    if random.bool() {
        plan.directives = EJECTION;
    }
}

/// Parameters of servers.
fn add_words(plan: &mut Plan, random: &mut fastrand::Rng) {
    let knows_backup = plan.method.knows_backup;
    let count = plan.servers.len();
    for (place, server) in plan.servers.iter_mut().enumerate() {
        match random.u8(..8) {
            0 if place > 0 => server.words = "down".into(),
            1 if place > 0 => server.words = "drain".into(),
            2 if place > 0 && knows_backup => server.words = "backup".into(),
            3 if knows_backup && count > 1 => server.words = "slow_start=auto".into(),
            4 if knows_backup && count > 1 => server.words = "slow_start=2s".into(),
            5 | 6 => server.max_conns = random.u64(1..6),
            _ => server.max_fails = random.u64(..4),
        }
    }
}

/// Some servers are nearer than others.
fn add_localities(plan: &mut Plan, random: &mut fastrand::Rng) {
    for server in &mut plan.servers {
        let locality = ["", " locality=a", " locality=b", " locality=c"][random.usize(..4)];
        server.words += locality;
    }
    let (names, directive, with_ejection) = match random.u8(..3) {
        0 => ("a", "prefer_locality a;", PREFER_AND_EJECT),
        1 => ("b a", "prefer_locality b a;", "prefer_locality b a;"),
        _ => ("c", "prefer_locality c overflow=off;", "prefer_locality c overflow=off;"),
    };
    plan.preferred = names.split(' ').map(|name| name.as_bytes().to_vec()).collect();
    plan.directives = if plan.directives.is_empty() { directive } else { with_ejection };
}
