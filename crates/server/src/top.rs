//! `weir top`: what happens in a running server, in a terminal. It asks the API as anyone would,
//! and shares nothing with the server.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::Options;
use crate::console::{Console, say};
use crate::paths::Paths;

mod api;
mod asker;
mod change;
mod edit;
mod find;
mod keyboard;
mod line;
mod peer;
mod reason;
mod requests;
mod sample;
mod screen;
mod servers;
mod state;
mod table;
mod url;
mod view;
mod vitals;
mod wrong;
mod zones;

use api::Api;
use asker::Asker;
use keyboard::Key;
use reason::Reason;
use sample::Sample;
use screen::{Event, Screen};
use state::State;
use url::Url;

/// The time between two looks, unless another is given.
const INTERVAL: Duration = Duration::from_secs(2);

/// The limits of that time, in seconds. A large group takes the server some milliseconds per look.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=3600;

/// The size of the page where there is no terminal.
const PLAIN_COLUMNS: usize = 120;

/// The longest time between two pages.
const REDRAW: Duration = Duration::from_secs(1);

const USAGE: &str = "Usage: weir top [--once] [--interval=SECONDS] [URL]
URL is the location of the API: http://127.0.0.1:8000/api/, http://user:password@host/api/ or
unix:/run/weir.sock:/api/. Without it, the first location with \"api\" in the configuration is asked.
--once prints one page, of rates over one interval, and ends.
-c, -p, -e and -g are those of the server. In a terminal, ? shows the keys, and q ends.
";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    once: bool,
    interval: Option<Duration>,
    url: Option<String>,
    help: bool,
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

fn command(words: &[OsString]) -> Result<(), Reason> {
    let (wanted, rest) = wanted(words)?;
    if wanted.help {
        say(USAGE);
        return Ok(());
    }
    let options = Options::parse(&rest).map_err(|_| Reason::default())?;
    let url = match &wanted.url {
        Some(url) => Url::parse(url)?,
        None => find::api(&Paths::of(&options))?,
    };
    let api = Api::new(url);
    let interval = wanted.interval.unwrap_or(INTERVAL);
    // Without a name for the terminal, nothing is known of what it can do.
    let term = std::env::var_os("TERM").unwrap_or_default();
    let is_dumb = term.is_empty() || term == "dumb";
    if wanted.once || is_dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return once(&api, interval);
    }
    watch(Arc::new(api), interval)
}

fn wanted(words: &[OsString]) -> Result<(Wanted, Vec<OsString>), Reason> {
    let (mut wanted, mut rest) = (Wanted::default(), Vec::new());
    for word in words {
        let text = word.to_str().unwrap_or_default();
        let is_url = ["http://", "unix:"].iter().any(|scheme| text.starts_with(scheme));
        if text == "--once" {
            wanted.once = true;
        } else if let Some(seconds) = text.strip_prefix("--interval=") {
            let seconds = seconds.parse().ok().filter(|seconds| INTERVALS.contains(seconds));
            wanted.interval = Some(Duration::from_secs(seconds.ok_or_else(Reason::default)?));
        } else if is_url && wanted.url.is_none() {
            wanted.url = Some(text.to_owned());
        } else if text.starts_with("https://") {
            return Err(Reason::new("\"weir top\" speaks no TLS: give a listener without it"));
        } else if ["--help", "-h", "-?", "help"].contains(&text) {
            wanted.help = true;
        } else {
            rest.push(word.clone());
        }
    }
    Ok((wanted, rest))
}

/// Prints one page of plain text.
fn once(api: &Api, interval: Duration) -> Result<(), Reason> {
    let question = State::question();
    let first = Sample::take(api, &question)?;
    std::thread::park_timeout(interval);
    let mut state = State::new(api.shown(), first);
    state.look(Sample::take(api, &question)?);
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
fn watch(api: Arc<Api>, interval: Duration) -> Result<(), Reason> {
    let failed = |error: io::Error| Reason::new(format!("the terminal: {error}"));
    let first = Sample::take(&api, &State::question())?;
    let mut screen = Screen::open().map_err(failed)?;
    let mut state = State::new(api.shown(), first);
    let mut asked = state.question.clone();
    let mut asker = Asker::start(Arc::clone(&api), asked.clone(), interval).map_err(failed)?;
    loop {
        let (columns, rows) = screen.size();
        screen.draw(&view::lines(&state, columns, rows));
        match screen.event(REDRAW, asker.bell()) {
            Event::End => return Ok(()),
            Event::Key(Key::Suspend) => screen.suspend().map_err(failed)?,
            Event::Key(key) => {
                if edit::key(&mut state, &api, key).is_break() {
                    return Ok(());
                }
            }
            Event::Answer => {
                for answer in asker.answers() {
                    match answer {
                        Ok(sample) => state.look(sample),
                        // The server may be about to be started again.
                        Err(reason) => state.fail(reason),
                    }
                }
            }
            Event::Time | Event::Changed => {}
        }
        if state.question != asked || std::mem::take(&mut state.is_old) {
            asked.clone_from(&state.question);
            asker.ask(asked.clone());
        }
    }
}
