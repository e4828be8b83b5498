//! A reload, without a new worker where possible.
//!
//! The master reads the configuration, opens what is new and sends it. The worker loads it and
//! reports whether it serves with it; only then does the master close what only the old one used.
//! Running requests end with the old configuration, and the worker reports the last one's end.
//!
//! Settings that take effect only at the start of a process, such as its user, require a new
//! worker. Once that serves, the old one is told to quit gracefully.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset};

use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_sys::{allocator, process};

use crate::channel::Report;
use crate::cycle::{Cycle, Draft};
use crate::master::{Master, Pending};
use crate::modules::core::Process;
use crate::{linking, mirroring, pid_file, reloads, sockets, worker};

/// The reason for other nodes; this node's log has the details.
const NOT_OPENED: &str =
    "its files or sockets could not be opened; the node's error log says which";

/// Reads the configuration again and sends it to the worker. An invalid one changes nothing.
pub(crate) fn reconfigure(master: &mut Master) {
    master.console.log(Level::Notice, "reconfiguring");
    reloads::begin();
    let startup = &master.startup;
    let draft = Draft::read(&startup.paths, startup.globals.as_deref(), &master.console, || ());
    let Ok(draft) = draft else {
        reloads::failed(&mut master.children, &master.console, None);
        return allocator::give_back();
    };
    if !mirroring::propose(master, &draft) {
        put_in_force(master, draft);
    }
}

/// Opens what a configuration needs and sends it to the worker.
pub(crate) fn put_in_force(master: &mut Master, draft: Draft) {
    let prepared = prepare(master, draft);
    // Returns the memory used for reading.
    allocator::give_back();
    let Ok(mut cycle) = prepared else {
        reloads::failed(&mut master.children, &master.console, None);
        return mirroring::ended(master, Err(NOT_OPENED.into()));
    };
    cycle.log_method(&master.console);
    let serving = master.children.0.iter_mut().find(|child| child.is_serving());
    let Some(serving) = serving else {
        commit(master, cycle);
        mirroring::ended(master, Ok(()));
        reloads::succeeded(&mut master.children, &master.console);
        return master.start_workers();
    };
    let worker = serving.pid;
    let changed = set_at_start(&master.cycle.process, &cycle.process);
    if !changed.is_empty() && worker != process::id() {
        let names = changed.join("\", \"");
        let why = format_args!("\"{names}\" changed, which requires a new worker process");
        master.console.log(Level::Notice, why);
        master.console.log(Level::Notice, "start worker processes");
        master.pending = Some(Pending { cycle, worker: 0 });
        master.try_to_start_worker(true);
        // If it failed, the old worker keeps serving.
        if master.pending.take_if(|pending| pending.worker == 0).is_some() {
            reloads::failed(
                &mut master.children,
                &master.console,
                Some("no new worker process could be started"),
            );
            mirroring::ended(master, Err("no new worker process could be started".into()));
        }
        return;
    }
    match cycle.send(serving) {
        Ok(()) => master.pending = Some(Pending { cycle, worker }),
        // The worker has just ended: its successor gets the configuration.
        Err(error) if [BrokenPipe, ConnectionReset].contains(&error.kind()) => {
            master.asked.reconfigure = true;
            mirroring::ended(master, Err("the worker process has just ended".into()));
        }
        Err(error) => {
            let what = "configuration could not be sent to the worker process";
            master.console.log(Level::Alert, Failed(what, &error));
            reloads::failed(
                &mut master.children,
                &master.console,
                Some(&Failed(what, &error).to_string()),
            );
            mirroring::ended(master, Err(Failed(what, &error).to_string().into()));
        }
    }
}

fn prepare(master: &mut Master, draft: Draft) -> Result<Cycle, ()> {
    let new_pid =
        (draft.process.pid != master.cycle.process.pid).then(|| draft.process.pid.clone());
    if let Some(pid) = &new_pid {
        pid_file::write(pid, draft.process.links(), &master.console)?;
        pid_file::remove(&master.cycle.process.pid, &master.console);
        master.cycle.process.pid = pid.clone();
    }
    master.generation += 1;
    let shared = master.shares_sockets();
    master.cycle.sockets.iter_mut().for_each(|socket| socket.shared = shared);
    draft.open(&master.cycle.sockets, master.generation, false, &master.console)
}

