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
use weir_upstream::{Causes, Outcome, Pick};

use crate::cache::consult::{self, Consulted, First};
use crate::cache::settings::Caching;
use crate::cache::shown::Status;
use crate::module::Verdict;
use crate::recorder::attempt_note::Next;
use crate::recorder::notes::Kind;
use crate::rejection::Rejection;
use crate::request::Request;

pub(crate) mod attempt;
pub(crate) mod body;
pub(crate) mod cgi;
pub(crate) mod channel;
pub(crate) mod clock;
pub(crate) mod connect;
pub(crate) mod course;
pub(crate) mod destination;
pub(crate) mod doing;
pub(crate) mod fields;
mod fields_of_head;
pub(crate) mod handshake;
pub(crate) mod head_lines;
pub(crate) mod headers;
pub(crate) mod hidden;
pub(crate) mod http2;
pub(crate) mod interim;
pub(crate) mod keep;
pub(crate) mod links;
mod load_report;
mod locate;
pub(crate) mod made;
pub(crate) mod params;
pub(crate) mod pool;
pub(crate) mod probe;
pub(crate) mod protocol;
mod queue;
pub(crate) mod relay;
pub(crate) mod resolve;
mod response_head;
mod retrying;
pub(crate) mod sender;
pub(crate) mod shared_links;
mod spill;
pub(crate) mod state;
pub(crate) mod sticky;
pub(crate) mod store;
mod stored;
pub(crate) mod stream;
pub(crate) mod target;
pub(crate) mod temp_file;
pub(crate) mod tls;
pub mod transfer;
pub(crate) mod tunnel;
pub(crate) mod variables;

use attempt::{Failure, UpstreamExchange, UpstreamFailure, release};
use course::{Course, Pass, Passing};
use doing::Doing;
use keep::{Case, Keep};
use protocol::{Outgoing, OutgoingBody, Wanted};
use retrying::Retrying;

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
    let Course { location, transfer, next_upstream, tls, cache, protocol, target } = course;
    let settings = transfer(&location);
    let next_upstream = next_upstream.unwrap_or(settings.next_upstream.0);
    let tls = tls.map(|slot| location.settings.get(slot));
    let caching = cache.map(|slot| location.settings.get(slot)).filter(|cache| cache.is_on());
    let (location, target, body) = (&location, &target, OutgoingBody::None);
    let outlasts_client = settings.outlasts_client;
    let mut pass = Pass {
        location,
        settings,
        next_upstream,
        tls,
        protocol,
        target,
        body,
        trailers: None,
        outlasts_client,
    };
    let mut keep: Kept<'_> = None;
    let mut counters = None;
    if let Some(caching) = caching {
        if let Err(rejection) = receive(request, &pass).await {
            return rejection.into();
        }
        let consulted = ask_cache(request, &pass, caching).await;
        note_cache(request);
        match consulted {
            Consulted::Answered(verdict) => return verdict,
            Consulted::Invalidates(invalidation) => keep = Some(invalidation),
            Consulted::Fetch(fetch) => {
                counters = Some(fetch.counters());
                keep = Some(fetch);
            }
            Consulted::Uncached => {}
        }
    } else if settings.store.is_on() {
        keep = Some(Box::new(stored::InFiles));
    }
    if let Some(keep) = &keep {
        request.client.goes_on_alone();
        pass.outlasts_client |= keep.outlasts_client(request);
    }
    let verdict = run(request, &mut pass, &mut keep).await;
    if let Some(counters) = counters {
        let bytes = request.attempts.current().map_or(0, |attempt| attempt.body);
        counters.count_fetched(request.attempts.cache.status, bytes);
    }
    verdict
}

/// Looks for the response in the cache.
#[inline]
async fn ask_cache<'a>(
    request: &mut Request,
    pass: &Pass<'a>,
    caching: &'a Caching,
) -> Consulted<'a> {
    match consult::at_once(request, pass, caching) {
        First::Done(consulted) => consulted,
        First::GoOn(consult) => Box::pin(consult.go_on(request, pass)).await,
    }
}

