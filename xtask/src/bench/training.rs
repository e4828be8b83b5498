//! The training of a release. Code that does not run here is optimised for size, so all common
//! configurations should be covered.

use std::path::PathBuf;

use super::load;
use super::machine::{self, Cores};
use super::side::{Side, Stage};
use super::workload::{Conf, Fields, WORKLOADS, Workload, get, row};
use crate::{Failure, cargo};

/// The duration of each workload in seconds.
const SECONDS: f64 = 2.0;

/// The event methods to train.
const METHODS: &[(&str, &str)] = &[("epoll", "use epoll;"), ("io_uring", "use io_uring;")];

/// The measured workloads that are part of the training.
const MEASURED: &[&str] = &[
    "small",
    "fields",
    "realistic",
    "body-1k",
    "body-64k",
    "body-1m-roomy",
    "upload-64k",
    "upload-64k-roomy",
    "close",
    "static-1k",
    "cache-hit-1k",
    "cache-hit-1m",
    "cache-miss",
    "fastcgi-small",
    "h2-small",
    "h2-fields",
    "h2-64k",
    "h2-1m",
    "h2c-upstream",
    "h2-tls-small",
    "tls-small",
    "tls-1m",
    "tls-full-p256",
    "tls-full-rsa",
    "tls-resumed",
];

/// The other workloads.
#[rustfmt::skip]
const BESIDES: &[Workload] = &[
    everyday("a response of its own", "/exact"),
    everyday("a rewritten path", "/old/page"),
    everyday("regular expressions and variables", "/api/v2/items"),
    everyday("a file of several that are tried", "/tried/1k"),
    everyday("a named location after what was tried", "/tried/nothing"),
    everyday("no buffering", "/unbuffered/1k"),
    everyday("text that is replaced", "/replaced/"),
    everyday("a subrequest that allows", "/guarded/"),
    everyday("an error page", "/missing/"),
    everyday("a compressed body", "/compressed/1k"),
    everyday("a chunked body", "/chunked/1k"),
];

const fn everyday(about: &'static str, path: &'static str) -> Workload {
    row("everyday", about, Conf::Everyday, get(path, Fields::Twelve))
}

/// A text that identifies the training.
pub(crate) fn plan() -> Result<String, Failure> {
    let mut text = format!("{SECONDS} {METHODS:?} {MEASURED:?} {BESIDES:?}");
    for conf in ["everyday.conf", "backend.conf", "cache.conf", "fastcgi.conf", "h2.conf"] {
        let path = cargo::root().join("bench/conf").join(conf);
        let told = |error| format!("{}: {error}", path.display());
        text += &std::fs::read_to_string(&path).map_err(told)?;
    }
    Ok(text)
}

/// Runs the whole training by each event method.
pub(crate) fn train(binary: PathBuf) -> Result<(), Failure> {
    machine::raise_limits();
    let mut stage = Stage::set(Cores::of_this_machine())?;
    // For the application over FastCGI.
    stage.answer_cheaply()?;
    for &(method, events) in METHODS {
        let weir = Side::in_training(binary.clone(), events);
        let measured = WORKLOADS.iter().filter(|workload| MEASURED.contains(&workload.name));
        for workload in measured.chain(BESIDES) {
            eprintln!("training by {method}: {}, {}", workload.name, workload.about);
            let server = weir.start(&stage, workload)?;
            load::flat_out(&stage, &server, workload, SECONDS)
                .map_err(|failure| format!("{failure}\n{}", server.told()))?;
            server.end();
        }
    }
    Ok(())
}
