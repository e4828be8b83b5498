//! `grpc_web`: requests in gRPC-Web become gRPC, and their responses gRPC-Web. Errors of our own
//! are a grpc-status in a head of status 200 without a body, as the protocol has it for responses
//! without messages.

use std::cell::Cell;
use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_wire::grpc_web::{self as wire, Decoder, Fault, MediaType, Step};
use weir_wire::header::Known;

use crate::client::reason;
use crate::pass::protocol::Translator;
use crate::piece::Piece;
use crate::rejection::Rejection;
use crate::request::{Request, State};

mod body;

/// What is known about the call of a request.
#[derive(Default)]
struct Call {
    /// Whether it has been written for an upstream.
    is_passed: bool,
    /// What is wrong with the body of the request, in words.
    fault: Rc<Cell<Option<&'static str>>>,
}

static CALL: State<Call> = State::new(Call::default);

/// The field that ends a call.
const STATUS: &[u8] = b"grpc-status";
const MESSAGE: &[u8] = b"grpc-message";

/// Whether a request is in gRPC-Web.
pub(super) fn is_web(request: &Request) -> bool {
    !request.is_subrequest()
        && request.head.get(Known::ContentType).and_then(MediaType::parse).is_some()
}

/// Whether a request in gRPC-Web has been written for an upstream.
pub(super) fn is_passed(request: &Request) -> bool {
    request.state_if(&CALL).is_some_and(|call| call.is_passed)
}

/// A request in gRPC-Web on its way to an upstream.
pub(super) struct Web {
    /// The `Content-Type` of the translated request.
    pub(super) content_type: Vec<u8>,
    text: bool,
    fault: Rc<Cell<Option<&'static str>>>,
}

impl Web {
    /// The translation that the request needs, if it is in gRPC-Web.
    pub(super) fn of(request: &mut Request) -> Option<Self> {
        let found = MediaType::parse(request.head.get(Known::ContentType)?)?;
        let mut content_type = Vec::new();
        found.write_plain(&mut content_type);
        let text = found.text;
        let fault = Rc::clone(&request.state(&CALL).fault);
        Some(Self { content_type, text, fault })
    }

    /// Begins to pass the request on.
    ///
    /// # Errors
    /// Its body is in a content coding.
    pub(super) fn begin(&self, request: &mut Request) -> Result<(), Rejection> {
        request.state(&CALL).is_passed = true;
        let coding = request.head.get(Known::ContentEncoding).unwrap_or_default();
        if coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
            return Ok(());
        }
        self.fault.set(Some(CODED));
        request.log(Level::Info, &format!("client sent {CODED}"));
        Err(Rejection::BAD_REQUEST)
    }

    /// The translation of the body.
    pub(super) fn translator(&self) -> Box<dyn Translator> {
        Box::new(Messages { decoder: Decoder::new(self.text), fault: Rc::clone(&self.fault) })
    }
}

const CODED: &str = "gRPC-Web in a content coding, which is not supported";

/// The body of a request on its way.
struct Messages {
    decoder: Decoder,
    fault: Rc<Cell<Option<&'static str>>>,
}

impl Messages {
    /// Notes a fault for the answer to the client.
    fn noted(&self, fault: Fault) -> &'static str {
        self.fault.set(Some(fault.text()));
        fault.text()
    }
}

impl Translator for Messages {
    fn push(&mut self, input: Piece, out: &mut Vec<Piece>) -> Result<(), &'static str> {
        let mut made = weir_engine::buffer::Buf::default();
        let step = self.decoder.push(input.bytes().unwrap_or_default(), &mut made);
        match step.map_err(|fault| self.noted(fault))? {
            Step::Unchanged => out.push(input),
            Step::Appended => out.push(made.into()),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), &'static str> {
        self.decoder.end().map_err(|fault| self.noted(fault))
    }
}

/// The filter of responses: translates those in gRPC, and makes others that are errors such ones.
/// Redirects, and texts that the configuration returns, are left alone.
pub(super) fn answer(request: &mut Request) -> Result<(), Rejection> {
    if request.is_subrequest() {
        return Ok(());
    }
    let head = Rc::clone(&request.head);
    let Some(asked) = head.get(Known::ContentType).and_then(MediaType::parse) else {
        return Ok(());
    };
    let accept = head.get(Known::Accept).unwrap_or_default();
    let text = wire::wants_text(accept, asked);
    let is_passed = is_passed(request);
    let response = &request.response;
    let format = wire::plain_format(&response.content_type).map(<[u8]>::to_vec);
    let has_status = response.headers.get_name(STATUS).is_some();
    let is_ours = MediaType { text, format: format.as_deref().unwrap_or(asked.format) };
    match response.status {
        _ if is_passed && has_status => translate(request, is_ours, true),
        200 if is_passed && format.is_some() => translate(request, is_ours, false),
        200..300 if is_passed => {
            let got = weir_wire::shown(&response.content_type).into_owned();
            let message = format!("upstream sent content type \"{got}\" instead of gRPC");
            request.log_upstream(Level::Error, &message);
            fail(request, is_ours, wire::UNKNOWN, &message);
        }
        status @ 400.. => {
            let fault = request.state_if(&CALL).and_then(|call| call.fault.get());
            match fault {
                Some(fault) => {
                    fail(request, is_ours, wire::INTERNAL, &format!("client sent {fault}"));
                }
                None => {
                    let title = reason(status).map(String::from_utf8_lossy);
                    let title = title.unwrap_or_else(|| status.to_string().into());
                    fail(request, is_ours, wire::status_of(status), &title);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Sets the type of the response.
fn set_type(request: &mut Request, is: MediaType<'_>) {
    let response = &mut request.response;
    for text in [
        &mut response.content_type,
        &mut response.charset,
        &mut response.content_type_text,
        &mut response.override_charset,
    ] {
        text.clear();
    }
    is.write(&mut response.content_type);
}

/// Translates a response of gRPC. `has_status`: its head has a grpc-status.
fn translate(request: &mut Request, is: MediaType<'_>, has_status: bool) {
    set_type(request, is);
    let response = &mut request.response;
    (response.status, response.status_line) = (200, None);
    if has_status && response.content_length == Some(0) {
        return;
    }
    response.clear_length();
    response.clear_ranges();
    request.chain.add(Box::new(body::Body::new(is.text, has_status)));
}

/// Replaces the response by this status.
fn fail(request: &mut Request, is: MediaType<'_>, status: u8, message: &str) {
    set_type(request, is);
    request.chain.clear();
    let response = &mut request.response;
    (response.status, response.status_line) = (200, None);
    response.clear_length();
    response.clear_ranges();
    response.clear_last_modified();
    response.clear_etag();
    response.headers.remove(Known::ContentEncoding);
    response.content_length = Some(0);
    response.header_only = true;
    response.headers.push(STATUS, status.to_string().as_bytes());
    let mut escaped = Vec::new();
    wire::write_message(message.as_bytes(), &mut escaped);
    response.headers.push(MESSAGE, &escaped);
}
