//! Memory that one request leaves to the next one of its thread, so that a request of the usual
//! kind allocates next to nothing.

#![expect(clippy::vec_box, reason = "boxes are lent as they are, and their content never moves")]

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use weir_wire::h1::ResponseParser;

use crate::request::Request;
use crate::snapshot::Snapshot;

/// How many of a kind are held on to; more than a burst of requests leaves is given back.
const MOST: usize = 64;

thread_local! {
    static REQUESTS: RefCell<Vec<Box<Request>>> = const { RefCell::new(Vec::new()) };
    /// The snapshot in force. It is compared and never followed.
    static SNAPSHOT: Cell<*const Snapshot> = const { Cell::new(std::ptr::null()) };
    static PARSERS: RefCell<Vec<Box<ResponseParser>>> = const { RefCell::new(Vec::new()) };
}

/// A request that has been served, with nothing of it left but memory and what it shared.
pub(crate) fn request() -> Option<Box<Request>> {
    REQUESTS.with_borrow_mut(Vec::pop)
}

/// Leaves a request to the next one, unless it would keep an old snapshot alive.
pub(crate) fn leave_request(request: Box<Request>) {
    if Rc::as_ptr(&request.snapshot) == SNAPSHOT.get() {
        keep(&REQUESTS, request);
    }
}

/// Another snapshot is in force, or none: what holds an older one goes.
pub(crate) fn follow(snapshot: Option<&Rc<Snapshot>>) {
    SNAPSHOT.set(snapshot.map_or(std::ptr::null(), Rc::as_ptr));
    drop(REQUESTS.take());
}

/// A parser at the start of a response, lent from this thread's.
pub(crate) struct LentParser(Option<Box<ResponseParser>>);

/// A parser for one response.
pub(crate) fn response_parser() -> LentParser {
    LentParser(Some(PARSERS.with_borrow_mut(Vec::pop).unwrap_or_default()))
}

impl Deref for LentParser {
    type Target = ResponseParser;

    fn deref(&self) -> &ResponseParser {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for LentParser {
    fn deref_mut(&mut self) -> &mut ResponseParser {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for LentParser {
    fn drop(&mut self) {
        if let Some(mut parser) = self.0.take() {
            parser.reset();
            keep(&PARSERS, parser);
        }
    }
}

fn keep<T>(place: &'static std::thread::LocalKey<RefCell<Vec<T>>>, item: T) {
    place.with_borrow_mut(|items| {
        if items.len() < MOST {
            items.push(item);
        }
    });
}
