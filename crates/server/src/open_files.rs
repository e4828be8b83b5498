//! The limit of open files, named where it is too low for a worker to load a configuration.

use std::io;

use weir_sys::process;

/// `EMFILE`.
const TOO_MANY: i32 = 24;

const REMEDY: &str = "set \"worker_rlimit_nofile\" higher";

/// What is wrong if so many files would have to be open.
pub(crate) fn too_few_for(needed: usize) -> String {
    format!("{}, and needs {needed} for its sockets and logs: {REMEDY}", limit())
}

/// What to add to the text of an error if the limit is its cause.
pub(crate) fn explained(error: &io::Error) -> String {
    match error.raw_os_error() == Some(TOO_MANY) {
        true => format!("; {}: {REMEDY}", limit()),
        false => String::new(),
    }
}

fn limit() -> String {
    let soft = process::open_files_limit().map_or(0, |(soft, _)| soft);
    format!("the worker process may have {soft} open files")
}