/// Notes how the cache is used so far.
#[inline]
fn note_cache(request: &Request) {
    request.note(Kind::Cache, |step, _| {
        step.name = request.attempts.cache.status.map_or("UNCACHED", Status::name);
    });
}

/// The storage for the response to a request, if there is one.
type Kept<'a> = Option<Box<dyn Keep<'a> + 'a>>;

/// Passes the request on, and sends the response.
async fn run<'a>(request: &mut Request, pass: &mut Pass<'a>, keep: &mut Kept<'a>) -> Verdict {
    if let Err(rejection) = receive(request, pass).await {
        return rejection.into();
    }
    if let Err(rejection) = write_head(request, pass) {
        return rejection.into();
    }
    let mut pick = connect::start(request, pass);
    pick.limit_tries(pass.settings.next_upstream_tries as usize);
    let retrying = Retrying::new(pass);
    // The exchange stays in place, because moving it costs more than using it.
    let mut exchange = None;
    loop {
        let limit = retrying.limit(request, &pick);
        let made = attempt::attempt(request, pass, &mut pick, limit, &mut exchange).await;
        let failure = match made {
            Ok(status) => match retrying.refuses(request, &mut pick, status) {
                None => {
                    let verdict = respond(request, pass, &mut pick, &mut exchange, keep).await;
                    request.note_of_attempt(|note, now| note.ended = now);
                    return verdict;
                }
                Some(cause) => {
                    relay::keep_complete(pass, &pick, &mut exchange);
                    UpstreamFailure { sent: true, ..UpstreamFailure::new(cause) }
                }
            },
            Err(Failure::Upstream(failure)) if failure.cause == Causes::NO_LIVE => {
                return give_up(request, pass, keep, failure.cause, 502).await;
            }
            Err(Failure::Upstream(failure)) => failure,
            Err(Failure::Own(rejection)) => {
                // The attempt counts neither for nor against the peer.
                request.attempts.finish();
                request.note_failure(|| Next::GivenUp("error of the proxy itself"));
                let timings = request.attempts.timings(&pick);
                pick.free(Outcome::NotCounted, timings, clock::now());
                return rejection.into();
            }
            Err(Failure::Client(rejection)) => {
                request.note_failure(|| Next::GivenUp("client is gone"));
                release(request, pass, &mut pick);
                return rejection.into();
            }
        };
        if let Some(status) = failed(request, &mut pick, &retrying, &failure) {
            return give_up(request, pass, keep, failure.cause, status).await;
        }
        pass.protocol.reset();
        exchange = None;
    }
}

/// Reads the request's body as far as it is needed before the upstream, or the cache, is asked.
#[inline]
async fn receive(request: &mut Request, pass: &Pass<'_>) -> Result<(), Rejection> {
    if request.body.is_ready() {
        return Ok(());
    }
    match pass.protocol.wants(request) {
        Wanted::Nothing => Ok(()),
        Wanted::AsSet if !pass.settings.request_buffering => {
            Box::pin(request.read_body_ahead()).await
        }
        Wanted::AsSet | Wanted::Whole => Box::pin(request.read_body()).await,
    }
}

/// Writes the head into the request's own buffer, which is reused.
fn write_head(request: &mut Request, pass: &mut Pass<'_>) -> Result<(), Rejection> {
    let mut head = std::mem::take(&mut request.attempts.head);
    if head.capacity() == 0 {
        head = weir_engine::buffer::take(USUAL_HEAD);
    }
    head.clear();
    let Outgoing { uri, body, trailers } =
        pass.protocol.write_head(request, pass.target, &mut head)?;
    request.attempts.uri = uri;
    (pass.body, pass.trailers) = (body, trailers);
    request.attempts.head = head;
    Ok(())
}

