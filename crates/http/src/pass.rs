//! Passing a request to an upstream and its response back: what `proxy_pass` and its relatives
//! share. A protocol says how a request is written and a response read ([`Protocol`]); attempts,
//! retries, buffering and header rules are the same for all.
//!
//! ```text
//!  body ─▶ target ─▶ attempt (peer, connection, send, head) ─┬─▶ headers ─▶ relay ─▶ pool
//!                       ▲                                    │         └──▶ tunnel (101)
//!                       └────────── next_upstream ◀──────────┘
//! ```

use std::ops::Range;

use weir_conf::Slot;
use weir_engine::error_log::Level;
use weir_upstream::{Causes, Outcome, Pick, Retry};
use weir_wire::header::Headers;

use crate::module::{Pending, Verdict};
use crate::piece::Piece;
use crate::request::Request;
use crate::route::Location;
use crate::snapshot::Held;

pub mod attempt;
pub mod body;
pub mod channel;
pub mod clock;
pub mod fields;
pub mod headers;
pub mod interim;
mod keep;
pub mod made;
pub mod pool;
pub mod relay;
pub mod resolve;
mod response_head;
pub mod sender;
mod spill;
pub mod state;
pub mod sticky;
pub mod stored;
pub mod target;
mod temp_file;
pub mod tls;
pub mod transfer;
pub mod tunnel;
pub mod variables;

use attempt::{Exchange, Failure, UpstreamFailure};
use body::{BodyReader, Note};
use target::Target;
use tls::UpstreamTls;
use transfer::Transfer;

/// The head of an upstream's response, as a protocol read it; its fields lie with the request.
#[derive(Default)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The status line's text behind the version, when the protocol has one.
    pub status_line: Option<Vec<u8>>,
    /// How the body is framed.
    pub body: BodyReader,
    /// Bytes of the head in the buffer.
    pub length: usize,
    /// Whether the connection can be used again once the body has ended.
    pub reusable: bool,
    /// Whether the connection now speaks another protocol.
    pub upgraded: bool,
    /// Whether the response is nothing but its head, and the connection free without a look at what
    /// becomes of it.
    pub complete: bool,
    /// The `Content-Encoding` that the protocol tells in a way of its own.
    pub encoding: Option<&'static str>,
    /// What the log is to say.
    pub notes: Vec<Note>,
}

/// What a protocol makes of a request.
#[derive(Default)]
pub struct Outgoing {
    /// Where in the head the URI stands.
    pub uri: Range<usize>,
    /// The client's body behind the head.
    pub body: OutgoingBody,
}

/// How the client's body goes out.
#[derive(Clone, Copy, Default)]
pub enum OutgoingBody {
    /// Not at all.
    #[default]
    None,
    /// As it is.
    Plain,
    /// In frames.
    Framed(&'static Frames),
}

/// How a protocol frames the body of a request.
pub struct Frames {
    /// What stands before a stretch of so many bytes.
    pub head: fn(u64) -> Piece,
    /// What stands behind it.
    pub tail: &'static [u8],
    /// What stands behind the last one.
    pub end: &'static [u8],
}

/// What a protocol wants to have of the client's body before it is asked for the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: the body is not passed on.
    Nothing,
    /// All of it.
    Whole,
    /// All of it, or what has come (`…_request_buffering off`).
    AsSet,
}

/// What a protocol must know how to do: one request's conversation with upstreams. It is asked once
/// for each head, and says there how the body is framed ([`OutgoingBody`], [`BodyReader`]), so that
/// bodies go by without it.
pub trait Protocol {
    /// What of the client's body is needed.
    fn wants(&self, _request: &Request) -> Wanted {
        Wanted::AsSet
    }

    /// Writes the head of the request to `target`. Where nothing is written, nothing is asked, and
    /// the head of the response is read from no bytes as soon as there is a connection.
    ///
    /// # Errors
    /// The status to answer with; it has been logged.
    fn write_head(
        &mut self,
        request: &mut Request,
        target: &Target,
        out: &mut Vec<u8>,
    ) -> Result<Outgoing, u16>;

    /// Looks at what has been received; whether the head is there. Then it takes the place of what
    /// `head` and `headers` have. The text of an error goes to the log.
    ///
    /// # Errors
    /// Bytes that are no response.
    fn read_head(
        &mut self,
        input: &[u8],
        headers: &mut Headers,
        head: &mut ResponseHead,
    ) -> Result<bool, String>;

