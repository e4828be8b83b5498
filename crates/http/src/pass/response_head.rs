//! The head of an upstream's response: waiting for it while the request is sent, and parsing it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::error_log::Level;
use weir_upstream::{Causes, Pick};
use weir_wire::field_block::FieldBlock;

use super::attempt::{Failure, UpstreamExchange, UpstreamFailure, Watch, client_gone, io_failed};
use super::body::{INVALID_CHUNKS, Note, STREAM_CUT};
use super::course::Pass;
use super::doing::Doing;
use super::interim;
use super::protocol::InvalidHead;
use super::retrying::TryLimit;
use super::sender::SendError;
use super::stream::StreamFault;
use crate::errors::Cause;
use crate::request::Request;

/// The maximum length of the read that brings a head, if the body is likely to be moved.
const SHORT_READ: usize = 16 * 1024;

/// Waits for the response head while the request is sent. `limit` is that of the attempt.
pub(super) async fn read(
    request: &mut Request,
    pass: &mut Pass<'_>,
    pick: &mut Pick<'_>,
    limit: Option<Box<TryLimit>>,
    exchange: &mut UpstreamExchange,
) -> Result<(), Failure> {
    let size = pass.settings.buffer_size.0 as usize;
    // Of a large body, little is read, because the kernel can move the rest.
    let most = match std::mem::take(&mut exchange.usage.large) {
        true => pass.settings.first_read().min(size.max(SHORT_READ)),
        false => pass.settings.first_read(),
    };
    exchange.channel.end_wait();
    let mut wait = Wait {
        sent: false,
        most,
        send_timeout: pass.settings.send_timeout.0,
        read_timeout: pass.settings.read_timeout.0,
        watch: Watch::new(pass.outlasts_client),
        limit: limit.filter(|limit| limit.repeatable),
    };
    loop {
        let event = poll_fn(|cx| wait.poll(cx, request, pick, exchange)).await;
        let doing = if wait.sent { READING } else { Doing::Sending };
        match event {
            Event::Received(Ok(0)) => {
                request.blame(Cause::UpstreamClosed);
                let message = "upstream prematurely closed connection while reading response \
                               header from upstream";
                request.log_upstream(Level::Error, message);
                return Err(Failure::upstream(Causes::ERROR));
            }
            Event::Received(Ok(n)) => {
                if let Some(attempt) = request.attempts.current() {
                    attempt.received += n as u64;
                }
                // The wait continues: the whole head has to come in time.
                if parse(request, pass, exchange, size).map_err(Failure::upstream)? {
                    return Ok(());
                }
            }
            Event::Headed(Ok((block, ended))) => {
                if take_fields(request, pass, exchange, block, ended).map_err(Failure::upstream)? {
                    return Ok(());
                }
            }
            Event::Headed(Err(fault)) => {
                request.blame(fault.blame(doing));
                request.log_upstream(Level::Error, &format!("{fault} while {doing}"));
                let failure = UpstreamFailure::new(fault.cause());
                let (reused, unprocessed) = (fault.is_of_connection(), fault.unprocessed);
                return Err(Failure::Upstream(UpstreamFailure { reused, unprocessed, ..failure }));
            }
            Event::Received(Err(error)) => {
                let cause = io_failed(request, &error, doing, "recv() failed");
                return Err(Failure::upstream(cause));
            }
            Event::Unsent(SendError::Upstream(error)) => {
                // The response may be there already, such as a refusal of the body.
                let last = Box::pin(last_words(request, pass, exchange, size));
                if let Some(done) = last.await {
                    return done.map_err(Failure::upstream);
                }
                let cause = io_failed(request, &error, doing, "writev() failed");
                return Err(Failure::upstream(cause));
            }
            Event::Unsent(SendError::Client(error)) => {
                return Err(Failure::Client(request.body_failed(error)));
            }
            Event::ClientGone => return Err(client_gone(request, doing)),
            Event::TriedLongEnough => return Err(TryLimit::exceeded(request, doing)),
            Event::TimedOut => {
                let error = io::ErrorKind::TimedOut.into();
                return Err(Failure::upstream(io_failed(request, &error, doing, "")));
            }
        }
    }
}

