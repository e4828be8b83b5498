//! HTTP/2 to upstreams, as a [`Protocol`] (`proxy_http_version 2`). A request that asks for another
//! protocol, as a WebSocket does over HTTP/1.1, gets no answer of that protocol: `Upgrade` is not
//! passed on.

use std::sync::Arc;

use weir_engine::error_log::Level;
use weir_wire::field_block::FieldBlock;
use weir_wire::header::Headers;

use super::outgoing::{escape_blanks, plan_body, write_method, write_uri};
use super::{PROXY, rewrite};
use crate::pass::fields::{BodyPlan, OfClient};
use crate::pass::http2;
use crate::pass::protocol::{InvalidHead, Outgoing, OutgoingBody, Protocol, UpstreamHead, Wanted};
use crate::pass::target::Target;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;

/// The exchange of one request with an upstream.
pub(super) struct Http2 {
    location: Held<Location>,
    /// Whether the request is a HEAD, whose response has no body.
    head: bool,
}

impl Http2 {
    pub(super) fn new(location: Held<Location>) -> Self {
        Self { location, head: false }
    }
}

impl Protocol for Http2 {
    fn wants(&self, _: &Request) -> Wanted {
        let proxy = self.location.settings.get(&PROXY);
        let streams = proxy.set_body.is_none() && super::transfer(&self.location).pass_request_body;
        if streams { Wanted::AsSet } else { Wanted::Whole }
    }

    fn write_head(
        &mut self,
        request: &mut Request,
        target: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        let location = self.location.clone();
        let proxy = location.settings.get(&PROXY);
        let set_body = proxy.set_body.as_ref().map(|template| request.eval(template));
        let (plan, outgoing) = plan_body(&location, request, set_body.as_deref());
        let plan = BodyPlan { chunked: false, ..plan };
        request.attempts.shown.chunked = false;
        out.extend_from_slice(http2::METHOD);
        let start = out.len();
        write_method(request, proxy.method.as_ref(), out)?;
        self.head = out[start..].eq_ignore_ascii_case(b"HEAD");
        http2::write_scheme(target.scheme, out);
        out.extend_from_slice(http2::PATH);
        let start = out.len();
        if !write_uri(request, target, out) && escape_blanks(out, start) {
            request.log(Level::Error, "URI for upstream contains control characters");
            return Err(Rejection::BAD_REQUEST);
        }
        let uri = start..out.len();
        let Some(fields) = &proxy.fields else { return Err(Rejection::INTERNAL) };
        http2::write_authority(request, fields.host.as_ref(), &target.place.host, out);
        let transfer = super::transfer(&location);
        fields.write(request, plan, OfClient::all_if(transfer.pass_request_headers), out);
        let trailers = transfer.pass_request_trailers.then(|| Arc::clone(fields) as _);
        let body = match (outgoing, set_body) {
            (_, Some(body)) => {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(&body);
                OutgoingBody::Given(body.len())
            }
            (OutgoingBody::None, None) => OutgoingBody::None,
            _ => OutgoingBody::Plain,
        };
        Ok(Outgoing { uri, body, trailers })
    }

    fn is_multiplexed(&self) -> bool {
        true
    }

    fn read_fields(
        &mut self,
        block: &mut FieldBlock,
        ended: bool,
        headers: &mut Headers,
        head: &mut UpstreamHead,
    ) -> Result<(), InvalidHead> {
        http2::read_fields(self.head, block, ended, headers, head)
    }

    fn default_key(&self, request: &mut Request, target: &Target, out: &mut Vec<u8>) {
        out.extend_from_slice(target.scheme.text.as_bytes());
        out.extend_from_slice(target.place.host.as_bytes());
        write_uri(request, target, out);
    }

    fn reset(&mut self) {}

    fn redirect(&self, request: &mut Request, value: &[u8]) -> Option<Vec<u8>> {
        rewrite::redirect(&self.location, request, value)
    }

    fn cookie(&self, request: &mut Request, value: &[u8]) -> Option<Vec<u8>> {
        rewrite::cookie(&self.location, request, value)
    }
}