/// Answers a request that no upstream answers: from the cache, or with this status.
async fn give_up<'a>(
    request: &mut Request,
    pass: &Pass<'a>,
    keep: &mut Kept<'a>,
    cause: Causes,
    status: u16,
) -> Verdict {
    if let Some(keep) = keep {
        let case = Case::Failed(cause);
        if keep.answers(request, case) {
            return keep.answer(request, pass, case).await;
        }
        keep.replaced(request, pass, status, false);
    }
    sticky::set_cookie(request, pass);
    Verdict::Status(status)
}

/// Handles a failed attempt; None to try another peer, otherwise the status for the client.
fn failed(
    request: &mut Request,
    pick: &mut Pick<'_>,
    retrying: &Retrying<'_>,
    failure: &UpstreamFailure,
) -> Option<u16> {
    let now = clock::now();
    let timings = request.attempts.timings(pick);
    let freed = pick.free(failure.outcome(), timings, now);
    request.attempts.finish();
    // A kept connection that the peer had closed says nothing about the peer. Freeing the only peer
    // of a group uses up its tries, so the try is given back afterwards.
    let stale = failure.reused && failure.cause == Causes::ERROR;
    if stale {
        pick.give_back_try();
    }
    if freed.disabled {
        let doing = match failure.sent {
            true => Doing::ReadingHead,
            false => Doing::Connecting,
        };
        let message = format!("upstream server temporarily disabled while {doing}");
        request.log_upstream(Level::Warn, &message);
    }
    request.attempts.set_status(failure.cause.status());
    let goes_on = retrying.goes_on(request, pick, failure);
    request.attempts.count_failure(failure.cause, stale, goes_on);
    if goes_on {
        request.note_failure(|| Next::Retry);
        request.absolve();
        return None;
    }
    request.note_failure(|| Next::GivenUp(retrying.reason(request, pick, failure)));
    Some(if failure.blameless { 500 } else { failure.cause.status() })
}

/// Sends the upstream's response to the client.
async fn respond<'a>(
    request: &mut Request,
    pass: &Pass<'a>,
    pick: &mut Pick<'_>,
    slot: &mut Option<UpstreamExchange>,
    keep: &mut Kept<'a>,
) -> Verdict {
    pick.end_retry();
    let Some(exchange) = slot else { return Verdict::Status(502) };
    if let Some(keep) = keep.as_mut()
        && let Some(case) = Case::of_status(exchange.head.status)
        && keep.answers(request, case)
    {
        relay::keep_connection(pass, pick, slot.take());
        release(request, pass, pick);
        return keep.answer(request, pass, case).await;
    }
    let reports = pick.peer().is_some_and(|peer| peer.reports());
    if reports {
        load_report::heed(request, pick);
    }
    sticky::set_cookie(request, pass);
    if let Some(verdict) = headers::intercept(request, pass, exchange.head.status) {
        request.answers_for_upstream();
        if let (Some(keep), Verdict::Status(status)) = (keep, verdict) {
            keep.replaced(request, pass, status, true);
        }
        relay::keep_unread(pass, pick, slot);
        release(request, pass, pick);
        return verdict;
    }
    sticky::headed(request, pass, pick);
    if let Some(header) = request.attempts.current().and_then(|attempt| attempt.header) {
        let outcome = Outcome::of_status(exchange.head.status);
        pick.reached(weir_upstream::Moment::Header, header.millis(), outcome, clock::now());
    }
    if let Err(verdict) = headers::process(request, pass, &mut exchange.head) {
        // What names a file usually has no body of its own.
        relay::keep_unread(pass, pick, slot);
        release(request, pass, pick);
        return verdict;
    }
    if reports {
        load_report::hide(request, pass);
    }
    if exchange.head.upgraded {
        return Box::pin(tunnel::run(request, pass, pick, exchange)).await;
    }
    if keep.as_mut().is_some_and(|keep| !keep.wants(request, pass, &exchange.head)) {
        *keep = None;
    }
    relay::run(request, pass, pick, slot, keep).await
}
