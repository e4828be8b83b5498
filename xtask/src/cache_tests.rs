//! The public tests of HTTP caches (github.com/http-tests/cache-tests), run with Weir by nginx's
//! rules and by those of RFC 9111, and compared with what is on record.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::scratch::Scratch;
use crate::server::Server;
use crate::{Failure, cargo};

/// The configurations in `tests/cache-tests`, with the records beside them.
const MODES: [&str; 2] = ["default", "rfc9111"];

/// Judges results as the suite's pages do: heeds which tests presuppose others. Prints for each test
/// its name, its kind and its outcome.
const JUDGE: &str = r#"
import fs from "node:fs"
const [folder, results] = process.argv.slice(1)
const suites = (await import(`${folder}/tests/index.mjs`)).default
const { determineTestResult, resultTypes } = await import(`${folder}/test-engine/lib/results.mjs`)
const told = JSON.parse(fs.readFileSync(results))
const names = new Map(Object.entries(resultTypes).map(([name, type]) => [type, name]))
for (const { id, kind, browser_only } of suites.flatMap(suite => suite.tests)) {
    const outcome = names.get(determineTestResult(suites, id, told))
    if (!browser_only) console.log(id, kind ?? "required", outcome)
}
"#;

/// The outcomes that count as passed.
const PASSED: [&str; 2] = ["pass", "yes"];

/// The kind and the outcome of each test.
type Outcomes = BTreeMap<String, (String, String)>;

/// Runs the suite in a checkout for the modes named, or for both; `--nginx=PROGRAM` runs that
/// program by nginx's rules, and `--record` puts the outcomes on record.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let (folder, rest) = arguments.split_first().ok_or("which checkout of cache-tests?")?;
    let folder = std::fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
    if !folder.join("node_modules/undici").exists() {
        let folder = folder.display();
        return Err(format!("the suite needs its packages: run `npm install` in {folder}"));
    }
    let (mut record, mut nginx, mut modes) = (false, None, Vec::new());
    for argument in rest {
        match argument.strip_prefix("--nginx=") {
            Some(program) => nginx = Some(PathBuf::from(program)),
            None if *argument == "--record" => record = true,
            None if MODES.contains(argument) => modes.push(*argument),
            None => return Err(format!("{argument} is none of {MODES:?}, --nginx=, --record")),
        }
    }
    if modes.is_empty() {
        modes.extend(if nginx.is_some() { &MODES[..1] } else { &MODES[..] });
    }
    let program = match (nginx, std::env::var_os("WEIR_BINARY")) {
        (Some(nginx), _) => nginx,
        (None, Some(binary)) => PathBuf::from(binary),
        (None, None) => cargo::build(cargo::Profile::Debug)?,
    };
    let scratch = Scratch::new("cache-tests")?;
    let mut lost = Vec::new();
    for mode in modes {
        let outcomes = outcomes(&scratch, &folder, &program, mode)?;
        println!("{mode}: {}", summary(&outcomes));
        let path = cargo::root().join(format!("tests/cache-tests/{mode}.txt"));
        if record {
            std::fs::write(&path, text(&outcomes))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        } else {
            lost.extend(compare(mode, &recorded(&path)?, &outcomes));
        }
    }
    if lost.is_empty() { Ok(()) } else { Err(format!("{} tests are lost", lost.len())) }
}

/// Runs all tests through a server.
fn outcomes(
    scratch: &Scratch,
    folder: &Path,
    program: &Path,
    mode: &str,
) -> Result<Outcomes, Failure> {
    let origin = Server::start(scratch, "origin", None, &|port, own| {
        let mut line = vec![OsString::from("env")];
        line.push(format!("npm_config_port={port}").into());
        line.push(format!("npm_config_pidfile={}/pid", own.display()).into());
        line.extend(["npm_config_protocol=http", "node"].map(Into::into));
        line.push(folder.join("test-engine/server/server.mjs").into());
        Ok(line)
    })?;
    let template = cargo::root().join(format!("tests/cache-tests/{mode}.conf"));
    let template = std::fs::read_to_string(&template)
        .map_err(|error| format!("{}: {error}", template.display()))?;
    let server = Server::start(scratch, mode, None, &|port, own| {
        let own_text = own.display().to_string();
        let conf = template
            .replace("PORT", &port.to_string())
            .replace("ORIGIN", &origin.port.to_string())
            .replace("FOLDER", &own_text);
        let path = own.join("nginx.conf");
        std::fs::write(&path, conf).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(vec![program.into(), "-p".into(), own.into(), "-c".into(), path.into()])
    })?;
    let base = format!("http://127.0.0.1:{}", server.port);
    let mut client = Command::new("node");
    client.args(["--no-warnings".as_ref(), folder.join("test-engine/cli.mjs").as_os_str()]);
    client.env("npm_config_base", base).env("npm_config_id", "");
    // Unset, the name would be undefined instead of empty, and no test would be chosen.
    client.env("npm_package_config_id", "");
    let results = scratch.write(&format!("{mode}.json"), &output(&mut client)?)?;
    let mut judge = Command::new("node");
    judge.args(["--input-type=module", "-e", JUDGE]).args([folder, &results]);
    let lines = String::from_utf8_lossy(&output(&mut judge)?).into_owned();
    parse(&lines).ok_or_else(|| format!("the suite has no outcomes:\n{lines}"))
}

/// The standard output of a program that succeeds.
fn output(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let output = command.stderr(Stdio::piped()).output();
    let output = output.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Lines of name, kind and outcome; None if there is none, or another line.
fn parse(lines: &str) -> Option<Outcomes> {
    let line = |line: &str| match *line.split(' ').collect::<Vec<_>>() {
        [id, kind, outcome] => Some((id.to_owned(), (kind.to_owned(), outcome.to_owned()))),
        _ => None,
    };
    let all: Outcomes = lines.lines().map(line).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}

fn text(outcomes: &Outcomes) -> String {
    let line =
        |(id, (kind, outcome)): (&String, &(String, String))| format!("{id} {kind} {outcome}\n");
    outcomes.iter().map(line).collect()
}

fn recorded(path: &Path) -> Result<Outcomes, Failure> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    parse(&text).ok_or_else(|| told(&"lines are a name, a kind and an outcome"))
}

/// The number of tests that pass, by kind.
fn summary(outcomes: &Outcomes) -> String {
    let of = |kind: &str| {
        let all = outcomes.values().filter(|(other, _)| other == kind);
        let passed = all.clone().filter(|(_, outcome)| PASSED.contains(&outcome.as_str()));
        format!("{} of {} {kind}", passed.count(), all.count())
    };
    [of("required"), of("optimal"), of("check")].join(", ")
}

/// Prints what differs from the record, and returns the names of the tests that passed before.
/// Tests of the kind `check` ask what a cache does, and no answer is wrong.
fn compare(mode: &str, before: &Outcomes, now: &Outcomes) -> Vec<String> {
    let mut lost = Vec::new();
    for (id, (kind, outcome)) in before {
        let present = now.get(id).map_or("gone", |(_, outcome)| outcome);
        if present == outcome {
            continue;
        }
        println!("{mode}: {id} ({kind}): {outcome} before, {present} now");
        if kind != "check" && PASSED.contains(&outcome.as_str()) {
            lost.push(id.clone());
        }
    }
    lost
}
