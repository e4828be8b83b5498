//! The cost of verification:
//! `cargo test --release -p weir-engine what_it_costs -- --ignored --nocapture`.
#![allow(clippy::print_stdout, reason = "prints the measured figures")]

use std::time::{Duration, Instant};

use super::forge::*;
use super::*;

/// The number of runs; the median is reported.
const TIMES: usize = 101;

fn median(mut judge: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            judge();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[TIMES / 2]
}

fn long_list(entries: u32) -> CertificateRevocationListDer<'static> {
    let entry = |at: u32| ([&[1], &at.to_be_bytes()[..]].concat(), Vec::new());
    ListOrder {
        issuer: name("root"),
        signer: 1,
        span: (VALID.0, Some(VALID.1)),
        algorithm: Algorithm::True,
        revoked: (0..entries).map(entry).collect(),
        extensions: Vec::new(),
        edits: Vec::new(),
    }
    .make()
}

#[test]
#[ignore = "measures"]
fn what_it_costs() {
    let root = Order::authority("root", 1, "root", 1);
    let leaf = || Order::new("leaf", 0, "root", 1);
    let trust = |all: &[CertificateRevocationListDer<'static>]| Trust {
        anchors: vec![root.make()],
        revocation: lists(all),
    };
    let show = |what: &str, chain: &[CertificateDer<'static>], trust: &Trust, depth| {
        let judge = Judge::new(trust, Purpose::Client, depth);
        let verdict = judge.judge(chain, NOW);
        let bytes: usize = chain.iter().map(|der| der.len()).sum();
        println!(
            "{what}: {bytes} bytes, {:?}, {verdict:?}",
            median(|| {
                judge.judge(chain, NOW);
            })
        );
    };
    show("usual", &[leaf().make()], &trust(&[]), 1);
    for entries in [20_000, 100_000] {
        let list = long_list(entries);
        let start = Instant::now();
        let trust = trust(&[list]);
        println!("reading a list of {entries}: {:?}", start.elapsed());
        show("with it", &[leaf().make()], &trust, 1);
    }
    // Expensive constraints, each on the names of the others.
    let host: &[u8] = b"somewhere.in.a.test";
    let trees: Vec<(u8, &[u8])> = vec![(0x82, b"elsewhere.in.a.test"); 80];
    let names: Vec<(u8, &[u8])> = vec![(0x82, host); 90];
    let mut hostile = vec![leaf().with(alternatives(&names)).make()];
    for at in 0..15_usize {
        let above = if at == 14 { "X14".to_owned() } else { format!("X{}", at + 1) };
        let own = Order::authority(&format!("X{at}"), 2, &above, 2);
        hostile.push(own.with(subtrees(&[], &trees)).with(alternatives(&names)).make());
    }
    hostile[0] = Order::new("leaf", 0, "X0", 2).with(alternatives(&names)).make();
    show("constraints in a chain of 16", &hostile, &trust(&[]), 100);
    let (trees, names) = (vec![(0x82, &b"a"[..]); 5000], vec![(0x82, &b"b"[..]); 6000]);
    let hostile = [
        Order::new("leaf", 0, "X", 2).with(alternatives(&names)).make(),
        Order::authority("X", 2, "X", 2).with(subtrees(&[], &trees)).make(),
    ];
    show("constraints of one", &hostile, &trust(&[]), 1);
    // Each authority may have issued every other.
    let all: Vec<_> = (0..16_u8)
        .map(|at| Order { serial: vec![at], ..Order::authority("X", 3, "X", 4) })
        .map(|order| order.with(extension(ID_AUTHORITY_KEY, false, &[0x30, 3, 0x82, 1, 99])))
        .map(|order| order.make())
        .collect();
    show("cross-certificates", &all, &trust(&[]), 100);
    let all: Vec<_> = (0..16_u8)
        .map(|at| Order { serial: vec![at], ..Order::authority("X", 6, "Y", 6) })
        .chain((0..16_u8).map(|at| Order { serial: vec![at], ..Order::authority("Y", 6, "X", 6) }))
        .map(|order| order.make())
        .collect();
    let all: Vec<_> = (0..16).flat_map(|at| [all[at].clone(), all[16 + at].clone()]).collect();
    show("cross-certificates of two, P-384", &all[..17], &trust(&[]), 100);
}
