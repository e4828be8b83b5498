//! A guard on the instructions that the worker executes in user space per request.
//!
//! Times depend on the machine's load; instruction counts hardly do. A Weir process runs under
//! callgrind and exchanges requests with a client and a backend in this program, one at a time. The
//! figure is the difference between runs of N and 3 N requests, divided by 2 N.

mod exchange;
mod record;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use exchange::Backend;
use record::Record;

use crate::bench::{Fields, ask_by_h2, beside, request};
use crate::scratch::{Scratch, template};
use crate::server::Server;
use crate::{Failure, cargo, packages};

/// N.
const REQUESTS: usize = 1000;

/// A measured workload.
struct Row {
    /// The name in the record.
    name: &'static str,
    conf: &'static str,
    path: &'static str,
    fields: Fields,
    /// The number of requests at once on a connection of HTTP/2; 0 for HTTP/1.
    streams: usize,
}

const fn row(name: &'static str, conf: &'static str, path: &'static str, fields: Fields) -> Row {
    Row { name, conf, path, fields, streams: 0 }
}

/// HTTP/2 by h2load. As many streams as these always suffice to keep a server busy that runs so
/// slowly, so that its work hardly varies.
const fn h2(name: &'static str, path: &'static str, fields: Fields) -> Row {
    Row { streams: 20, ..row(name, "h2.conf", path, fields) }
}

const WORKLOADS: &[Row] = &[
    row("small", "proxy.conf", "/", Fields::One),
    row("small-metrics", "metrics.conf", "/", Fields::One),
    row("small-records", "records.conf", "/", Fields::One),
    row("fields", "proxy.conf", "/", Fields::Twelve),
    row("realistic", "realistic.conf", "/", Fields::Twelve),
    row("static-1k", "static.conf", "/1k", Fields::One),
    row("cache-hit-1k", "cache.conf", "/kept/1k", Fields::One),
    row("cache-miss", "cache.conf", "/", Fields::One),
    row("fastcgi-small", "fastcgi.conf", "/", Fields::One),
    h2("h2-small", "/", Fields::One),
    h2("h2-fields", "/", Fields::Twelve),
    h2("h2c-upstream", "/h2c/", Fields::One),
];

/// Counts and compares with the record, or writes it with `--record`.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failure> {
    let rewrite = match arguments {
        [] => false,
        ["--record"] => true,
        _ => return Err("usage: cargo xtask instructions [--record]".to_owned()),
    };
    packages::install(packages::INSTRUCTIONS)?;
    let binary: PathBuf = match std::env::var_os("WEIR_BINARY") {
        Some(binary) => {
            println!("the record is for another build; only runs of this binary compare");
            binary.into()
        }
        None => cargo::build(cargo::Profile::Release)?,
    };
    let scratch = Scratch::new("instructions")?;
    scratch.folder("files")?;
    scratch.write("files/1k", &[b'x'; 1024])?;
    let backend = Backend::start().map_err(|error| format!("the backend: {error}"))?;
    let answers = answers(&scratch)?;
    let mut counted = Vec::new();
    for row in WORKLOADS {
        let backend = if row.streams > 0 { answers.port } else { backend.port };
        let of = |requests| count(&scratch, &binary, row, backend, requests);
        let (few, many) = (of(REQUESTS)?, of(3 * REQUESTS)?);
        let figure = many.saturating_sub(few) / (2 * REQUESTS as u64);
        counted.push((row.name, figure));
    }
    if rewrite { record::write(&counted) } else { Record::read()?.check(&counted) }
}

/// The backend of HTTP/2's rows: the streams of a client ask it at once.
fn answers(scratch: &Scratch) -> Result<Server, Failure> {
    let binary = beside("floor")?;
    Server::start(scratch, "answers", None, &|port, _| {
        Ok(vec![binary.clone().into(), "answer".into(), port.to_string().into()])
    })
}

/// The instructions of a complete run of the server with this number of requests.
fn count(
    scratch: &Scratch,
    binary: &Path,
    row: &Row,
    backend: u16,
    requests: usize,
) -> Result<u64, Failure> {
    let conf = row.conf;
    let files = scratch.path().join("files").display().to_string();
    let server = Server::start(scratch, "weir", None, &|port, folder| {
        let words = [
            ("THREADS", "1"),
            ("EVENTS", "use epoll;"),
            ("BACKEND", &*backend.to_string()),
            ("PORT", &port.to_string()),
            ("FOLDER", &folder.display().to_string()),
            ("FILES", &files),
        ];
        let path = folder.join(conf);
        let text = template(&format!("conf/{conf}"), &words)?;
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        let mut line: Vec<OsString> = vec!["valgrind".into(), "--tool=callgrind".into()];
        line.push(format!("--callgrind-out-file={}", folder.join("callgrind").display()).into());
        line.push(binary.into());
        line.extend(FLAGS.map(OsString::from));
        line.push(path.into());
        Ok(line)
    })?;
    let asked = match row.streams {
        0 => exchange::ask(server.port, &request(row.path, row.fields), requests)
            .map_err(|error| error.to_string()),
        streams => ask_by_h2(server.port, row.path, row.fields, streams, requests),
    };
    asked.map_err(|failure| format!("{}: {failure}\n{}", row.name, server.told()))?;
    let told = server.end();
    let count = told.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing:\n{told}"))
}

/// A single process, so that valgrind sees the requests.
const FLAGS: [&str; 5] = ["-e", "stderr", "-g", "daemon off; master_process off;", "-c"];
