//! Attacks on HTTP/2, and what they cost: `cargo xtask bench attacks` starts it and prints a table.
//!
//! Each attack is bytes that were made before; the attacker sends them as fast as the server takes
//! them, and drops what comes back, so that its CPU time is that of the cheapest attacker there can
//! be: system calls. The server's is that of all its threads; its memory is the most that was seen
//! above what it had before.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failure of the harness is a panic")]
#![allow(clippy::print_stdout, reason = "prints its results")]

#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod harness;

#[path = "attacks/floods.rs"]
mod floods;
#[path = "attacks/measure.rs"]
mod measure;

use measure::{Cost, Victim};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!(
        "{:<28} {:>9} {:>9} {:<24} {:>9} {:>9} {:>9} {:>6}",
        "attack", "frames", "KiB sent", "end", "KiB more", "server ms", "attack ms", "ratio"
    );
    for flood in floods::all() {
        if wanted.is_empty() || wanted.iter().any(|word| flood.name.contains(&**word)) {
            let Cost { sent, end, memory, server, attacker } = Victim::new(flood.conf).bear(&flood);
            let frames = sent.min(flood.bytes.len()) * flood.frames / flood.bytes.len().max(1);
            let [served, attacked] = [server, attacker].map(|time| time.as_secs_f64() * 1000.0);
            let connections = flood.connections;
            println!(
                "{:<28} {:>9} {:>9} {end:<24} {memory:>9} {served:>9.1} {attacked:>9.1} {:>6.2}",
                flood.name,
                frames * connections,
                sent * connections / 1024,
                served / attacked.max(0.001),
            );
        }
    }
}
