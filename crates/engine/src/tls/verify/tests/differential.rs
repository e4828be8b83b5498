//! Compares verdicts with those of the `openssl` tool over random worlds of authorities,
//! certificates and lists. Each difference must be of a kind listed here.
//!
//! `WEIR_DIFFERENTIAL=SEED` runs one world, prints it and keeps its files; `=SEED+COUNT` runs COUNT
//! worlds starting at that seed.

#![allow(clippy::print_stdout, reason = "a failing test prints its world")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use knobs::GARBAGE;
use world::World;

mod knobs;
mod names;
mod world;

/// The number of worlds, and of judged certificates in each.
const WORLDS: u64 = 2600;
const LEAVES: usize = 8;

/// The maximum number of reported differences.
const SHOWN: usize = 12;

/// A fault that is reported here and not by OpenSSL.
struct Stricter {
    what: &'static str,
    faults: &'static [Fault],
    applies: fn(&Case<'_>) -> bool,
}

/// The only case that is valid here and not in OpenSSL, which takes the first valid authority of
/// the right name and fails if another one signed. It may then also follow another path.
const TWINS: &str = "several authorities share a name, and not the first one signed";

/// The tool also checks keys that could not have completed a handshake.
const KEY: &str = "an invalid key";

/// The differences listed in `docs/differences.md`, and those between the tool and nginx.
const STRICTER: [Stricter; 5] = [
    // nginx ends the handshake; the tool skips unreadable certificates.
    Stricter {
        what: "an additional certificate is unreadable",
        faults: &[Fault::SIGNATURE],
        applies: |case| case.world.offered.iter().any(|der| Certificate::read(der).is_none()),
    },
    Stricter {
        what: "an extension of a list is malformed or repeated",
        faults: &[Fault::NO_CRL, Fault::CRL_CRITICAL],
        applies: |case| {
            let broken = ["broken scope", "list's key", "number of list", "scope", "delta"];
            broken.iter().any(|what| case.world.has(what))
        },
    },
    Stricter {
        what: "an entry of a direct list names another issuer",
        faults: &[Fault::REVOKED],
        applies: |case| case.world.has("entry of another issuer"),
    },
    Stricter { what: "address blocks (RFC 3779)", faults: &[Fault::RESOURCES], applies: |_| true },
    Stricter {
        what: "an internationalized mailbox (RFC 8398)",
        faults: &[Fault::NAME_SYNTAX],
        applies: |case| {
            let id = [0x2b, 6, 1, 5, 5, 7, 8, 9];
            case.world.leaves[case.at].windows(id.len()).any(|part| part == id)
        },
    },
];

/// A certificate with both verdicts.
struct Case<'a> {
    world: &'a World,
    at: usize,
    ours: Vec<Fault>,
    /// OpenSSL's numbers; empty if it is valid.
    theirs: Vec<u32>,
}

#[derive(Default)]
struct Report {
    judged: usize,
    good: usize,
    listed: BTreeMap<&'static str, usize>,
    /// The pairs of first faults, ours and OpenSSL's.
    pairs: BTreeMap<(u32, u32), usize>,
    wrong: Vec<String>,
}

