//! A client and a server in virtual time, over a link that delays and splits, whose users do what a
//! seed says. A model that knows only what the users did judges what the others see, and a watch
//! over the bytes what is sent.
//!
//! ```text
//! WEIR_SIM_SEED=4711                        one seed
//! WEIR_SIM_SEEDS=1000000 WEIR_SIM_FIRST=1   others, and how many
//! ```

mod side;
mod world;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use world::World;

/// The number of seeds in a run of the tests: what takes a few seconds, unoptimised.
const USUAL: u64 = 200;

/// The number of threads.
const THREADS: usize = 2;

/// Pseudorandom numbers (splitmix64).
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn conversations() {
    if let Some(seed) = variable("WEIR_SIM_SEED") {
        return World::new(seed).run();
    }
    let first = variable("WEIR_SIM_FIRST").unwrap_or(0);
    let end = first + variable("WEIR_SIM_SEEDS").unwrap_or(USUAL);
    let next = AtomicU64::new(first);
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < end) {
            let result = std::panic::catch_unwind(|| World::new(seed).run());
            assert!(result.is_ok(), "WEIR_SIM_SEED={seed} fails");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
}
