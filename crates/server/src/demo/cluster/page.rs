//! What the cluster demo prints, for terminals of 80 columns.

use std::path::PathBuf;
use std::time::Duration;

use super::load::Tally;
use crate::demo::say;

/// The width of lines.
const WIDTH: usize = 78;

/// The parts of lines in the error log that are shown.
const SHOWN: [&str; 5] =
    ["takes requests again", "take requests again", "ejected", "budget of retries", "peer is "];

/// The output, and the sum of what clients saw.
pub(super) struct Page {
    log: PathBuf,
    /// The number of lines of the log that were read.
    read: usize,
    acts: usize,
    /// The number of servers in the table.
    servers: usize,
    requests: usize,
    errors: Vec<String>,
}

impl Page {
    pub(super) fn new(log: PathBuf) -> Self {
        Self { log, read: 0, acts: 0, servers: 0, requests: 0, errors: Vec::new() }
    }

    /// The heading of an act.
    pub(super) fn act(&mut self, text: &str) {
        self.acts += 1;
        say(format_args!("\n{}. {text}", self.acts));
    }

    /// The head of a table.
    pub(super) fn table(&mut self, servers: usize) {
        self.servers = servers;
        say(format_args!("{}", head(servers)));
    }

    /// A line of a table.
    pub(super) fn line(&mut self, label: &str, tally: &Tally) {
        self.count(tally);
        say(format_args!("{}", line(label, tally, self.servers)));
    }

    /// Counts what clients saw.
    pub(super) fn count(&mut self, tally: &Tally) {
        self.requests += tally.requests;
        self.errors.extend(tally.errors.iter().cloned());
    }

    /// What the error log says since the last call about servers that come and go.
    pub(super) fn tell_log(&mut self) {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let complete = text.matches('\n').count();
        for line in text.lines().take(complete).skip(self.read) {
            if SHOWN.iter().any(|shown| line.contains(shown)) {
                let (_, message) = line.split_once(": ").unwrap_or(("", line));
                wrapped(message).iter().for_each(|line| say(format_args!("{line}")));
            }
        }
        self.read = complete;
    }

    /// The last lines. Returns the number of errors.
    pub(super) fn sum_up(&self) -> usize {
        let (requests, errors) = (self.requests, self.errors.len());
        match errors {
            0 => say(format_args!("\n{requests} requests, and no client saw an error.")),
            _ => say(format_args!("\n{requests} requests, and clients saw {errors} errors:")),
        }
        self.errors.iter().take(5).for_each(|error| say(format_args!("   {error}")));
        errors
    }
}

/// The label of a line: the seconds of its act.
pub(super) fn seconds(from: Duration, until: Duration) -> String {
    let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64()).replace(".0", "");
    format!("{} - {} s", seconds(from), seconds(until))
}

fn head(servers: usize) -> String {
    let mut text =
        format!("   {:<11}{:>9}{:>8}{:>9}{:>9}  ", "", "requests", "errors", "p50", "p99");
    for number in 1..=servers {
        let name = if number == 1 { "server 1".to_owned() } else { number.to_string() };
        text += &format!("{name:>width$}", width = if number == 1 { 10 } else { 6 });
    }
    text
}

fn line(label: &str, tally: &Tally, servers: usize) -> String {
    let (requests, errors) = (tally.requests, tally.errors.len());
    let (p50, p99) = (time(tally.p50), time(tally.p99));
    let mut text = format!("   {label:<11}{requests:>9}{errors:>8}{p50:>9}{p99:>9}  ");
    for number in 1..=servers {
        let share = tally.percent(number).map_or("-".to_owned(), |share| format!("{share} %"));
        text += &format!("{share:>width$}", width = if number == 1 { 10 } else { 6 });
    }
    text
}

/// A time in milliseconds.
fn time(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

/// A message of the log, indented, in lines that fit.
fn wrapped(message: &str) -> Vec<String> {
    let mut lines = vec!["   log:".to_owned()];
    for word in message.split(' ') {
        let last = lines.last().map_or(0, String::len);
        if last + 1 + word.len() > WIDTH && last > 7 {
            lines.push("       ".to_owned());
        }
        if let Some(last) = lines.last_mut() {
            last.push(' ');
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_into_80_columns() {
        let answers = (1..=4).map(|server| (server, 25)).collect();
        let time = Duration::from_millis(1234);
        let tally = Tally {
            requests: 100_000,
            errors: vec![String::new(); 1000],
            p50: time,
            p99: time,
            answers,
        };
        let label = seconds(Duration::from_millis(1_333_333), Duration::from_secs(2_000));
        assert_eq!(label, "1333.3 - 2000 s");
        let text = line("1.3 - 2 s", &tally, 4);
        assert_eq!(
            text,
            "   1.3 - 2 s     100000    1000  1234 ms  1234 ms        25 %  25 %  25 %  25 %"
        );
        assert_eq!(text.len(), head(4).len());
        assert!(text.len() <= 80 && line(&label, &tally, 3).len() <= 80);
    }

    #[test]
    fn messages_are_wrapped_at_words() {
        let long = "x".repeat(90);
        assert_eq!(
            wrapped(&format!("a b {long} c")),
            ["   log: a b".to_owned(), format!("        {long}"), "        c".to_owned(),]
        );
        assert!(wrapped(&"word ".repeat(100)).iter().all(|line| line.len() <= WIDTH));
    }
}
