//! h2spec, the public tests of HTTP/2, built by Debian's Go and libraries from a checkout.
//!
//! A checkout of github.com/summerwind/h2spec must be given, as for the other public suites.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scratch::{Scratch, template};
use crate::server::Server;
use crate::{Failure, cargo, packages};

/// The name by which h2spec's own files import each other.
const IMPORT: &str = "github.com/summerwind/h2spec";

/// Where Debian's packages put libraries of Go.
const LIBRARIES: &str = "/usr/share/gocode";

/// The seconds that h2spec waits for a frame. A server that keeps the rules answers at once.
const TIMEOUT: &str = "3";

/// Builds h2spec and runs all cases, or the named ones, in cleartext and by TLS.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let (checkout, cases) = arguments.split_first().ok_or("which checkout of h2spec?")?;
    let checkout =
        std::fs::canonicalize(checkout).map_err(|error| format!("{checkout}: {error}"))?;
    packages::install(packages::H2SPEC)?;
    let h2spec = build(&checkout)?;
    let binary = match std::env::var_os("WEIR_BINARY") {
        Some(binary) => PathBuf::from(binary),
        None => cargo::build(cargo::Profile::Debug)?,
    };
    let scratch = Scratch::new("h2spec")?;
    let mut rows = Vec::new();
    for events in ["use epoll;", "use io_uring;"] {
        let secure = free_port()?;
        let server = start(&scratch, &binary, secure, events)?;
        for (way, port, flags) in
            [("cleartext", server.port, &[][..]), ("TLS", secure, &["--tls", "--insecure"])]
        {
            let mut command = Command::new(&h2spec);
            command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--timeout", TIMEOUT]).args(flags).args(cases);
            let output = command.output().map_err(|error| format!("h2spec: {error}"))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let row = summary(&text)?;
            if row.failed > 0 {
                println!("{}", failures(&text));
            }
            rows.push((format!("{way}, {}", events.trim_end_matches(';')), row));
        }
    }
    println!("| h2spec | cases | passed | skipped | failed |\n|---|---:|---:|---:|---:|");
    for (name, row) in &rows {
        println!("| {name} | {} | {} | {} | {} |", row.cases, row.passed, row.skipped, row.failed);
    }
    match rows.iter().map(|(_, row)| row.failed).sum::<usize>() {
        0 => Ok(()),
        failed => Err(format!("{failed} cases of h2spec failed")),
    }
}

/// Builds the program below the build's folder. Go's module proxy is not needed: the few
/// libraries are Debian's.
fn build(checkout: &Path) -> Result<PathBuf, Failure> {
    let folder = cargo::target()?.join("h2spec");
    let place = folder.join("path/src").join(IMPORT);
    let told = |error: std::io::Error| format!("{}: {error}", place.display());
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(told)?;
    }
    let _ = std::fs::remove_file(&place);
    std::os::unix::fs::symlink(checkout, &place).map_err(told)?;
    let program = folder.join("h2spec");
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&program).arg(format!("{IMPORT}/cmd/h2spec"));
    command.env("GO111MODULE", "off").env("GOFLAGS", "").current_dir(&place);
    command.env("GOPATH", format!("{}:{LIBRARIES}", folder.join("path").display()));
    command.env("GOCACHE", folder.join("cache"));
    cargo::succeed(&mut command)?;
    Ok(program)
}

fn start(scratch: &Scratch, binary: &Path, secure: u16, events: &str) -> Result<Server, Failure> {
    let certificate = scratch.path().join("own.crt");
    let key = scratch.path().join("own.key");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-newkey"]);
    // The only curve and ciphers that all versions of h2spec offer are RSA's.
    command.arg("rsa:2048").arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let output = command.output().map_err(|error| format!("openssl: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Server::start(scratch, "weir", None, &|port, folder| {
        let words = [
            ("EVENTS", events),
            ("PORT", &*port.to_string()),
            ("SECURE", &secure.to_string()),
            ("FOLDER", &folder.display().to_string()),
            ("CERTIFICATE", &certificate.display().to_string()),
            ("KEY", &key.display().to_string()),
        ];
        let path = folder.join("h2spec.conf");
        let text = template("conf/h2spec.conf", &words)?;
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        let mut line: Vec<OsString> = vec![binary.into()];
        line.extend(FLAGS.map(OsString::from));
        line.push(path.into());
        Ok(line)
    })
}

/// A single process, as the default user could not reach the folder.
const FLAGS: [&str; 5] = ["-e", "stderr", "-g", "daemon off; master_process off;", "-c"];

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(|error| error.to_string())?.port())
}

/// The numbers of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    cases: usize,
    passed: usize,
    skipped: usize,
    failed: usize,
}

/// Parses `146 tests, 118 passed, 1 skipped, 27 failed`.
fn summary(text: &str) -> Result<Summary, Failure> {
    let line = text.lines().rev().find(|line| line.contains(" tests, "));
    let line = line.ok_or_else(|| format!("h2spec said:\n{text}"))?;
    let count = |word: &str| {
        let part = line.split(", ").find_map(|part| part.strip_suffix(word));
        part.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
    };
    let (passed, skipped, failed) = (count("passed"), count("skipped"), count("failed"));
    Ok(Summary { cases: count("tests"), passed, skipped, failed })
}

/// The part of the output that repeats the failed cases.
fn failures(text: &str) -> &str {
    text.find("Failures:").map_or(text, |at| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_counted() {
        let said =
            "Generic\n\nFinished in 51.1 seconds\n146 tests, 118 passed, 1 skipped, 27 failed\n";
        let expected = Summary { cases: 146, passed: 118, skipped: 1, failed: 27 };
        assert_eq!(summary(said), Ok(expected));
        assert!(summary("nothing").is_err());
    }
}
