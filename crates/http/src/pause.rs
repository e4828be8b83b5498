//! Holding a request back, as `limit_req` and `auth_delay` do, without missing that its client has
//! gone.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::error_log::Level;
use weir_engine::timer::Deadline;

use crate::request::Request;

/// The client closed its connection meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Request {
    /// Waits for `delay`, or until the client is gone.
    ///
    /// # Errors
    /// The client has closed its connection; the request counts as 499.
    pub async fn pause(&mut self, delay: Duration) -> Result<(), Gone> {
        let mut deadline = Deadline::new();
        deadline.after(delay);
        let mut watching = true;
        let gone = poll_fn(|cx| {
            if watching && let Poll::Ready(gone) = self.poll_gone(cx) {
                if gone {
                    return Poll::Ready(true);
                }
                watching = false;
            }
            deadline.poll(cx).map(|()| false)
        })
        .await;
        if gone {
            self.log(Level::Info, "client prematurely closed connection");
            self.response.status = 499;
            return Err(Gone);
        }
        Ok(())
    }

    /// Ready when the client's connection has something to say: true for its end. Bytes that the
    /// client has sent hide an end behind them, so then there is nothing more to watch for.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(link) = self.client.link() else {
            return match &self.client.deserted {
                Some(gone) if !gone.get() => Poll::Pending,
                gone => Poll::Ready(gone.is_some()),
            };
        };
        if !link.input.is_empty() {
            return Poll::Ready(false);
        }
        link.conn.poll_readable(cx).map(|_| link.conn.is_closed())
    }
}
