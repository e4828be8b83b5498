//! `empty_gif`: a transparent pixel
//! (<https://nginx.org/en/docs/http/ngx_http_empty_gif_module.html>).

use weir_conf::{Cx, Fault, Local, Node, Settings, Slot, directives};
use weir_wire::h1::Method;

use crate::module::{Handler, Module, Pending, Verdict};
use crate::piece::Piece;
use crate::request::Request;

pub(crate) const MODULE: Module = Module {
    name: "empty_gif",
    tables: &[&EmptyGif::table(&EMPTY_GIF)],
    content: Some(content),
    ..Module::NONE
};

static EMPTY_GIF: Slot<EmptyGif> = Slot::new();

/// The modification time that nginx sends: 28 September 1970.
const LAST_MODIFIED: i64 = 23_349_600;

/// GIF89a, one pixel, two colours, the second of them transparent.
const PIXEL: &[u8] = b"GIF89a\
    \x01\x00\x01\x00\x80\x01\x00\
    \x00\x00\x00\xff\xff\xff\
    \x21\xf9\x04\x01\x00\x00\x01\x00\
    \x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\
    \x02\x02\x4c\x01\x00\
    \x3b";

directives! {
    /// A transparent one-pixel GIF.
    pub(crate) struct EmptyGif as EmptyGifWritten in [location] {
        /// Answers with a transparent one-pixel GIF.
        "empty_gif" [0]: "" => set,
        field on: Local<bool>,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of all setters")]
fn set(own: &mut EmptyGifWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    own.on = Some(true);
    Ok(())
}

fn content(settings: &Settings) -> Option<Handler> {
    settings.get(&EMPTY_GIF).on.then_some(Handler::Async(handle))
}

fn handle(request: &mut Request) -> Pending<'_, Verdict> {
    Box::pin(async move {
        if !matches!(request.method, Method::Get | Method::Head) {
            return Verdict::Status(405);
        }
        let response = &mut request.response;
        response.status = 200;
        response.content_type = b"image/gif".to_vec();
        response.content_length = Some(PIXEL.len() as u64);
        response.last_modified = Some(LAST_MODIFIED);
        if let Err(rejection) = request.send_head() {
            return rejection.into();
        }
        match request.send_last(Some(Piece::Static(PIXEL))).await {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Abort,
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_picture_has_nginxs_length() {
        assert_eq!(super::PIXEL.len(), 43);
    }
}
