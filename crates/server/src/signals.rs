//! The signals of master and worker, with nginx's names and their effects.

use weir_engine::Level;
use weir_sys::process;
use weir_sys::signal::ReceivedSignal;

use crate::cli::Command;
use crate::console::Console;
use crate::identity;

pub(crate) const HUP: i32 = 1;
pub(crate) const INT: i32 = 2;
pub(crate) const QUIT: i32 = 3;
const USR1: i32 = 10;
pub(crate) const USR2: i32 = 12;
const ALRM: i32 = 14;
pub(crate) const TERM: i32 = 15;
pub(crate) const KILL: i32 = 9;
const CHLD: i32 = 17;
pub(crate) const CONT: i32 = 18;
pub(crate) const TSTP: i32 = 20;
pub(crate) const WINCH: i32 = 28;
const IO: i32 = 29;

/// All signals that are read instead of having their default effect.
pub(crate) const ALL: [i32; 10] = [HUP, USR1, WINCH, TERM, QUIT, USR2, ALRM, INT, IO, CHLD];

/// Signals that end a program, and SIGCHLD.
pub(crate) const ENDING: [i32; 5] = [HUP, INT, QUIT, TERM, CHLD];

/// The effect of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Exit when the last request has ended.
    Quit,
    /// Exit now.
    Terminate,
    /// Reload the configuration.
    Reconfigure,
    /// Reopen the log files.
    Reopen,
    /// Start a new binary that takes over.
    ChangeBinary,
    /// A new binary was requested at an unsuitable time.
    ChangeBinaryIgnored,
    /// Quit the workers, keep the master.
    StopAccepting,
    /// Reap children.
    Reap,
    /// Nothing.
    None,
}

/// The signal of a `-s` command.
pub(crate) fn number(command: Command) -> i32 {
    match command {
        Command::Stop => TERM,
        Command::Quit => QUIT,
        Command::Reopen => USR1,
        Command::Reload => HUP,
    }
}

fn name(number: i32) -> &'static str {
    match number {
        HUP => "SIGHUP",
        INT => "SIGINT",
        QUIT => "SIGQUIT",
        USR1 => "SIGUSR1",
        USR2 => "SIGUSR2",
        ALRM => "SIGALRM",
        TERM => "SIGTERM",
        CHLD => "SIGCHLD",
        WINCH => "SIGWINCH",
        IO => "SIGIO",
        _ => "",
    }
}

/// Logs a signal to the master and returns its effect.
///
/// `daemonised` enables WINCH, which a terminal also sends when its window is resized;
/// `may_upgrade` enables USR2.
pub(crate) fn to_master(
    signal: ReceivedSignal,
    daemonised: bool,
    may_upgrade: bool,
    console: &Console,
) -> Request {
    let (request, action) = match signal.number {
        QUIT => (Request::Quit, ", shutting down"),
        TERM | INT => (Request::Terminate, ", exiting"),
        WINCH if daemonised => (Request::StopAccepting, ", stop accepting connections"),
        HUP => (Request::Reconfigure, ", reconfiguring"),
        USR1 => (Request::Reopen, ", reopening logs"),
        USR2 if may_upgrade => (Request::ChangeBinary, ", changing binary"),
        USR2 => (Request::ChangeBinaryIgnored, ", ignoring"),
        CHLD => (Request::Reap, ""),
        _ => (Request::None, ""),
    };
    log(signal, action, console);
    if request == Request::ChangeBinaryIgnored {
        console.log(
            Level::Crit,
            "the changing binary signal is ignored: you should shutdown or terminate before \
             either old or new binary's process",
        );
    }
    request
}

/// Logs a signal to the worker and returns its effect.
pub(crate) fn to_worker(signal: ReceivedSignal, daemonised: bool, console: &Console) -> Request {
    let (request, action) = match signal.number {
        QUIT => (Request::Quit, ", shutting down"),
        WINCH if daemonised => (Request::Quit, ", shutting down"),
        TERM | INT => (Request::Terminate, ", exiting"),
        USR1 => (Request::Reopen, ", reopening logs"),
        HUP | USR2 | IO => (Request::None, ", ignoring"),
        _ => (Request::None, ""),
    };
    log(signal, action, console);
    request
}

fn log(signal: ReceivedSignal, action: &str, console: &Console) {
    let (number, name) = (signal.number, name(signal.number));
    if signal.sender == 0 {
        console.log(Level::Notice, format_args!("signal {number} ({name}) received{action}"));
    } else {
        let sender = signal.sender;
        console.log(
            Level::Notice,
            format_args!("signal {number} ({name}) received from {sender}{action}"),
        );
    }
}

/// Runs `-s`: signals the process in the pid file and returns the exit code.
pub(crate) fn send(command: Command, pid_file: &std::path::Path, console: &Console) -> i32 {
    console.log(Level::Notice, "signal process started");
    let Ok(pid) = crate::pid_file::read(pid_file, console) else { return 1 };
    if let Err(other) = identity::check(pid, console.program()) {
        let file = pid_file.display();
        console.log(Level::Error, format_args!("process {pid} in \"{file}\" is {other}"));
        return 1;
    }
    let number = number(command);
    match process::kill(pid, number) {
        Ok(()) => 0,
        Err(error) => {
            let what = format!("kill({pid}, {number}) failed");
            console.log(Level::Alert, weir_engine::os_error::Failed(&what, &error));
            1
        }
    }
}
