//! Runs the same requests through nginx and Weir and prints the differences.
//!
//! `cargo xtask compare` starts it. Cases are in `compare/cases/`, one file per theme. Intended
//! differences are declared next to the request, with the sentence of `docs/differences.md` that
//! describes them. A declared difference that does not occur is a failure as well.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failure of the harness is a panic")]
#![allow(clippy::print_stdout, reason = "prints its results")]

#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod harness;

#[path = "compare/applications.rs"]
mod applications;
#[path = "compare/case.rs"]
mod case;
#[path = "compare/connection.rs"]
mod connection;
#[path = "compare/corpus.rs"]
mod corpus;
#[path = "compare/difference.rs"]
mod difference;
#[path = "compare/generated.rs"]
mod generated;
#[path = "compare/messages.rs"]
mod messages;
#[path = "compare/reason.rs"]
mod reason;
#[path = "compare/side.rs"]
mod side;
#[path = "compare/streams.rs"]
mod streams;
#[path = "compare/text.rs"]
mod text;
#[path = "compare/upstream.rs"]
mod upstream;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use applications::Applications;
use case::{Case, Version};
use difference::{Difference, Sides};
use reason::Reason;

/// The number of generated cases: 2,000 requests, and 320 in a part.
const GENERATED: u64 = 50;
const GENERATED_PART: u64 = 8;

/// The first seed.
const SEED: u64 = 1;

/// The number of concurrent cases, with two servers each.
const AT_ONCE: usize = 3;

fn main() -> ExitCode {
    // A case that cannot run is printed as a difference.
    std::panic::set_hook(Box::new(|_| {}));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// The command line.
#[derive(Debug, Default)]
struct Wanted {
    /// Skip slow cases.
    part: bool,
    /// Print all observations.
    all: bool,
    /// Print the known faults.
    pending: bool,
    /// Send everything that HTTP/2 has words for over it.
    h2: bool,
    /// A corpus of configurations, instead of the cases.
    corpus: Option<PathBuf>,
    /// The number of generated cases, without the written ones.
    generated: Option<u64>,
    /// Draw the combinations of filters and subrequests, too.
    combined: bool,
    /// The first seed of generated cases.
    seed: Option<u64>,
    /// Words of themes and titles to select.
    words: Vec<String>,
}

fn run() -> Result<(), String> {
    let mut wanted = Wanted::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            corpus::ALONE => return corpus::alone(&arguments.collect::<Vec<_>>()),
            "--corpus" => wanted.corpus = arguments.next().map(PathBuf::from),
            "--generated" => wanted.generated = Some(number(arguments.next())?),
            "--seed" => wanted.seed = Some(number(arguments.next())?),
            "--combined" => wanted.combined = true,
            "--part" => wanted.part = true,
            "--all" => wanted.all = true,
            "--pending" => wanted.pending = true,
            "--h2" => wanted.h2 = true,
            _ => wanted.words.push(argument),
        }
    }
    let nginx = nginx()?;
    let mut sides =
        Sides { version: version(&nginx)?, weir: harness::binary(), nginx, applications: None };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = read(&folder.join("../docs/differences.md"))?;
    if let Some(collection) = &wanted.corpus {
        return corpus::run(&sides, collection, &wanted.words, &page);
    }
    sides.applications = Applications::start();
    if sides.applications.is_none() {
        return Err("PHP or uwsgi is not installed".to_owned());
    }
    let mut as_expected = true;
    if wanted.generated.is_none() {
        let mut cases = cases(&folder.join("compare/cases"), &wanted, sides.version)?;
        if wanted.h2 {
            cases.iter_mut().for_each(streams::convert);
        }
        as_expected = written(&sides, &cases, &wanted, &page);
    }
    let count = match wanted.part {
        _ if !wanted.words.is_empty() => 0,
        true => GENERATED_PART,
        false => GENERATED,
    };
    let count = wanted.generated.unwrap_or(count);
    if count > 0 {
        let mut cases = generated::cases(wanted.seed.unwrap_or(SEED), count, wanted.combined);
        if wanted.h2 {
            cases.iter_mut().for_each(streams::convert);
        }
        let found = compare_all(&sides, &cases, wanted.all);
        println!("nginx {}: {}, generated", shown(sides.version), size(&cases));
        as_expected &= generated::judge(&cases, &found, sides.version, &page, wanted.h2);
    }
    if as_expected { Ok(()) } else { Err("it is not as expected".to_owned()) }
}

