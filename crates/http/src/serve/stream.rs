//! One request whose head comes as fields, on an exchange of its own: a client in memory, or a
//! stream of a multiplexed connection.

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_engine::buffer;
use weir_engine::clock;
use weir_engine::error_log::Level;
use weir_engine::random::unguessable;
use weir_engine::stats;
use weir_wire::field_block::FieldBlock;
use weir_wire::request::{RequestFields, Version};

use super::Service;
use super::answer::{answer, refuse};
use super::choose::Choice;
use super::close;
use super::connection::FoundEndpoint;
use super::fault::{FIELDS, HeadFault};
use super::unended::Unended;
use crate::client::Exchange;
use crate::client::exchange::h2::H2;
use crate::h2::Begun;
use crate::phase;
use crate::request::Request;
use crate::request::connection_info::ConnectionInfo;

/// The head of a request as fields, with the pseudo-fields first.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The version that is shown for the request.
    pub version: Version,
    /// Names and values; empty afterwards.
    pub fields: &'a mut FieldBlock,
    /// Whether there is no body.
    pub ended: bool,
}

/// The initial capacity for the text of a head, in bytes.
const USUAL_HEAD: usize = 1024;

thread_local! {
    /// Builds the heads of HTTP/2 requests, with the memory of earlier ones.
    static HEADS: RefCell<RequestFields> = RefCell::new({
        let mut heads = RequestFields::new(Version::HTTP_2);
        heads.allow_extended_connect();
        heads
    });
}

impl Service {
    /// Serves a request of a client of `listener`, from its head to the log. False if there is no
    /// such listener.
    pub async fn serve(
        &self,
        listener: &str,
        info: &Rc<ConnectionInfo>,
        ask: Ask<'_>,
        exchange: Exchange,
    ) -> bool {
        let snapshot = self.snapshot();
        let Some(endpoint) = snapshot.endpoint(listener, info) else { return false };
        let found = (snapshot, endpoint);
        let mut heads = RequestFields::new(ask.version);
        let (request, fault) = begin(&found, info, &mut heads, ask, exchange);
        serve(&found, request, fault).await;
        true
    }
}

/// Serves a request of an HTTP/2 connection, its request `number`.
pub(super) async fn answer_stream(
    found: FoundEndpoint,
    info: Rc<ConnectionInfo>,
    begun: Begun,
    number: u64,
) {
    let Begun { stream, mut fields, ended, length } = begun;
    let (link, exchange) = (Rc::clone(stream.link()), Exchange::H2(H2::new(stream)));
    let ask = Ask { version: Version::HTTP_2, fields: &mut fields, ended };
    let (mut request, fault) =
        HEADS.with_borrow_mut(|heads| begin(&found, &info, heads, ask, exchange));
    link.reuse(fields);
    drop(link);
    (request.number, request.length) = (number, length as u64);
    serve(&found, request, fault).await;
}

/// Makes the request of a head, and returns the fault of a faulty head with it.
fn begin(
    (snapshot, endpoint): &FoundEndpoint,
    info: &Rc<ConnectionInfo>,
    heads: &mut RequestFields,
    ask: Ask<'_>,
    mut exchange: Exchange,
) -> (Unended, Option<Box<HeadFault>>) {
    let start = clock::now();
    let mut choice = Choice::new(endpoint, info);
    let mut text = buffer::take(USUAL_HEAD);
    let limits = choice.limits();
    let built = heads.build(ask.fields, &mut text, &limits, ask.ended, |host| choice.host(host));
    let mut fault = match built {
        Ok(()) => choice.end(&heads.head().host).err(),
        Err(error) => Some(HeadFault::of(&error, &text, FIELDS)),
    };
    let server = choice.server();
    let captures = choice.captures;
    if let Exchange::H2(stream) = &mut exchange {
        match &fault {
            None if !endpoint.takes_http2(&server) => fault = Some(HeadFault::without_http2()),
            // RFC 9113 section 8.1.1.
            Some(fault) if fault.status == 400 => stream.note_malformed(),
            _ => {}
        }
    }
    let request = Request::next(Rc::clone(snapshot), server, info, exchange);
    let mut request = Unended::new(request);
    request.take_head(text, |head| heads.swap_head(head));
    request.start = start;
    if let Some(matched) = captures {
        matched.apply(&mut *request);
    }
    if fault.is_none() && !request.head.connect_protocol().is_empty() {
        fault = ask_for_upgrade(&mut request);
    }
    (request, fault)
}

/// The only protocol that a location can be asked for (RFC 8441).
const WEBSOCKET: &[u8] = b"websocket";

/// Makes an extended CONNECT the request of an HTTP/1.1 client, which the location may pass on.
fn ask_for_upgrade(request: &mut Request) -> Option<Box<HeadFault>> {
    let protocol = request.head.connect_protocol();
    if !protocol.eq_ignore_ascii_case(WEBSOCKET) {
        return Some(HeadFault::unknown_protocol(protocol));
    }
    let key = STANDARD.encode(unguessable::<16>());
    if let Some(head) = Rc::get_mut(&mut request.head) {
        head.become_upgrade(key.as_bytes());
    }
    request.method = request.head.method;
    if let Some(Exchange::H2(stream)) = request.client.exchange() {
        stream.note_extended();
    }
    None
}

async fn serve((_, endpoint): &FoundEndpoint, mut request: Unended, fault: Option<Box<HeadFault>>) {
    stats::count_request();
    let gauge = stats::Gauged::new(stats::Gauge::Writing);
    match fault {
        None => answer(&mut request, endpoint, false).await,
        Some(fault) => Box::pin(refuse(&mut request, endpoint, &fault)).await,
    }
    if let Some(Exchange::H2(stream)) = request.client.exchange()
        && let Some(message) = stream.reset_message()
    {
        request.log(Level::Info, &message);
    }
    phase::log(&mut request).await;
    close(request.ended(), Some(gauge)).await;
}
