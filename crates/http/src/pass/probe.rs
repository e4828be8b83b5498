//! One request to one server, made by a health check: with the settings of its location, but
//! without a client, a choice of servers, or retries.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use weir_engine::Addr;
use weir_engine::error_log::Level;
use weir_upstream::{Causes, Group, Made, Usage};

use super::attempt::{self, Failure, UpstreamExchange, io_failed};
use super::body::Taken;
use super::channel::Channel;
use super::course::{Course, Pass};
use super::doing::Doing;
use super::pool::{self, Kept};
use super::protocol::OutgoingBody;
use super::sender::Sender;
use super::state::Asked;
use super::target::Peers;
use super::{clock, links, relay, response_head, write_head};
use crate::request::Request;

/// What a server is asked, and how.
pub(crate) struct Question {
    /// How the location passes requests on. Its group is replaced by the server.
    pub(crate) course: Course,
    /// The address of the server.
    pub(crate) address: Addr,
    /// The URI, in place of the location's.
    pub(crate) uri: Box<[u8]>,
    /// A connection of an earlier request.
    pub(crate) kept: Option<Kept>,
    /// Whether the connection is wanted for another request.
    pub(crate) keeps: bool,
    /// The number of bytes of the body that are of interest.
    pub(crate) most: usize,
    /// The message of a request of gRPC, to a location that passes to it.
    pub(crate) message: Option<Vec<u8>>,
}

/// The response of a server. Its head is in the request.
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// The decoded body, as far as it is of interest.
    pub(crate) body: Vec<u8>,
    /// The connection, if it can be used again.
    pub(crate) kept: Option<Kept>,
}

/// Asks a server. Messages go to the log of the request.
pub(crate) async fn ask(request: &mut Request, question: Question) -> Result<Reply, Failure> {
    let Question { course, address, uri, mut kept, keeps, most, message } = question;
    let Course { location, transfer, tls, protocol, mut target, .. } = course;
    let group = Group::transient(target.group().name(), vec![address]);
    target.peers = Peers::Transient(group);
    let place = Arc::make_mut(&mut target.place);
    (place.uri, place.replaces) = (Some(uri), None);
    let mut pass = Pass {
        settings: transfer(&location),
        next_upstream: Causes::OFF,
        tls: tls.map(|slot| location.settings.get(slot)),
        location: &location,
        protocol,
        target: &target,
        body: OutgoingBody::None,
        trailers: None,
        outlasts_client: false,
    };
    write_head(request, &mut pass).map_err(Failure::Own)?;
    if let Some(message) = message {
        let head = &mut request.attempts.head;
        head.extend_from_slice(b"content-type: application/grpc\r\nte: trailers\r\n\r\n");
        head.extend_from_slice(&message);
        pass.body = OutgoingBody::Given(message.len());
    }
    loop {
        let reused = kept.is_some();
        match exchange(request, &mut pass, kept.take(), keeps, most).await {
            // The server has closed the kept connection in the meantime.
            Err(Failure::Upstream(failure)) if reused && failure.cause == Causes::ERROR => {
                pass.protocol.reset();
            }
            result => return result,
        }
    }
}

async fn exchange(
    request: &mut Request,
    pass: &mut Pass<'_>,
    kept: Option<Kept>,
    keeps: bool,
    most: usize,
) -> Result<Reply, Failure> {
    let mut pick = pass.target.group().start(weir_upstream::Request::default());
    let Ok(peer) = pool::with_random(|random| pick.next(random, clock::now())) else {
        return Err(Failure::upstream(Causes::NO_LIVE));
    };
    request.attempts.begin(Asked::Peer(Arc::clone(&peer)));
    let reused = kept.is_some();
    let (channel, usage, sender) = match kept {
        _ if pass.protocol.is_multiplexed() => {
            let sender = Sender::on_stream(request, &*pass.protocol, pass.body, None);
            let end = sender.is_done();
            let opened = links::later(&peer, request, pass, &mut pick, &mut None, end).await?;
            (opened.0, Usage::new(0, Made::default()), sender)
        }
        Some(Kept { conn, usage }) => {
            (Channel::Exclusive(conn), usage, Sender::new(request, pass.body, None))
        }
        None => {
            let (conn, made) = attempt::connect(request, pass, &mut pick, &mut None).await?;
            let usage = Usage::new(clock::millis(), made);
            (Channel::Exclusive(Box::new(conn)), usage, Sender::new(request, pass.body, None))
        }
    };
    request.attempts.connected(reused);
    let mut exchange = UpstreamExchange::new(channel, usage, sender);
    response_head::read(request, pass, &mut pick, None, &mut exchange).await?;
    request.attempts.headed(exchange.head.status);
    let mut body = Vec::new();
    let wanted = if keeps { most.max(MOST_DRAINED) } else { most };
    let read = read_body(request, pass, &mut exchange, wanted, &mut body).await;
    relay::trailers(request, pass, &mut exchange);
    request.attempts.finish();
    if most > 0 {
        // Otherwise the body was only to be removed from the connection.
        read?;
    }
    body.truncate(most);
    let UpstreamExchange { channel, usage, input, head, sender } = exchange;
    let usable = head.reusable && head.body.is_done() && input.is_empty() && sender.is_done();
    let conn = if keeps && usable { channel.into_connection() } else { None };
    let kept = conn.map(|conn| Kept { conn, usage });
    Ok(Reply { status: head.status, body, kept })
}

/// The maximum length of a body that is read only so that the connection can be used again.
const MOST_DRAINED: usize = 64 * 1024;

/// The maximum length of one read of a body.
const READ: usize = 16 * 1024;

const READING: Doing = Doing::Reading;

/// Reads a body up to `most` bytes.
async fn read_body(
    request: &mut Request,
    pass: &Pass<'_>,
    exchange: &mut UpstreamExchange,
    most: usize,
    body: &mut Vec<u8>,
) -> Result<(), Failure> {
    while body.len() < most && !exchange.head.body.is_done() {
        let Taken { piece, ended, .. } = exchange.take().map_err(|note| {
            request.log_upstream(note.level, &format!("{} while {READING}", note.text));
            Failure::upstream(Causes::INVALID_HEADER)
        })?;
        if let Some(bytes) = piece.as_ref().and_then(|piece| piece.bytes()) {
            body.extend_from_slice(bytes);
        }
        if ended || body.len() >= most {
            break;
        }
        let UpstreamExchange { channel, input, head, .. } = exchange;
        channel.restart_wait(pass.settings.read_timeout.0);
        let received = poll_fn(|cx| match input.poll_fill(cx, channel, READ) {
            Poll::Pending => channel.poll_wait(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            received => received,
        });
        match received.await {
            Ok(0) if head.body.may_close() => break,
            Ok(0) => {
                let message = "upstream prematurely closed connection while reading upstream";
                request.log_upstream(Level::Error, message);
                return Err(Failure::upstream(Causes::ERROR));
            }
            Ok(_) => {}
            Err(error) => {
                let cause = io_failed(request, &error, READING, "recv() failed");
                return Err(Failure::upstream(cause));
            }
        }
    }
    exchange.channel.end_wait();
    Ok(())
}
