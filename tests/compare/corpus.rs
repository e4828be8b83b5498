//! The corpus: `cargo xtask compare --corpus PATH` runs each configuration of a collection that
//! nginx can serve, and sends requests derived from it.
//!
//! Each side of a case runs in its own namespaces (`sandbox`), so all addresses and ports are free.
//! The runner executes itself there with [`ALONE`] and reads the results from its output.

#[path = "corpus/dump.rs"]
mod dump;
#[path = "corpus/echo.rs"]
mod echo;
#[path = "corpus/questions.rs"]
mod questions;
#[path = "corpus/sandbox.rs"]
mod sandbox;

pub(crate) use questions::likely;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::difference::{Difference, Sides, compare};
use super::reason::Reason;
use super::side::Aspects;
use crate::harness::Directory;

/// The argument that runs one side of a case inside its namespaces.
pub(crate) const ALONE: &str = "--alone";

/// The number of concurrent cases.
const AT_ONCE: usize = 3;

/// Expected differences, by a directive of the configuration and words of both responses.
const REASONS: &str = include_str!("corpus/reasons.txt");

/// The results of a collection.
#[derive(Debug, Default)]
struct Tally {
    /// Cases that nginx serves.
    cases: usize,
    /// Cases that nginx rejects, or that proxy to themselves.
    refused: usize,
    exchanges: usize,
    expected: usize,
    failures: usize,
}

/// Runs all cases of a collection: a folder or archive of folders with an `nginx.conf` each.
pub(crate) fn run(
    sides: &Sides,
    collection: &Path,
    words: &[String],
    page: &str,
) -> Result<(), String> {
    let scratch = Directory::new();
    let folders = folders(collection, &scratch, words)?;
    let next = Mutex::new(folders.into_iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(folder) = { next.lock().unwrap().next() } {
                    let outcome = case(sides, &folder, &scratch);
                    outcomes.lock().unwrap().push((folder, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let reasons: Vec<Known> = REASONS.lines().filter_map(Known::parse).collect();
    let mut count = Tally::default();
    for known in reasons.iter().filter(|known| !known.reason.is_named_by(page)) {
        println!("not in docs/differences.md: {}", known.reason.why());
        count.failures += 1;
    }
    for (_, outcome) in outcomes {
        judge(outcome, &reasons, &mut count);
    }
    println!(
        "{} exchanges with {} configurations, {} left out; {} differences as expected, \
         {} failures",
        count.exchanges, count.cases, count.refused, count.expected, count.failures,
    );
    if count.failures == 0 { Ok(()) } else { Err("it is not as expected".to_owned()) }
}

/// Runs one side inside its namespaces.
pub(crate) fn alone(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [folder, binary, nginx] => {
            sandbox::alone(Path::new(folder), Path::new(binary), Path::new(nginx))
        }
        _ => Err(format!("{ALONE} FOLDER BINARY NGINX")),
    }
}

/// A difference that is expected in any case.
struct Known {
    /// The directives, of which the configuration contains one.
    directives: Vec<String>,
    /// Parts of nginx's and Weir's responses.
    nginx: String,
    weir: String,
    reason: Reason,
}

impl Known {
    /// Parses `DIRECTIVES | NGINX | WEIR | aspects: reason`.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, '|').map(str::trim).filter(|_| !line.starts_with('#'));
        let directives = parts.next()?.split(' ').map(str::to_owned).collect();
        let (nginx, weir) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { directives, nginx, weir, reason: Reason::parse(parts.next()?) })
    }

    fn covers(&self, directives: &[String], difference: &Difference) -> bool {
        self.directives.iter().any(|directive| directives.contains(directive))
            && self.reason.covers(&difference.aspect)
            && difference.nginx.contains(&self.nginx)
            && difference.weir.contains(&self.weir)
    }
}

/// The result of a case.
enum Verdict {
    /// nginx does not serve it, or proxies it to itself.
    Refused,
    Asked {
        exchanges: usize,
        directives: Vec<String>,
        differences: Vec<Difference>,
    },
}

fn judge(outcome: Verdict, reasons: &[Known], count: &mut Tally) {
    let Verdict::Asked { exchanges, directives, differences } = outcome else {
        count.refused += 1;
        return;
    };
    count.cases += 1;
    count.exchanges += exchanges;
    for difference in differences {
        if reasons.iter().any(|known| known.covers(&directives, &difference)) {
            count.expected += 1;
        } else {
            println!("{difference}");
            count.failures += 1;
        }
    }
}

/// The folders with a configuration whose names contain one of the words.
fn folders(
    collection: &Path,
    scratch: &Directory,
    words: &[String],
) -> Result<Vec<PathBuf>, String> {
    let root = if collection.is_dir() {
        collection.to_owned()
    } else {
        let root = scratch.join("cases");
        std::fs::create_dir(&root).map_err(|error| error.to_string())?;
        let status = Command::new("tar").arg("-xf").arg(collection).arg("-C").arg(&root).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("{} cannot be unpacked", collection.display()));
        }
        root
    };
    let entries = std::fs::read_dir(&root).map_err(|e| format!("{}: {e}", root.display()))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|folder| {
        let name = name(folder);
        folder.join("nginx.conf").is_file()
            && (words.is_empty() || words.iter().any(|word| name.contains(word)))
    });
    folders.sort();
    if folders.is_empty() {
        return Err(format!("{} has no folder with an nginx.conf", root.display()));
    }
    Ok(folders)
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs both sides of a case.
fn case(sides: &Sides, folder: &Path, scratch: &Directory) -> Verdict {
    let nginx = sandbox::enter(folder, scratch, "nginx", &sides.nginx, &sides.nginx);
    let Some(nginx) = Report::parse(&nginx) else { return Verdict::Refused };
    let weir = sandbox::enter(folder, scratch, "weir", &sides.weir, &sides.nginx);
    let weir =
        Report::parse(&weir).unwrap_or_else(|| Report { seen: failed(&weir), ..Report::default() });
    let mut differences = Vec::new();
    let none = Aspects::new();
    for exchange in &nginx.order {
        let get = |report: &Report| report.seen.get(exchange).cloned();
        let name = format!("{}: {exchange}", name(folder));
        let nginx = get(&nginx).unwrap_or_default();
        compare(&name, None, &nginx, &get(&weir).unwrap_or_default(), &mut differences);
    }
    if let Some(seen) = weir.seen.get("-") {
        compare(&format!("{}: -", name(folder)), None, &none, seen, &mut differences);
    }
    Verdict::Asked { exchanges: nginx.order.len(), directives: nginx.directives, differences }
}

