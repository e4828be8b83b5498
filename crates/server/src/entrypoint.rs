//! The entrypoint of a container (`docs/howto/container.md`): what `/docker-entrypoint.d` holds is
//! run, and then the command. The layout, the order, the variables and the messages are those of
//! nginx's official image, so that what is made for it works.
//!
//! It is a part of the program, so that it needs neither a shell nor other programs, and so that
//! the first process of a container handles signals and orphans from its first moment. Steps of
//! the image are links to the program, with the names that they have in nginx's image: they can be
//! removed, replaced, and called by other scripts. Scripts of users need what they name.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use weir_sys::signal::{self, Signals};
use weir_sys::{inherit, process};

use crate::signals;

mod health;
mod order;
mod script;
mod steps;
mod templates;

/// The name by which a container calls the program.
const NAME: &str = "docker-entrypoint.sh";

/// The folder of scripts.
const FOLDER: &str = "/docker-entrypoint.d";

/// The commands before which they are run.
const SERVERS: [&str; 3] = ["nginx", "nginx-debug", "weir"];

/// The word after which a script, once read, has its environment written to a descriptor.
const ENVIRONMENT: &str = "--environment";

/// The word that asks whether the server is well.
const HEALTHY: &str = "--healthy";

/// The deepest folder that is looked into: links may form a circle.
const DEPTH: usize = 8;

/// The exit codes of shells for a command that is missing, and one that cannot be run.
const MISSING: i32 = 127;
const UNFIT: i32 = 126;

/// The container ends, with this exit code; the reason has been told.
struct Ended(i32);

/// Messages, unless `NGINX_ENTRYPOINT_QUIET_LOGS` is set.
struct Log {
    /// The entrypoint, or one of its steps.
    name: String,
    is_quiet: bool,
}

impl Log {
    fn new(name: impl Into<String>) -> Self {
        let quiet = std::env::var_os("NGINX_ENTRYPOINT_QUIET_LOGS");
        Self { name: name.into(), is_quiet: quiet.is_some_and(|value| !value.is_empty()) }
    }

    fn say(&self, text: impl std::fmt::Display) {
        if !self.is_quiet {
            // A log that nobody takes ends no container.
            let _ = writeln!(io::stdout(), "{}: {text}", self.name);
        }
    }

    /// What is wrong is told in any case.
    fn complain(&self, text: impl std::fmt::Display) {
        let _ = writeln!(io::stderr(), "{}: {text}", self.name);
    }
}

/// Does what a container's entrypoint does if the program is called as one. Returns the exit code;
/// `None` if a server is to be started with the arguments, which may have been changed.
pub(crate) fn enter(args: &mut Vec<OsString>) -> Option<i32> {
    let called = args.first().and_then(|path| Path::new(path).file_name())?;
    if called != NAME && args.get(1).is_none_or(|word| word != "entrypoint") {
        let step = called.to_str().and_then(steps::find)?;
        steps::run(step);
        return Some(0);
    }
    let at = if called == NAME { 1 } else { 2 };
    if args.get(at).is_some_and(|word| word == ENVIRONMENT) {
        return Some(write_environment(args.get(at + 1)));
    }
    if args.get(at).is_some_and(|word| word == HEALTHY) {
        return Some(health::run(&args[at + 1..]));
    }
    let command = args.split_off(at.min(args.len()));
    match start(&command) {
        Ok(()) => {
            *args = command;
            None
        }
        Err(Ended(code)) => Some(code),
    }
}

