//! Lingering close: the rest of a body is read and dropped, so that the client sees the response
//! and not a reset (nginx: `lingering_close`).

use std::future::poll_fn;
use std::task::Poll;

use weir_engine::stats::Gauged;
use weir_engine::timer::Deadline;

use crate::body::BodyStep;
use crate::client::Exchange;
use crate::core::{CONNECTION, Lingering};
use crate::request::Request;

/// Reads and drops the rest of the body. Returns whether it ended in time.
pub(super) async fn discard(request: &mut Request) -> bool {
    let settings = request.get(&CONNECTION);
    let (total, each) = (settings.lingering_time, settings.lingering_timeout);
    request.body.timeout = each.0;
    // The limit is time, not size.
    request.body.max_size = 0;
    let mut deadline = Deadline::new();
    deadline.after(total.0);
    poll_fn(|cx| {
        let Request { body, client, .. } = request;
        let Some(exchange) = client.exchange() else { return Poll::Ready(false) };
        loop {
            match body.poll_step(cx, exchange) {
                Poll::Ready(Ok(BodyStep::Data(_))) => {}
                Poll::Ready(Ok(BodyStep::End)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return deadline.poll(cx).map(|()| false),
            }
        }
    })
    .await
}

/// Closes the connection of a request that has been answered and logged.
///
/// A connection that closes at once leaves its gauge before its client hears of it.
pub(in crate::serve) async fn close(request: Box<Request>, gauge: Option<Gauged>) {
    let settings = request.get(&CONNECTION);
    let (when, total, each, resets) = (
        settings.lingering_close,
        settings.lingering_time,
        settings.lingering_timeout,
        settings.reset_timedout_connection,
    );
    let unread = !request.body.is_done() || request.response.lingers;
    let answered = request.response.sent != crate::response::Sent::Nothing;
    let timed_out = request.client.timed_out;
    let Some(mut link) = request.retire().and_then(Exchange::into_h1) else { return };
    if timed_out && resets {
        return link.conn.reset_on_drop();
    }
    let unread = unread || !link.input.is_empty() || !link.conn.is_idle_alive();
    let lingers = match when {
        Lingering::Off => false,
        Lingering::On => unread,
        Lingering::Always => true,
    };
    if !lingers || !answered || timed_out {
        drop(gauge);
        return link.conn.close();
    }
    let mut deadline = Deadline::new();
    deadline.after(total.0);
    let shut = poll_fn(|cx| link.conn.poll_shutdown(cx)).await;
    if shut.is_err() {
        return;
    }
    let drain = async {
        let mut sink = crate::client::read_buffer();
        while let Ok(1..) = link.conn.recv(&mut sink, crate::client::READ_SIZE, each.0).await {
            sink.clear();
        }
    };
    let mut drain = std::pin::pin!(drain);
    poll_fn(|cx| match Future::poll(drain.as_mut(), cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => deadline.poll(cx),
    })
    .await;
}
