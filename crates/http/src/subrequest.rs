//! Requests that a module makes on behalf of another: `auth_request`, `mirror`, `post_action`.

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;

use weir_engine::error_log::Level;
use weir_wire::h1::Method;

use crate::client::{Client, Sink};
use crate::module::Entry;
use crate::phase;
use crate::request::{Origin, Request};
use crate::response::Sent;

thread_local! {
    static RUNNING: Cell<usize> = const { Cell::new(0) };
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
    /// Runs a subrequest to its end and gives it back, with its response and its captured body.
    /// Variables are shared with it, as they are in nginx. None when subrequests nest too deep.
    pub async fn subrequest(&mut self, uri: Vec<u8>, args: Vec<u8>, sink: Sink) -> Option<Self> {
        let child = self.fork(uri, args, sink)?;
        Some(self.follow(child).await)
    }

    /// Starts a subrequest that nobody waits for; its variables begin anew.
    pub fn background(&mut self, uri: Vec<u8>, args: Vec<u8>) {
        if let Some(child) = self.fork(uri, args, Sink::Discard) {
            child.launch();
        }
    }

    /// Runs a subrequest made by [`Request::fork`] to its end.
    pub async fn follow(&mut self, mut child: Self) -> Self {
        std::mem::swap(&mut child.values, &mut self.values);
        phase::boxed(&mut child, Entry::ServerRewrite).await;
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
        if self.depth == 0 {
            let text = String::from_utf8_lossy(&uri).into_owned();
            let place = match self.response.sent == Sent::Nothing {
                true => "",
                false => " while sending response to client",
            };
            let message = format!("subrequests cycle while processing \"{text}\"{place}");
            self.log(Level::Error, &message);
            return None;
        }
        let mut child = Self::new(
            Rc::clone(&self.snapshot),
            Rc::clone(&self.server),
            Rc::clone(&self.info),
            Rc::clone(&self.head),
            Client::new(sink),
        );
        self.share_main(&mut child);
        child.remote = self.remote.clone();
        child.origin = Origin::Subrequest;
        child.internal = true;
        child.method = if self.method == Method::Head { Method::Head } else { Method::Get };
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
