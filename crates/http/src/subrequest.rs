//! Subrequests that modules make: `auth_request`, `mirror`, `post_action`.

use std::cell::Cell;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::Poll;

use weir_engine::error_log::Level;
use weir_wire::h1::Method;

use crate::client::{Client, Sign, Sink};
use crate::core::ERRORS;
use crate::module::EntryPoint;
use crate::phase;
use crate::request::{Origin, Request};
use crate::response::Sent;

pub(crate) mod family;
pub mod include;
pub mod line;

thread_local! {
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// The maximum number of subrequests of a client's request, nested ones included, so that a page
/// that includes itself twice comes to an end. nginx limits only the depth.
pub const MAX_SUBREQUESTS_IN_ALL: u32 = 10_000;

/// The number of detached subrequests of this thread. A thread that ends waits for them, as it does
/// for clients.
pub fn running_here() -> usize {
    RUNNING.get()
}

/// Detaches a subrequest that has begun.
pub(crate) fn detach(run: impl Future<Output = Box<Request>> + 'static) {
    let running = Running::new();
    weir_engine::event_loop::spawn(async move {
        let _running = running;
        run.await;
    });
}

/// Counts a detached subrequest while it lives.
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
    /// Runs a subrequest made by [`Request::fork`] to its end. It shares the variables, as in
    /// nginx. If the client leaves meanwhile, the subrequest can see that and react
    /// ([`Client::is_deserted`]).
    pub async fn follow(&mut self, mut child: Self) -> Self {
        let gone = Rc::new(Cell::new(false));
        child.client.deserted = Some(Rc::clone(&gone));
        std::mem::swap(&mut child.values, &mut self.values);
        let wait = self.begin_wait("subrequest");
        {
            let mut run = phase::boxed(&mut child, EntryPoint::ServerRewrite);
            let mut watching = true;
            poll_fn(|cx| {
                if run.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                // Data from the client hides a later close, so there is nothing more to watch for.
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
        self.end_wait(wait);
        std::mem::swap(&mut child.values, &mut self.values);
        if child.get(&ERRORS).log_subrequest {
            phase::log(&mut child).await;
        }
        child
    }

    /// Detaches a subrequest made by [`Request::fork`].
    pub fn launch(mut self) {
        let running = Running::new();
        weir_engine::event_loop::spawn(async move {
            let _running = running;
            phase::run_from(&mut self, EntryPoint::ServerRewrite).await;
            if self.get(&ERRORS).log_subrequest {
                phase::log(&mut self).await;
            }
        });
    }

    /// Makes a subrequest, without running it. None if they nest too deep, or there are too many.
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
        // Always GET, whatever the client's method (nginx: ngx_http_subrequest).
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
        child.noting = self.noting.as_ref().and_then(|noting| noting.fork(&child.uri));
        Some(child)
    }
}