/// The wait for a response head.
struct Wait {
    /// Whether the whole request has been sent.
    sent: bool,
    /// The maximum length of a read, in bytes.
    most: usize,
    send_timeout: Duration,
    read_timeout: Duration,
    watch: Watch,
    /// The limit of the attempt, if the request may be repeated.
    limit: Option<Box<TryLimit>>,
}

impl Wait {
    /// Sends as much as possible, and is ready with the first event.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Request,
        pick: &mut Pick<'_>,
        exchange: &mut UpstreamExchange,
    ) -> Poll<Event> {
        let UpstreamExchange { channel, sender, input, .. } = exchange;
        if !self.sent {
            let before = sender.sent;
            match sender.poll(cx, request, channel) {
                Poll::Ready(Ok(())) => {
                    self.sent = true;
                    channel.end_wait();
                }
                // A stream that takes no more may have got its response.
                Poll::Ready(Err(SendError::Upstream(_))) if channel.stream().is_some() => {
                    sender.abandon();
                    self.sent = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Event::Unsent(error)),
                Poll::Pending if sender.sent > before || sender.waits_for_client() => {
                    channel.end_wait();
                }
                Poll::Pending => {}
            }
        }
        let event = match channel.stream() {
            None => input.poll_fill(cx, channel, self.most).map(Event::Received),
            Some(stream) => stream.poll_head(cx).map(Event::Headed),
        };
        if event.is_ready() {
            return event;
        }
        // Sends early hints, if any. A client that is gone is noticed elsewhere.
        if request.client.queued() > 0 {
            let _ = request.poll_flush(cx);
        }
        if self.watch.is_gone(cx, request) {
            return Poll::Ready(Event::ClientGone);
        }
        if let Some(limit) = &mut self.limit
            && limit.poll(cx, pick).is_ready()
        {
            return Poll::Ready(Event::TriedLongEnough);
        }
        if !self.sent && sender.waits_for_client() {
            // The client's body has a timeout of its own.
            return Poll::Pending;
        }
        channel.begin_wait(if self.sent { self.read_timeout } else { self.send_timeout });
        channel.poll_wait(cx).map(|()| Event::TimedOut)
    }
}

pub(super) const READING: Doing = Doing::ReadingHead;

enum Event {
    Received(io::Result<usize>),
    /// A head on a stream, and whether the response ends with it.
    Headed(Result<(FieldBlock, bool), StreamFault>),
    Unsent(SendError),
    ClientGone,
    TriedLongEnough,
    TimedOut,
}

/// Reads the response of an upstream that takes no more of the request. It must come within the
/// read timeout.
async fn last_words(
    request: &mut Request,
    pass: &mut Pass<'_>,
    exchange: &mut UpstreamExchange,
    size: usize,
) -> Option<Result<(), Causes>> {
    exchange.channel.restart_wait(pass.settings.read_timeout.0);
    while exchange.input.len() < size {
        let received = poll_fn(|cx| {
            let UpstreamExchange { channel, input, .. } = &mut *exchange;
            match input.poll_fill(cx, channel, size) {
                Poll::Pending => channel.poll_wait(cx).map(|()| None),
                received => received.map(Result::ok),
            }
        });
        match received.await {
            Some(1..) => match parse(request, pass, exchange, size) {
                Ok(false) => {}
                Ok(true) => {
                    exchange.head.reusable = false;
                    exchange.sender.abandon();
                    return Some(Ok(()));
                }
                Err(cause) => return Some(Err(cause)),
            },
            _ => return None,
        }
    }
    None
}

const TOO_BIG: &str = "upstream sent too big header";

/// Notes why a head is refused.
#[cold]
fn blame_head(request: &Request, message: &str) {
    request.blame(match message {
        TOO_BIG | TOO_LARGE => Cause::UpstreamHeadTooLarge,
        _ => Cause::UpstreamBadResponse,
    });
}

