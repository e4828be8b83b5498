//! Relaying a response body from the upstream to the client.
//!
//! With buffering, the upstream is read as fast as it sends. While the client keeps up, reads and
//! writes alternate, and both are as large as possible; bytes for a slow client wait in memory
//! up to `buffers`, then in a file. Without buffering, a piece is read when the previous one has
//! been sent. A response that is stored as a file is read whatever the client does; once memory is
//! used up, the client gets the rest from that file.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use weir_engine::error_log::Level;
use weir_upstream::{Outcome, Pick};
use weir_wire::h2::response::read_trailers;
use weir_wire::header::Headers;

use super::attempt::UpstreamExchange;
use super::attempt::release;
use super::body::{BodyReader, Note, Taken};
use super::course::Pass;
use super::doing::Doing;
use super::keep::Keep;
use super::spill::Spill;
use super::transfer::Transfer;
use super::{clock, pool};
use crate::client::Rate;
use crate::module::Verdict;
use crate::piece::Piece;
use crate::request::Request;
use crate::response::Sent;

mod flow;

/// Relays the body and ends the response.
pub(crate) async fn run<'a>(
    request: &mut Request,
    pass: &Pass<'a>,
    pick: &mut Pick<'_>,
    slot: &mut Option<UpstreamExchange>,
    keep: &mut Option<Box<dyn Keep<'a> + 'a>>,
) -> Verdict {
    let Some(exchange) = slot else { return Verdict::Status(502) };
    if let Err(rejection) = request.send_head() {
        release(request, pass, pick);
        return rejection.into();
    }
    let end = match request.response.header_only && keep.is_none() {
        true => End::Complete,
        false => body(request, pass, exchange, keep).await,
    };
    exchange.count(request);
    if matches!(end, End::Complete | End::Unheard) {
        if pass.settings.pass_trailers {
            trailers(request, pass, exchange);
        }
        keep_connection(pass, pick, slot.take());
    }
    give_back(request, pass, pick, &end);
    if matches!(end, End::Broken) {
        request.count_error(502);
    }
    let ends = match end {
        End::Complete => true,
        End::Broken | End::Stuck => request.chain.ends_broken(),
        End::Unheard | End::ClientGone => false,
    };
    match end {
        _ if ends => match send_rest(request, pass).await {
            Ok(()) => Verdict::Done,
            Err(_) => Verdict::Abort,
        },
        End::Broken | End::Stuck => {
            // The bytes before the break are sent, those in filters, too; the missing end tells the
            // client.
            request.keepalive = false;
            if matches!(end, End::Broken) && request.push_flush().is_err() {
                return Verdict::Abort;
            }
            let flushed = request.flush().await;
            // An included response ends where it broke off, and the page continues.
            if matches!(end, End::Broken) && request.is_subrequest() && flushed.is_ok() {
                request.response.sent = Sent::All;
                return Verdict::Done;
            }
            Verdict::Abort
        }
        End::Complete | End::Unheard | End::ClientGone => Verdict::Abort,
    }
}

/// Frees the peer. If its response broke off and that counts, it has failed.
fn give_back(request: &mut Request, pass: &Pass<'_>, pick: &mut Pick<'_>, end: &End) {
    if !pass.settings.count_broken || !matches!(end, End::Broken) {
        return release(request, pass, pick);
    }
    request.attempts.finish();
    let timings = request.attempts.timings(pick);
    let freed = pick.free(Outcome::Failed, timings, clock::now());
    if freed.disabled {
        let message = "upstream server temporarily disabled while reading upstream";
        request.log_upstream(Level::Warn, message);
    }
}

/// Whether the response is read as fast as the upstream sends it.
pub(crate) fn is_buffered(request: &Request, settings: &Transfer) -> bool {
    let overrides = request.state_if(&super::headers::OVERRIDES);
    overrides.and_then(|o| o.buffering).unwrap_or(settings.buffering)
}

