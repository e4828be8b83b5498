//! `uwsgi_pass`: requests to uwsgi applications
//! (<https://nginx.org/en/docs/http/ngx_http_uwsgi_module.html>).

use std::sync::Arc;

use weir_conf::layout::Layout;
use weir_conf::table::Fixed;
use weir_conf::{Arity, Cx, Fault, Local, Many, Node, Settings, Slot, Value, directives};
use weir_engine::error_log::Level;
use weir_wire::h1::StatusLine;
use weir_wire::header::Headers;
use weir_wire::uwsgi::{self, Packet};

use crate::cache::{self, settings::Caching};
use crate::module::{Handler, Module, Prepare};
use crate::pass::cgi::{self, CgiHead};
use crate::pass::course::{Course, Passing};
use crate::pass::destination::{Destination, INNER, OwnPass, Scheme, Schemes};
use crate::pass::hidden::Usual;
use crate::pass::params::{Param, Params};
use crate::pass::protocol::{InvalidHead, Outgoing, Protocol, UpstreamHead, Wanted};
use crate::pass::target::Target;
use crate::pass::tls::UpstreamTls;
use crate::pass::transfer::Transfer;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;

pub(crate) const MODULE: Module = Module {
    name: "uwsgi",
    tables: &[
        &Transfer::table(&TRANSFER)
            .prefix("uwsgi_")
            .except(&["pass_trailers", "pass_request_trailers", "send_lowat"])
            .fixed::<Transfer, Uwsgi>(),
        &UpstreamTls::table(&TLS).prefix("uwsgi_ssl_"),
        &Caching::of_applications(&CACHE, "uwsgi_"),
        &Uwsgi::table(&UWSGI),
    ],
    content: Some(|settings| passes(settings).then_some(Handler::Pass(handle))),
    passes: Some(passes),
    prepare: Some(prepare),
    duties: Some(|configuration, _, _| cache::duties::find(configuration, &CACHE)),
    ..Module::NONE
};

static TRANSFER: Slot<Transfer> = Slot::new();
static CACHE: Slot<Caching> = Slot::new();
static TLS: Slot<UpstreamTls> = Slot::new();
static UWSGI: Slot<Uwsgi> = Slot::new();

/// The schemes of `uwsgi_pass`, without TLS unless written.
static SCHEMES: Schemes = Schemes {
    written: &[PLAIN, Scheme { text: "suwsgi://", port: 0, tls: true }],
    implied: Some(PLAIN),
    uri: false,
};

const PLAIN: Scheme = Scheme { text: "uwsgi://", port: 0, tls: false };

directives! {
    /// Passing of requests to uwsgi applications.
    pub(crate) struct Uwsgi as UwsgiWritten in [http, server, location] {
        /// The application: an address or the name of an `upstream`, for TLS after `suwsgi://`; may
        /// have variables.
        "uwsgi_pass" in [location, location_if] [1]: "[protocol://]address" => set_pass,
        /// The first modifier of packets, from 0 to 255.
        "uwsgi_modifier1" => modifier1: Byte,
        /// The second modifier of packets, from 0 to 255.
        "uwsgi_modifier2" => modifier2: Byte,
        /// Sets a parameter of the request. With `if_not_empty`, one with an empty value is left
        /// out.
        "uwsgi_param" => params: Many<Param>,
        /// The text behind the parameters of a packet.
        "uwsgi_string" as "string" => string: String,
        field pass: Local<Option<Destination>>,
        field compiled: Local<Option<Arc<Params<uwsgi::Uwsgi>>>>,
    }
    finish = Uwsgi::finish;
}

/// A number from 0 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Byte(u8);

impl Value for Byte {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        match u8::try_from(u64::parse(node, cx)?) {
            Ok(number) => Ok(Self(number)),
            Err(_) => Err(Fault::new("value must be between 0 and 255").at(&node.args[0])),
        }
    }
}

impl Fixed<Transfer> for Uwsgi {
    fn fix(transfer: &mut Transfer) {
        transfer.temp_folder = Some(Layout::built().uwsgi_temp);
        transfer.usual_hidden = Usual::Uwsgi;
    }
}

fn set_pass(own: &mut UwsgiWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    OwnPass::read(MODULE.name, &mut own.pass, &SCHEMES, node, cx)
}

impl Uwsgi {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let above = parent.map(|parent| &parent.pass);
        OwnPass::settle(MODULE.name, &mut self.pass, above, INNER, cx);
        let above = parent.map(|parent| (&parent.params[..], &parent.compiled));
        self.compiled = Params::of_block(&self.params, self.pass.is_some(), above, cx)?;
        Ok(())
    }
}

/// Finds the caches, and checks the TLS settings of every location that may use them.
fn prepare(whole: &mut Prepare<'_>) -> Result<(), Fault> {
    cache::zone::bind(whole.registries, "uwsgi_");
    UpstreamTls::check_users(whole.root, &TLS, "uwsgi_", |block| {
        block.settings.get(&UWSGI).pass.as_ref()
    })
}

fn passes(settings: &Settings) -> bool {
    settings.get(&UWSGI).pass.is_some()
}

fn handle(request: &mut Request) -> Passing<'_> {
    Passing::to(request, |location| location.settings.get(&UWSGI).pass.as_ref(), &SCHEMES, course)
}

fn course(request: &mut Request, location: Held<Location>, target: Target) -> Course {
    let tls = target.scheme.tls.then_some(&TLS);
    let head = CgiHead::new(request, StatusLine::Optional);
    let protocol = Box::new(Exchange { location: location.clone(), head });
    Course { location, transfer, next_upstream: None, tls, cache: Some(&CACHE), protocol, target }
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
        let uwsgi = self.location.settings.get(&UWSGI);
        let Some(params) = &uwsgi.compiled else { return Err(Rejection::INTERNAL) };
        let mut packet = Packet::new([uwsgi.modifier1.0, uwsgi.modifier2.0], out);
        let written = params.write(request, transfer.pass_request_headers, packet.params());
        debug_assert!(written.is_ok(), "uwsgi can express every byte");
        if let Err(error) = packet.finish(uwsgi.string.as_bytes()) {
            request.log(Level::Alert, &error.message());
            return Err(Rejection::INTERNAL);
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
