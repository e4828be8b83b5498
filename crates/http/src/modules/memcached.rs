//! `memcached_pass`: responses from memcached
//! (<https://nginx.org/en/docs/http/ngx_http_memcached_module.html>).

use std::ops::Range;

use weir_conf::table::Fixed;
use weir_conf::{Arity, Contexts, Cx, Fault, Local, Node, Settings, Slot, Value, directives};
use weir_engine::error_log::Level;
use weir_script::{VarId, Variables};
use weir_upstream::Causes;
use weir_wire::h1::Method;
use weir_wire::header::Headers;
use weir_wire::memcached::{self, Answer};

use crate::module::{Handler, Module, Verdict};
use crate::pass::body::{BodyReader, Framed, Input, Note, Taken};
use crate::pass::course::{Course, Passing};
use crate::pass::destination::{Destination, OwnPass, Scheme, Schemes};
use crate::pass::protocol::{InvalidHead, Outgoing, Protocol, UpstreamHead, Wanted};
use crate::pass::target::Target;
use crate::pass::transfer::{Transfer, add_causes};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Location;

pub(crate) const MODULE: Module = Module {
    name: "memcached",
    tables: &[
        &Memcached::table(&MEMCACHED),
        &Transfer::table(&TRANSFER)
            .prefix("memcached_")
            .except(WITHOUT)
            .fixed::<Transfer, Memcached>(),
    ],
    content: Some(|settings| passes(settings).then_some(Handler::Pass(handle))),
    passes: Some(passes),
    ..Module::NONE
};

static TRANSFER: Slot<Transfer> = Slot::new();
static MEMCACHED: Slot<Memcached> = Slot::new();

/// The `Transfer` rows that memcached lacks: a value has no header fields and is not buffered, and
/// its request has no body.
const WITHOUT: &[&str] = &[
    "buffering",
    "request_buffering",
    "ignore_client_abort",
    "socket_rcvbuf",
    "socket_sndbuf",
    "send_lowat",
    "intercept_errors",
    "pass_request_headers",
    "pass_request_body",
    "pass_trailers",
    "pass_request_trailers",
    "buffers",
    "busy_buffers_size",
    "force_ranges",
    "limit_rate",
    "temp_path",
    "max_temp_file_size",
    "temp_file_write_size",
    "store",
    "store_access",
    "next_upstream",
    "count_broken",
    "pass_header",
    "hide_header",
    "ignore_headers",
];

/// Addresses are written without a scheme; the log shows `memcached://`.
static SCHEMES: Schemes = Schemes {
    written: &[],
    implied: Some(Scheme { text: "memcached://", port: 0, tls: false }),
    uri: false,
};

directives! {
    /// Passing of requests to memcached, which returns the value of `$memcached_key` as the
    /// response.
    pub(crate) struct Memcached as MemcachedWritten in [http, server, location] {
        /// The memcached server: an address or the name of an `upstream`.
        "memcached_pass" in [location, location_if] [1]: "address" => set_pass,
        /// The failures after which another server is tried.
        "memcached_next_upstream" => next_upstream: Next = Next(Causes::DEFAULT),
        /// The flags of compressed values: a value with one of them gets `Content-Encoding: gzip`.
        "memcached_gzip_flag" => gzip_flag: u64 = 0,
        field pass: Local<Option<(Destination, VarId)>>,
    }
    finish = Memcached::finish;
}

/// `memcached_next_upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next(Causes);

impl Value for Next {
    const SYNTAX: &'static str = "error | timeout | invalid_response | not_found | off ...";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        let mut none = Self(Causes::default());
        none.again(node, cx)?;
        Ok(none)
    }

    fn again(&mut self, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
        const WORDS: &[(&str, Causes)] = &[
            ("error", Causes::ERROR),
            ("timeout", Causes::TIMEOUT),
            ("invalid_response", Causes::INVALID_HEADER),
            ("not_found", Causes::HTTP_404),
            ("off", Causes::OFF),
        ];
        self.0 = add_causes(self.0, node, WORDS.iter().copied(), cx)?;
        Ok(())
    }

    fn show(&self) -> Option<String> {
        (self.0 == Causes::DEFAULT).then(|| "error timeout".to_owned())
    }
}

impl Fixed<Transfer> for Memcached {
    fn fix(transfer: &mut Transfer) {
        transfer.buffering = false;
        transfer.force_ranges = true;
        // There is no `memcached_buffers` whose size `memcached_buffer_size` would have to suit.
        transfer.buffers.size = transfer.buffer_size.0;
        transfer.intercept_missing = true;
    }
}