/// Logs notes about a head.
#[cold]
fn tell(request: &Request, notes: Vec<Note>) {
    for Note { level, text } in notes {
        request.log_upstream(level, &format!("{text} while {READING}"));
    }
}

/// Takes a head over from a stream. Returns whether it is not an interim one.
fn take_fields(
    request: &mut Request,
    pass: &mut Pass<'_>,
    exchange: &mut UpstreamExchange,
    mut block: FieldBlock,
    ended: bool,
) -> Result<bool, Causes> {
    let UpstreamExchange { input, head, channel, .. } = exchange;
    let size = block.size();
    let headers = request.attempts.headers_to_fill();
    let read = match size as u64 > pass.settings.buffer_size.0 {
        false => pass.protocol.read_fields(&mut block, ended, headers, head),
        true => Err(InvalidHead(TOO_LARGE.to_owned())),
    };
    if let Some(attempt) = request.attempts.current() {
        attempt.received += size as u64;
    }
    if let Some(stream) = channel.stream() {
        stream.reuse(block);
        if head.status >= 200 && !ended {
            let taken = stream.take_received(&mut input.buf, pass.settings.first_read());
            if let Some(attempt) = request.attempts.current() {
                attempt.received += taken as u64;
            }
        }
    }
    if !head.notes.is_empty() {
        tell(request, std::mem::take(&mut head.notes));
    }
    let message = match read {
        Ok(()) if head.status >= 200 => return Ok(true),
        Ok(()) => {
            request.attempts.interims += 1;
            if ended {
                STREAM_CUT.to_owned()
            } else if request.attempts.interims > interim::MOST {
                "upstream sent too many interim responses".to_owned()
            } else {
                interim::pass_on(request, pass, head);
                return Ok(false);
            }
        }
        Err(InvalidHead(message)) => message,
    };
    blame_head(request, &message);
    request.log_upstream(Level::Error, &format!("{message} while {READING}"));
    Err(Causes::INVALID_HEADER)
}

const TOO_LARGE: &str = "upstream sent too large http2 header";

/// Parses a head from the received bytes, after those of interim responses. Returns whether it is
/// complete.
pub(super) fn parse(
    request: &mut Request,
    pass: &mut Pass<'_>,
    exchange: &mut UpstreamExchange,
    size: usize,
) -> Result<bool, Causes> {
    let UpstreamExchange { input, head, .. } = exchange;
    let message = loop {
        let headers = request.attempts.headers_to_fill();
        // That of an interim response, if there was one.
        head.length = 0;
        let read = pass.protocol.read_head(input.bytes(), headers, head);
        if !head.notes.is_empty() {
            tell(request, std::mem::take(&mut head.notes));
        }
        match read {
            Ok(true) if head.length > size => break TOO_BIG.to_owned(),
            Ok(true) => {
                input.skip(head.length);
                if head.status >= 200 || head.upgraded {
                    // Checked before anything of the head is used.
                    match head.body.is_broken(input.bytes()) {
                        true => break INVALID_CHUNKS.to_owned(),
                        false => return Ok(true),
                    }
                }
                request.attempts.interims += 1;
                if request.attempts.interims > interim::MOST {
                    break "upstream sent too many interim responses".to_owned();
                }
                interim::pass_on(request, pass, head);
                pass.protocol.reset();
                input.buf = input.take();
            }
            Ok(false) if head.length > 0 => {
                input.skip(head.length);
                if input.is_empty() {
                    return Ok(false);
                }
            }
            Ok(false) if input.len() < size => return Ok(false),
            Ok(false) => break TOO_BIG.to_owned(),
            Err(InvalidHead(message)) => break message,
        }
    };
    blame_head(request, &message);
    let message = format!("{message} while {READING}");
    request.log_upstream(Level::Error, &message);
    Err(Causes::INVALID_HEADER)
}