/// Compares written cases, and prints the result; whether it is as expected.
fn written(sides: &Sides, cases: &[Case], wanted: &Wanted, page: &str) -> bool {
    let mut count = Count::default();
    let found = compare_all(sides, cases, wanted.all);
    if wanted.h2 {
        println!("nginx {}: {} over HTTP/2", shown(sides.version), size(cases));
        return generated::judge(cases, &found, sides.version, page, true);
    }
    for (case, differences) in cases.iter().zip(found) {
        judge(case, &differences, sides.version, page, &mut count, wanted.pending);
    }
    println!(
        "nginx {}: {}; {} differences as expected, {} known faults, {} failures",
        shown(sides.version),
        size(cases),
        count.expected,
        count.pending,
        count.failures,
    );
    count.failures == 0
}

fn shown([major, minor, patch]: Version) -> String {
    format!("{major}.{minor}.{patch}")
}

fn size(cases: &[Case]) -> String {
    let asked: usize = cases.iter().map(|case| case.exchanges.len()).sum();
    format!("{asked} exchanges in {} cases", cases.len())
}

fn number(argument: Option<String>) -> Result<u64, String> {
    let text = argument.unwrap_or_default();
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// The classified differences.
#[derive(Debug, Default)]
struct Count {
    expected: usize,
    pending: usize,
    failures: usize,
}

/// Compares the differences of a case with its declared ones.
fn judge(
    case: &Case,
    found: &[Difference],
    version: Version,
    page: &str,
    count: &mut Count,
    print_pending: bool,
) {
    let mut used: Vec<*const Reason> = Vec::new();
    for difference in found {
        let near = match difference.exchange {
            Some(at) => &case.exchanges[at].reasons,
            None => &case.reasons,
        };
        let mut reasons = near.iter().chain(&case.everywhere);
        let reason =
            reasons.find(|reason| reason.covers(&difference.aspect) && reason.holds(version));
        match reason {
            None => {
                println!("{difference}");
                count.failures += 1;
            }
            Some(reason) => {
                used.push(reason);
                if print_pending && reason.is_pending() {
                    println!("{difference}");
                }
                count.pending += usize::from(reason.is_pending());
                count.expected += usize::from(!reason.is_pending());
            }
        }
    }
    let of_exchanges = case
        .exchanges
        .iter()
        .flat_map(|exchange| exchange.reasons.iter().map(|reason| (&*exchange.name, reason)));
    let of_case = case.reasons.iter().chain(&case.everywhere).map(|reason| ("-", reason));
    for (exchange, reason) in of_exchanges.chain(of_case) {
        let name = format!("{}: {}: {exchange}: {}", case.theme, case.title, reason.why());
        if reason.holds(version) && !used.contains(&std::ptr::from_ref(reason)) {
            println!("does not differ any more: {name}");
            count.failures += 1;
        }
        if !reason.is_named_by(page) {
            println!("not in docs/differences.md: {name}");
            count.failures += 1;
        }
    }
}

/// The reference nginx.
fn nginx() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("WEIR_COMPARE_NGINX") {
        return Ok(path.into());
    }
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut found = path.split(':').map(|folder| Path::new(folder).join("nginx"));
    found.find(|path| path.is_file()).ok_or_else(|| "there is no nginx on the path".to_owned())
}

fn version(nginx: &Path) -> Result<Version, String> {
    let output = Command::new(nginx).arg("-v").output();
    let output = output.map_err(|error| format!("{}: {error}", nginx.display()))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = text.split("nginx/").nth(1).ok_or(text.clone())?;
    Ok(case::parse_version(number))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn cases(folder: &Path, wanted: &Wanted, version: Version) -> Result<Vec<Case>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let theme = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        cases.extend(case::parse(&theme, &read(&path)?));
    }
    if wanted.part {
        let is_quick = |exchange: &case::Exchange| !exchange.options.contains_key("slow");
        cases.iter_mut().for_each(|case| case.exchanges.retain(is_quick));
    }
    cases.retain(|case| {
        let name = format!("{}: {}", case.theme, case.title);
        case.needs.is_none_or(|needs| needs <= version)
            && (wanted.words.is_empty() || wanted.words.iter().any(|word| name.contains(word)))
    });
    Ok(cases)
}

fn compare_all(sides: &Sides, cases: &[Case], all: bool) -> Vec<Vec<Difference>> {
    let next = Mutex::new(cases.iter().enumerate());
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((at, case)) = { next.lock().unwrap().next() } {
                    let differences = difference::of(sides, case, all);
                    found.lock().unwrap().push((at, differences));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, differences)| differences).collect()
}