/// Ends the body and waits until everything has been sent. What exceeds the buffers waits in a
/// file.
async fn send_rest(request: &mut Request, pass: &Pass<'_>) -> io::Result<()> {
    request.push_last(None)?;
    let memory = pass.settings.buffers.total();
    if request.queued() > memory && passes_unseen(request) {
        let mut spill = Spill::new(request, pass.settings);
        let sent = poll_fn(|cx| match request.poll_flush(cx) {
            Poll::Pending if request.client.waits_for_turn() => Poll::Pending,
            Poll::Pending => {
                spill.relieve(request, memory);
                Poll::Ready(Ok(()))
            }
            sent => sent,
        });
        sent.await?;
    }
    request.flush().await
}

/// Whether pieces reach a connection unchanged.
fn passes_unseen(request: &mut Request) -> bool {
    request.chain.is_empty() && request.client.is_direct()
}

/// Relays the body, which often came with the head in full.
async fn body<'a>(
    request: &mut Request,
    pass: &Pass<'a>,
    exchange: &mut UpstreamExchange,
    keep: &mut Option<Box<dyn Keep<'a> + 'a>>,
) -> End {
    if let Some(attempt) = request.attempts.current() {
        attempt.body += exchange.input.len() as u64;
    }
    let (first, ended) = match take(request, pass, exchange, true) {
        Ok((first, Ending::Broken)) => {
            if let Some(first) = first {
                // What cannot be sent is lost with the rest.
                let _ = request.push(first);
            }
            return End::Broken;
        }
        Ok((first, ending)) => (first, ending == Ending::Complete),
        Err(end) => return end,
    };
    if let Some(keep) = keep.take_if(|_| ended) {
        keep_at_once(request, pass, keep, first.as_ref()).await;
    }
    match first {
        Some(first) if ended => {
            if !pass.settings.buffering {
                without_rate(request);
            }
            let pushed = match is_last(request, exchange) {
                true => request.push_last(Some(first)),
                false => request.push(first),
            };
            match pushed {
                Ok(()) => End::Complete,
                Err(_) => End::Stuck,
            }
        }
        None if ended => End::Complete,
        first => {
            Box::pin(async {
                let kept = keep.take().map(|mut keep| keep.begin(request, pass));
                let mut relay = flow::Relay::new(request, pass, exchange, ended, kept);
                relay.run(request, first).await
            })
            .await
        }
    }
}

/// Drops the rate of the response: an unbuffered one has none, as in nginx.
fn without_rate(request: &mut Request) {
    request.client.rate = None;
    request.client.rate_set = true;
}

/// Whether the end of the body is nothing but the end of its last piece: no filter, no trailer and
/// no subrequest comes before it, which would have to see the upstream's exchange as complete.
#[inline]
fn is_last(request: &Request, exchange: &mut UpstreamExchange) -> bool {
    let has_trailers = exchange.channel.stream().is_some_and(|stream| stream.has_trailers());
    !request.is_subrequest()
        && request.chain.is_empty()
        && request.before_last.is_empty()
        && !has_trailers
        && !matches!(exchange.head.body, BodyReader::Chunked(_))
}

/// Stores a body that consists of one piece at most.
#[cold]
async fn keep_at_once<'a>(
    request: &mut Request,
    pass: &Pass<'a>,
    mut keep: Box<dyn Keep<'a> + 'a>,
    body: Option<&Piece>,
) {
    let mut kept = keep.begin(request, pass);
    let bytes = body.and_then(Piece::bytes);
    if bytes.is_none_or(|bytes| kept.put_whole(request, bytes)) {
        kept.finish(request).await;
    }
}

/// Whether a body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Complete,
    /// It breaks off.
    Broken,
}

/// Takes the bytes of the body out of those received, and returns whether it has ended. `first`
/// means that they came with the head.
fn take(
    request: &mut Request,
    pass: &Pass<'_>,
    exchange: &mut UpstreamExchange,
    first: bool,
) -> Result<(Option<Piece>, Ending), End> {
    let Taken { piece, ended, broken, notes } = match exchange.take() {
        Ok(taken) => taken,
        Err(note) => {
            tell(request, pass, &note, first);
            return Err(End::Broken);
        }
    };
    if !notes.is_empty() {
        for note in notes {
            tell(request, pass, &note, first);
        }
    }
    let UpstreamExchange { head, input, .. } = exchange;
    if broken || ended && !input.is_empty() {
        head.reusable = false;
        input.clear();
    }
    let ending = match ended {
        _ if broken => Ending::Broken,
        true => Ending::Complete,
        false => Ending::Open,
    };
    Ok((piece, ending))
}

