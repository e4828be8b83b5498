//! `grpc_pass` (<https://nginx.org/en/docs/http/ngx_http_grpc_module.html>): requests to gRPC
//! servers, which speak HTTP/2. Bodies pass in both directions as they come, and trailers with
//! them.

use std::sync::Arc;

use weir_conf::table::Fixed;
use weir_conf::value::Pair;
use weir_conf::{Cx, Fault, Local, Many, Node, Settings, Slot, directives};
use weir_wire::field_block::FieldBlock;
use weir_wire::header::Headers;
use weir_wire::uri::{self, Escape};

use crate::body::Outlook;
use crate::module::{Handler, Module, Prepare};
use crate::pass::course::{Course, Passing};
use crate::pass::destination::{Destination, INNER, OwnPass, Passed, Scheme, Schemes};
use crate::pass::fields::{BodyPlan, Defaults, Fields, OfClient, Unset};
use crate::pass::http2;
use crate::pass::protocol::{
    InvalidHead, Outgoing, OutgoingBody, Protocol, Translator, UpstreamHead, Wanted,
};
use crate::pass::target::Target;
use crate::pass::tls::UpstreamTls;
use crate::pass::transfer::Transfer;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;
use crate::variables::VariableRow;

mod web;

use web::Web;

pub(crate) const MODULE: Module = Module {
    name: "grpc",
    tables: &[
        &Transfer::table(&TRANSFER).prefix("grpc_").except(LACKING).fixed::<Transfer, Grpc>(),
        &UpstreamTls::table(&TLS).prefix("grpc_ssl_"),
        &Grpc::table(&GRPC),
    ],
    variables: &[VariableRow::new(
        "grpc_internal_trailers",
        "The value of `TE` for gRPC requests: `trailers` if the client accepts them.",
        wants_trailers,
    )],
    content: Some(|settings| passes(settings).then_some(Handler::Pass(handle))),
    passes: Some(passes),
    header_filter: Some((translates, web::answer)),
    answers_errors: Some((translates, web::is_web)),
    prepare: Some(prepare),
    ..Module::NONE
};

static TRANSFER: Slot<Transfer> = Slot::new();
static TLS: Slot<UpstreamTls> = Slot::new();
static GRPC: Slot<Grpc> = Slot::new();

/// The settings that gRPC lacks, since nothing is buffered or stored.
const LACKING: &[&str] = &[
    "buffering",
    "request_buffering",
    "ignore_client_abort",
    "send_lowat",
    "pass_request_headers",
    "pass_request_body",
    "pass_trailers",
    "buffers",
    "busy_buffers_size",
    "force_ranges",
    "limit_rate",
    "temp_path",
    "max_temp_file_size",
    "temp_file_write_size",
    "store",
    "store_access",
];

const PLAIN: Scheme = Scheme { text: "grpc://", port: 0, tls: false };

/// The schemes of `grpc_pass`.
static SCHEMES: Schemes = Schemes {
    written: &[PLAIN, Scheme { text: "grpcs://", port: 0, tls: true }],
    implied: Some(PLAIN),
    uri: false,
};

/// The fields that are set or removed unless `grpc_set_header` names them.
const DEFAULTS: &Defaults = &[
    ("Content-Length", Unset::BodyLength),
    ("TE", Unset::Trailers),
    ("Connection", Unset::Dropped),
    ("Proxy-Connection", Unset::Dropped),
    ("Transfer-Encoding", Unset::Dropped),
    ("Keep-Alive", Unset::Dropped),
    ("Expect", Unset::Dropped),
    ("Upgrade", Unset::Dropped),
];

directives! {
    /// Passing of requests to gRPC servers.
    pub(crate) struct Grpc as GrpcWritten in [http, server, location] {
        /// The server: an address or the name of an `upstream`, after `grpc://`, which is the
        /// default, or `grpcs://` for TLS; may have variables.
        "grpc_pass" in [location, location_if] [1]: "address" => set_pass,
        /// Sets a field of the request, in place of the client's field of that name.
        "grpc_set_header" => set_header: Many<Pair>,
        /// Translates requests in gRPC-Web, as browsers send them, to gRPC, and the responses back.
        /// Other requests are passed on as they are. Errors, also those of limits and of access
        /// control, are answered with a `grpc-status` in a head of status 200, unless `error_page`
        /// changes their status to one below 400 (`error_page 502 = @other`).
        ///
        /// `location /helloworld.Greeter/ { grpc_pass grpc://127.0.0.1:50051; grpc_web on; }` is
        /// enough for pages of the same origin; `docs/howto/grpc-web.md` has others.
        "grpc_web" => web: bool = false,
        field pass: Local<Option<Destination>>,
        field fields: Local<Option<Arc<Fields>>>,
    }
    finish = Grpc::finish;
}

