//! `brotli_static`: precompressed files.

use weir_conf::{Settings, Slot, directives};

use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::precompressed::{self, Kind, StaticMode};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "brotli_static",
    tables: &[&BrotliStatic::table(&BROTLI_STATIC)],
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |settings: &Settings| settings.get(&BROTLI_STATIC).mode != StaticMode::Off,
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static BROTLI_STATIC: Slot<BrotliStatic> = Slot::new();

directives! {
    /// Files precompressed with brotli.
    pub(crate) struct BrotliStatic in [http, server, location] {
        /// Sends the file with the suffix `.br` in place of the plain one, if it exists.
        "brotli_static" => mode: StaticMode = StaticMode::Off,
    }
}

const FILES: Kind =
    Kind { coding: "br", suffix: ".br", is_taken: |request| request.takes_coding(b"br") };

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let mode = request.get(&BROTLI_STATIC).mode;
        precompressed::send(request, &FILES, mode).await
    })
}