fn set_pass(own: &mut MemcachedWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if own.pass.is_some() {
        return Err(Fault::duplicate());
    }
    let destination = Destination::fixed(&node.args[0], &SCHEMES, cx)?;
    let key = cx.registry::<Variables>().reference("memcached_key");
    OwnPass::note(MODULE.name, cx);
    own.pass = Some(Some((destination, key)));
    Ok(())
}

impl Memcached {
    fn finish(&mut self, parent: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let above = parent.map(|parent| &parent.pass);
        OwnPass::settle(MODULE.name, &mut self.pass, above, Contexts::LOCATION_IF, cx);
        Ok(())
    }
}

fn passes(settings: &Settings) -> bool {
    settings.get(&MEMCACHED).pass.is_some()
}

fn handle(request: &mut Request) -> Passing<'_> {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Passing::Not(Verdict::Status(405));
    }
    if let Err(rejection) = request.discard_body() {
        return Passing::Not(rejection.into());
    }
    request.set_content_type();
    let location = request.location.clone();
    let memcached = location.settings.get(&MEMCACHED);
    let found = memcached
        .pass
        .as_ref()
        .and_then(|(destination, key)| Some((Target::at_once(request, destination)?, *key)));
    let Some((target, key)) = found else {
        // The handler comes from an `if` block whose settings a later `if` block replaced.
        request.log(Level::Alert, "no upstream configuration");
        return Passing::Not(Verdict::Status(500));
    };
    request.attempts.begin_pass(target.scheme.text);
    let (gzip_flag, causes) = (memcached.gzip_flag, memcached.next_upstream.0);
    let protocol = Box::new(Get { variable: key, gzip_flag, key: Vec::new() });
    let next_upstream = Some(causes);
    Passing::Now(Course {
        location,
        transfer,
        next_upstream,
        tls: None,
        cache: None,
        protocol,
        target,
    })
}

fn transfer(location: &Location) -> &Transfer {
    location.settings.get(&TRANSFER)
}

/// A `get` command.
struct Get {
    variable: VarId,
    gzip_flag: u64,
    /// The key as it was sent.
    key: Vec<u8>,
}

impl Protocol for Get {
    fn wants(&self, _: &Request) -> Wanted {
        Wanted::Nothing
    }

    fn write_head(
        &mut self,
        request: &mut Request,
        _: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, Rejection> {
        let mut key = Vec::new();
        if !request.variable(self.variable, &mut key) || key.is_empty() {
            request.log(Level::Error, "the \"$memcached_key\" variable is not set");
            return Err(Rejection::INTERNAL);
        }
        let written: Range<usize> = memcached::write_get(&key, out);
        key.clear();
        key.extend_from_slice(&out[written]);
        self.key = key;
        Ok(Outgoing::default())
    }

    fn read_head(
        &mut self,
        input: &[u8],
        _: &mut Headers,
        head: &mut UpstreamHead,
    ) -> Result<bool, InvalidHead> {
        let (answer, length) = match memcached::read_answer(input, &self.key, self.gzip_flag != 0) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(error) => return Err(InvalidHead(error.message(&self.key))),
        };
        head.length = length;
        head.reusable = true;
        match answer {
            Answer::Value { flags, length } => {
                head.status = 200;
                head.encoding = (flags & self.gzip_flag != 0).then_some("gzip");
                head.body = BodyReader::Framed(Box::new(Body(memcached::Value::new(length))));
            }
            Answer::Missing => {
                head.status = 404;
                head.complete = true;
                let key = weir_wire::shown(&self.key);
                let text = format!("key: \"{key}\" was not found by memcached").into();
                head.notes.push(Note { level: Level::Info, text });
            }
        }
        Ok(true)
    }

    fn reset(&mut self) {}
}

/// The body of a response: one value.
struct Body(memcached::Value);

impl Framed for Body {
    fn take(&mut self, input: &mut Input) -> Result<Taken, Note> {
        let received = input.len();
        let count = self.0.take(input.bytes());
        let piece = input.take_front(count, received - count);
        // Only the trailer is invalid; the value is complete.
        let broken = self.0.is_broken();
        let note = broken.then(|| Note::new(Level::Error, "memcached sent invalid trailer"));
        let (ended, notes) = (broken || self.0.is_done(), note.into_iter().collect());
        Ok(Taken { piece, ended, broken: false, notes })
    }

    fn left(&self) -> Option<u64> {
        Some(self.0.left())
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }
}
