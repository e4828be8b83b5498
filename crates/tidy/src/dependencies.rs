//! What `deny.toml` says about dependencies, for every target that it names: licences, sources,
//! bans, and no package in two versions. `cargo deny` reads the same file, and takes minutes to
//! be built; this takes a second.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use spdx::{Expression, Licensee};
use toml::{Table, Value};

use crate::tree;

/// A package of the graph, as `cargo tree` shows it.
struct Package {
    name: String,
    version: String,
    /// A folder, a repository or a registry other than the usual one.
    source: Option<String>,
    licence: String,
}

impl Package {
    /// A line of [`graph`]: `name v1.2.3 (source) (*)`, a tab, the licence and perhaps a mark.
    fn parse(line: &str) -> Self {
        let (package, licence) = line.split_once('\t').expect("the format has a tab");
        let mut words = package.split(' ');
        let name = words.next().expect("it has a name").to_owned();
        let version = words.next().expect("it has a version").to_owned();
        let source = words.find(|word| word.starts_with('(') && *word != "(proc-macro)");
        let licence = licence.trim_end_matches(" (*)").to_owned();
        Self { name, version, source: source.map(str::to_owned), licence }
    }
}

/// Everything that is built for a target, tests too.
fn graph(target: &str) -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(tree::root()).args(["tree", "--quiet", "--locked", "--workspace"]);
    command.args(["--target", target, "--prefix", "none", "--format", "{p}\t{l}"]);
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names are text");
    text.lines().filter(|line| !line.is_empty()).map(Package::parse).collect()
}

/// The rules of `deny.toml`.
struct Rules {
    targets: Vec<String>,
    licences: Vec<Licensee>,
    banned: Vec<String>,
}

impl Rules {
    fn read() -> Self {
        let rules: Table = tree::text("deny.toml").parse().expect("deny.toml is TOML");
        let licences = strings(&rules["licenses"]["allow"]);
        let bans = rules["bans"]["deny"].as_array().expect("it is a list");
        let name = |ban: &Value| ban["crate"].as_str().expect("it has a crate").to_owned();
        assert_eq!(rules["bans"]["multiple-versions"].as_str(), Some("deny"));
        Self {
            targets: strings(&rules["graph"]["targets"]),
            licences: licences.iter().map(|id| Licensee::parse(id).expect("SPDX")).collect(),
            banned: bans.iter().map(name).collect(),
        }
    }

    /// What is wrong with the packages.
    fn faults(&self, packages: &[Package]) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        let mut versions = BTreeMap::new();
        for Package { name, version, source, licence } in packages {
            if !self.allows(licence) {
                faults.insert(format!("{name}: the licence {licence:?} is not allowed"));
            }
            if let Some(source) = source.as_ref().filter(|source| !source.starts_with("(/")) {
                faults.insert(format!("{name}: it comes from {source}"));
            }
            if self.banned.contains(name) {
                faults.insert(format!("{name} is banned"));
            }
            if *versions.entry(name).or_insert(version) != version {
                faults.insert(format!("{name} is there in two versions"));
            }
        }
        faults
    }

    fn allows(&self, licence: &str) -> bool {
        let allowed = |wanted: &spdx::LicenseReq| {
            self.licences.iter().any(|licence| licence.satisfies(wanted))
        };
        Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .is_ok_and(|expression| expression.evaluate(allowed))
    }
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("it is a list");
    list.iter().map(|text| text.as_str().expect("it is a string").to_owned()).collect()
}

#[test]
fn dependencies_are_what_deny_toml_allows() {
    let rules = Rules::read();
    for target in &rules.targets {
        let packages = graph(target);
        assert!(packages.len() > 50, "{target} has {} packages", packages.len());
        let faults = rules.faults(&packages);
        assert!(faults.is_empty(), "{target}: {faults:#?}");
    }
}

#[test]
fn what_is_not_allowed_is_found() {
    let rules = Rules::read();
    let faults = |lines: &[&str]| {
        let packages: Vec<Package> = lines.iter().map(|line| Package::parse(line)).collect();
        rules.faults(&packages).len()
    };
    assert_eq!(faults(&["a v1.0.0\tMIT OR GPL-3.0", "weir-a v0.1.0 (/x)\tApache-2.0 (*)"]), 0);
    assert_eq!(
        faults(&["a v1.0.0 (proc-macro)\tMIT/Apache-2.0", "a v1.0.0 (proc-macro)\tMIT (*)"]),
        0
    );
    assert_eq!(faults(&["a v1.0.0\tMIT", "a v2.0.0\tMIT"]), 1);
    assert_eq!(faults(&["a v1.0.0\tMIT AND GPL-3.0"]), 1);
    assert_eq!(faults(&["a v1.0.0\t"]), 1);
    assert_eq!(faults(&["a v1.0.0 (https://a.test/a#1)\tMIT"]), 1);
    assert_eq!(faults(&["ring v0.17.0\tMIT"]), 1);
}
