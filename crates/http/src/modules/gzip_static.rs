//! `gzip_static`: precompressed files
//! (<https://nginx.org/en/docs/http/ngx_http_gzip_static_module.html>).

use weir_conf::{Settings, Slot, directives};

use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::precompressed::{self, Kind, StaticMode};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "gzip_static",
    tables: &[&GzipStatic::table(&GZIP_STATIC)],
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |settings: &Settings| settings.get(&GZIP_STATIC).mode != StaticMode::Off,
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static GZIP_STATIC: Slot<GzipStatic> = Slot::new();

directives! {
    /// Precompressed files.
    pub(crate) struct GzipStatic in [http, server, location] {
        /// Sends the file with the suffix `.gz` in place of the plain one, if it exists.
        "gzip_static" => mode: StaticMode = StaticMode::Off,
    }
}

const FILES: Kind = Kind { coding: "gzip", suffix: ".gz", is_taken: Request::takes_gzip };

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let mode = request.get(&GZIP_STATIC).mode;
        precompressed::send(request, &FILES, mode).await
    })
}
