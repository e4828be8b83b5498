//! One attempt at one peer: connecting, sending the request, reading the response head.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use weir_engine::connection::Conn;
use weir_engine::connection::connect::ConnectError;
use weir_engine::error_log::Level;
use weir_engine::os_error::Failed;
use weir_upstream::{Causes, Made, NoLive, Outcome, Pick, Usage};

use super::body::{BodyReader, Input, Note, Taken};
use super::channel::Channel;
use super::course::Pass;
use super::doing::Doing;
use super::pool::{self, Kept};
use super::protocol::UpstreamHead;
use super::retrying::{TryLimit, within};
use super::sender::Sender;
use super::state::Asked;
use super::stream::StreamFault;
use super::{clock, connect, handshake, links, made, queue, response_head, sticky};
use crate::client::Sign;
use crate::errors::Cause;
use crate::recorder::attempt_note::Next;
use crate::rejection::Rejection;
use crate::request::Request;

/// The exchange of a request and its response with a peer.
pub(crate) struct UpstreamExchange {
    /// The channel to the peer.
    pub channel: Channel,
    /// The history of the connection.
    pub usage: Usage,
    /// Bytes received after the head.
    pub input: Input,
    /// The head of the response.
    pub head: UpstreamHead,
    /// The part of the request that is still to be sent.
    pub sender: Sender,
}

impl UpstreamExchange {
    /// An exchange of which nothing has been sent.
    pub(crate) fn new(channel: Channel, usage: Usage, sender: Sender) -> Self {
        let (input, head) = (Input::default(), UpstreamHead::default());
        Self { channel, usage, input, head, sender }
    }

    /// Notes how many bytes were sent and received so far. On a stream, these are its frames.
    pub(super) fn count(&mut self, request: &mut Request) {
        let Some(attempt) = request.attempts.current() else { return };
        match self.channel.stream() {
            None => attempt.sent = self.sender.sent,
            Some(stream) => (attempt.sent, attempt.received) = stream.counts(),
        }
    }

    /// Takes the bytes of the body out of those received.
    ///
    /// # Errors
    /// A framing error, which ends the response.
    #[inline]
    pub(super) fn take(&mut self) -> Result<Taken, Note> {
        if let BodyReader::Stream(body) = &mut self.head.body
            && let Some(stream) = self.channel.stream()
        {
            body.ended = stream.has_ended();
        }
        self.head.body.take(&mut self.input)
    }
}

/// Why an attempt has failed.
pub(crate) enum Failure {
    /// The upstream has failed.
    Upstream(UpstreamFailure),
    /// No upstream can be asked, through a fault of our own.
    Own(Rejection),
    /// The client is gone, or its body cannot be read.
    Client(Rejection),
}

/// A failure of an upstream, for `next_upstream`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpstreamFailure {
    /// The cause.
    pub cause: Causes,
    /// Whether a part of the request was sent.
    pub sent: bool,
    /// Whether a kept connection was used.
    pub reused: bool,
    /// Whether the fault is our own. Another peer may still work.
    pub blameless: bool,
    /// Whether the upstream says that it has not begun with the request, which can be repeated
    /// safely.
    pub unprocessed: bool,
}

impl UpstreamFailure {
    /// A failure before anything was sent.
    pub(crate) fn new(cause: Causes) -> Self {
        Self { cause, sent: false, reused: false, blameless: false, unprocessed: false }
    }

    /// The outcome for the peer.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.blameless || self.reused && self.cause == Causes::ERROR {
            true => Outcome::NotCounted,
            false => self.cause.outcome(),
        }
    }
}

impl Failure {
    /// A failure of the upstream before anything was sent.
    pub(crate) fn upstream(cause: Causes) -> Self {
        Self::Upstream(UpstreamFailure::new(cause))
    }
}

