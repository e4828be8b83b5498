//! Memory that one request leaves to the next one of its thread, so that a request of the usual
//! kind allocates next to nothing.

use std::cell::RefCell;
use std::collections::VecDeque;

use weir_wire::h1::ResponseParser;
use weir_wire::header::Headers;

use crate::piece::Piece;
use crate::request::Kept;
use crate::response::Response;
use crate::variables::Values;

/// How many of a kind are held on to; more than a burst of requests leaves is given back.
const MOST: usize = 64;

/// The parts of a request that have memory worth keeping.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) uri: Vec<u8>,
    pub(crate) args: Vec<u8>,
    pub(crate) values: Values,
    pub(crate) response: Response,
    pub(crate) states: Vec<Option<Kept>>,
    pub(crate) queue: VecDeque<Piece>,
}

thread_local! {
    static PARTS: RefCell<Vec<Parts>> = const { RefCell::new(Vec::new()) };
    static HEADERS: RefCell<Vec<Headers>> = const { RefCell::new(Vec::new()) };
    static PARSERS: RefCell<Vec<ResponseParser>> = const { RefCell::new(Vec::new()) };
}

impl Parts {
    /// Parts of an earlier request, empty.
    pub(crate) fn take() -> Self {
        PARTS.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// Leaves the parts to another request.
    pub(crate) fn leave(mut self) {
        self.uri.clear();
        self.args.clear();
        self.response.reset();
        self.states.clear();
        self.queue.clear();
        keep(&PARTS, self);
    }
}

/// An empty list of fields.
pub(crate) fn headers() -> Headers {
    HEADERS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Leaves a list of fields to another request.
pub(crate) fn leave_headers(mut headers: Headers) {
    headers.clear();
    keep(&HEADERS, headers);
}

/// A parser at the start of a response.
pub(crate) fn response_parser() -> ResponseParser {
    PARSERS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Leaves a parser to another request.
pub(crate) fn leave_response_parser(mut parser: ResponseParser) {
    parser.reset();
    keep(&PARSERS, parser);
}

fn keep<T>(place: &'static std::thread::LocalKey<RefCell<Vec<T>>>, item: T) {
    place.with_borrow_mut(|items| {
        if items.len() < MOST {
            items.push(item);
        }
    });
}
