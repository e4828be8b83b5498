//! Random heads and sizes of tables, by seed.

use super::pairs::{Fields, Parties};

/// A small generator, so that a seed names a failing case.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(bound)) as u32
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u32) as usize]
    }
}

const NAMES: &[&str] = &[
    "server",
    "date",
    "content-type",
    "cache-control",
    "cookie",
    "set-cookie",
    "etag",
    "vary",
    "x-a",
    "x-b",
    "x-request-id",
    "x-a-rather-long-name-of-nobody",
    "authorization",
    "from",
    "access-control-allow-origin",
    ":path",
    ":authority",
    ":method",
    "accept-encoding",
    "",
];

fn value(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => Vec::new(),
        1 => random.pick(&["GET", "/", "gzip, deflate", "weir", "text/html"]).into(),
        2 => (0..random.below(300)).map(|_| random.below(256) as u8).collect(),
        3 => vec![b'a' + random.below(26) as u8; random.below(3000) as usize],
        _ => format!("value {}", random.below(6)).into_bytes(),
    }
}

fn head(random: &mut Random) -> Fields {
    let field = |random: &mut Random| (random.pick(NAMES).into(), value(random));
    (0..random.below(12)).map(|_| field(random)).collect()
}

#[test]
fn random_heads_under_random_tables() {
    let seeds = std::env::var("WEIR_HPACK_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 0..seeds.unwrap_or(300) {
        let mut random = Random(seed);
        let own = [0, 64, 300, 4096, 60_000][random.below(5) as usize];
        let mut parties = Parties::new(own);
        for _ in 0..random.below(40) {
            while random.below(6) == 0 {
                parties.set_table([0, 40, 200, 4096, 20_000, 65_535][random.below(6) as usize]);
            }
            let head = head(&mut random);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                parties.send(&head, |bound| random.below(bound))
            }));
            assert!(result.is_ok(), "seed {seed}");
        }
    }
}
