//! The caretaker: the worker's thread for background work. It outlives reloads and the serving
//! threads. The configuration defines its duties.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use weir_engine::capacity;
use weir_engine::duty::{Duties, Duty};
use weir_engine::event_loop::{EventLoop, Method};

use crate::load_error::LoadError;

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
    pub(crate) fn start(end: impl Send + 'static) -> Result<Self, LoadError> {
        let (orders, receiver) = unbounded_channel();
        let (ready, is_ready) = sync_channel(1);
        let run = move || {
            let _end = end;
            run(receiver, &ready);
        };
        let started = std::thread::Builder::new().name("weir-caretaker".to_owned()).spawn(run);
        let handle = started.map_err(|error| LoadError::Call("pthread_create() failed", error))?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(Self { orders, handle }),
            Ok(Err(error)) => Err(LoadError::Call("epoll_create() failed", error)),
            Err(_) => {
                Err(LoadError::Ended("the caretaker of the worker process ended unexpectedly"))
            }
        }
    }

    /// Replaces the duties.
    pub(crate) fn take_on(&self, duties: Vec<Duty>) {
        let _ = self.orders.send(duties);
    }

    /// Stops all duties and waits for the thread to end, which takes a little time if one has
    /// something to finish.
    pub(crate) fn end(self) {
        drop(self.orders);
        let _ = self.handle.join();
    }
}

/// Runs the thread; reports to `ready` whether it has an event loop.
fn run(mut orders: UnboundedReceiver<Vec<Duty>>, ready: &SyncSender<io::Result<()>>) {
    // Duties hold few connections and none to clients.
    capacity::set_limit(u64::MAX);
    let event_loop = match EventLoop::new(Method::Epoll) {
        Ok(event_loop) => event_loop,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    event_loop.block_on(async {
        let mut duties = Duties::default();
        while let Some(wanted) = orders.recv().await {
            duties.reconcile(wanted);
        }
        duties.end().await;
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
