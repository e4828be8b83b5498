//! An upgrade of the binary without a gap in listening, as with nginx: the old binary starts the
//! new one (USR2), which gets the sockets' numbers in its environment; then the old one is told to
//! quit its workers (WINCH) and itself (QUIT), or to carry on (HUP).

use std::ffi::{OsStr, OsString};
use std::os::fd::AsRawFd;

use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_sys::process::{self, Fork};
use weir_sys::signal;

use crate::children::Child;
use crate::console::Console;
use crate::guarding;
use crate::master::Master;
use crate::notify;
use crate::pid_file;
use crate::privileges;
use crate::sockets::Socket;

/// The environment variable with the sockets' numbers, each followed by a semicolon.
const VARIABLE: &str = "NGINX";

/// The space for a process title beyond the arguments, in bytes.
const TITLE_ROOM: usize = 300;

/// The sockets inherited from the previous binary; `None` without one.
pub(crate) fn inherited(console: &Console) -> Option<Vec<Socket>> {
    let list = std::env::var(VARIABLE).ok()?;
    console.log(Level::Notice, format_args!("using inherited sockets from \"{list}\""));
    let mut sockets = Vec::new();
    let mut rest = list.as_str();
    while let Some(end) = rest.find([':', ';']) {
        let Ok(number) = rest[..end].parse::<u16>() else {
            console.log(
                Level::Emerg,
                format_args!(
                    "invalid socket number \"{rest}\" in {VARIABLE} environment variable, ignoring \
                     the rest of the variable"
                ),
            );
            return Some(sockets);
        };
        // A number listed twice has one owner.
        let known =
            sockets.iter().any(|socket: &Socket| socket.fd.as_raw_fd() == i32::from(number));
        let socket = if known { None } else { Some(Socket::inherit(number.into())) };
        match socket {
            None => {}
            Some(Ok(socket)) => sockets.push(socket),
            Some(Err(error)) => {
                let what = format!("inherited socket #{number} is not a listening socket, ignored");
                console.log(Level::Crit, Failed(&what, &error));
            }
        }
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        console.log(
            Level::Emerg,
            format_args!(
                "invalid socket number \"{rest}\" in {VARIABLE} environment variable, ignoring"
            ),
        );
    }
    Some(sockets)
}

/// Starts the new binary by this one's program name. The pid file is renamed first.
pub(crate) fn start_new_binary(master: &mut Master) {
    let program = master.startup.args.first().cloned().unwrap_or_default();
    let pid_path = &master.cycle.process.pid;
    let old_name = pid_file::old_name(pid_path);
    if let Err(error) = std::fs::rename(pid_path, &old_name) {
        let what = format!(
            "rename() {} to {} failed before executing new binary process \"{}\"",
            pid_path.display(),
            old_name.display(),
            program.display()
        );
        return master.console.log(Level::Alert, Failed(&what, &error));
    }
    match process::fork() {
        Ok(Fork::Child) => become_new_binary(master, &program),
        Ok(Fork::Parent(pid)) => {
            let message = format_args!("start new binary process {pid}");
            master.console.log(Level::Notice, message);
            master.children.0.push(Child::new_binary(pid, program));
        }
        Err(error) => {
            let what = "fork() failed while spawning \"new binary process\"";
            master.console.log(Level::Alert, Failed(what, &error));
            rename_back(
                master,
                &format!("an attempt to execute new binary process \"{}\"", program.display()),
            );
        }
    }
}

fn become_new_binary(master: &Master, program: &OsStr) -> ! {
    let mut list = OsString::from(format!("{VARIABLE}="));
    for socket in &master.cycle.sockets {
        list.push(format!("{};", socket.fd.as_raw_fd()));
        if let Err(error) = process::keep_over_execute(&socket.fd) {
            master.console.log(Level::Alert, Failed("fcntl(F_SETFD) failed", &error));
        }
    }
    let mut env = privileges::environment(&master.cycle.process.env, &master.startup.env);
    env.push(list);
    env.extend(notify::entry(&master.startup.env).cloned());
    if let Some(folder) = master.guarding.folder() {
        let mut entry = OsString::from(guarding::FOLDER);
        entry.push("=");
        entry.push(folder);
        env.push(entry);
    }
    // Space for the process title, which overwrites arguments and environment.
    env.push(format!("SPARE={}", "X".repeat(TITLE_ROOM)).into());
    let error = match signal::unblock_all() {
        Ok(()) => process::execute(program, &master.startup.args, &env),
        Err(error) => error,
    };
    let what =
        format!("execve() failed while executing new binary process \"{}\"", program.display());
    master.console.log(Level::Alert, Failed(&what, &error));
    std::process::exit(1)
}

/// Renames the pid file back, and serves again if it had stopped.
pub(crate) fn new_binary_has_ended(master: &mut Master, program: &OsStr) {
    rename_back(master, &format!("the new binary process \"{}\" exited", program.display()));
    if std::mem::take(&mut master.not_accepting) && !master.asked.quit && !master.asked.terminate {
        master.start_workers();
    }
}

fn rename_back(master: &Master, after: &str) {
    let pid_path = &master.cycle.process.pid;
    let old_name = pid_file::old_name(pid_path);
    if let Err(error) = std::fs::rename(&old_name, pid_path) {
        let what = format!(
            "rename() {} back to {} failed after {after}",
            old_name.display(),
            pid_path.display()
        );
        master.console.log(Level::Alert, Failed(&what, &error));
    }
}
