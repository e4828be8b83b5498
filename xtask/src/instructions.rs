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

use crate::bench::{Fields, request};
use crate::scratch::{Scratch, template};
use crate::server::Server;
use crate::{Failure, cargo, packages};

/// N.
const REQUESTS: usize = 1000;

/// A measured workload: its name in the record, its configuration and its request.
const WORKLOADS: &[(&str, &str, &str, Fields)] = &[
    ("small", "proxy.conf", "/", Fields::One),
    ("fields", "proxy.conf", "/", Fields::Twelve),
    ("realistic", "realistic.conf", "/", Fields::Twelve),
    ("static-1k", "static.conf", "/1k", Fields::One),
    ("cache-hit-1k", "cache.conf", "/kept/1k", Fields::One),
    ("cache-miss", "cache.conf", "/", Fields::One),
    ("fastcgi-small", "fastcgi.conf", "/", Fields::One),
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
    let mut counted = Vec::new();
    for &(name, conf, path, fields) in WORKLOADS {
        let request = request(path, fields);
        let of = |requests| count(&scratch, &binary, conf, backend.port, &request, requests);
        let (few, many) = (of(REQUESTS)?, of(3 * REQUESTS)?);
        let figure = many.saturating_sub(few) / (2 * REQUESTS as u64);
        counted.push((name, figure));
    }
    if rewrite { record::write(&counted) } else { Record::read()?.check(&counted) }
}

/// The instructions of a complete run of the server with this number of requests.
fn count(
    scratch: &Scratch,
    binary: &Path,
    conf: &str,
    backend: u16,
    request: &[u8],
    requests: usize,
) -> Result<u64, Failure> {
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
    exchange::ask(server.port, request, requests)
        .map_err(|error| format!("{conf}: {error}\n{}", server.told()))?;
    let told = server.end();
    let count = told.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing:\n{told}"))
}

/// A single process, so that valgrind sees the requests.
const FLAGS: [&str; 5] = ["-e", "stderr", "-g", "daemon off; master_process off;", "-c"];
