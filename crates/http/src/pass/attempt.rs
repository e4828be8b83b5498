//! One attempt at one peer: connection, request out, head of the response in.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use weir_engine::connection::Conn;
use weir_engine::connection::connect::ConnectError;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_upstream::{Causes, Made, NoLive, Outcome, Pick, Usage};

use super::body::{INVALID_CHUNKS, Input, Note};
use super::channel::Channel;
use super::pool::{self, Kept};
use super::sender::{SendError, Sender};
use super::state::Asked;
use super::{Pass, ResponseHead, clock, interim, made, sticky, target, tls};
use crate::client::Sign;
use crate::request::Request;

/// A request that is being answered.
pub struct Exchange {
    /// What it goes over.
    pub channel: Channel,
    /// What the connection has behind it.
    pub usage: Usage,
    /// Bytes received behind the head.
    pub input: Input,
    /// The head of the response.
    pub head: ResponseHead,
    /// What of the request is still to be sent.
    pub sender: Sender,
}

/// Why an attempt came to nothing.
pub enum Failure {
    /// The upstream did not answer, or not well.
    Upstream(UpstreamFailure),
    /// We cannot ask any upstream: the status to answer with.
    Own(u16),
    /// The client is gone, or its body cannot be read: the status of the request.
    Client(u16),
}

/// A failure of an upstream, for `next_upstream`.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamFailure {
    /// The reason.
    pub cause: Causes,
    /// Whether a part of the request went out.
    pub sent: bool,
    /// Whether it was tried on a kept connection.
    pub reused: bool,
    /// Whether the fault is our own after all. Another peer may still help.
    pub blameless: bool,
}

impl UpstreamFailure {
    /// A failure before anything was sent.
    pub fn new(cause: Causes) -> Self {
        Self { cause, sent: false, reused: false, blameless: false }
    }

    /// What it says about the peer.
    pub fn outcome(&self) -> Outcome {
        match self.blameless || self.reused && self.cause == Causes::ERROR {
            true => Outcome::NotCounted,
            false => self.cause.outcome(),
        }
    }
}

impl Failure {
    /// An upstream's failure before anything was sent.
    pub fn upstream(cause: Causes) -> Self {
        Self::Upstream(UpstreamFailure::new(cause))
    }
}

/// The status of a request whose client has closed its connection.
const CLIENT_GONE: u16 = 499;

/// Asks the next peer. The status of an answer that is here; the rest of it is in `slot`.
pub async fn attempt(
    request: &mut Request,
    pass: &mut Pass<'_>,
    pick: &mut Pick<'_>,
    slot: &mut Option<Exchange>,
) -> Result<u16, Failure> {
    let peer = match pool::with_random(|random| pick.next(random, clock::now())) {
        Ok(peer) => peer,
        Err(NoLive) => return Err(no_live(request, pick)),
    };
    sticky::chosen(request, pass, &peer);
    let kept = pool::take(&peer, request, pass);
    request.attempts.begin(Asked::Peer(peer));
    let reused = kept.is_some();
    let (conn, usage) = match kept {
        Some(Kept { conn, usage }) => (conn, usage),
        None => {
            // What a kept connection never needs must not make every request's state larger.
            let (conn, made) = Box::pin(connect(request, pass, pick)).await?;
            (Box::new(conn), Usage::new(clock::millis(), made))
        }
    };
    request.attempts.connected();
    let channel = Channel::exclusive(conn);
    let sender = Sender::new(request, pass.body);
    let input = Input::default();
    let head = ResponseHead::default();
    let exchange = slot.insert(Exchange { channel, usage, input, head, sender });
    let read = match request.attempts.head.is_empty() {
        true => parse(request, pass, exchange, 0).map(drop).map_err(Failure::upstream),
        false => read_head(request, pass, exchange).await,
    };
    if let Some(attempt) = request.attempts.current() {
        attempt.sent = exchange.sender.sent;
    }
    match read {
        Ok(()) => {
            request.attempts.headed(exchange.head.status);
            Ok(exchange.head.status)
        }
        Err(Failure::Upstream(failure)) => {
            Err(Failure::Upstream(UpstreamFailure { sent: true, reused, ..failure }))
        }
        Err(failure) => Err(failure),
    }
}

/// Nobody can take the request.
#[cold]
fn no_live(request: &mut Request, pick: &Pick<'_>) -> Failure {
    request.attempts.begin(Asked::Group(Arc::clone(pick.group())));
    request.log_upstream(Level::Error, "no live upstreams while connecting to upstream");
    request.attempts.set_status(502);
    request.attempts.finish();
    Failure::upstream(Causes::NO_LIVE)
}