/// Makes an attempt at the next peer, within `limit` if there is one. Returns the status of the
/// response, which is in `slot`.
pub(crate) async fn attempt(
    request: &mut Request,
    pass: &mut Pass<'_>,
    pick: &mut Pick<'_>,
    mut limit: Option<Box<TryLimit>>,
    slot: &mut Option<UpstreamExchange>,
) -> Result<u16, Failure> {
    let (peer, queued) = match pool::with_random(|random| pick.next(random, clock::now())) {
        Ok(peer) => (peer, None),
        // Boxed to keep the state of other requests small.
        Err(NoLive) => Box::pin(queue::wait(request, pass, pick)).await?,
    };
    sticky::chosen(request, pass, &peer);
    let reused;
    let exchange = match pass.protocol.is_multiplexed() {
        false => {
            let kept = pool::take(&peer, request, pass);
            request.attempts.begin(Asked::Peer(peer));
            request.attempts.queued(queued);
            request.note_attempt(pick);
            reused = kept.is_some();
            let (conn, usage) = match kept {
                Some(Kept { conn, usage }) => (conn, usage),
                None => {
                    // Boxed to keep the state of requests small that use a kept connection.
                    let (conn, made) = Box::pin(connect(request, pass, pick, &mut limit)).await?;
                    (Box::new(conn), Usage::new(clock::millis(), made))
                }
            };
            let sender = Sender::new(request, pass.body, pass.trailers.clone());
            slot.insert(UpstreamExchange::new(Channel::Exclusive(conn), usage, sender))
        }
        true => {
            request.attempts.begin(Asked::Peer(Arc::clone(&peer)));
            request.attempts.queued(queued);
            request.note_attempt(pick);
            let (protocol, trailers) = (&*pass.protocol, pass.trailers.clone());
            let sender = Sender::on_stream(request, protocol, pass.body, trailers);
            let end = sender.is_done();
            let (channel, is_proven) = match links::at_once(&peer, request, pass, end) {
                Some(opened) => opened,
                None => {
                    let later = links::later(&peer, request, pass, pick, &mut limit, end);
                    Box::pin(later).await?
                }
            };
            reused = is_proven;
            slot.insert(UpstreamExchange::new(channel, Usage::new(0, Made::default()), sender))
        }
    };
    request.attempts.connected(reused);
    request.note_of_attempt(|note, now| (note.connected, note.reused) = (now, reused));
    let read = match request.attempts.head.is_empty() {
        true => {
            response_head::parse(request, pass, exchange, 0).map(drop).map_err(Failure::upstream)
        }
        false => response_head::read(request, pass, pick, limit, exchange).await,
    };
    exchange.count(request);
    match read {
        Ok(()) => {
            request.attempts.headed(exchange.head.status);
            request.note_of_attempt(|note, now| note.headed = now);
            Ok(exchange.head.status)
        }
        Err(Failure::Upstream(failure)) => {
            let UpstreamFailure { unprocessed, reused: of_connection, .. } = failure;
            // What an idle connection's end says nothing about, that of a shared one does not,
            // either; and if it does, it is one failure, however many requests it ends.
            let reused = match exchange.channel.stream() {
                None => reused,
                Some(stream) => of_connection && (reused || stream.is_loss_counted()),
            };
            Err(Failure::Upstream(UpstreamFailure { sent: !unprocessed, reused, ..failure }))
        }
        Err(failure) => Err(failure),
    }
}

/// No peer can take the request, which has been in the queue for `queued` milliseconds.
#[cold]
pub(super) fn no_peer(
    request: &mut Request,
    pick: &Pick<'_>,
    queued: Option<u64>,
    (cause, why): (Cause, &str),
) -> Failure {
    request.blame(cause);
    request.attempts.begin(Asked::Group(Arc::clone(pick.group())));
    request.attempts.queued(queued);
    request.note_attempt(pick);
    request.log_upstream(Level::Error, &format!("{why} while {CONNECTING}"));
    request.attempts.set_status(502);
    request.attempts.finish();
    request.note_failure(|| Next::GivenUp("no server can take the request"));
    Failure::upstream(Causes::NO_LIVE)
}

/// A new connection, and the parameters that it was made with.
pub(super) async fn connect(
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    limit: &mut Option<Box<TryLimit>>,
) -> Result<(Conn, Made), Failure> {
    let Some(peer) = pick.peer().cloned() else { return Err(Failure::upstream(Causes::NO_LIVE)) };
    let options = connect::connect_options(request, pass);
    let timeout = pass.settings.connect_timeout.0;
    let connecting = weir_engine::connection::connect::connect(&peer.address, &options, timeout);
    let connecting = while_client_stays(request, pass, connecting);
    match within(limit, pick, connecting).await {
        None => Err(TryLimit::exceeded(request, CONNECTING)),
        Some(None) => Err(client_gone(request, CONNECTING)),
        Some(Some(Ok(mut conn))) => {
            conn.set_nodelay(true);
            let securing = handshake::handshake(request, pass, &peer, conn);
            let Some(secured) = within(limit, pick, securing).await else {
                return Err(TryLimit::exceeded(request, Doing::Handshaking));
            };
            let (conn, secured) = secured?;
            Ok((conn, made::of(&options, secured.as_ref())))
        }
        Some(Some(Err(error))) => Err(connect_failed(request, &peer, &error)),
    }
}

