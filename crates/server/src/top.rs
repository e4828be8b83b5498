//! `weir top`: what happens in a running server, in a terminal. It asks the API as anyone would,
//! and shares nothing with the server.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::Options;
use crate::console::{Console, say};
use crate::paths::Paths;

mod api;
mod change;
mod edit;
mod find;
mod requests;
mod sample;
mod screen;
mod servers;
mod view;
mod vitals;

use api::Api;
use sample::Sample;
use screen::{Event, Screen};
use view::State;

/// The time between two looks, unless another is given.
const INTERVAL: Duration = Duration::from_secs(2);

/// The limits of that time, in seconds. A large group takes the server some milliseconds per look.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=3600;

/// The size of the page where there is no terminal.
const PLAIN_COLUMNS: usize = 120;

const USAGE: &str = "Usage: weir top [--once] [--interval=SECONDS] [URL]
URL is the location of the API: http://127.0.0.1:8000/api/, http://user:password@host/api/ or
unix:/run/weir.sock:/api/. Without it, the first location with \"api\" in the configuration is asked.
--once prints one page, of rates over one interval, and ends.
-c, -p, -e and -g are those of the server.
";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    once: bool,
    interval: Option<Duration>,
    url: Option<String>,
}

/// Runs the command, whose words follow `weir top`. Returns the exit code.
pub(crate) fn run(program: Option<&OsStr>, words: &[OsString]) -> i32 {
    let console = Console::for_command(program);
    match command(words) {
        Ok(()) => 0,
        Err(reason) if reason == Reason::default() => {
            say(USAGE);
            1
        }
        Err(reason) => {
            console.print(reason);
            1
        }
    }
}

/// Why something failed, for the user; empty for a wrong use of the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reason(String);

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn command(words: &[OsString]) -> Result<(), Reason> {
    let (wanted, rest) = wanted(words)?;
    let api = match &wanted.url {
        Some(url) => Api::of_url(url)?,
        None => {
            let options = Options::parse(&rest).map_err(|_| Reason::default())?;
            find::api(&Paths::of(&options))?
        }
    };
    let interval = wanted.interval.unwrap_or(INTERVAL);
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if wanted.once || is_dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return once(&api, interval);
    }
    watch(&api, interval)
}

fn wanted(words: &[OsString]) -> Result<(Wanted, Vec<OsString>), Reason> {
    let (mut wanted, mut rest) = (Wanted::default(), Vec::new());
    for word in words {
        let text = word.to_str().unwrap_or_default();
        if text == "--once" {
            wanted.once = true;
        } else if let Some(seconds) = text.strip_prefix("--interval=") {
            let seconds = seconds.parse().ok().filter(|seconds| INTERVALS.contains(seconds));
            wanted.interval = Some(Duration::from_secs(seconds.ok_or_else(Reason::default)?));
        } else if text.starts_with("http://") || text.starts_with("unix:") {
            wanted.url = Some(text.to_owned());
        } else if text.starts_with("https://") {
            return Err("\"weir top\" speaks no TLS: give a listener without it".to_owned().into());
        } else if ["--help", "-h", "-?", "help"].contains(&text) {
            return Err(Reason::default());
        } else {
            rest.push(word.clone());
        }
    }
    Ok((wanted, rest))
}

/// Prints one page of plain text.
fn once(api: &Api, interval: Duration) -> Result<(), Reason> {
    let first = Sample::take(api)?;
    std::thread::park_timeout(interval);
    let mut state = State::new(api.shown(), first);
    state.look(Sample::take(api)?);
    let mut out = io::stdout().lock();
    for line in view::all(&mut state, PLAIN_COLUMNS) {
        // A reader that has left needs no more lines.
        if writeln!(out, "{}", line.text.trim_end()).is_err() {
            break;
        }
    }
    Ok(())
}

/// Draws pages until a key ends it.
fn watch(api: &Api, interval: Duration) -> Result<(), Reason> {
    let first = Sample::take(api)?;
    let mut screen = Screen::open().map_err(|error| Reason(format!("the terminal: {error}")))?;
    let mut state = State::new(api.shown(), first);
    let mut next = Instant::now() + interval.min(Duration::from_secs(1));
    loop {
        let (columns, rows) = screen.size();
        screen.draw(&view::lines(&state, columns, rows));
        match screen.event(next.saturating_duration_since(Instant::now())) {
            Event::End => return Ok(()),
            Event::Key(key) => {
                if edit::key(&mut state, api, key).is_break() {
                    return Ok(());
                }
            }
            Event::Time => {
                match Sample::take(api) {
                    Ok(sample) => state.look(sample),
                    // The server may be about to be started again.
                    Err(reason) => state.fault = Some(reason),
                }
                next = Instant::now() + interval;
            }
            Event::Resized => {}
        }
    }
}
