//! Tunnels after `101 Switching Protocols` (WebSocket and the like): bytes in both directions until
//! one side ends.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use weir_engine::buffer::{self, Buf};
use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;
use weir_upstream::Pick;

use super::attempt::UpstreamExchange;
use super::attempt::release;
use super::course::Pass;
use crate::client::Sign;
use crate::duplex::Duplex;
use crate::module::Verdict;
use crate::request::Request;
use crate::response::Sent;

/// The maximum number of bytes read from one side before they are written to the other.
const BUFFER: usize = 16 * 1024;

/// Sends the head, then relays bytes.
pub(crate) async fn run(
    request: &mut Request,
    pass: &Pass<'_>,
    pick: &mut Pick<'_>,
    exchange: &mut UpstreamExchange,
) -> Verdict {
    request.keepalive = false;
    request.upgraded = true;
    if let Err(rejection) = request.send_head() {
        return rejection.into();
    }
    request.response.sent = Sent::All;
    if request.client.flush().await.is_ok() {
        carry(request, pass, exchange).await;
    }
    release(request, pass, pick);
    Verdict::Done
}

/// One direction of a tunnel.
struct Lane {
    buf: Buf,
    start: usize,
    /// Whether the source has ended.
    ended: bool,
    /// Whether the end has been passed on.
    shut: bool,
    carried: u64,
}

impl Lane {
    fn new(early: Buf) -> Self {
        Self { buf: early, start: 0, ended: false, shut: false, carried: 0 }
    }

    /// Moves as many bytes as possible. Ready when the direction has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Duplex,
        to: &mut impl Duplex,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.start < self.buf.len() {
                let n = ready!(to.poll_send(cx, &self.buf[self.start..]))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += n;
                self.carried += n as u64;
            }
            ready!(to.poll_flush(cx))?;
            if self.ended {
                if !self.shut {
                    ready!(to.poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            self.buf = Buf::default();
            self.start = 0;
            let mut buf = buffer::take(BUFFER);
            let n = ready!(from.poll_recv(cx, &mut buf, BUFFER))?;
            self.buf = buf;
            self.ended = n == 0;
        }
    }
}

/// Relays bytes until a direction has ended or failed, or nothing moves for the read timeout.
async fn carry(request: &mut Request, pass: &Pass<'_>, exchange: &mut UpstreamExchange) {
    let timeout = pass.settings.read_timeout.0;
    let mut down = Lane::new(exchange.input.take());
    let mut up = Lane::new(Buf::default());
    let mut deadline = Deadline::new();
    deadline.after(timeout);
    let mut counted = (0, 0);
    let half_ends = !request.client.is_h1();
    let result = poll_fn(|cx| {
        if half_ends && request.client.poll_sign(cx) == Poll::Ready(Sign::Gone) {
            return Poll::Ready(Ok(()));
        }
        let Some(client) = request.client.exchange() else { return Poll::Ready(Ok(())) };
        let Some(server) = exchange.channel.connection() else { return Poll::Ready(Ok(())) };
        let first = up.poll(cx, client, server);
        let second = down.poll(cx, server, client);
        let carried = (up.carried, down.carried);
        let moves = counted != carried;
        if moves {
            // At once, since the task may be dropped.
            count(request, carried.0 - counted.0, carried.1 - counted.1);
            counted = carried;
        }
        match (first, second) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                return Poll::Ready(Err(error));
            }
            (_, Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            // The end of a stream's direction says nothing about the other one.
            (Poll::Ready(Ok(())), _) if !half_ends => return Poll::Ready(Ok(())),
            _ => {}
        }
        if moves {
            deadline.after(timeout);
        }
        deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await;
    if let Err(error) = result
        && error.kind() == io::ErrorKind::TimedOut
    {
        let message = "upstream timed out (110: Connection timed out) while proxying upgraded \
                       connection";
        request.log_upstream(Level::Error, message);
    }
}

/// Counts bytes that were carried to the upstream and to the client.
fn count(request: &mut Request, up: u64, down: u64) {
    request.client.bytes_sent += down;
    if let Some(attempt) = request.attempts.current() {
        attempt.received += down;
        attempt.sent += up;
        attempt.body += down;
    }
}