#[test]
fn openssl_judges_the_same() {
    // The engine's tests also run with io_uring, which makes no difference here.
    if std::env::var("WEIR_TEST_USE").is_ok_and(|method| method == "io_uring") {
        return;
    }
    let wanted = std::env::var("WEIR_DIFFERENTIAL").unwrap_or_else(|_| format!("0+{WORLDS}"));
    let (first, count) = wanted.split_once('+').unwrap_or((&wanted, "1"));
    let (first, count): (u64, u64) = (first.parse().unwrap(), count.parse().unwrap());
    let next = AtomicU64::new(first);
    let report = Mutex::new(Report::default());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(8));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (next, report) = (&next, &report);
            scope.spawn(move || {
                let name = format!("weir-differential-{}-{thread}", std::process::id());
                let folder = std::env::temp_dir().join(name);
                std::fs::create_dir_all(&folder).unwrap();
                while let Some(seed) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seed - first < count)
                {
                    judge(&World::new(seed, LEAVES), &folder, report, count == 1);
                }
                match count {
                    1 => println!("files: {}", folder.display()),
                    _ => drop(std::fs::remove_dir_all(&folder)),
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    println!("{} certificates, {} of them good", report.judged, report.good);
    println!("listed: {:#?}\nfirst faults: {:?}", report.listed, report.pairs);
    let shown = &report.wrong[..report.wrong.len().min(SHOWN)];
    assert!(report.wrong.is_empty(), "{} wrong:\n{}", report.wrong.len(), shown.join("\n"));
}

/// Judges a world's certificates both ways and reports.
fn judge(world: &World, folder: &Path, report: &Mutex<Report>, show: bool) {
    let theirs = openssl(world, folder);
    for (at, theirs) in theirs.into_iter().enumerate() {
        let ours = ours(world, at);
        let case = Case { world, at, ours, theirs };
        if show {
            println!("{}", case.told());
        }
        report.lock().unwrap().add(&case);
    }
}

impl Report {
    fn add(&mut self, case: &Case<'_>) {
        self.judged += 1;
        let (here, there) = (case.ours.is_empty(), case.theirs.is_empty());
        self.good += usize::from(here && there);
        if here == there {
            if let (Some(ours), Some(theirs)) = (case.ours.first(), case.theirs.first()) {
                let pair = (ours.code, *theirs);
                *self.pairs.entry(pair).or_default() += 1;
            }
            return;
        }
        let listed = case.listed();
        if listed.is_empty() {
            self.wrong.push(case.told());
        }
        for what in listed {
            *self.listed.entry(what).or_default() += 1;
        }
    }
}

impl Case<'_> {
    /// The listed kinds of difference that apply; empty if none may.
    fn listed(&self) -> Vec<&'static str> {
        if self.world.has_twins() {
            return vec![TWINS];
        }
        if self.ours.is_empty() {
            return if self.theirs.first() == Some(&66) { vec![KEY] } else { Vec::new() };
        }
        if self.world.meets(self.at, GARBAGE) {
            return vec![GARBAGE];
        }
        let row = |fault: &Fault| {
            let mut rows = STRICTER.iter().filter(|row| row.faults.contains(fault));
            rows.find(|row| (row.applies)(self)).map(|row| row.what)
        };
        let rows: Option<Vec<_>> = self.ours.iter().map(row).collect();
        rows.unwrap_or_default()
    }

    fn told(&self) -> String {
        let mut text = format!(
            "world {} certificate {}: here {:?}, OpenSSL {:?}",
            self.world.seed,
            self.at,
            self.ours.iter().map(|fault| fault.code).collect::<Vec<_>>(),
            self.theirs
        );
        let _ = write!(text, "\n    {}", self.world.told(self.at));
        text
    }
}

fn ours(world: &World, at: usize) -> Vec<Fault> {
    // A configuration with an unreadable anchor is rejected, so nothing is judged by it.
    if world.anchors.iter().any(|der| Certificate::read(der).is_none()) {
        return vec![Fault::UNSPECIFIED];
    }
    let revocation = lists(&world.lists);
    if revocation.is_empty() != world.lists.is_empty() {
        return vec![Fault::UNSPECIFIED];
    }
    let trust = Trust { anchors: world.anchors.clone(), revocation };
    let chain = [std::slice::from_ref(&world.leaves[at]), &world.offered].concat();
    let mut faults = Judge::new(&trust, world.purpose, world.depth).faults(&chain, NOW);
    if let Some(host) = world.host
        && !is_for(&chain[0], host)
    {
        faults.push(Fault { code: 62, text: "hostname mismatch" });
    }
    faults
}