pub(super) const CONNECTING: Doing = Doing::Connecting;

/// Logs why there is no connection, and classifies the failure.
#[cold]
fn connect_failed(request: &Request, peer: &weir_upstream::Peer, error: &ConnectError) -> Failure {
    match error {
        ConnectError::Peer(error) => Failure::upstream(peer_failed(request, peer, error)),
        ConnectError::Ports(error) => {
            let failure = UpstreamFailure::new(peer_failed(request, peer, error));
            request.blame(Cause::NoLocalPort);
            Failure::Upstream(UpstreamFailure { blameless: true, ..failure })
        }
        ConnectError::Own(call, error) => {
            let call = format!("{call} failed");
            let message = format!("{} while {CONNECTING}", Failed(&call, error));
            let level = if call.starts_with("bind") { Level::Crit } else { Level::Alert };
            request.log_upstream(level, &message);
            Failure::Own(Rejection::INTERNAL)
        }
        ConnectError::Capacity => Failure::Own(Rejection::INTERNAL),
    }
}

/// Logs why a peer cannot be reached. Immediate errors of the kernel name the address, later ones
/// do not. Errors of the network are less severe than others.
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
    request.blame(CONNECTING.cause(error.kind()));
    let call = format!("connect() to {} failed", peer.name);
    let message = format!("{} while {CONNECTING}", Failed(&call, error));
    request.log_upstream(level, &message);
    Causes::ERROR
}

/// Logs an error of the upstream's connection, and returns its cause for `next_upstream`.
pub(crate) fn io_failed(request: &Request, error: &io::Error, doing: Doing, call: &str) -> Causes {
    request.blame(doing.cause(error.kind()));
    if error.kind() == io::ErrorKind::TimedOut {
        let message = format!("upstream timed out (110: Connection timed out) while {doing}");
        request.log_upstream(Level::Error, &message);
        return Causes::TIMEOUT;
    }
    let fault = error.get_ref().and_then(|fault| fault.downcast_ref::<StreamFault>());
    if let Some(fault) = fault {
        request.blame(fault.blame(doing));
        request.log_upstream(Level::Error, &format!("{fault} while {doing}"));
        return fault.cause();
    }
    let message = format!("{} while {doing}", Failed(call, error));
    request.log_upstream(Level::Error, &message);
    Causes::ERROR
}

pub(super) fn client_gone(request: &mut Request, doing: Doing) -> Failure {
    request.blame(Cause::ClientClosed);
    let message = format!(
        "client prematurely closed connection, so upstream connection is closed too \
                 while {doing}"
    );
    request.log_upstream(Level::Info, &message);
    let rejection = Rejection::CLIENT_GONE;
    request.attempts.set_status(rejection.status());
    Failure::Client(rejection)
}

/// Watches for a client that closes its connection during an exchange with an upstream.
pub(crate) struct Watch {
    ignore: bool,
}

impl Watch {
    /// Watches, unless `ignore_client_abort` is on or the response is stored.
    pub(crate) fn new(ignore: bool) -> Self {
        Self { ignore }
    }

    /// Whether the client is gone. Data on a connection of its own ends the watch, because it hides
    /// a later close; a body that is still coming does the same.
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>, request: &mut Request) -> bool {
        if self.ignore || !request.body.is_done() && !request.client.has_stream() {
            return false;
        }
        let Poll::Ready(sign) = request.client.poll_sign(cx) else { return false };
        self.ignore = true;
        sign == Sign::Gone
    }
}

/// Runs `future`, unless the client leaves first.
pub(super) async fn while_client_stays<T>(
    request: &mut Request,
    pass: &Pass<'_>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut watch = Watch::new(pass.outlasts_client);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if watch.is_gone(cx, request) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Frees a peer that has answered.
pub(crate) fn release(request: &mut Request, pass: &Pass<'_>, pick: &mut Pick<'_>) {
    request.attempts.finish();
    sticky::served(request, pass, pick);
    let status = request.attempts.current().map_or(0, |attempt| attempt.status);
    let timings = request.attempts.timings(pick);
    pick.free(Outcome::of_status(status), timings, clock::now());
}
