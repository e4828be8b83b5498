//! What happened at each upstream that was asked: the figures behind `$upstream_*`.

use weir_upstream::Timings;

use super::clock;
use crate::request::{Request, State};

/// One attempt.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The peer's address, or the group's name when no peer could be had.
    pub peer: String,
    /// The status, 0 while there is none.
    pub status: u16,
    /// When it began, milliseconds of the monotonic clock.
    pub started: u64,
    /// Milliseconds to the connection.
    pub connect: Option<u64>,
    /// Milliseconds to the head.
    pub header: Option<u64>,
    /// Milliseconds to the last byte.
    pub response: Option<u64>,
    /// Bytes received, heads included.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes of the body.
    pub body: u64,
}

/// All attempts of a request, over internal redirects.
#[derive(Default)]
pub struct Attempts {
    /// In order. The flag says that an attempt was the first of another pass (an internal
    /// redirect), which the variables show by a colon instead of a comma.
    pub list: Vec<(bool, Attempt)>,
    /// The response's fields as the upstream sent them (`$upstream_http_*`).
    pub headers: weir_wire::header::Headers,
    /// Its trailers.
    pub trailers: weir_wire::header::Headers,
    new_pass: bool,
}

/// Where a request keeps them.
pub static STATES: State<Attempts> = State::kept(Attempts::default);

impl Attempts {
    /// A pass begins: what it does is told apart from what an earlier one did.
    pub fn begin_pass(&mut self) {
        self.new_pass = true;
        self.headers.clear();
        self.trailers.clear();
    }

    /// An attempt begins.
    pub fn begin(&mut self, peer: &str) {
        let attempt =
            Attempt { peer: peer.to_owned(), started: clock::millis(), ..Attempt::default() };
        let first = std::mem::take(&mut self.new_pass);
        self.list.push((first, attempt));
    }
}

/// The attempt under way.
pub fn current(request: &mut Request) -> Option<&mut Attempt> {
    request.state(&STATES).list.last_mut().map(|(_, attempt)| attempt)
}

/// Milliseconds since the attempt began.
fn elapsed(attempt: &Attempt) -> u64 {
    clock::millis().saturating_sub(attempt.started)
}

/// The connection is there.
pub fn connected(request: &mut Request) {
    if let Some(attempt) = current(request) {
        attempt.connect = Some(elapsed(attempt));
    }
}

/// The head is there.
pub fn headed(request: &mut Request, status: u16) {
    if let Some(attempt) = current(request) {
        attempt.header = Some(elapsed(attempt));
        attempt.status = status;
    }
}

/// The attempt has ended.
pub fn finish(request: &mut Request) {
    if let Some(attempt) = current(request)
        && attempt.response.is_none()
    {
        attempt.response = Some(elapsed(attempt));
    }
}

/// The attempt failed with this status.
pub fn set_status(request: &mut Request, status: u16) {
    if let Some(attempt) = current(request)
        && attempt.status == 0
    {
        attempt.status = status;
    }
}

/// What balancing wants to know.
pub fn timings(request: &mut Request) -> Timings {
    let Some(attempt) = current(request) else { return Timings::default() };
    if attempt.header.is_none() {
        return Timings::default();
    }
    Timings {
        connect: attempt.connect,
        header: attempt.header,
        response: Some(attempt.response.unwrap_or_else(|| elapsed(attempt))),
    }
}
