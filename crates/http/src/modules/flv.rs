//! `flv`: pseudo-streaming of FLV files
//! (<https://nginx.org/en/docs/http/ngx_http_flv_module.html>).

use weir_conf::value::parse_number;
use weir_conf::{Cx, Fault, Local, Node, Settings, Slot, directives};

use crate::module::{Handler, Module, Pending, Verdict};
use crate::piece::Piece;
use crate::request::Request;

pub(crate) const MODULE: Module =
    Module { name: "flv", tables: &[&Flv::table(&FLV)], content: Some(content), ..Module::NONE };

static FLV: Slot<Flv> = Slot::new();

/// An FLV header: version 1, audio and video, a header of nine bytes, and a zero size before the
/// first tag.
const HEADER: &[u8] = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00";

directives! {
    /// Pseudo-streaming of FLV files.
    pub(crate) struct Flv as FlvWritten in [location] {
        /// Sends a file from the offset in the argument `start`, behind an FLV header.
        "flv" [0]: "" => set,
        field on: Local<bool>,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of all setters")]
fn set(own: &mut FlvWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    own.on = Some(true);
    Ok(())
}

fn content(settings: &Settings) -> Option<Handler> {
    settings.get(&FLV).on.then_some(Handler::Async(handle))
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let media = match request.open_media().await {
            Ok(media) => media,
            Err(verdict) => return verdict,
        };
        let (before, start) = match start(request, media.size) {
            0 => (None, 0),
            start => (Some(Piece::Static(HEADER)), start),
        };
        let length = before.as_ref().map_or(0, Piece::len) + media.size - start;
        request.describe_file(length, media.modified);
        request.send_part(before, media.file, start..media.size).await
    })
}

/// The requested offset; 0 when it is missing, invalid or beyond the end.
fn start(request: &Request, size: u64) -> u64 {
    let start = weir_wire::uri::arg(&request.args, b"start").and_then(parse_number);
    start.filter(|&start| start < size).unwrap_or(0)
}
