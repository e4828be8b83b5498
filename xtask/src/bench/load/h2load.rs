//! h2load: the maximum rate of requests of HTTP/2.

use std::process::Command;

use super::Count;
use crate::Failure;
use crate::bench::request::fields;
use crate::bench::workload::{Fields, Load};

/// Runs h2load for a whole number of seconds.
pub(super) fn run(port: u16, tls: bool, load: &Load, seconds: f64) -> Result<Count, Failure> {
    let Load::Streams { path, fields, connections, streams } = *load else {
        return Err("h2load cannot generate this load".to_owned());
    };
    let duration = format!("--duration={}", seconds.ceil());
    let connections = format!("--clients={connections}");
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{port}{path}");
    count(&told(&[&duration, &connections], streams, fields, &url)?)
}

/// Makes so many requests on one connection, `streams` of them at once.
pub(crate) fn ask(
    port: u16,
    path: &str,
    which: Fields,
    streams: usize,
    requests: usize,
) -> Result<(), Failure> {
    let number = format!("--requests={requests}");
    let url = format!("http://127.0.0.1:{port}{path}");
    let text = told(&[&number, "--clients=1"], streams, which, &url)?;
    match count(&text)?.answered == requests as u64 {
        true => Ok(()),
        false => Err(format!("requests are lacking:\n{text}")),
    }
}

/// What h2load says at its end.
fn told(flags: &[&str], streams: usize, which: Fields, url: &str) -> Result<String, Failure> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "h2load", "--threads=1"]).args(flags);
    command.arg(format!("--max-concurrent-streams={streams}"));
    for (name, value) in fields(which) {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    let output = command.arg(url).output().map_err(|error| format!("h2load: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Parses the output of h2load. A response with another status than 2xx is a failure; requests that
/// are under way at the end of the time are not.
fn count(text: &str) -> Result<Count, Failure> {
    let number = |line: &str, word: &str| {
        let line = text.lines().find_map(|all| all.trim().strip_prefix(line))?;
        let part = line.split(", ").find_map(|part| part.trim().strip_suffix(word))?;
        part.trim().parse::<f64>().ok()
    };
    let (done, failed) = (number("status codes:", " 2xx"), number("requests:", " failed"));
    match (done, failed, number("finished in", " req/s")) {
        (Some(done), Some(0.0), Some(rate)) if done > 0.0 => {
            Ok(Count { answered: done as u64, rate, latency: Vec::new() })
        }
        _ => Err(format!("requests failed:\n{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_not_counted_as_answers() {
        let text = |failed: u32, good: u32| {
            format!(
                "finished in 1.00s, 51234.00 req/s, 5.87MB/s\n\
                 requests: 51234 total, 51334 started, 51234 done, 51234 succeeded, {failed} failed, \
                 0 errored, 0 timeout\nstatus codes: {good} 2xx, 0 3xx, 0 4xx, 0 5xx\n"
            )
        };
        let counted = count(&text(0, 51234)).expect("a good end");
        assert_eq!((counted.answered, counted.rate), (51_234, 51_234.0));
        assert!(count(&text(1, 51233)).is_err());
        assert!(count(&text(0, 0)).is_err());
        assert!(count("").is_err());
    }
}