impl Fixed<Transfer> for Grpc {
    fn fix(transfer: &mut Transfer) {
        transfer.buffering = false;
        transfer.request_buffering = false;
        transfer.pass_trailers = true;
        // There is no `grpc_buffers` whose size `grpc_buffer_size` would have to suit.
        transfer.buffers.size = transfer.buffer_size.0;
    }
}

fn set_pass(own: &mut GrpcWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    OwnPass::read(MODULE.name, &mut own.pass, &SCHEMES, node, cx)?;
    if let Some(Some(destination)) = &own.pass {
        Passed::note(cx, destination);
    }
    Ok(())
}

impl Grpc {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let above = parent.map(|parent| &parent.pass);
        OwnPass::settle(MODULE.name, &mut self.pass, above, INNER, cx);
        let above = parent.map(|parent| (&parent.set_header[..], parent.fields.as_ref()));
        let passes = self.pass.is_some();
        self.fields = Fields::settle(passes, &self.set_header, above, DEFAULTS, cx)?;
        Ok(())
    }
}

/// Checks the TLS settings of every location that may use them.
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    UpstreamTls::check_users(whole.root, &TLS, "grpc_", |block| {
        block.settings.get(&GRPC).pass.as_ref()
    })
}

fn passes(settings: &Settings) -> bool {
    settings.get(&GRPC).pass.is_some()
}

fn handle(request: &mut Request) -> Passing<'_> {
    Passing::to(request, |location| location.settings.get(&GRPC).pass.as_ref(), &SCHEMES, course)
}

fn course(request: &mut Request, location: Held<Location>, target: Target) -> Course {
    let tls = target.scheme.tls.then_some(&TLS);
    let web = if location.settings.get(&GRPC).web { Web::of(request) } else { None };
    let protocol = Box::new(Call { location: location.clone(), head: false, web });
    Course { location, transfer, next_upstream: None, tls, cache: None, protocol, target }
}

fn transfer(location: &Location) -> &Transfer {
    location.settings.get(&TRANSFER)
}

fn translates(settings: &Settings) -> bool {
    passes(settings) && settings.get(&GRPC).web
}

/// `$grpc_internal_trailers`: "trailers", if the client accepts them, or is one of gRPC-Web.
fn wants_trailers(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let wants = http2::accepts_trailers(request) || web::is_passed(request);
    if wants {
        out.extend_from_slice(b"trailers");
    }
    wants
}

/// The exchange of one request with a server.
struct Call {
    location: Held<Location>,
    /// Whether the request is a HEAD, whose response has no body.
    head: bool,
    /// The translation, if the request is in gRPC-Web.
    web: Option<Web>,
}

impl Protocol for Call {
    fn wants(&self, _: &Request) -> Wanted {
        Wanted::AsSet
    }

    fn write_head(
        &mut self,
        request: &mut Request,
        target: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        let location = self.location.clone();
        let Some(fields) = &location.settings.get(&GRPC).fields else {
            return Err(Rejection::INTERNAL);
        };
        if let Some(web) = &self.web {
            web.begin(request)?;
        }
        let announced = request.body.content_length;
        let (mut length, mut body) = match request.body.outlook() {
            Outlook::Here(length) => {
                ((length > 0).then_some(length).or(announced), OutgoingBody::Plain)
            }
            Outlook::Coming => (announced, OutgoingBody::Plain),
            Outlook::Nothing | Outlook::Gone => (announced.map(|_| 0), OutgoingBody::None),
        };
        if self.web.is_some() && matches!(body, OutgoingBody::Plain) {
            (length, body) = (None, OutgoingBody::Translated);
        }
        out.extend_from_slice(http2::METHOD);
        let start = out.len();
        out.extend_from_slice(request.method_name());
        self.head = &out[start..] == b"HEAD";
        http2::write_scheme(target.scheme, out);
        out.extend_from_slice(http2::PATH);
        let start = out.len();
        write_path(request, out);
        let uri = start..out.len();
        http2::write_authority(request, fields.host.as_ref(), &target.place.host, out);
        let of_client = match &self.web {
            Some(web) => OfClient::Translated(&web.content_type),
            None => OfClient::All,
        };
        fields.write(request, BodyPlan { length, chunked: false }, of_client, out);
        let passes = transfer(&location).pass_request_trailers;
        let trailers = passes.then(|| Arc::clone(fields) as _);
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

    fn translator(&self) -> Option<Box<dyn Translator>> {
        self.web.as_ref().map(Web::translator)
    }

    fn reset(&mut self) {}
}

/// Writes the URI: the client's own, or the changed one.
fn write_path(request: &Request, out: &mut Vec<u8>) {
    if request.uri_intact {
        return out.extend_from_slice(&request.head.unparsed_uri());
    }
    uri::escape(Escape::Uri, &request.uri, out);
    if !request.args.is_empty() {
        out.push(b'?');
        out.extend_from_slice(&request.args);
    }
}