/// A new connection, and what it was made with.
async fn connect(
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &Pick<'_>,
) -> Result<(Conn, Made), Failure> {
    let Some(peer) = pick.peer() else { return Err(Failure::upstream(Causes::NO_LIVE)) };
    let options = target::connect_options(request, pass);
    let timeout = pass.settings.connect_timeout.0;
    let connecting = weir_engine::connection::connect::connect(&peer.address, &options, timeout);
    match while_client_stays(request, pass, connecting).await {
        None => Err(client_gone(request, CONNECTING)),
        Some(Ok(mut conn)) => {
            conn.set_nodelay(true);
            let (conn, secured) = tls::handshake(request, pass, conn).await?;
            Ok((conn, made::of(&options, secured.as_ref())))
        }
        Some(Err(error)) => Err(connect_failed(request, peer, &error)),
    }
}

const CONNECTING: &str = "connecting to upstream";

/// Logs why there is no connection, and says whose fault it is.
#[cold]
fn connect_failed(request: &Request, peer: &weir_upstream::Peer, error: &ConnectError) -> Failure {
    match error {
        ConnectError::Peer(error) => Failure::upstream(peer_failed(request, peer, error)),
        ConnectError::Ports(error) => {
            let failure = UpstreamFailure::new(peer_failed(request, peer, error));
            Failure::Upstream(UpstreamFailure { blameless: true, ..failure })
        }
        ConnectError::Own(call, error) => {
            let call = format!("{call} failed");
            let message = format!("{} while {CONNECTING}", Failed(&call, error));
            let level = if call.starts_with("bind") { Level::Crit } else { Level::Alert };
            request.log_upstream(level, &message);
            Failure::Own(500)
        }
        ConnectError::Capacity => Failure::Own(500),
    }
}

/// Logs why a peer cannot be reached. What the kernel says at once names the address, what it says
/// later does not; and what the network does is less grave than the rest.
fn peer_failed(request: &Request, peer: &weir_upstream::Peer, error: &io::Error) -> Causes {
    use io::ErrorKind as Kind;
    let later = matches!(
        error.kind(),
        Kind::ConnectionRefused | Kind::ConnectionReset | Kind::HostUnreachable | Kind::TimedOut
    );
    if later && !peer.address.is_unix() {
        return io_failed(request, error, CONNECTING, "connect() failed");
    }
    let level = match error.kind() {
        Kind::NetworkDown | Kind::NetworkUnreachable | Kind::WouldBlock => Level::Error,
        _ if later => Level::Error,
        _ => Level::Crit,
    };
    let call = format!("connect() to {} failed", peer.name);
    let message = format!("{} while {CONNECTING}", Failed(&call, error));
    request.log_upstream(level, &message);
    Causes::ERROR
}

/// What the read that brings a head takes at most where the body is likely to be moved.
const SHORT_READ: usize = 16 * 1024;

