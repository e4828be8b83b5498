//! `mp4`: pseudo-streaming of MP4 files
//! (<https://nginx.org/en/docs/http/ngx_http_mp4_module.html>).

use std::ops::Range;

use weir_conf::value::Size;
use weir_conf::{Cx, Fault, Local, Node, Settings, Slot, directives};
use weir_engine::buffer::Buf;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_wire::mp4::{Cut, Cutter, Limits, Step};
use weir_wire::uri::arg;

use crate::module::{Handler, Module, Pending, Verdict};
use crate::open_file::Media;
use crate::piece::Piece;
use crate::request::Request;

pub(crate) const MODULE: Module =
    Module { name: "mp4", tables: &[&Mp4::table(&MP4)], content: Some(content), ..Module::NONE };

static MP4: Slot<Mp4> = Slot::new();

directives! {
    /// Pseudo-streaming of MP4 files.
    pub(crate) struct Mp4 as Mp4Written in [http, server, location] {
        /// Sends the part of a movie between the times in the arguments `start` and `end`, in
        /// seconds, as a movie of its own.
        "mp4" in [location] [0]: "" => set,
        /// How much of a file is read at once to find its metadata.
        "mp4_buffer_size" => buffer_size: Size = Size::k(512),
        /// The maximum size of a file's metadata (the `moov` atom), which is held in memory.
        "mp4_max_buffer_size" => max_buffer_size: Size = Size::k(10 * 1024),
        /// Begins video with a key frame before the start; players hide what comes before the
        /// start.
        "mp4_start_key_frame" => start_key_frame: bool = false,
        field on: Local<bool>,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of all setters")]
fn set(own: &mut Mp4Written, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    own.on = Some(true);
    Ok(())
}

fn content(settings: &Settings) -> Option<Handler> {
    settings.get(&MP4).on.then_some(Handler::Async(handle))
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        let media = match request.open_media().await {
            Ok(media) => media,
            Err(verdict) => return verdict,
        };
        let (mut before, mut part) = (None, 0..media.size);
        if let Some(cut) = wanted(request) {
            request.response.single_range = true;
            match divide(request, &media, cut).await {
                Ok(Some((head, data))) => {
                    before = Some(Piece::from(Buf::from(head)));
                    part = data;
                }
                Ok(None) => {}
                Err(verdict) => return verdict,
            }
        }
        let length = before.as_ref().map_or(0, Piece::len) + part.end - part.start;
        request.describe_file(length, media.modified);
        request.send_part(before, media.file, part).await
    })
}

/// What the arguments ask for, if they do.
fn wanted(request: &Request) -> Option<Cut> {
    let time = |name| arg(&request.args, name).and_then(milliseconds);
    let end = time(b"end").filter(|&end| end > 0);
    let start = time(b"start").or(end.map(|_| 0))?;
    let length = end.map_or(0, |end| end.saturating_sub(start));
    Some(Cut { start, length, key_frame: request.get(&MP4).start_key_frame })
}

/// The number of decimals that count in a time.
const DECIMALS: u32 = 3;

/// A time in seconds, with any number of decimals.
fn milliseconds(text: &[u8]) -> Option<u64> {
    let (mut value, mut left, mut is_fraction) = (0_i64, DECIMALS, false);
    for &byte in text {
        match byte {
            b'.' if !is_fraction => is_fraction = true,
            b'0'..=b'9' if left == 0 => {}
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
                left -= u32::from(is_fraction);
            }
            _ => return None,
        }
    }
    let value = value.checked_mul(10_i64.pow(left)).filter(|_| !text.is_empty())?;
    u64::try_from(value).ok()
}

/// The new head of a movie, and the range of the file behind it; None for the whole file.
async fn divide(
    request: &mut Request,
    media: &Media,
    cut: Cut,
) -> Result<Option<(Vec<u8>, Range<u64>)>, Verdict> {
    let settings = request.get(&MP4);
    let limits = Limits { buffer: settings.buffer_size.0, moov: settings.max_buffer_size.0 };
    let Ok(aio) = request.aio() else { return Err(Verdict::Status(500)) };
    request.client.set_aio(aio);
    let mut cutter = Cutter::new(media.size, cut, limits);
    let name = media.path.display();
    loop {
        match cutter.step() {
            Ok(Step::Read(range)) => match request.read_range(&media.file, range).await {
                Ok(bytes) => cutter.give(bytes),
                Err(error) => {
                    let what = format!("read() \"{name}\" failed");
                    request.log(Level::Crit, &Failed(&what, &error).to_string());
                    return Err(Verdict::Status(500));
                }
            },
            Ok(Step::Whole) => return Ok(None),
            Ok(Step::Cut(head, data)) => return Ok(Some((head, data))),
            Err(error) => {
                request.log(Level::Error, &error.message(&name.to_string()));
                return Err(Verdict::Status(500));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_have_any_number_of_decimals() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("1.", Some(1000)),
            (".5", Some(500)),
            ("12.3456789012345678901234567890", Some(12_345)),
            ("", None),
            (".", Some(0)),
            ("1.2.3", None),
            ("-1", None),
            ("1s", None),
            ("1.2345x", None),
            ("9223372036854775", Some(9_223_372_036_854_775_000)),
            ("9223372036854776", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(milliseconds(text.as_bytes()), expected, "{text}");
        }
    }
}
