//! Parameters of directives (`parameters.tsv`): each takes effect, or says that it does not.
//!
//! A directive whose setter skips words that it does not know would accept a misspelt one, too, so
//! each parameter is also tried with an `x` before it. The reference page of its directive has to
//! name it, and `docs/differences.md` those that do nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::harness::{Certificate, Directory, Port, binary, is_nginx};

const TABLE: &str = include_str!("parameters.tsv");

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Effect,
    /// Takes effect, as a value that could be any text.
    Any,
    /// Accepted, and does nothing.
    Idle,
    /// Accepted with a warning.
    Warned,
    Refused,
}

/// One parameter of one directive.
#[derive(Clone, Debug)]
struct Row {
    /// The block of the sample.
    place: &'static str,
    directive: String,
    standing: Standing,
    /// The sample, with `%` in the place of the parameter.
    sample: String,
    /// The parameter with a value, such as `max=3`.
    parameter: &'static str,
}

impl Row {
    fn all() -> Vec<Self> {
        TABLE.lines().filter(|line| !line.starts_with('#')).flat_map(Self::parse).collect()
    }

    fn parse(line: &'static str) -> Vec<Self> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [place, directive, standing, sample, parameters, prefixes] = columns[..] else {
            panic!("not six columns: {line}");
        };
        let standing = match standing {
            "effect" => Standing::Effect,
            "any" => Standing::Any,
            "idle" => Standing::Idle,
            "warned" => Standing::Warned,
            "refused" => Standing::Refused,
            _ => panic!("no such standing: {line}"),
        };
        let of = |prefix: &str| -> Vec<Self> {
            let (directive, sample) = (directive.replace('@', prefix), sample.replace('@', prefix));
            let row = |parameter| Self {
                place,
                directive: directive.clone(),
                standing,
                sample: sample.clone(),
                parameter,
            };
            parameters.split(", ").map(row).collect()
        };
        prefixes.split(' ').flat_map(of).collect()
    }

    /// The parameter without its value.
    fn name(&self) -> &'static str {
        match self.parameter.split_once(['=', ' ', ':']) {
            Some((name, _)) if !name.is_empty() => name,
            _ => self.parameter,
        }
    }

    /// A configuration with this parameter.
    fn configuration(&self, parameter: &str) -> String {
        let sample = self.sample.replace('%', parameter);
        let at = |place: &str| if self.place == place { sample.as_str() } else { "" };
        format!(
            "pid x.pid; error_log stderr; {} events {{ }}
            http {{ access_log off; {} match m {{ status 200; }}
            limit_req_zone $uri zone=q:32k rate=1r/s;
            acme_issuer i {{ uri https://a.test/; {} }}
            upstream u {{ server 127.0.0.1:81; {} }}
            upstream z {{ zone z 64k; server 127.0.0.1:81; }}
            server {{ listen unix:%dir%/s; {} location /x {{ {} }} }} }}",
            at("main"),
            at("http"),
            at("acme_issuer"),
            at("upstream"),
            at("server"),
            at("location"),
        )
    }
}

/// A folder for `-t`.
struct Bench {
    directory: Directory,
    port: Port,
}

impl Bench {
    fn new() -> Self {
        let directory = Directory::new();
        Certificate::self_signed(&directory, "c", "localhost");
        directory.write("x", "");
        Self { directory, port: Port::reserve() }
    }

    /// Whether a configuration is accepted, and the messages about it.
    fn verdict(&self, configuration: &str) -> (bool, String) {
        let folder = self.directory.path().display().to_string();
        let configuration = configuration.replace("%dir%", &folder);
        let configuration = configuration.replace("PORT", &self.port.number().to_string());
        self.directory.write("nginx.conf", configuration);
        let prefix = format!("{folder}/");
        let arguments = ["-t", "-q", "-p", &prefix, "-c", "nginx.conf", "-e", "stderr"];
        let output = Command::new(binary()).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The fault of Weir with this row, if there is one.
    fn fault(&self, row: &Row) -> Option<String> {
        let (accepted, said) = self.verdict(&row.configuration(row.parameter));
        let is_as_told = match row.standing {
            Standing::Effect | Standing::Any | Standing::Idle => accepted && said.is_empty(),
            Standing::Warned => accepted && said.contains("[warn]"),
            Standing::Refused => !accepted,
        };
        if !is_as_told {
            return Some(format!("accepted: {accepted}, {said}"));
        }
        if matches!(row.standing, Standing::Any | Standing::Refused) {
            return None;
        }
        let (accepted, said) = self.verdict(&row.configuration(&format!("x{}", row.parameter)));
        (accepted && said.is_empty()).then(|| "a misspelt one is accepted".to_owned())
    }
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The sections of the reference by directive; directives of several pages have several joined.
fn reference() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let mut sections = BTreeMap::<String, String>::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for section in text.split("\n## ").skip(1) {
            let (name, text) = section.split_once('\n').unwrap();
            sections.entry(name.to_owned()).or_default().push_str(text);
        }
    }
    sections
}

/// Whether a text has a word that is not part of a longer one.
fn names(text: &str, word: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).map(|at| text.as_bytes()[at]);
        let after = text.as_bytes().get(at + word.len()).copied();
        ends(before) && ends(after)
    })
}

