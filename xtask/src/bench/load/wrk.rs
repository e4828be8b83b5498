//! wrk: the maximum rate of requests on kept connections.

use std::process::Command;

use super::Count;
use crate::Failure;
use crate::bench::request::fields;
use crate::bench::workload::Load;
use crate::scratch::Scratch;

/// Runs wrk for a whole number of seconds.
pub(super) fn run(
    scratch: &Scratch,
    port: u16,
    tls: bool,
    load: &Load,
    seconds: f64,
) -> Result<Count, Failure> {
    let Load::Requests { path, fields: which, connections, upload } = *load else {
        return Err("wrk cannot generate this load".to_owned());
    };
    let scheme = if tls { "https" } else { "http" };
    let duration = format!("{}s", seconds.ceil());
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "wrk", "--threads", "1", "--duration", &duration]);
    command.args(["--timeout", "10s", "--connections", &connections.to_string()]);
    for (name, value) in fields(which) {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    if upload > 0 {
        let script = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {upload})\n");
        command.arg("--script").arg(scratch.write("upload.lua", script.as_bytes())?);
    }
    command.arg(format!("{scheme}://127.0.0.1:{port}{path}"));
    let output = command.output().map_err(|error| format!("wrk: {error}"))?;
    count(&String::from_utf8_lossy(&output.stdout))
}

/// Parses the output of wrk.
fn count(text: &str) -> Result<Count, Failure> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("requests failed:\n{text}"));
    }
    let requests = text.lines().find(|line| line.contains(" requests in "));
    let requests = requests.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate = rate.and_then(|rate| rate.trim().parse().ok());
    match (requests, rate) {
        (Some(answered), Some(rate)) => Ok(Count { answered, rate, latency: Vec::new() }),
        _ => Err(format!("wrk said:\n{text}")),
    }
}
