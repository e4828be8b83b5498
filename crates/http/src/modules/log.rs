//! Access logs (<https://nginx.org/en/docs/http/ngx_http_log_module.html>).

use weir_conf::Slot;
use weir_edge::access_log::{self, Logging};

use crate::module::{Handler, Module, Phase, PhaseHandler, Verdict};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "log",
    tables: &[&Logging::table(&LOG)],
    handlers: &[PhaseHandler {
        phase: Phase::Log,
        enabled: |settings| settings.get(&LOG).is_on(),
        handler: Handler::Sync(write),
    }],
    ..Module::NONE
};

static LOG: Slot<Logging> = Slot::new();

/// Writes a request to every log in force.
fn write(request: &mut Request) -> Verdict {
    let location = request.location.clone();
    location.settings.get(&LOG).write(request);
    Verdict::Next
}

/// Flushes the buffers of this thread, and closes the files that it has opened.
pub(super) fn flush() {
    access_log::flush();
}