/// The tool's faults for each certificate.
fn openssl(world: &World, folder: &Path) -> Vec<Vec<u32>> {
    let file = |name: &str, label: &str, all: &[&[u8]]| {
        std::fs::write(
            folder.join(name),
            all.iter().map(|der| pem(label, der)).collect::<String>(),
        )
        .unwrap();
        name.to_owned()
    };
    let name = match world.purpose {
        Purpose::Client => "ssl_client",
        Purpose::Server => "ssl_server",
        Purpose::Responder => "ocsp_helper",
    };
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["verify", "-no-CApath", "-no-CAstore"]);
    // As in nginx: the library's default security level.
    command.args(["-auth_level", "2", "-verify_name", name]);
    command.args(["-verify_depth", &world.depth.to_string(), "-attime", &NOW.to_string()]);
    let anchors: Vec<&[u8]> = world.anchors.iter().map(|der| &der[..]).collect();
    command.args(["-CAfile", &file("anchors.pem", "CERTIFICATE", &anchors)]);
    let offered: Vec<&[u8]> = world.offered.iter().map(|der| &der[..]).collect();
    if !offered.is_empty() {
        command.args(["-untrusted", &file("offered.pem", "CERTIFICATE", &offered)]);
    }
    let lists: Vec<&[u8]> = world.lists.iter().map(|der| &der[..]).collect();
    if !lists.is_empty() {
        command.args(["-crl_check", "-crl_check_all"]);
        command.args(["-CRLfile", &file("lists.pem", "X509 CRL", &lists)]);
    }
    if let Some(host) = world.host {
        command.args(["-verify_hostname", host]);
    }
    for (at, leaf) in world.leaves.iter().enumerate() {
        command.arg(file(&format!("{at}.pem"), "CERTIFICATE", &[leaf]));
    }
    let output = command.output().expect("openssl is needed");
    let good = String::from_utf8_lossy(&output.stdout);
    let bad = String::from_utf8_lossy(&output.stderr);
    let codes = codes(&bad);
    let is_good = |at: usize| good.lines().any(|line| line == format!("{at}.pem: OK"));
    (0..world.leaves.len())
        .map(|at| match is_good(at) {
            true => Vec::new(),
            // Some certificates cannot even be loaded.
            false => codes.get(&at).cloned().filter(|codes| !codes.is_empty()).unwrap_or(vec![0]),
        })
        .collect()
}

/// Fault numbers by certificate; the files are named by number.
fn codes(text: &str) -> BTreeMap<usize, Vec<u32>> {
    let mut codes: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    let mut last = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("error ") else { continue };
        let (word, _) = rest.split_once([' ', ':']).unwrap_or((rest, ""));
        if let Ok(code) = word.parse() {
            last.push(code);
        } else if let Some(at) = word.strip_suffix(".pem").and_then(|at| at.parse().ok()) {
            codes.insert(at, std::mem::take(&mut last));
        }
    }
    codes
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).unwrap());
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// Writes worlds as seeds of the fuzz target `certificates` to the folder `WEIR_SEEDS`.
#[test]
#[ignore = "writes files"]
fn seeds_for_fuzzing() {
    let folder = std::env::var("WEIR_SEEDS").expect("WEIR_SEEDS names a folder");
    let records = |kind: u8, all: &[&[u8]]| -> Vec<u8> {
        let record = |der: &&[u8]| {
            let length = u16::try_from(der.len()).unwrap().to_be_bytes();
            [&[kind], &length[..], der].concat()
        };
        all.iter().flat_map(record).collect()
    };
    let worlds = (0..).map(|seed| World::new(seed, 3));
    let good = worlds.filter(|world| !world.lists.is_empty() && ours(world, 0).is_empty());
    for (at, world) in good.take(6).enumerate() {
        let certificates = [&world.leaves[..1], &world.offered].concat();
        let chain: Vec<&[u8]> = certificates.iter().map(|der| &der[..]).collect();
        let anchors: Vec<&[u8]> = world.anchors.iter().map(|der| &der[..]).collect();
        let lists: Vec<&[u8]> = world.lists.iter().map(|der| &der[..]).collect();
        let all = [records(0, &chain), records(1, &anchors), records(2, &lists)].concat();
        std::fs::write(Path::new(&folder).join(at.to_string()), all).unwrap();
    }
}
