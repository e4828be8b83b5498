//! Memory that a thread reuses between requests, so that a usual request allocates next to nothing.

#![expect(clippy::vec_box, reason = "boxes are lent as they are, and their content never moves")]

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use weir_wire::h1::ResponseParser;

use crate::request::Request;
use crate::snapshot::Snapshot;

/// The maximum number of spare items of a kind. Those that a burst leaves beyond it are freed.
const MOST: usize = 64;

thread_local! {
    static REQUESTS: RefCell<Vec<Box<Request>>> = const { RefCell::new(Vec::new()) };
    /// The snapshot in force. The pointer is only compared, never dereferenced.
    static SNAPSHOT: Cell<*const Snapshot> = const { Cell::new(std::ptr::null()) };
    static PARSERS: RefCell<Vec<Box<ResponseParser>>> = const { RefCell::new(Vec::new()) };
}

/// A spare request: a served one, reduced to its memory and shared objects.
pub(crate) fn request() -> Option<Box<Request>> {
    REQUESTS.with_borrow_mut(Vec::pop)
}

/// Keeps a request for reuse, unless it belongs to an old snapshot.
pub(crate) fn leave_request(request: Box<Request>) {
    if Rc::as_ptr(&request.snapshot) == SNAPSHOT.get() {
        keep(&REQUESTS, request);
    }
}

/// Changes the snapshot in force, and drops the requests of the old one.
pub(crate) fn follow(snapshot: Option<&Rc<Snapshot>>) {
    SNAPSHOT.set(snapshot.map_or(std::ptr::null(), Rc::as_ptr));
    drop(REQUESTS.take());
}

/// A parser lent by the thread, at the start of a response.
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