/// Waits for the head of the response while the request goes out.
async fn read_head(
    request: &mut Request,
    pass: &mut Pass<'_>,
    exchange: &mut Exchange,
) -> Result<(), Failure> {
    let size = pass.settings.buffer_size.0 as usize;
    // Of a large body, little is read that could be moved.
    let most = match std::mem::take(&mut exchange.usage.large) {
        true => pass.settings.first_read().min(size.max(SHORT_READ)),
        false => pass.settings.first_read(),
    };
    let (send_timeout, read_timeout) = (pass.settings.send_timeout.0, pass.settings.read_timeout.0);
    exchange.channel.end_wait();
    let mut sent = false;
    let mut watch = Watch::new(pass.settings.outlasts_client);
    loop {
        let event = poll_fn(|cx| {
            let Exchange { channel, sender, input, .. } = &mut *exchange;
            if !sent {
                let before = sender.sent;
                match sender.poll(cx, request, channel) {
                    Poll::Ready(Ok(())) => {
                        sent = true;
                        channel.end_wait();
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Event::Unsent(error)),
                    Poll::Pending if sender.sent > before || sender.waits_for_client() => {
                        channel.end_wait();
                    }
                    Poll::Pending => {}
                }
            }
            if let Poll::Ready(result) = input.poll_fill(cx, channel, most) {
                return Poll::Ready(Event::Received(result));
            }
            // Early hints, if any; that the client is gone shows by itself.
            if request.client.queued() > 0 {
                let _ = request.poll_flush(cx);
            }
            if watch.is_gone(cx, request) {
                return Poll::Ready(Event::ClientGone);
            }
            if !sent && sender.waits_for_client() {
                // Who has a timeout of its own.
                return Poll::Pending;
            }
            channel.begin_wait(if sent { read_timeout } else { send_timeout });
            channel.poll_wait(cx).map(|()| Event::TimedOut)
        })
        .await;
        let doing = if sent { READING } else { "sending request to upstream" };
        match event {
            Event::Received(Ok(0)) => {
                let message = "upstream prematurely closed connection while reading response \
                               header from upstream";
                request.log_upstream(Level::Error, message);
                return Err(Failure::upstream(Causes::ERROR));
            }
            Event::Received(Ok(n)) => {
                if let Some(attempt) = request.attempts.current() {
                    attempt.received += n as u64;
                }
                // The wait goes on: the head must be there in time, however it comes.
                if parse(request, pass, exchange, size).map_err(Failure::upstream)? {
                    return Ok(());
                }
            }
            Event::Received(Err(error)) => {
                let cause = io_failed(request, &error, doing, "recv() failed");
                return Err(Failure::upstream(cause));
            }
            Event::Unsent(SendError::Upstream(error)) => {
                // The answer may be there already: a refusal of what is being sent.
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
            Event::TimedOut => {
                let error = io::ErrorKind::TimedOut.into();
                return Err(Failure::upstream(io_failed(request, &error, doing, "")));
            }
        }
    }
}

pub(super) const READING: &str = "reading response header from upstream";

enum Event {
    Received(io::Result<usize>),
    Unsent(SendError),
    ClientGone,
    TimedOut,
}

/// What can still be read from an upstream that takes no more of the request. It must be there
/// within the timeout of reading, however it comes.
async fn last_words(
    request: &mut Request,
    pass: &mut Pass<'_>,
    exchange: &mut Exchange,
    size: usize,
) -> Option<Result<(), Causes>> {
    exchange.channel.restart_wait(pass.settings.read_timeout.0);
    while exchange.input.len() < size {
        let received = poll_fn(|cx| {
            let Exchange { channel, input, .. } = &mut *exchange;
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

/// Tries to take a head out of what there is, behind those of interim responses; whether it is
/// there.
fn parse(
    request: &mut Request,
    pass: &mut Pass<'_>,
    exchange: &mut Exchange,
    size: usize,
) -> Result<bool, Causes> {
    let Exchange { input, head, .. } = exchange;
    let message = loop {
        let headers = request.attempts.headers_to_fill();
        match pass.protocol.read_head(input.bytes(), headers, head) {
            Ok(true) if head.length > size => break TOO_BIG.to_owned(),
            Ok(true) => {
                input.skip(head.length);
                for Note { level, text } in head.notes.drain(..) {
                    request.log_upstream(level, &format!("{text} while {READING}"));
                }
                if head.status >= 200 || head.upgraded {
                    // Before anything of the head has been used.
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
            Ok(false) if input.len() < size => return Ok(false),
            Ok(false) => break TOO_BIG.to_owned(),
            Err(message) => break message,
        }
    };
    let message = format!("{message} while {READING}");
    request.log_upstream(Level::Error, &message);
    Err(Causes::INVALID_HEADER)
}

/// Logs an error of the upstream's connection and says what it means for `next_upstream`.
pub fn io_failed(request: &Request, error: &io::Error, doing: &str, call: &str) -> Causes {
    if error.kind() == io::ErrorKind::TimedOut {
        let message = format!("upstream timed out (110: Connection timed out) while {doing}");
        request.log_upstream(Level::Error, &message);
        return Causes::TIMEOUT;
    }
    let message = format!("{} while {doing}", Failed(call, error));
    request.log_upstream(Level::Error, &message);
    Causes::ERROR
}

fn client_gone(request: &mut Request, doing: &str) -> Failure {
    let message = format!(
        "client prematurely closed connection, so upstream connection is closed too \
                 while {doing}"
    );
    request.log_upstream(Level::Info, &message);
    request.attempts.set_status(CLIENT_GONE);
    Failure::Client(CLIENT_GONE)
}

/// Watches for a client that closes its connection while an upstream works for it.
pub struct Watch {
    ignore: bool,
}

impl Watch {
    /// Watches, unless `ignore_client_abort` says not to, or the response is wanted as a file.
    pub fn new(ignore: bool) -> Self {
        Self { ignore }
    }

    /// Whether the client is gone. Bytes that it has sent meanwhile end the watching, because a
    /// close behind them cannot be seen.
    pub fn is_gone(&mut self, cx: &mut Context<'_>, request: &mut Request) -> bool {
        if self.ignore || !request.body.is_done() {
            return false;
        }
        let Poll::Ready(sign) = request.client.poll_sign(cx) else { return false };
        self.ignore = true;
        sign == Sign::Gone
    }
}

/// Runs `future` unless the client goes away first.
async fn while_client_stays<T>(
    request: &mut Request,
    pass: &Pass<'_>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut watch = Watch::new(pass.settings.outlasts_client);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if watch.is_gone(cx, request) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}
