//! `add_before_body` and `add_after_body`
//! (<https://nginx.org/en/docs/http/ngx_http_addition_module.html>).

use std::io;

use weir_conf::{Settings, Slot, directives};

use crate::core::MediaTypes;
use crate::filter::BodyFilter;
use crate::module::Module;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::subrequest::include::Include;

pub(crate) const MODULE: Module = Module {
    name: "addition",
    tables: &[&Addition::table(&ADDITION)],
    header_filter: Some((adds, filter)),
    ..Module::NONE
};

static ADDITION: Slot<Addition> = Slot::new();

directives! {
    /// Adds the responses of subrequests before and after a response.
    pub struct Addition in [http, server, location] {
        /// Adds the response of a subrequest to this URI before the body.
        "add_before_body" as "uri" => before: String,
        /// Adds the response of a subrequest to this URI after the body.
        "add_after_body" as "uri" => after: String,
        /// The media types to which text is added, besides `text/html`.
        "addition_types" => types: MediaTypes,
    }
}

fn adds(settings: &Settings) -> bool {
    let addition = settings.get(&ADDITION);
    !addition.before.is_empty() || !addition.after.is_empty()
}

fn filter(request: &mut Request) -> Result<(), Rejection> {
    let addition = request.get(&ADDITION);
    if request.response.status != 200
        || request.is_subrequest()
        || !addition.types.contains(&request.response.content_type)
    {
        return Ok(());
    }
    let wanted = |uri: &String| (!uri.is_empty()).then(|| uri.as_bytes().to_vec());
    let add = Add { before: wanted(&addition.before), after: wanted(&addition.after) };
    request.response.clear_length();
    request.response.clear_ranges();
    request.response.weaken_etag();
    request.chain.add(Box::new(add));
    Ok(())
}

/// The additions to one response. Each is taken once it has been inserted.
struct Add {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

/// Appends the response of `uri` to `out`.
fn include(request: &mut Request, uri: Option<Vec<u8>>, out: &mut Vec<Piece>) -> io::Result<()> {
    let Some(uri) = uri else { return Ok(()) };
    let child = request.include(Include { uri, ..Include::default() });
    out.push(child.ok_or(io::ErrorKind::InvalidInput)?);
    Ok(())
}

impl BodyFilter for Add {
    fn push(
        &mut self,
        request: &mut Request,
        input: Piece,
        out: &mut Vec<Piece>,
    ) -> io::Result<()> {
        include(request, self.before.take(), out)?;
        out.push(input);
        Ok(())
    }

    fn finish(&mut self, request: &mut Request, out: &mut Vec<Piece>) -> io::Result<()> {
        include(request, self.before.take(), out)?;
        include(request, self.after.take(), out)
    }

    fn only_cuts(&self) -> bool {
        true
    }
}