/// Puts a configuration in force and closes what only the previous one used.
fn commit(master: &mut Master, cycle: Cycle) {
    master.console.set_error_log(cycle.error_log.clone());
    let old = std::mem::replace(&mut master.cycle, cycle);
    master.cycle.redirect_stderr(&master.console);
    master.cycle.check_limits(&master.console);
    // Another binary, newer or older, may still use these sockets.
    if !master.shares_sockets() {
        sockets::retire_unused(&old.sockets, &master.cycle.sockets);
    }
    sockets::remove_unused_names(&old.sockets, &master.cycle.sockets, &master.console);
}

/// The changed directives that take effect only at the start of a worker.
fn set_at_start(old: &Process, new: &Process) -> Vec<&'static str> {
    let all = [
        ("user", old.user != new.user),
        ("worker_priority", old.priority != new.priority),
        ("worker_cpu_affinity", old.affinity != new.affinity),
        ("worker_rlimit_nofile", old.open_files != new.open_files),
        ("worker_rlimit_core", old.core_size != new.core_size),
        ("working_directory", old.working_directory != new.working_directory),
        ("env", old.env != new.env),
        ("use", old.method != new.method),
        ("proxy_bind ... transparent", old.raw_sockets != new.raw_sockets),
    ];
    all.iter().filter(|(_, changed)| *changed).map(|&(name, _)| name).collect()
}

/// Warns of changed settings that a single process (`master_process off`) cannot apply.
fn warn_of_fixed(master: &Master, new: &Process) {
    for name in set_at_start(&master.cycle.process, new) {
        master.console.log(
            Level::Warn,
            format_args!("\"{name}\" changed, which takes effect at the next start"),
        );
    }
}

/// Handles a worker's report.
pub(crate) fn take_report(master: &mut Master, pid: i32, report: Report) {
    match report {
        Report::Loaded(generation) => {
            if master.cycle.bundle.generation == generation {
                master.come_up();
            }
            if let Some(pending) = take_pending(master, pid, generation) {
                if pid == process::id() {
                    warn_of_fixed(master, &pending.cycle.process);
                }
                commit(master, pending.cycle);
                mirroring::in_force(master, pid);
                mirroring::begin(master, pid);
                let logs = master.cycle.logs.clone();
                let reader = master.children.0.iter_mut().find(|child| child.pid == pid);
                reader.into_iter().for_each(|reader| reader.logs = logs.clone());
                reloads::succeeded(&mut master.children, &master.console);
                // The previous workers end when their last requests have.
                master.children.quit_all_but(pid, &master.console);
                if pid != process::id() {
                    master.cycle.build();
                    allocator::give_back();
                }
            }
        }
        Report::Failed(generation, reason) => {
            let pending = take_pending(master, pid, generation);
            master.console.log(Level::Emerg, &reason);
            if pending.is_some() {
                reloads::failed(&mut master.children, &master.console, Some(&reason));
                mirroring::ended(master, Err(reason.into()));
            }
        }
        Report::Quitting => replace_worker(master, pid),
        Report::Link(request) => linking::carry_out(master, request),
        Report::Mirror(ask) => master.mirroring.take(pid, *ask),
        Report::Drained(generation) => master.console.log(
            Level::Notice,
            format_args!("worker process {pid} generation {generation} exited with code 0"),
        ),
    }
}

/// Starts a successor for a worker that received a signal to quit, since its last requests may take
/// long.
fn replace_worker(master: &mut Master, pid: i32) {
    let reads_pending = master.pending.as_ref().is_some_and(|pending| pending.worker == pid);
    let worker = master.children.0.iter_mut().find(|child| child.pid == pid);
    worker.into_iter().for_each(|worker| worker.exiting = true);
    let ending = master.asked.quit || master.asked.terminate || master.not_accepting;
    if !ending && (reads_pending || !master.children.any_serving()) {
        master.try_to_start_worker(reads_pending);
    }
}

fn take_pending(master: &mut Master, pid: i32, generation: u64) -> Option<Pending> {
    let is_it = |pending: &mut Pending| {
        let same = [worker::UNKNOWN, pending.cycle.bundle.generation].contains(&generation);
        same && pending.worker == pid
    };
    master.pending.take_if(is_it)
}

/// Drops the pending configuration of a worker that ended while loading it: it may have caused the
/// end, so no other worker gets it.
pub(crate) fn worker_has_ended(master: &mut Master, pid: i32) {
    mirroring::worker_has_ended(master, pid);
    if master.pending.take_if(|pending| pending.worker == pid).is_some() {
        master.console.log(
            Level::Alert,
            "worker process ended while loading the new configuration, the old one stays in force",
        );
        reloads::failed(
            &mut master.children,
            &master.console,
            Some("the worker process ended while loading it"),
        );
        mirroring::ended(master, Err("the worker process ended while loading it".into()));
    }
}
