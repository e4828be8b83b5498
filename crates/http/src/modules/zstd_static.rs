//! `zstd_static`: precompressed files.

use weir_conf::{Settings, Slot, directives};

use crate::module::{Handler, Module, Pending, Phase, PhaseHandler, Verdict};
use crate::precompressed::{self, Kind, StaticMode};
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "zstd_static",
    tables: &[&ZstdStatic::table(&ZSTD_STATIC)],
    handlers: &[PhaseHandler {
        phase: Phase::Content,
        enabled: |settings: &Settings| settings.get(&ZSTD_STATIC).mode != StaticMode::Off,
        handler: Handler::Async(handle),
    }],
    ..Module::NONE
};

static ZSTD_STATIC: Slot<ZstdStatic> = Slot::new();

directives! {
    /// Files precompressed with zstd.
    pub(crate) struct ZstdStatic in [http, server, location] {
        /// Sends the file with the suffix `.zst` in place of the plain one, if it exists.
        "zstd_static" => mode: StaticMode = StaticMode::Off,
    }
}

const FILES: Kind =
    Kind { coding: "zstd", suffix: ".zst", is_taken: |request| request.takes_coding(b"zstd") };

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let mode = request.get(&ZSTD_STATIC).mode;
        precompressed::send(request, &FILES, mode).await
    })
}