    /// Forgets what was read, for another attempt.
    fn reset(&mut self);

    /// Rewrites a `Location` or `Refresh` value (`proxy_redirect`).
    fn redirect(&self, _request: &mut Request, _value: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Rewrites a `Set-Cookie` value (`proxy_cookie_domain`, …).
    fn cookie(&self, _request: &mut Request, _value: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// How a request is to be passed on, as its location's handler says.
pub struct Course {
    /// The location, held because the request may move on.
    pub location: Held<Location>,
    /// Which of its settings apply.
    pub transfer: fn(&Location) -> &Transfer,
    /// When another peer is asked, if the settings do not say that.
    pub next_upstream: Option<Causes>,
    /// The settings for TLS, if connections are within it.
    pub tls: Option<&'static Slot<UpstreamTls>>,
    /// The protocol.
    pub protocol: Box<dyn Protocol>,
    /// Where to.
    pub target: Target,
}

/// One request's way through upstreams.
pub struct Pass<'a> {
    /// The location.
    pub location: &'a Held<Location>,
    /// Its settings that apply.
    pub settings: &'a Transfer,
    /// When another peer is asked.
    pub next_upstream: Causes,
    /// The settings for TLS, if connections are within it.
    pub tls: Option<&'a UpstreamTls>,
    /// The protocol.
    pub protocol: Box<dyn Protocol>,
    /// Where to.
    pub target: &'a Target,
    /// How the client's body goes out.
    pub body: OutgoingBody,
}

/// What a handler that passes requests on says to one of them.
pub enum Passing<'a> {
    /// Pass it on like this.
    Now(Course),
    /// Likewise, as soon as it is known where to.
    Later(Pending<'a, Result<Course, Verdict>>),
    /// This instead.
    Not(Verdict),
}

impl Pass<'_> {
    /// What connections kept for this location only are found by.
    pub fn tag(&self) -> u64 {
        u64::from(self.location.block.0)
    }
}

/// Room for the head of a usual request.
const USUAL_HEAD: usize = 1024;

/// Passes the request as `passing` says.
pub async fn begin(
    request: &mut Request,
    passing: for<'a> fn(&'a mut Request) -> Passing<'a>,
) -> Verdict {
    let course = match passing(request) {
        Passing::Now(course) => course,
        Passing::Not(verdict) => return verdict,
        Passing::Later(coming) => match coming.await {
            Ok(course) => course,
            Err(verdict) => return verdict,
        },
    };
    let Course { location, transfer, next_upstream, tls, protocol, target } = course;
    let settings = transfer(&location);
    let next_upstream = next_upstream.unwrap_or(settings.next_upstream.0);
    let tls = tls.map(|slot| location.settings.get(slot));
    if let Some(keeper) = settings.keep() {
        request.client.goes_on_alone();
        if let Some(answer) = keeper.answer(request)
            && let Some(verdict) = answer.await
        {
            return verdict;
        }
    }
    let (location, target, body) = (&location, &target, OutgoingBody::None);
    let mut pass = Pass { location, settings, next_upstream, tls, protocol, target, body };
    run(request, &mut pass).await
}

