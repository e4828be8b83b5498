//! Requests that a module makes on behalf of another: `auth_request`, `mirror`, `post_action`.

use std::cell::Cell;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::Poll;

use weir_engine::error_log::Level;
use weir_wire::h1::Method;

use crate::client::{Client, Sign, Sink};
use crate::module::Entry;
use crate::phase;
use crate::request::{Origin, Request};
use crate::response::Sent;

thread_local! {
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// How many subrequests one request of a client may lead to, those of subrequests included: a page
/// that includes itself twice has an end. nginx limits only how deep they nest.
pub const MAX_SUBREQUESTS_IN_ALL: u32 = 10_000;

/// What a client's request and all its subrequests have in common.
#[derive(Default)]
pub(crate) struct Family {
    /// How many subrequests have been made.
    made: Cell<u32>,
    /// How many of those that are included in responses have begun and not ended.
    pub(crate) running: Cell<usize>,
}

/// How many subrequests of this thread run by themselves: a thread that ends waits for them as for
/// clients.
pub fn running_here() -> usize {
    RUNNING.get()
}

/// Lets a subrequest that has begun come to its end by itself.
pub(crate) fn detach(run: impl Future<Output = Box<Request>> + 'static) {
    let running = Running::new();
    weir_engine::event_loop::spawn(async move {
        let _running = running;
        run.await;
    });
}

/// Counts one of them while it lives.
struct Running(PhantomData<*const ()>);

impl Running {
    fn new() -> Self {
        RUNNING.set(RUNNING.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.set(running.get() - 1));
    }
}

impl Request {
    /// Runs a subrequest made by [`Request::fork`] to its end. Variables are shared with it, as
    /// they are in nginx. A client that goes away meanwhile is gone for the subrequest as well,
    /// which decides what that means ([`Client::is_deserted`]).
    pub async fn follow(&mut self, mut child: Self) -> Self {
        let gone = Rc::new(Cell::new(false));
        child.client.deserted = Some(Rc::clone(&gone));
        std::mem::swap(&mut child.values, &mut self.values);
        {
            let mut run = phase::boxed(&mut child, Entry::ServerRewrite);
            let mut watching = true;
            poll_fn(|cx| {
                if run.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                // Bytes that the client has sent hide an end behind them: then there is nothing
                // more to watch for.
                if watching && let Poll::Ready(sign) = self.client.poll_sign(cx) {
                    watching = false;
                    if sign == Sign::Gone {
                        gone.set(true);
                        return run.as_mut().poll(cx);
                    }
                }
                Poll::Pending
            })
            .await;
        }
        std::mem::swap(&mut child.values, &mut self.values);
        if child.get(&crate::core::ERRORS).log_subrequest {
            phase::log(&mut child).await;
        }
        child
    }

    /// Lets a subrequest made by [`Request::fork`] run by itself.
    pub fn launch(mut self) {
        let running = Running::new();
        weir_engine::event_loop::spawn(async move {
            let _running = running;
            phase::run_from(&mut self, Entry::ServerRewrite).await;
            if self.get(&crate::core::ERRORS).log_subrequest {
                phase::log(&mut self).await;
            }
        });
    }

    /// A subrequest that has not begun. None when subrequests nest too deep.
    pub fn fork(&mut self, uri: Vec<u8>, args: Vec<u8>, sink: Sink) -> Option<Self> {
        let family = Rc::clone(self.family.get_or_insert_default());
        let refused = match () {
            () if self.depth == 0 => Some("subrequests cycle"),
            () if family.made.get() >= MAX_SUBREQUESTS_IN_ALL => Some("too many subrequests"),
            () => None,
        };
        if let Some(reason) = refused {
            let text = weir_wire::shown(&uri).into_owned();
            let place = match self.response.sent == Sent::Nothing {
                true => "",
                false => " while sending response to client",
            };
            self.log(Level::Error, &format!("{reason} while processing \"{text}\"{place}"));
            return None;
        }
        family.made.set(family.made.get() + 1);
        let mut child = Self::new(
            Rc::clone(&self.snapshot),
            self.server.clone(),
            Rc::clone(&self.info),
            Rc::clone(&self.head),
            Client::new(sink),
        );
        self.share_main(&mut child);
        child.remote = self.remote.clone();
        child.origin = Origin::Subrequest;
        child.internal = true;
        child.family = Some(family);
        // Whatever the client has asked by (nginx: ngx_http_subrequest).
        child.method = Method::Get;
        child.method_replaced = self.method_replaced;
        child.main_method = if self.is_subrequest() { self.main_method } else { self.method };
        child.depth = self.depth - 1;
        child.number = self.number;
        child.uri = uri;
        child.args = args;
        child.uri_intact = false;
        child.body = self.body.shared();
        self.hand_down_states(&mut child);
        Some(child)
    }
}
