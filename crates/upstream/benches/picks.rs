//! The cost of a request's choice: nanoseconds to choose a server and free it again, by method, for
//! small and large groups. `cargo xtask bench picks` runs it.
#![allow(clippy::unwrap_used, reason = "a failure of a measurement is a panic")]
#![allow(clippy::print_stdout, reason = "it prints its table")]

use std::{
    hint::black_box,
    path::Path,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use weir_conf::{Slot, assemble, directives, environment::Memory};
use weir_upstream::{
    Group, GroupConfig, Moment, Now, Outcome, Pick, Registry, Request, Side, Timings, Upstreams,
};

static ROOT: Slot<Root> = Slot::new();

directives! {
    /// The enclosing block.
    struct Root as RootWritten in [main] {
        /// http
        "http" opens http [0]: "{ … }",
    }
}

/// The methods by their directives, and parameters of servers.
const METHODS: [(&str, &str); 10] = [
    ("", ""),
    ("", "max_conns=1000"),
    ("least_conn;", ""),
    ("least_time header;", ""),
    ("random;", ""),
    ("random two;", ""),
    ("ewma;", ""),
    ("hash $uri;", ""),
    ("hash $uri consistent;", ""),
    ("hash $uri consistent balance=125%;", ""),
];

const SIZES: [usize; 2] = [3, 1000];

/// The number of requests that each thread has at servers.
const ACTIVE: usize = 8;

/// The time of one measurement.
const TIME: Duration = Duration::from_millis(200);

/// The number of measurements, of which the best counts: other load only slows them down.
const ROUNDS: usize = 5;

fn main() {
    let threads = [1, 2];
    let heads = threads.map(|threads| {
        let sizes = SIZES.map(|size| format!("{size} servers, {threads} threads"));
        format!("{} | ratio", sizes.join(" | "))
    });
    println!("ns per choice\n\n| method | {} |", heads.join(" | "));
    println!("|---|{}", "---:|".repeat(threads.len() * (SIZES.len() + 1)));
    for (method, parameters) in METHODS {
        print!("| `{method} {parameters}` |");
        for threads in threads {
            let costs = SIZES.map(|size| cost(&group(method, parameters, size), threads));
            let [small, large] = costs;
            print!(" {small:.0} | {large:.0} | {:.2} |", large / small);
        }
        println!();
    }
}

/// A group of the configuration.
fn group(method: &str, parameters: &str, size: usize) -> Arc<Group> {
    static TABLE: weir_conf::Table = Root::table(&ROOT);
    let server = |number: usize| {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        format!("server 10.0.{high}.{low} {parameters};")
    };
    let servers: String = (0..size).map(server).collect();
    let text = format!("http {{ upstream u {{ {method} {servers} }} }}");
    let env = Memory::default().with("/F", &*text);
    let mut tables = weir_upstream::tables();
    tables.push(&TABLE);
    let mut assembly = assemble(&tables, Path::new("/F"), Path::new("/"), None, &env);
    let upstreams: Upstreams = assembly.registries.take();
    let plan = upstreams.plans(Side::Http, &assembly, None, &env).pop().unwrap().unwrap().unwrap();
    let config: GroupConfig = plan.group;
    Registry::default().group(&config)
}

/// The nanoseconds of a choice for each of some threads.
fn cost(group: &Arc<Group>, threads: usize) -> f64 {
    let best = (0..ROUNDS).map(|_| {
        let barrier = Barrier::new(threads);
        std::thread::scope(|scope| {
            let measure = |thread| {
                let barrier = &barrier;
                scope.spawn(move || run(group, thread as u64, barrier))
            };
            let running: Vec<_> = (0..threads).map(measure).collect();
            let costs = running.into_iter().map(|thread| thread.join().unwrap());
            costs.sum::<f64>() / threads as f64
        })
    });
    best.fold(f64::INFINITY, f64::min)
}

fn run(group: &Arc<Group>, seed: u64, barrier: &Barrier) -> f64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut active: [Option<Pick<'_>>; ACTIVE] = Default::default();
    let mut turn = |number: u64| {
        let now = Now { seconds: 1000 + number.cast_signed() / 100_000, millis: number / 100 };
        let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let place = &mut active[number as usize % ACTIVE];
        if let Some(mut pick) = place.take() {
            pick.reached(Moment::Header, 5, Outcome::Success, now);
            let (header, response) = (Some(5), Some(6));
            pick.free(Outcome::Success, Timings { connect: Some(1), header, response }, now);
        }
        let mut pick = group.start(Request { key: &key, ..Request::default() });
        black_box(pick.next(&mut random, now).unwrap());
        *place = Some(pick);
    };
    (0..2000).for_each(&mut turn);
    barrier.wait();
    let (begun, mut count) = (Instant::now(), 2000);
    while begun.elapsed() < TIME {
        (count..count + 100).for_each(&mut turn);
        count += 100;
    }
    begun.elapsed().as_nanos() as f64 / (count - 2000) as f64
}
