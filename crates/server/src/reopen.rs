//! USR1: the log files are opened anew, after they have been rotated.

use std::sync::Arc;

use weir_engine::Level;
use weir_engine::os_error::Failed;

use crate::cycle;
use crate::master::Master;

/// Opens the log files anew, and sends them to the workers.
pub(crate) fn logs(master: &mut Master) {
    master.console.log(Level::Notice, "reopening logs");
    master.guarding.reopen();
    cycle::reopen(&master.cycle.logs, &master.console);
    master.cycle.redirect_stderr(&master.console);
    for worker in master.children.0.iter_mut().filter(|child| !child.exited) {
        let logs = Arc::clone(&worker.logs);
        // A worker that is ending may have other log files.
        if !Arc::ptr_eq(&logs, &master.cycle.logs) {
            cycle::reopen(&logs, &master.console);
        }
        if let Err(error) = cycle::send_logs(&logs, worker)
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            master.console.log(Level::Alert, Failed("logs could not be sent", &error));
        }
    }
}
