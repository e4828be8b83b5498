//! The worker's setup before it serves: user, limits, environment, directory.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_sys::{process, user};

use crate::console::Console;
use crate::modules::core::{Process, User};

/// The exit code that tells the master not to start a successor.
const FATAL: i32 = 2;

/// Turns the calling process, freshly forked, into a worker. Exits if that fails.
///
/// `env` is the environment of the master's start.
pub(crate) fn become_worker(settings: &Process, env: &[OsString], console: &Console) {
    let fatal = |what: &str, error: std::io::Error, level| -> ! {
        console.log(level, Failed(what, &error));
        std::process::exit(FATAL);
    };
    if let Err(error) = process::replace_environment(&environment(&settings.env, env)) {
        fatal("environment", error, Level::Emerg);
    }
    set_limits(settings, console);
    if let Some(user) = settings.user.as_ref().filter(|_| user::is_root())
        && let Err((what, error)) = become_user(user, settings.raw_sockets)
    {
        fatal(&what, error, Level::Emerg);
    }
    // Without a request for core files, the kernel hides the memory of a process that has changed
    // its user from other processes of that user: it contains private keys.
    if settings.wants_core()
        && let Err(error) = process::allow_core()
    {
        console.log(Level::Alert, Failed("prctl(PR_SET_DUMPABLE) failed", &error));
    }
    if let Err(error) = user::no_new_privileges() {
        console.log(Level::Alert, Failed("prctl(PR_SET_NO_NEW_PRIVS) failed", &error));
    }
    if let Some(directory) = &settings.working_directory
        && let Err(error) = process::change_directory(directory)
    {
        let what = format!("chdir(\"{}\") failed", directory.display());
        fatal(&what, error, Level::Alert);
    }
}

fn set_limits(settings: &Process, console: &Console) {
    let complain = |what: String, done: std::io::Result<()>| {
        if let Err(error) = done {
            console.log(Level::Alert, Failed(&what, &error));
        }
    };
    if settings.priority != 0 {
        let nice = settings.priority;
        complain(format!("setpriority({nice}) failed"), process::set_priority(nice));
    }
    if let Some(limit) = settings.open_files {
        let what = format!("setrlimit(RLIMIT_NOFILE, {limit}) failed");
        complain(what, process::set_open_files_limit(limit));
    }
    if let Some(limit) = settings.core_size {
        let what = format!("setrlimit(RLIMIT_CORE, {limit}) failed");
        complain(what, process::set_core_limit(limit));
    }
}

/// Switches to the user and its groups. From then on, the worker can bind and read only what they
/// may.
fn become_user(user: &User, raw_sockets: bool) -> Result<(), (String, std::io::Error)> {
    let User { name, uid, gid } = user;
    user::set_group(*gid).map_err(|error| (format!("setgid({gid}) failed"), error))?;
    user::set_groups(name, *gid)
        .map_err(|error| (format!("initgroups({name}, {gid}) failed"), error))?;
    if *uid == 0 {
        return Ok(());
    }
    user::empty_bounding_set();
    if raw_sockets {
        user::keep_capabilities()
            .map_err(|error| ("prctl(PR_SET_KEEPCAPS, 1) failed".to_owned(), error))?;
    }
    user::set_user(*uid).map_err(|error| (format!("setuid({uid}) failed"), error))?;
    let limited = if raw_sockets { user::only_raw_sockets() } else { user::no_capabilities() };
    limited.map_err(|error| ("capset() failed".to_owned(), error))
}

/// The environment of a worker or a new binary: the variables that `env` directives name or set,
/// and always `TZ`.
pub(crate) fn environment(directives: &[String], original: &[OsString]) -> Vec<OsString> {
    let time_zone = "TZ".to_owned();
    let has_time_zone = directives.iter().any(|d| d == "TZ" || d.starts_with("TZ="));
    let names = directives.iter().chain((!has_time_zone).then_some(&time_zone));
    names.filter_map(|directive| entry(directive, original)).collect()
}

fn entry(directive: &str, original: &[OsString]) -> Option<OsString> {
    if directive.contains('=') {
        return Some(directive.into());
    }
    let is_it = |entry: &&OsString| {
        entry
            .as_bytes()
            .strip_prefix(directive.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"="))
    };
    original.iter().find(is_it).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_variables_are_kept() {
        let original: Vec<OsString> = vec!["A=1".into(), "AB=2".into(), "TZ=UTC".into()];
        let kept = |directives: &[&str]| {
            environment(&directives.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>(), &original)
        };
        assert_eq!(kept(&[]), ["TZ=UTC"]);
        assert_eq!(kept(&["A", "MISSING"]), ["A=1", "TZ=UTC"]);
        assert_eq!(kept(&["TZ=X", "B=3"]), ["TZ=X", "B=3"]);
    }
}
