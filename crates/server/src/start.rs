//! The start: from the command line to a running server.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use weir_conf::Layout;
use weir_engine::error_log::{Form, Sink, Target};
use weir_engine::log_files::LogFile;
use weir_engine::os_error::Failed;
use weir_engine::{ErrorLog, Level};
use weir_sys::file::Links;
use weir_sys::{allocator, daemon, process, title, user};

use crate::cli::Options;
use crate::console::Console;
use crate::cycle::Draft;
use crate::master::{self, Startup};
use crate::paths::Paths;
use crate::reloads;
use crate::{
    adopt, demo, entrypoint, guarding, ha_command, manual, mirroring, pair_command, pid_file,
    reference, signals, single, top, upgrade, version,
};

/// The arguments of nginx's `configure` for this build, from `cargo xtask install` or `package`.
const CONFIGURE: Option<&str> = option_env!("WEIR_CONFIGURE");

/// Runs the command line. Returns the exit code unless a server runs.
pub(crate) fn run() -> i32 {
    if let Some(arguments) = CONFIGURE {
        Layout::build_with(arguments);
    }
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = entrypoint::enter(&mut args) {
        return code;
    }
    adopt::stand_in(args.first());
    match args.get(1).and_then(|word| word.to_str()) {
        Some("demo") => {
            if let Some(code) = demo::run(&args[2..]) {
                return code;
            }
        }
        Some("ha") if guarding::is_handed_over(args.get(2)) => return guarding::go_on(),
        Some("ha") if pair_command::knows(args.get(2)) => {
            return pair_command::run(args.first().map(OsString::as_os_str), &args[2..]);
        }
        Some("ha") => return ha_command::run(args.first().map(OsString::as_os_str), &args[2..]),
        Some("adopt") => match adopt::tested(args.get(2)) {
            None => return adopt::run(args.first().map(OsString::as_os_str), &args[2..]),
            Some(configure) => {
                Layout::stand_in_for(configure);
                args.drain(1..3);
                args[0] = "nginx".into();
            }
        },
        Some("top") => return top::run(args.first().map(OsString::as_os_str), &args[2..]),
        Some("--manual") if args.len() == 3 => return manual::run(Path::new(&args[2])),
        Some("--reference") if args.len() == 3 => return reference::run(Path::new(&args[2])),
        _ => {}
    }
    let mut console = Console::new(args.first().map(OsString::as_os_str));
    let options = match Options::parse(args.get(1..).unwrap_or_default()) {
        Ok(options) => options,
        Err(message) => {
            console.print(message);
            return 1;
        }
    };
    if options.version {
        let text = version::text(console.program(), &options);
        let _ = if options.spelled_out {
            std::io::stdout().write_all(text.as_bytes())
        } else {
            std::io::stderr().write_all(text.as_bytes())
        };
        if !options.test {
            return 0;
        }
    }
    let startup = Startup {
        paths: Paths::of(&options),
        globals: options.globals_text(),
        args,
        env: std::env::vars_os().map(|(name, value)| entry(&name, &value)).collect(),
        parent: None,
        daemonised: false,
    };
    // Without a title, the process is only harder to find.
    let _ = title::prepare();
    open_first_log(&startup.paths, options.test, &mut console);
    if options.test {
        return test(&startup, &options, &console);
    }
    if let Some(command) = options.command {
        let draft = Draft::read(&startup.paths, startup.globals.as_deref(), &console, || ());
        return draft.map_or(1, |draft| signals::send(command, &draft.process.pid, &console));
    }
    serve(startup, console)
}

fn entry(name: &std::ffi::OsStr, value: &std::ffi::OsStr) -> OsString {
    let mut entry = name.to_owned();
    entry.push("=");
    entry.push(value);
    entry
}

/// Opens the error log that is used until the configuration names one.
fn open_first_log(paths: &Paths, test: bool, console: &mut Console) {
    let level = if test { Level::Info } else { Level::Notice };
    let sink = match &paths.error_log {
        None => Sink::Stderr,
        Some(path) => match LogFile::open_by(path, first_links()) {
            Ok(file) => Sink::File(Arc::new(file)),
            Err(error) => {
                let what = format!("open() \"{}\" failed", path.display());
                console.print(format_args!(
                    "[alert] could not open error log file: {}",
                    Failed(&what, &error)
                ));
                Sink::Stderr
            }
        },
    };
    console.set_error_log(ErrorLog::new(vec![Target { level, form: Form::Plain, sink }]));
}

