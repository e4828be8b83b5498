//! `master_process off`: master and worker in one process, for development. They use the same
//! channel as two processes.

use weir_engine::Level;
use weir_engine::os_error::Failed;
use weir_sys::daemon::Launcher;
use weir_sys::signal::Signals;
use weir_sys::{pass_fd, process};

use crate::children::Child;
use crate::console::Console;
use crate::cycle::Cycle;
use crate::master::{Master, Startup};
use crate::worker::{Progress, Worker};

/// Serves until the process ends.
pub(crate) fn run(
    startup: Startup,
    console: Console,
    mut cycle: Cycle,
    signals: &Signals,
    launcher: Option<Launcher>,
) -> ! {
    let fatal = |what, error: std::io::Error| -> ! {
        console.log(Level::Emerg, Failed(what, &error));
        std::process::exit(1)
    };
    let (near, far) = pass_fd::pair().unwrap_or_else(|e| fatal("socketpair() failed", e));
    cycle.forget_answers();
    let worker = Worker::new(console.clone(), far, cycle.ready.take());
    let mut worker = worker.unwrap_or_else(|error| fatal("socketpair() failed", error));
    let mut own = Child::worker(process::id(), near, cycle.logs.clone());
    if let Err(error) = cycle.send(&mut own) {
        fatal("configuration could not be sent", error);
    }
    let mut master = Master::new(startup, console.clone(), cycle, launcher);
    master.children.0.push(own);
    loop {
        match worker.step() {
            Progress::Serving => {}
            Progress::Ended => {
                master.children.0.clear();
                if !master.asked.quit {
                    master.asked.terminate = true;
                }
            }
            Progress::Failed => {
                master.read_reports();
                master.fail();
            }
        }
        master.step(signals);
        let [threads, retired] = worker.inner();
        master.wait(signals, &[threads, retired, worker.orders()]);
    }
}
