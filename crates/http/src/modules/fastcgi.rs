//! `fastcgi_pass`: requests to FastCGI applications
//! (<https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html>).

use std::sync::Arc;

use weir_conf::layout::Layout;
use weir_conf::table::Fixed;
use weir_conf::{Arity, Cx, Fault, Local, Many, Node, Settings, Slot, Value, directives};
use weir_script::regex::Regex;
use weir_wire::fastcgi;

use crate::cache::{self, settings::Caching};
use crate::module::{Handler, Module, Prepare};
use crate::pass::course::{Course, Passing};
use crate::pass::destination::{Destination, INNER, OwnPass, Scheme, Schemes};
use crate::pass::hidden::Usual;
use crate::pass::params::{Param, Params};
use crate::pass::target::Target;
use crate::pass::transfer::Transfer;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;
use crate::variables::VariableRow;

mod body;
mod responder;

pub(crate) const MODULE: Module = Module {
    name: "fastcgi",
    tables: &[
        &Transfer::table(&TRANSFER)
            .prefix("fastcgi_")
            .except(&["pass_trailers", "pass_request_trailers"])
            .fixed::<Transfer, FastCgi>(),
        &Caching::of_applications(&CACHE, "fastcgi_"),
        &FastCgi::table(&FASTCGI),
    ],
    variables: &[
        VariableRow::new(
            "fastcgi_script_name",
            "The first capture of `fastcgi_split_path_info`, or the URI, with `fastcgi_index` \
             added to a folder.",
            script_name,
        ),
        VariableRow::new(
            "fastcgi_path_info",
            "The second capture of `fastcgi_split_path_info`.",
            path_info,
        ),
    ],
    content: Some(|settings| passes(settings).then_some(Handler::Pass(handle))),
    passes: Some(passes),
    prepare: Some(prepare),
    duties: Some(|configuration, _, _| cache::duties::find(configuration, &CACHE)),
    ..Module::NONE
};

static TRANSFER: Slot<Transfer> = Slot::new();
static CACHE: Slot<Caching> = Slot::new();
static FASTCGI: Slot<FastCgi> = Slot::new();

/// Addresses are written without a scheme; the log shows `fastcgi://`.
static SCHEMES: Schemes = Schemes {
    written: &[],
    implied: Some(Scheme { text: "fastcgi://", port: 0, tls: false }),
    uri: false,
};

directives! {
    /// Passing of requests to FastCGI applications, such as PHP.
    pub(crate) struct FastCgi as FastCgiWritten in [http, server, location] {
        /// The application: an address or the name of an `upstream`; may have variables.
        "fastcgi_pass" in [location, location_if] [1]: "address" => set_pass,
        /// The file name that is appended to a URI that ends with a slash, in
        /// `$fastcgi_script_name`.
        "fastcgi_index" as "name" => index: String,
        /// The expression that splits a URI into `$fastcgi_script_name` and `$fastcgi_path_info`,
        /// by its two captures.
        "fastcgi_split_path_info" => split: Option<Split>,
        /// Sets a parameter of the request. With `if_not_empty`, one with an empty value is left
        /// out.
        "fastcgi_param" => params: Many<Param>,
        /// Takes a response for invalid if a message on standard error contains this string before
        /// the head is complete.
        "fastcgi_catch_stderr" as "string" => catch_stderr: Many<String>,
        /// Asks the application to keep the connection open.
        "fastcgi_keep_conn" => keep_conn: bool = false,
        field pass: Local<Option<Destination>>,
        field compiled: Local<Option<Arc<Params<fastcgi::FastCgi>>>>,
    }
    finish = FastCgi::finish;
}

/// `fastcgi_split_path_info`: a pattern with two captures.
#[derive(Clone, Debug)]
pub(crate) struct Split(Regex);

impl Value for Split {
    const SYNTAX: &'static str = "regex";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        let regex = Regex::shared(&word.value, false).map_err(|fault| fault.at(word))?;
        match regex.groups() {
            2 => Ok(Self(regex)),
            _ => {
                let message = format!("pattern \"{}\" must have 2 captures", word.shown());
                Err(Fault::new(message).at(word))
            }
        }
    }

    /// The last occurrence counts.
    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        *self = Self::parse(node, cx)?;
        Ok(())
    }
}

impl Fixed<Transfer> for FastCgi {
    fn fix(transfer: &mut Transfer) {
        transfer.temp_folder = Some(Layout::built().fastcgi_temp);
        transfer.usual_hidden = Usual::Cgi;
    }
}

fn set_pass(own: &mut FastCgiWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    OwnPass::read(MODULE.name, &mut own.pass, &SCHEMES, node, cx)
}

impl FastCgi {
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
    cache::zone::bind(whole.registries, "fastcgi_");
    Ok(())
}

fn passes(settings: &Settings) -> bool {
    settings.get(&FASTCGI).pass.is_some()
}

fn handle(request: &mut Request) -> Passing<'_> {
    Passing::to(request, |location| location.settings.get(&FASTCGI).pass.as_ref(), &SCHEMES, course)
}

fn course(request: &mut Request, location: Held<Location>, target: Target) -> Course {
    let protocol = Box::new(responder::Responder::new(request, location.clone()));
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

/// `$fastcgi_script_name`: the first capture of `fastcgi_split_path_info`, or the URI, with
/// `fastcgi_index` after a slash.
fn script_name(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let fastcgi = request.location.settings.get(&FASTCGI);
    let start = out.len();
    match fastcgi.split.as_ref().and_then(|split| split.0.captures(&request.uri)) {
        Some(captures) => out.extend_from_slice(captures.get(1).unwrap_or_default()),
        None => out.extend_from_slice(&request.uri),
    }
    if out.len() > start && out.ends_with(b"/") {
        out.extend_from_slice(fastcgi.index.as_bytes());
    }
    true
}

/// `$fastcgi_path_info`: the second capture of `fastcgi_split_path_info`.
fn path_info(request: &mut Request, _: &str, out: &mut Vec<u8>) -> bool {
    let fastcgi = request.location.settings.get(&FASTCGI);
    if let Some(captures) = fastcgi.split.as_ref().and_then(|s| s.0.captures(&request.uri)) {
        out.extend_from_slice(captures.get(2).unwrap_or_default());
    }
    true
}
