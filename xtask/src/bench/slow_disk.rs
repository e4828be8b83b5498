//! The wait of others' requests while a request waits for a slow disk.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_tests::slow_disk::{Operation, SlowDisk};

use super::Round;
use super::load::{Pace, paced};
use super::side::{Side, Stage};
use super::workload::Workload;
use crate::Failure;

/// The time that the disk takes for each read.
const DELAY: Duration = Duration::from_millis(100);

/// The size of its file, in bytes: two of the usual buffers.
const SIZE: usize = 64 << 10;

/// The others' requests per second.
const RATE: f64 = 200.0;

/// The time limit for more of the file.
const PATIENCE: Duration = Duration::from_secs(10);

const REQUEST: &[u8] = b"GET /disk/file HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// The measured values, in the order of [`measure`].
pub(super) const COLUMNS: &[&str] =
    &["worst request ms", "p99 ms", "p50 ms", "worst ms without the disk", "slow files per second"];

/// Mounts the disk with its file, which is never cached.
pub(super) fn mount(stage: &Stage) -> Result<SlowDisk, Failure> {
    stage.scratch.folder(Stage::DISK)?;
    let disk = SlowDisk::mount(&stage.disk(), &[("file", &[b'x'; SIZE])])?;
    disk.bypass_cache();
    disk.delay(Operation::Read, DELAY);
    Ok(disk)
}

/// One round of one side: others' requests, first alone, then while a client takes the file again
/// and again.
pub(super) fn measure(
    stage: &Stage,
    side: &Side,
    workload: &Workload,
    pace: &Pace,
) -> Result<Round, Failure> {
    let seconds = pace.of(workload).1;
    // Unmounted after the end of the server.
    let _disk = mount(stage)?;
    let server = side.start(stage, workload)?;
    paced::run(server.port, RATE, pace.warm_up)?;
    let calm = paced::run(server.port, RATE, seconds)?;
    let over = AtomicBool::new(false);
    let (others, files) = std::thread::scope(|scope| {
        let files = scope.spawn(|| take_files(server.port, &over));
        let others = paced::run(server.port, RATE, seconds);
        over.store(true, Ordering::Relaxed);
        (others, files.join())
    });
    let files = files.map_err(|_| "the client of the slow file panicked")??;
    let (others, milliseconds) = (others?, |time: Duration| time.as_secs_f64() * 1000.0);
    let mut values: Round = [1.0, 0.99, 0.50].map(|n| milliseconds(others.within(n))).into();
    values.extend([milliseconds(calm.within(1.0)), files]);
    Ok(values)
}

/// Takes the file until it is over; returns the number of files per second.
fn take_files(port: u16, over: &AtomicBool) -> Result<f64, Failure> {
    let (started, mut files) = (Instant::now(), 0);
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let length = take_file(port).map_err(|error| format!("the slow file: {error}"))?;
        let took = asked.elapsed();
        if length < SIZE || took < DELAY {
            return Err(format!("the slow file: {length} bytes in {took:?}"));
        }
        files += 1;
    }
    Ok(f64::from(files) / started.elapsed().as_secs_f64())
}

/// The length of the response.
fn take_file(port: u16) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)
}
