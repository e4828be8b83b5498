//! The client's end of an exchange in memory.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Fields, Wire};

/// The client's end. The client leaves when it is dropped.
pub(crate) struct Peer {
    wire: Rc<RefCell<Wire>>,
}

/// Everything that a client has received.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Interim responses, in order.
    pub interim: Vec<Fields>,
    /// The head; None if the exchange ended before it.
    pub head: Option<Fields>,
    /// The body, as far as it was received.
    pub body: Vec<u8>,
    /// The end of the response.
    pub ended: Ended,
}

/// The end of a response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server dropped it early.
    #[default]
    Early,
    /// It is complete, with these trailers.
    Whole(Fields),
}

impl Peer {
    pub(super) fn new(wire: Rc<RefCell<Wire>>) -> Self {
        Self { wire }
    }

    fn tell(&self, change: impl FnOnce(&mut Wire)) {
        let mut wire = self.wire.borrow_mut();
        change(&mut wire);
        wire.wake_server();
    }

    /// Sends bytes of the request's body.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.tell(|wire| wire.upwards.extend(bytes));
    }

    /// Ends the request's body.
    pub(crate) fn end(&self) {
        self.tell(|wire| wire.upwards_ended = true);
    }

    /// Grants the server this many bytes more.
    pub(crate) fn grant(&self, bytes: u64) {
        self.tell(|wire| wire.window = wire.window.saturating_add(bytes));
    }

    /// Leaves: sends and takes nothing more.
    pub(crate) fn leave(&self) {
        self.tell(|wire| wire.left = true);
    }

    /// The number of bytes of the response's body that have come and were not taken.
    pub(crate) fn waiting(&self) -> usize {
        self.wire.borrow().downwards.len()
    }

    /// Takes the received part of the body, and grants as many bytes again; None at its end.
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut wire = self.wire.borrow_mut();
        let body = std::mem::take(&mut wire.downwards);
        if !body.is_empty() {
            wire.window = wire.window.saturating_add(body.len() as u64);
            wire.wake_server();
            return Poll::Ready(Some(body));
        }
        if wire.trailers.is_some() || wire.closed {
            return Poll::Ready(None);
        }
        wire.client = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The head of the response, once it has come; None if it never comes.
    pub(crate) async fn head(&self) -> Option<Fields> {
        poll_fn(|cx| {
            let mut wire = self.wire.borrow_mut();
            if wire.head.is_some() || wire.closed {
                return Poll::Ready(wire.head.clone());
            }
            wire.client = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Takes the whole response.
    pub(crate) async fn answer(&self) -> Answer {
        let mut body = Vec::new();
        while let Some(more) = poll_fn(|cx| self.poll_take(cx)).await {
            body.extend_from_slice(&more);
        }
        let mut wire = self.wire.borrow_mut();
        Answer {
            interim: std::mem::take(&mut wire.interim),
            head: wire.head.take(),
            body,
            ended: wire.trailers.take().map_or(Ended::Early, Ended::Whole),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.leave();
    }
}
