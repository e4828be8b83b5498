//! `scgi_pass`: requests to SCGI applications
//! (<https://nginx.org/en/docs/http/ngx_http_scgi_module.html>).

use std::sync::Arc;

use weir_conf::layout::Layout;
use weir_conf::table::Fixed;
use weir_conf::{Cx, Fault, Local, Many, Node, Settings, Slot, directives};
use weir_engine::error_log::Level;
use weir_wire::h1::StatusLine;
use weir_wire::header::Headers;
use weir_wire::scgi;

use crate::cache::{self, settings::Caching};
use crate::module::{Handler, Module, Prepare};
use crate::pass::cgi::{self, CgiHead};
use crate::pass::course::{Course, Passing};
use crate::pass::destination::{Destination, INNER, OwnPass, Scheme, Schemes};
use crate::pass::hidden::Usual;
use crate::pass::params::{Param, Params};
use crate::pass::protocol::{InvalidHead, Outgoing, Protocol, UpstreamHead, Wanted};
use crate::pass::target::Target;
use crate::pass::transfer::Transfer;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;

pub(crate) const MODULE: Module = Module {
    name: "scgi",
    tables: &[
        &Transfer::table(&TRANSFER)
            .prefix("scgi_")
            .except(&["pass_trailers", "pass_request_trailers", "send_lowat"])
            .fixed::<Transfer, Scgi>(),
        &Caching::of_applications(&CACHE, "scgi_"),
        &Scgi::table(&SCGI),
    ],
    content: Some(|settings| passes(settings).then_some(Handler::Pass(handle))),
    passes: Some(passes),
    prepare: Some(prepare),
    duties: Some(|configuration, _, _| cache::duties::find(configuration, &CACHE)),
    ..Module::NONE
};

static TRANSFER: Slot<Transfer> = Slot::new();
static CACHE: Slot<Caching> = Slot::new();
static SCGI: Slot<Scgi> = Slot::new();

/// Addresses are written without a scheme; the log shows `scgi://`.
static SCHEMES: Schemes = Schemes {
    written: &[],
    implied: Some(Scheme { text: "scgi://", port: 0, tls: false }),
    uri: false,
};

directives! {
    /// Passing of requests to SCGI applications.
    pub(crate) struct Scgi as ScgiWritten in [http, server, location] {
        /// The application: an address or the name of an `upstream`; may have variables.
        "scgi_pass" in [location, location_if] [1]: "address" => set_pass,
        /// Sets a parameter of the request. With `if_not_empty`, one with an empty value is left
        /// out.
        "scgi_param" => params: Many<Param>,
        field pass: Local<Option<Destination>>,
        field compiled: Local<Option<Arc<Params<scgi::Scgi>>>>,
    }
    finish = Scgi::finish;
}

impl Fixed<Transfer> for Scgi {
    fn fix(transfer: &mut Transfer) {
        transfer.temp_folder = Some(Layout::built().scgi_temp);
        transfer.usual_hidden = Usual::Cgi;
    }
}

fn set_pass(own: &mut ScgiWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    OwnPass::read(MODULE.name, &mut own.pass, &SCHEMES, node, cx)
}

impl Scgi {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let above = parent.map(|parent| &parent.pass);
        OwnPass::settle(MODULE.name, &mut self.pass, above, INNER, cx);
        let above = parent.map(|parent| (&parent.params[..], &parent.compiled));
        self.compiled = Params::of_block(&self.params, self.pass.is_some(), above, cx)?;
        Ok(())
    }
}

/// Finds the caches.
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    cache::zone::bind(whole.registries, "scgi_");
    Ok(())
}

fn passes(settings: &Settings) -> bool {
    settings.get(&SCGI).pass.is_some()
}

fn handle(request: &mut Request) -> Passing<'_> {
    Passing::to(request, |location| location.settings.get(&SCGI).pass.as_ref(), &SCHEMES, course)
}

fn course(request: &mut Request, location: Held<Location>, target: Target) -> Course {
    let head = CgiHead::new(request, StatusLine::Optional);
    let protocol = Box::new(Exchange { location: location.clone(), head });
    Course {
        location,
        transfer,
        next_upstream: None,
        tls: None,
        cache: Some(&CACHE),
        protocol,
        target,
    }
}

fn transfer(location: &Location) -> &Transfer {
    location.settings.get(&TRANSFER)
}

/// The exchange of one request with an application.
struct Exchange {
    location: Held<Location>,
    head: CgiHead,
}

impl Protocol for Exchange {
    fn wants(&self, request: &Request) -> Wanted {
        cgi::wants(request, transfer(&self.location))
    }

    fn write_head(
        &mut self,
        request: &mut Request,
        _: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        let transfer = transfer(&self.location);
        self.head.sent(request);
        let Some(params) = &self.location.settings.get(&SCGI).compiled else {
            return Err(Rejection::INTERNAL);
        };
        let announced = request.body.content_length.filter(|_| !request.body.is_lost());
        let mut head = scgi::Head::new(announced.unwrap_or(0), out);
        let written = params.write(request, transfer.pass_request_headers, head.params());
        head.finish();
        if written.is_err() {
            request.log(Level::Error, "scgi parameter contains a null byte");
            return Err(Rejection::BAD_REQUEST);
        }
        Ok(Outgoing { body: cgi::outgoing(request, transfer), ..Outgoing::default() })
    }

    fn read_head(
        &mut self,
        input: &[u8],
        headers: &mut Headers,
        head: &mut UpstreamHead,
    ) -> Result<bool, InvalidHead> {
        let size = transfer(&self.location).buffer_size.0 as usize;
        self.head.read(input, size, headers, head)
    }

    fn reset(&mut self) {
        self.head.reset();
    }
}