/// The links to follow before the worker's user is known.
fn first_links() -> Links {
    if user::is_root() { Links::Own } else { Links::Any }
}

/// `-t` and `-T`.
fn test(startup: &Startup, options: &Options, console: &Console) -> i32 {
    let conf = startup.paths.conf.display();
    let Ok(sources) = try_out(startup, options, console) else {
        console.print(format_args!("configuration file {conf} test failed"));
        return 1;
    };
    if !options.quiet {
        console.print(format_args!("configuration file {conf} test is successful"));
    }
    if options.dump {
        // An error on standard output has nowhere to be reported.
        let _ = std::io::stdout().write_all(&sources);
    }
    0
}

/// Performs a start up to the point of serving, and returns the output of `-T`.
fn try_out(startup: &Startup, options: &Options, console: &Console) -> Result<Vec<u8>, ()> {
    let syntax_is_ok = || {
        if !options.quiet {
            let conf = startup.paths.conf.display();
            console.print(format_args!("the configuration file {conf} syntax is ok"));
        }
    };
    let draft = Draft::read(&startup.paths, startup.globals.as_deref(), console, syntax_is_ok)?;
    pid_file::test(&draft.process.pid, draft.process.links(), console)?;
    let dump = if options.dump { weir_conf::dump(&draft.assembly.sources) } else { Vec::new() };
    let cycle = draft.open(&[], 1, true, console)?;
    let mut console = console.clone();
    console.set_error_log(cycle.error_log.clone());
    cycle.check_limits(&console);
    Ok(dump)
}

/// Starts the server and runs it; returns only on failure.
fn serve(mut startup: Startup, mut console: Console) -> i32 {
    // The kernel ignores what the first process of a container neither handles nor blocks, and
    // reading a configuration may take seconds.
    let early = (process::id() == 1).then(|| master::block_signals(&console));
    let inherited = upgrade::inherited(&console);
    let is_upgrade = inherited.is_some();
    startup.parent = is_upgrade.then(process::parent_id);
    let old = inherited.unwrap_or_default();
    mirroring::finish_placing(&startup.paths.prefix, &console);
    let draft = Draft::read(&startup.paths, startup.globals.as_deref(), &console, || ());
    let Ok(cycle) = draft.and_then(|draft| draft.open(&old, 1, false, &console)) else { return 1 };
    drop(old);
    // Returns the memory used for reading before workers are forked.
    allocator::give_back();
    console.set_error_log(cycle.error_log.clone());
    cycle.log_method(&console);
    cycle.check_limits(&console);
    log_start(&console);
    let settings = &cycle.process;
    let mut launcher = None;
    if settings.daemon && !is_upgrade {
        match daemon::daemonise() {
            Ok(waiting) => launcher = Some(waiting),
            Err(daemon::Failed { step, error }) => {
                console.log(Level::Emerg, Failed(&format!("{step} failed"), &error));
                return 1;
            }
        }
    }
    startup.daemonised = is_upgrade || settings.daemon;
    // Signals may arrive as soon as the pid file exists.
    let signals = early.unwrap_or_else(|| master::block_signals(&console));
    if pid_file::write(&settings.pid, settings.links(), &console).is_err() {
        return 1;
    }
    Console::log_panics();
    reloads::note_start();
    if settings.master {
        master::run(startup, console, cycle, &signals, launcher)
    } else {
        single::run(startup, console, cycle, &signals, launcher)
    }
}

/// Logs nginx's lines about version and system.
fn log_start(console: &Console) {
    console.log(Level::Notice, format_args!("{} ({})", version::NGINX, version::WEIR));
    console.log(Level::Notice, format_args!("OS: {}", process::kernel()));
    if let Ok((soft, hard)) = process::open_files_limit() {
        console.log(Level::Notice, format_args!("getrlimit(RLIMIT_NOFILE): {soft}:{hard}"));
    }
}
