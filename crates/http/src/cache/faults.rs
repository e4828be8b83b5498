//! Lines of the error log about the disk of a cache, of each kind one a second: a full or broken
//! disk fails for every request.

use std::fmt::Display;
use std::io;
use std::path::Path;

use weir_engine::error_log::{Level, Seldom, process_log};
use weir_engine::os_error::Failed;

use crate::request::Request;

static UNREAD: Seldom = Seldom::new();
static NOT_KEPT: Seldom = Seldom::new();
static NOT_RENEWED: Seldom = Seldom::new();
static NOT_WORKED_ON: Seldom = Seldom::new();

/// Logs that a kept response cannot be read.
#[cold]
pub(super) fn unread(request: &Request, call: &str, path: &Path, error: &io::Error) {
    let call = format!("{call} \"{}\" failed", path.display());
    UNREAD.log_to(Failed(&call, error), |message| {
        request.log(Level::Crit, &format!("{message}, the upstream is asked instead"));
    });
}

/// Logs that a response cannot be kept.
#[cold]
pub(super) fn not_kept(request: &Request, why: &dyn Display) {
    NOT_KEPT.log_to(why, |message| {
        let message = format!("{message} while reading upstream, the response is not kept");
        request.log_upstream(Level::Crit, &message);
    });
}

/// Logs that the new times of a response cannot be written to its file.
#[cold]
pub(super) fn not_renewed(request: &Request, path: &Path, error: &io::Error) {
    let call = format!("write \"{}\" failed", path.display());
    NOT_RENEWED.log_to(Failed(&call, error), |message| {
        request.log(Level::Crit, &message.to_string());
    });
}

/// Logs a failed call of the loader or the manager.
#[cold]
pub(super) fn not_worked_on(call: &str, path: &Path, error: &io::Error) {
    let call = format!("{call} \"{}\" failed", path.display());
    NOT_WORKED_ON.log_to(Failed(&call, error), |message| {
        process_log().log(Level::Crit, 0, message);
    });
}