/// Logs a note. Without buffering, bytes that came with the head count as a part of it.
#[cold]
fn tell(request: &Request, pass: &Pass<'_>, note: &Note, first: bool) {
    let doing = match first && !is_buffered(request, pass.settings) {
        true => super::response_head::READING,
        false => READING,
    };
    request.log_upstream(note.level, &format!("{} while {doing}", note.text));
}

/// Passes the trailers on.
pub(super) fn trailers(request: &mut Request, pass: &Pass<'_>, exchange: &mut UpstreamExchange) {
    let mut found = Headers::new();
    let UpstreamExchange { head, channel, .. } = exchange;
    let read = match (&head.body, channel.stream()) {
        (BodyReader::Chunked(chunked), _) => chunked.trailers(&mut found).is_ok(),
        (_, Some(stream)) => {
            let Some(mut block) = stream.take_trailers() else { return };
            let read = read_trailers(&mut block, &mut found);
            stream.reuse(block);
            if let Err(error) = read {
                let text = error.message(found.arena());
                request.log_upstream(Level::Error, &format!("{text} while {READING}"));
            }
            read.is_ok()
        }
        _ => false,
    };
    if !read {
        return;
    }
    let hidden = &pass.settings.hidden;
    for entry in found.entries() {
        let (name, value) = (entry.name.of(found.arena()), entry.value.of(found.arena()));
        if !hidden.has(name, entry.known) {
            request.response.trailers.push(name, value);
            if entry.never_indexed {
                request.response.trailers.mark_last();
            }
        }
    }
    request.attempts.trailers = found;
}

/// Keeps the connection of a complete response that is not forwarded.
pub(super) fn keep_complete(pass: &Pass<'_>, pick: &Pick<'_>, slot: &mut Option<UpstreamExchange>) {
    if let Some(exchange) = slot.take_if(|exchange| exchange.head.complete) {
        keep_connection(pass, pick, Some(exchange));
    }
}

/// Keeps the connection of a response that is judged by its head alone, if it has no body. One that
/// makes another server's turn leaves none, as in nginx.
pub(super) fn keep_unread(pass: &Pass<'_>, pick: &Pick<'_>, slot: &mut Option<UpstreamExchange>) {
    if let Some(exchange) = slot.take_if(|one| one.head.complete || one.head.body.is_done()) {
        keep_connection(pass, pick, Some(exchange));
    }
}

/// Keeps the connection if it is reusable.
pub(super) fn keep_connection(
    pass: &Pass<'_>,
    pick: &Pick<'_>,
    exchange: Option<UpstreamExchange>,
) {
    let Some(UpstreamExchange { channel, usage, input, head, sender }) = exchange else { return };
    let usable = head.reusable && head.body.is_done() && input.is_empty() && sender.is_done();
    if let Some(peer) = pick.peer()
        && usable
    {
        // A stream's connection is shared, and kept as such.
        if let Some(conn) = channel.into_connection() {
            pool::put(peer, pass, conn, usage);
        }
    }
}

/// The end of a relay.
enum End {
    Complete,
    /// The upstream has sent everything, but the client is gone.
    Unheard,
    /// The upstream has broken off.
    Broken,
    /// A fault of our own: a file cannot be written, or a filter fails.
    Stuck,
    /// The client is gone.
    ClientGone,
}

const READING: Doing = Doing::Reading;

/// The rate of `proxy_limit_rate` for this request.
fn limit_rate(request: &mut Request, pass: &Pass<'_>) -> Option<Rate> {
    let limit = pass.settings.limit_rate.as_ref()?;
    let bytes = limit.eval(request);
    (bytes > 0).then(|| Rate::new(bytes, 0))
}
