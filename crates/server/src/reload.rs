//! Another configuration, without another worker.
//!
//! The master reads it, opens what is new and sends it. The worker reads it in its turn and says
//! whether it serves by it; only then does the master let go of what the old one had. Requests that
//! are under way end by the old configuration, and the worker says when the last one has.

use weir_engine::Level;
use weir_engine::os_error::Failed;

use crate::channel::Report;
use crate::children::Child;
use crate::cycle::{Cycle, Draft};
use crate::master::Master;
use crate::{pid_file, sockets};

/// Reads the configuration again and sends it to the worker. If it is no good, nothing changes.
pub(crate) fn reconfigure(master: &mut Master) {
    master.console.log(Level::Notice, "reconfiguring");
    let Ok(cycle) = prepare(master) else { return };
    cycle.log_method(&master.console);
    let serving = master.children.0.iter().find(|child| child.is_serving());
    let Some(channel) = serving.and_then(Child::channel) else {
        commit(master, cycle);
        return master.start_workers();
    };
    match cycle.send(channel) {
        Ok(()) => master.pending = Some(cycle),
        Err(error) => {
            let what = "configuration could not be sent to the worker process";
            master.console.log(Level::Alert, Failed(what, &error));
        }
    }
}

fn prepare(master: &mut Master) -> Result<Cycle, ()> {
    let startup = &master.startup;
    let draft = Draft::read(&startup.paths, startup.globals.as_deref(), &master.console, || ())?;
    let new_pid =
        (draft.process.pid != master.cycle.process.pid).then(|| draft.process.pid.clone());
    if let Some(pid) = &new_pid {
        pid_file::write(pid, &master.console)?;
        pid_file::remove(&master.cycle.process.pid, &master.console);
        master.cycle.process.pid = pid.clone();
    }
    master.generation += 1;
    draft.open(&master.cycle.sockets, master.generation, false, &master.console)
}

/// Puts a configuration in force, and lets go of what the one before had and this one has not.
fn commit(master: &mut Master, cycle: Cycle) {
    master.console.set_error_log(cycle.error_log.clone());
    let old = std::mem::replace(&mut master.cycle, cycle);
    master.cycle.redirect_stderr(&master.console);
    master.cycle.check_limits(&master.console);
    warn_of_fixed(&old, master);
    sockets::remove_unused_names(&old.sockets, &master.cycle.sockets, &master.console);
}

/// A running worker keeps what only its start can set.
fn warn_of_fixed(old: &Cycle, master: &Master) {
    let (old, new) = (&old.process, &master.cycle.process);
    let fixed = [
        ("user", old.user != new.user),
        ("worker_priority", old.priority != new.priority),
        ("worker_cpu_affinity", old.affinity != new.affinity),
        ("worker_rlimit_nofile", old.open_files != new.open_files),
        ("worker_rlimit_core", old.core_size != new.core_size),
        ("working_directory", old.working_directory != new.working_directory),
        ("env", old.env != new.env),
    ];
    for (name, _) in fixed.iter().filter(|(_, changed)| *changed) {
        master.console.log(
            Level::Warn,
            format_args!(
                "\"{name}\" has changed, which takes effect when the worker is started anew"
            ),
        );
    }
}

/// Acts on what a worker reports.
pub(crate) fn take_report(master: &mut Master, pid: i32, report: Report) {
    match report {
        Report::Loaded(generation) => {
            let pending = master.pending.take_if(|cycle| cycle.bundle.generation == generation);
            if let Some(cycle) = pending {
                commit(master, cycle);
            }
        }
        Report::Failed(generation, reason) => {
            master.pending.take_if(|cycle| cycle.bundle.generation == generation);
            master.console.log(Level::Emerg, reason);
        }
        Report::Drained(generation) => master.console.log(
            Level::Notice,
            format_args!("worker process {pid} generation {generation} exited with code 0"),
        ),
    }
}

/// A worker that ends while it reads a configuration is the best reason not to send it to another
/// one.
pub(crate) fn worker_has_ended(master: &mut Master) {
    if master.pending.take().is_some() {
        master.console.log(
            Level::Alert,
            "worker process ended while it read the new configuration, the old one stays in force",
        );
    }
}