fn failed(output: &str) -> BTreeMap<String, Aspects> {
    [("-".to_owned(), [("run", output.to_owned())].into())].into()
}

/// The observations of a side, by exchange.
#[derive(Default)]
struct Report {
    directives: Vec<String>,
    order: Vec<String>,
    seen: BTreeMap<String, Aspects>,
}

/// Headings of the output in the namespaces: they start lines, and text is indented.
const DIRECTIVES: &str = "directives ";
const EXCHANGE: &str = "exchange ";
const RESPONSE: &str = "response";
const CONNECTION: &str = "connection ";

impl Report {
    /// Parses the output of [`sandbox::alone`]; `None` if the case was not served.
    fn parse(text: &str) -> Option<Self> {
        let mut report = Self::default();
        let mut seen: Option<&mut Aspects> = None;
        let mut ended = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix(EXCHANGE) {
                report.order.push(name.to_owned());
                seen = Some(report.seen.entry(name.to_owned()).or_default());
            } else if let Some(names) = line.strip_prefix(DIRECTIVES) {
                report.directives = names.split(' ').map(str::to_owned).collect();
            } else if line == sandbox::END {
                ended = true;
            } else if let Some(seen) = &mut seen {
                if let Some(end) = line.strip_prefix(CONNECTION) {
                    seen.insert("connection", end.to_owned());
                } else if let Some(text) = line.strip_prefix(' ') {
                    let response: &mut String = seen.entry(RESPONSE).or_default();
                    response.push_str(text);
                    response.push('\n');
                }
            }
        }
        ended.then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back() {
        let text = format!(
            "exchange GET /\n HTTP/1.1 200 OK\n \n exchange\nconnection kept\n{}\n",
            sandbox::END
        );
        let report = Report::parse(&text).unwrap();
        assert_eq!(report.order, ["GET /"]);
        assert_eq!(report.seen["GET /"][RESPONSE], "HTTP/1.1 200 OK\n\nexchange\n");
        assert_eq!(report.seen["GET /"]["connection"], "kept");
        assert!(Report::parse("refused").is_none());
    }

    #[test]
    fn known_differences_match_both_responses() {
        let known =
            Known::parse("x_pass y_pass | HTTP/1.1 502 | HTTP/1.1 500 | response: So.").unwrap();
        let difference = |nginx: &str| Difference {
            name: String::new(),
            exchange: None,
            aspect: "response".to_owned(),
            nginx: nginx.to_owned(),
            weir: "HTTP/1.1 500 Internal".to_owned(),
            whole: String::new(),
        };
        assert!(known.covers(&["y_pass".to_owned()], &difference("HTTP/1.1 502 Bad")));
        assert!(!known.covers(&["y_pass".to_owned()], &difference("HTTP/1.1 200 OK")));
    }
}