/// Passes the request, and answers with what comes back.
async fn run(request: &mut Request, pass: &mut Pass<'_>) -> Verdict {
    if !request.body.is_ready() {
        let read = match pass.protocol.wants(request) {
            Wanted::Nothing => Ok(()),
            Wanted::AsSet if !pass.settings.request_buffering => {
                Box::pin(request.read_body_ahead()).await
            }
            Wanted::AsSet | Wanted::Whole => Box::pin(request.read_body()).await,
        };
        if let Err(status) = read {
            return Verdict::Status(status);
        }
    }
    if let Err(status) = write_head(request, pass) {
        return Verdict::Status(status);
    }
    let settings = pass.settings;
    let mut pick = target::start(request, pass);
    pick.limit_tries(settings.next_upstream_tries as usize);
    let retry = Retry {
        causes: pass.next_upstream,
        timeout: settings.next_upstream_timeout.0.as_millis() as u64,
    };
    // Here and nowhere else: what is moved about costs more than what is done with it.
    let mut exchange = None;
    let started = clock::now();
    loop {
        let failure = match attempt::attempt(request, pass, &mut pick, &mut exchange).await {
            Ok(status) => match headers::refuse(request, &pick, &retry, status, started) {
                None => return respond(request, pass, &mut pick, &mut exchange).await,
                Some(cause) => {
                    relay::keep_complete(pass, &pick, &mut exchange);
                    UpstreamFailure { sent: true, ..UpstreamFailure::new(cause) }
                }
            },
            Err(Failure::Upstream(failure)) if failure.cause == Causes::NO_LIVE => {
                sticky::set_cookie(request, pass);
                return Verdict::Status(502);
            }
            Err(Failure::Upstream(failure)) => failure,
            Err(Failure::Own(status)) => {
                // The peer is neither praised nor blamed.
                request.attempts.finish();
                pick.free(Outcome::NotCounted, request.attempts.timings(), clock::now());
                return Verdict::Status(status);
            }
            Err(Failure::Client(status)) => {
                release(request, pass, &mut pick);
                return Verdict::Status(status);
            }
        };
        if let Some(verdict) = failed(request, pass, &mut pick, &retry, &failure, started) {
            return verdict;
        }
        pass.protocol.reset();
        exchange = None;
    }
}

/// Writes the head into the request's own place for it, whose memory is used again and again.
fn write_head(request: &mut Request, pass: &mut Pass<'_>) -> Result<(), u16> {
    let mut head = std::mem::take(&mut request.attempts.head);
    if head.capacity() == 0 {
        head = weir_engine::buffer::take(USUAL_HEAD);
    }
    head.clear();
    let Outgoing { uri, body } = pass.protocol.write_head(request, pass.target, &mut head)?;
    request.attempts.uri = uri;
    pass.body = body;
    request.attempts.head = head;
    Ok(())
}

/// Decides after a failed attempt: None to try another peer.
fn failed(
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    retry: &Retry,
    failure: &UpstreamFailure,
    started: weir_upstream::Now,
) -> Option<Verdict> {
    let now = clock::now();
    let freed = pick.free(failure.outcome(), request.attempts.timings(), now);
    request.attempts.finish();
    // A kept connection that the peer had closed meanwhile says nothing about the peer. A group of
    // one has no try left once its peer is given back, so this comes after that.
    if failure.reused && failure.cause == Causes::ERROR {
        pick.give_back_try();
    }
    if freed.disabled {
        let doing = match failure.sent {
            true => response_head::READING,
            false => "connecting to upstream",
        };
        let message = format!("upstream server temporarily disabled while {doing}");
        request.log_upstream(Level::Warn, &message);
    }
    request.attempts.set_status(failure.cause.status());
    let progress = headers::progress(request, pick, failure.sent, started);
    if retry.goes_on(failure.cause, &progress) {
        return None;
    }
    let status = if failure.blameless { 500 } else { failure.cause.status() };
    sticky::set_cookie(request, pass);
    Some(Verdict::Status(status))
}

/// Sends the upstream's response to the client.
async fn respond(
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    slot: &mut Option<Exchange>,
) -> Verdict {
    let Some(exchange) = slot else { return Verdict::Status(502) };
    sticky::set_cookie(request, pass);
    if let Some(verdict) = headers::intercept(request, pass, exchange.head.status) {
        relay::keep_complete(pass, pick, slot);
        release(request, pass, pick);
        return verdict;
    }
    sticky::headed(request, pass, pick);
    if let Some(header) = request.attempts.current().and_then(|attempt| attempt.header) {
        pick.reached(weir_upstream::Moment::Header, header, clock::now());
    }
    if let Err(verdict) = headers::process(request, pass, &mut exchange.head) {
        release(request, pass, pick);
        return verdict;
    }
    if exchange.head.upgraded {
        return Box::pin(tunnel::run(request, pass, pick, exchange)).await;
    }
    relay::run(request, pass, pick, slot).await
}

/// Gives back a peer that answered.
pub(crate) fn release(request: &mut Request, pass: &Pass<'_>, pick: &mut Pick<'_>) {
    request.attempts.finish();
    sticky::served(request, pass, pick);
    pick.free(Outcome::Success, request.attempts.timings(), clock::now());
}
