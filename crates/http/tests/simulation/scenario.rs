//! One seed: its scenario, its run, and the checks at its end.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use weir_engine::log_files::LogFile;
use weir_engine::sim::{self, Census, Faults, Peer, Sabotage};
use weir_engine::{spawn_joined, timer};

use crate::client::Client;
use crate::configuration::Configuration;
use crate::message::Reader;
use crate::model::{Model, Shared};
use crate::proxy::{ADDRESS, Proxy, address};
use crate::stream_client::StreamClient;
use crate::upstream;

/// The time after which every deadline has passed.
const QUIET: Duration = Duration::from_secs(3600);

/// Runs a seed, with or without sabotage.
///
/// # Panics
/// If a promise is broken.
pub(crate) fn run(seed: u64, traced: bool, sabotage: Option<Sabotage>) {
    let mut random = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
    // In one of four seeds, nothing goes wrong but by the configuration.
    let quiet = random.u8(..4) == 0;
    let faults = if quiet { calm(&mut random) } else { rough(&mut random) };
    let conf = Configuration::draw(seed, &mut random);
    sim::run(seed, faults, async move {
        if traced {
            sim::keep_trace();
            sim::note(|| format!("quiet: {quiet}, {conf:?}\n{}", conf.text(0)));
        }
        sabotage.into_iter().for_each(sim::sabotage);
        let (log, lines) = error_log(traced);
        let shared = scenario(conf, quiet, random, log).await;
        lines.into_iter().for_each(|lines| sim::note(|| read_back(lines)));
        let broken = &shared.borrow().broken;
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    });
}

fn calm(random: &mut Rng) -> Faults {
    Faults { pieces: 1..=random.usize(1..3000), ..Faults::none() }
}

fn rough(random: &mut Rng) -> Faults {
    let small = random.usize(300..20_000);
    let mut seldom = |most| match random.u8(..3) {
        0 => Some(random.u32(2..most)),
        _ => None,
    };
    Faults {
        stalls: seldom(200).map(|one_in| (one_in, Duration::from_secs(20))),
        resets: seldom(20),
        losses: seldom(20),
        refusals: seldom(20),
        shortages: seldom(30),
        pieces: 1..=random.usize(1..3000),
        buffers: small..=random.usize(small..80_000),
        reach: 20_000,
        ..Faults::none()
    }
}

/// A file for the error log, and a copy of its descriptor to read a traced one.
fn error_log(traced: bool) -> (Arc<LogFile>, Option<std::fs::File>) {
    if !traced {
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null").expect("/dev/null");
        return (Arc::new(LogFile::from_fd("/errors", OwnedFd::from(null))), None);
    }
    let folder = env!("CARGO_TARGET_TMPDIR");
    let file = weir_engine::temp_file::create(folder.as_ref()).expect("a temporary file");
    let copy = file.try_clone().expect("another descriptor");
    (Arc::new(LogFile::from_fd("/errors", OwnedFd::from(file))), Some(copy))
}

fn read_back(mut lines: std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut text = String::new();
    let _ = lines.rewind().and_then(|()| lines.read_to_string(&mut text));
    // The numbers of threads and connections differ between runs.
    let plain = |line: &str| {
        let rest = line.split_once("#").and_then(|(_, rest)| rest.split_once(": "));
        let rest = rest.map_or(line, |(_, rest)| rest);
        let unnumbered = rest.strip_prefix('*').and_then(|rest| rest.split_once(' '));
        format!("error_log: {}", unnumbered.map_or(rest, |(_, rest)| rest))
    };
    // So do the names of temporary files.
    let plain = |line| {
        plain(line)
            .split_once(" temporary file ")
            .map_or_else(|| plain(line), |(said, _)| said.to_owned())
    };
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

async fn scenario(conf: Configuration, quiet: bool, mut random: Rng, log: Arc<LogFile>) -> Shared {
    let shared = Model::new(conf.clone());
    let bad = if quiet { 0 } else { random.u32(2..12) };
    for last in [1, 2] {
        upstream::start(address(([10, 1, 0, last], 80)), bad, &shared);
    }
    shared.borrow_mut().trouble = !quiet;
    let mut proxy = Proxy::start(&conf.text(0), conf.connections, log);
    timer::sleep(Duration::from_secs(1)).await;
    let before = Census::take();
    let mut clients = Vec::new();
    for number in 0..random.u8(1..=6) {
        let delay = Duration::from_millis(random.u64(..3000));
        if random.bool() {
            let client = StreamClient::draw(number % 3, quiet, &mut random, &shared);
            clients.push(spawn_joined(async move {
                timer::sleep(delay).await;
                client.run().await;
            }));
            continue;
        }
        let client = Client::draw(number % 3, quiet, &mut random, &shared);
        clients.push(spawn_joined(async move {
            timer::sleep(delay).await;
            client.run().await;
        }));
    }
    for generation in 1..=random.usize(..=2) {
        timer::sleep(Duration::from_millis(random.u64(..3000))).await;
        sim::note(|| format!("reload {generation}"));
        proxy.reload(&conf.text(generation));
        shared.borrow_mut().generation = generation;
    }
    for client in clients {
        if client.await.is_err() {
            shared.borrow_mut().breaks("a client has panicked".to_owned());
        }
    }
    timer::sleep(QUIET).await;
    check_rest(&proxy, &before, &shared);
    if quiet {
        probe(&shared).await;
    }
    end(proxy, &shared).await;
    shared
}

/// Checks that nothing is left of the clients and their requests.
fn check_rest(proxy: &Proxy, before: &Census, shared: &Shared) {
    let mut model = shared.borrow_mut();
    let after = Census::take();
    let same = Census { timers: before.timers, ..after.clone() };
    if same != *before || after.timers > before.tasks + 2 {
        model.breaks(format!("what is left: {after:?}, before: {before:?}"));
    }
    if proxy.generations() > 1 {
        model.breaks(format!("{} configurations are left", proxy.generations()));
    }
    if proxy.at_servers() > 0 {
        model.breaks(format!("{} requests are left at servers", proxy.at_servers()));
    }
}

/// Checks that an address may ask again, because it is no longer counted.
async fn probe(shared: &Shared) {
    for number in 0..3 {
        let from = address(([192, 0, 2, number], 4000));
        let Ok(peer) = Peer::connect(from, address(ADDRESS)).await else { continue };
        let peer = Rc::new(peer);
        let asked = peer.write_all(b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut reader = Reader::new(&peer);
        let status = match asked.await {
            Ok(()) => reader.head().await.map(|head| head.status()),
            Err(_) => continue,
        };
        if status != Ok(200) {
            shared.borrow_mut().breaks(format!("the probe from {from} has {status:?}"));
        }
        while reader.fill().await.is_ok() {}
    }
}

/// Ends the proxy, and checks that nothing is left of it.
async fn end(proxy: Proxy, shared: &Shared) {
    let quitting = proxy.quit();
    let (service, generations) = within(quitting).await;
    timer::sleep(QUIET).await;
    let left = Census::take();
    let mut model = shared.borrow_mut();
    if left.connections > 0 || left.gauges != [0; 3] {
        model.breaks(format!("the proxy has ended and left {left:?}"));
    }
    if service.strong_count() > 0 || generations.iter().any(|one| one.strong_count() > 0) {
        model.breaks("the proxy has ended, and its configuration has not".to_owned());
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timer::timeout(QUIET, future).await.expect("an end of the proxy in time")
}