#[test]
fn parameters_are_read_or_refused() {
    if is_nginx() {
        return;
    }
    let rows = Row::all();
    let faults: Vec<String> = std::thread::scope(|scope| {
        let part = |rows: &[Row]| -> Vec<String> {
            let bench = Bench::new();
            let told = |row: &Row| {
                let fault = bench.fault(row)?;
                Some(format!("{} {}: {fault}", row.directive, row.parameter))
            };
            rows.iter().filter_map(told).collect()
        };
        let threads: Vec<_> = rows
            .chunks(rows.len().div_ceil(4))
            .map(|rows| scope.spawn(move || part(rows)))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reference_names_each_parameter() {
    let (sections, mut missing) = (reference(), String::new());
    for row in Row::all().iter().filter(|row| row.standing != Standing::Refused) {
        let text = sections.get(&row.directive).map_or("", String::as_str);
        if !names(text, row.name()) {
            writeln!(missing, "{} {}", row.directive, row.name()).unwrap();
        }
    }
    assert!(missing.is_empty(), "docs/reference lacks\n{missing}");
}

/// A new parameter of a directive needs a row.
#[test]
fn each_parameter_with_a_value_has_a_row() {
    let known: BTreeSet<(String, &str)> =
        Row::all().into_iter().map(|row| (row.directive.clone(), row.name())).collect();
    let mut missing = String::new();
    for (directive, text) in reference() {
        let syntax = text.lines().find(|line| line.starts_with("| Syntax |")).unwrap_or_default();
        let words = syntax.split(|c: char| !c.is_ascii_lowercase() && c != '_' && c != '=');
        for name in words.filter_map(|word| word.strip_suffix('=')) {
            if !name.is_empty() && !known.contains(&(directive.clone(), name)) {
                writeln!(missing, "{directive} {name}=").unwrap();
            }
        }
    }
    assert!(missing.is_empty(), "tests/parameters.tsv lacks\n{missing}");
}

#[test]
fn parameters_without_effect_are_listed() {
    let page = page("differences.md");
    let (_, list) = page.split_once("### Parameters that do nothing here\n").unwrap();
    let list = list.split("\n\nWhole").next().unwrap();
    let words = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let mut listed = BTreeSet::new();
    for (directives, parameters) in list.lines().filter_map(|line| line.split_once(": ")) {
        let parameters = words(parameters);
        let of = |directive: String| {
            parameters.iter().map(move |one| (directive.clone(), one.clone())).collect::<Vec<_>>()
        };
        listed.extend(words(directives).into_iter().flat_map(of));
    }
    let idle = |row: &Row| matches!(row.standing, Standing::Idle | Standing::Warned);
    let known: BTreeSet<_> = Row::all()
        .iter()
        .filter(|row| idle(row))
        .map(|row| (row.directive.clone(), row.name().to_owned()))
        .collect();
    assert_eq!(listed, known);
}
