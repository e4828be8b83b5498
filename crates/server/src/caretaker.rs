//! The caretaker: the worker's thread for background work. It outlives reloads and the serving
//! threads. The configuration defines its duties.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use weir_engine::capacity;
use weir_engine::duty::{Duties, Duty};
use weir_engine::event_loop::{EventLoop, Method};
use weir_engine::os_error::Failed;

/// A running caretaker.
pub(crate) struct Caretaker {
    /// Dropping the sender ends the thread.
    orders: UnboundedSender<Vec<Duty>>,
    handle: JoinHandle<()>,
}

impl Caretaker {
    /// Starts a caretaker without duties. `end` is dropped when it ends.
    ///
    /// # Errors
    /// No thread or event loop could be created.
    pub(crate) fn start(end: impl Send + 'static) -> Result<Self, String> {
        let (orders, receiver) = unbounded_channel();
        let (ready, is_ready) = sync_channel(1);
        let run = move || {
            let _end = end;
            run(receiver, &ready);
        };
        let started = std::thread::Builder::new().name("weir-caretaker".to_owned()).spawn(run);
        let handle =
            started.map_err(|error| Failed("pthread_create() failed", &error).to_string())?;
        match is_ready.recv() {
            Ok(None) => Ok(Self { orders, handle }),
            Ok(Some(reason)) => Err(reason),
            Err(_) => Err("the caretaker of the worker process ended unexpectedly".to_owned()),
        }
    }

    /// Replaces the duties.
    pub(crate) fn take_on(&self, duties: Vec<Duty>) {
        let _ = self.orders.send(duties);
    }

    /// Stops all duties and waits for the thread to end.
    pub(crate) fn end(self) {
        drop(self.orders);
        let _ = self.handle.join();
    }
}

/// Runs the thread; reports to `ready` the error of creating the event loop, or `None`.
fn run(mut orders: UnboundedReceiver<Vec<Duty>>, ready: &SyncSender<Option<String>>) {
    // Duties hold few connections and none to clients.
    capacity::set_limit(u64::MAX);
    let event_loop = EventLoop::new(Method::Epoll);
    let fault = |error| Failed("epoll_create() failed", error).to_string();
    let _ = ready.send(event_loop.as_ref().err().map(fault));
    let Ok(event_loop) = event_loop else { return };
    event_loop.block_on(async {
        let mut duties = Duties::default();
        while let Some(wanted) = orders.recv().await {
            duties.reconcile(wanted);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn duties_change_and_end_with_the_caretaker() {
        let (say, said) = channel();
        let (end, ended) = channel::<()>();
        let caretaker = Caretaker::start(end).unwrap();
        for _ in 0..2 {
            let say = say.clone();
            let thread = move || std::thread::current().name().map(str::to_owned);
            let stays = Duty::new("stay".to_owned(), move || {
                let _ = say.send(thread());
                std::future::pending()
            });
            caretaker.take_on(vec![stays]);
        }
        drop(say);
        assert_eq!(said.recv().unwrap().as_deref(), Some("weir-caretaker"));
        caretaker.end();
        assert!(
            said.recv().is_err(),
            "a duty with an unchanged key goes on, and a removed one ends"
        );
        assert!(ended.recv().is_err());
    }
}