/// Prepares the container and runs the command, which replaces this program. Returns only for a
/// command that is this program, or with an exit code.
fn start(command: &[OsString]) -> Result<(), Ended> {
    let log = Log::new(format!("/{NAME}"));
    let Some(name) = command.first() else {
        log.complain("no command is given, such as nginx -g \"daemon off;\"");
        return Err(Ended(1));
    };
    // Scripts may run for long, and the first process of a container gets only signals that it
    // handles or blocks.
    let signals = Signals::block(&signals::ALL).map_err(|error| {
        log.complain(format_args!("signalfd() failed: {error}"));
        Ended(1)
    })?;
    if SERVERS.iter().any(|server| name == server) {
        prepare(&log, &signals)?;
    }
    let program = found(name);
    let own = std::env::current_exe().and_then(fs::canonicalize).ok();
    if own.is_some() && program.as_ref().and_then(|path| fs::canonicalize(path).ok()) == own {
        // The first process keeps its signals blocked, so that none is lost up to the start.
        if process::id() != 1 {
            let _ = signal::unblock_all();
        }
        return Ok(());
    }
    let Some(program) = program else {
        log.complain(format_args!("{}: not found", name.display()));
        return Err(Ended(MISSING));
    };
    let _ = signal::unblock_all();
    let env: Vec<OsString> = std::env::vars_os().map(|(name, value)| entry(name, &value)).collect();
    let error = process::execute(program.as_os_str(), command, &env);
    log.complain(format_args!("{}: {error}", program.display()));
    Err(Ended(UNFIT))
}

/// A program, by the search path unless it is a path itself.
fn found(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|path| path.is_file() && is_executable(path))
}

fn entry(mut name: OsString, value: &OsStr) -> OsString {
    name.push("=");
    name.push(value);
    name
}

/// Runs what the folder of scripts holds.
fn prepare(log: &Log, signals: &Signals) -> Result<(), Ended> {
    let has_files = fs::read_dir(FOLDER)
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_file()));
    if !has_files {
        log.say(format_args!("No files found in {FOLDER}/, skipping configuration"));
        return Ok(());
    }
    log.say(format_args!("{FOLDER}/ is not empty, will attempt to perform configuration"));
    log.say(format_args!("Looking for shell scripts in {FOLDER}/"));
    for path in files(Path::new(FOLDER)) {
        let shown = path.display();
        let sources = match path.extension().and_then(OsStr::to_str) {
            Some("envsh") => true,
            Some("sh") => false,
            _ => {
                log.say(format_args!("Ignoring {shown}"));
                continue;
            }
        };
        if !is_executable(&path) {
            log.say(format_args!("Ignoring {shown}, not executable"));
            continue;
        }
        log.say(format_args!("{} {shown}", if sources { "Sourcing" } else { "Launching" }));
        match step_of(&path) {
            Some(step) => steps::run(step),
            None if sources => script::source(&path, log, signals)?,
            None => script::launch(&path, log, signals)?,
        }
    }
    log.say("Configuration complete; ready for start up");
    Ok(())
}

/// The step that a file is: a link to this program with its name.
fn step_of(path: &Path) -> Option<&'static steps::Step> {
    let step = steps::find(path.file_name()?.to_str()?)?;
    let own = std::env::current_exe().and_then(fs::canonicalize).ok()?;
    (fs::canonicalize(path).ok()? == own).then_some(step)
}

/// The files below a folder, also through links, in the order of versions.
fn files(folder: &Path) -> Vec<PathBuf> {
    fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_file() {
                found.push(path);
            } else if depth < DEPTH && path.is_dir() {
                collect(&path, depth + 1, found);
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, 0, &mut found);
    found.sort_by(|a, b| order::compare(a.as_os_str().as_bytes(), b.as_os_str().as_bytes()));
    found
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o111 != 0)
}

/// Writes the environment to a descriptor, for the entrypoint that has started a shell.
fn write_environment(number: Option<&OsString>) -> i32 {
    let number = number.and_then(|word| word.to_str()?.parse().ok());
    let Some(file) = number.and_then(inherit::descriptor) else { return 1 };
    let mut text = Vec::new();
    // The shell's own note of the last command.
    for (name, value) in std::env::vars_os().filter(|(name, _)| name != "_") {
        text.extend_from_slice(entry(name, &value).as_bytes());
        text.push(0);
    }
    i32::from(fs::File::from(file).write_all(&text).is_err())
}
