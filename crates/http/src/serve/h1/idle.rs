//! Connections that wait for a request, and how a thread that is to end closes them at once.

use std::cell::RefCell;
use std::task::{Context, Waker};

use slab::Slab;

/// The tasks that wait for a client to ask for something.
#[derive(Default)]
pub struct IdleConnections {
    wakers: RefCell<Slab<Waker>>,
}

/// A place among the idle; left when dropped.
pub struct Place<'a> {
    idle: &'a IdleConnections,
    key: Option<usize>,
}

impl IdleConnections {
    /// A place for a connection that begins to wait.
    pub fn place(&self) -> Place<'_> {
        Place { idle: self, key: None }
    }

    /// Wakes every waiting task, so that it sees that the service is quitting.
    pub fn close_all(&self) {
        for (_, waker) in self.wakers.borrow().iter() {
            waker.wake_by_ref();
        }
    }
}

impl Place<'_> {
    /// Remembers whom to wake.
    pub fn wait(&mut self, cx: &Context<'_>) {
        let mut wakers = self.idle.wakers.borrow_mut();
        match self.key {
            Some(key) => wakers[key].clone_from(cx.waker()),
            None => self.key = Some(wakers.insert(cx.waker().clone())),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.idle.wakers.borrow_mut().remove(key);
        }
    }
}
