//! Passing requests to upstreams: the code shared by `proxy_pass` and its relatives. A protocol
//! ([`protocol`]) writes requests and reads responses; attempts, retries, buffering and field rules
//! are the same for all.
//!
//! ```text
//!  body ─▶ target ─▶ attempt (peer, connection, send, head) ─┬─▶ headers ─▶ relay ─▶ pool
//!                       ▲                                    │         └──▶ tunnel (101)
//!                       └────────── next_upstream ◀──────────┘
//! ```

use weir_engine::error_log::Level;
use weir_upstream::{Causes, Outcome, Pick, Retry};

use crate::module::Verdict;
use crate::request::Request;

pub mod attempt;
pub mod body;
pub mod channel;
pub mod clock;
pub mod connect;
pub mod course;
pub mod destination;
pub mod fields;
pub mod handshake;
pub mod headers;
pub mod hidden;
pub mod interim;
mod keep;
mod locate;
pub mod made;
pub mod pool;
pub mod protocol;
pub mod relay;
pub mod resolve;
mod response_head;
pub mod sender;
mod spill;
pub mod state;
pub mod sticky;
pub mod store;
mod stored;
pub mod target;
mod temp_file;
pub mod tls;
pub mod transfer;
pub mod tunnel;
pub mod variables;

use attempt::{Failure, UpstreamExchange, UpstreamFailure, release};
use course::{Course, Pass, Passing};
use protocol::{Outgoing, OutgoingBody, Wanted};

/// The initial capacity for the head of a request, in bytes.
const USUAL_HEAD: usize = 1024;

/// Passes the request on as `passing` decides.
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

/// Passes the request on, and sends the response.
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
    let mut pick = connect::start(request, pass);
    pick.limit_tries(settings.next_upstream_tries as usize);
    let retry = Retry {
        causes: pass.next_upstream,
        timeout: settings.next_upstream_timeout.0.as_millis() as u64,
    };
    // The exchange stays in place, because moving it costs more than using it.
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
                // The attempt counts neither for nor against the peer.
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

/// Writes the head into the request's own buffer, which is reused.
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

/// Handles a failed attempt; None to try another peer.
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
    // A kept connection that the peer had closed says nothing about the peer. Freeing the only peer
    // of a group uses up its tries, so the try is given back afterwards.
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
    slot: &mut Option<UpstreamExchange>,
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
