//! What happened at each upstream that was asked: the figures behind `$upstream_*`.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use weir_engine::buffer::Buf;
use weir_upstream::{Group, Peer, Timings};

use super::clock;
use crate::request::{Request, State};

/// Who was asked: kept as it is, and made text only for those who want to read it.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A peer.
    Peer(Arc<Peer>),
    /// The group, when none of its peers could be had.
    Group(Arc<Group>),
}

impl Asked {
    /// The peer's address, or the group's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Peer(peer) => &peer.name,
            Self::Group(group) => group.name(),
        }
    }
}

/// How the log calls an upstream.
#[derive(Clone, Debug)]
pub struct Label {
    /// What stands before the address.
    pub scheme: &'static str,
    /// Whose address.
    pub asked: Asked,
}

impl Label {
    /// Scheme, address and the URI that was sent.
    pub fn text(&self, request: &Request) -> String {
        let uri = request.state_if(&STATES).map_or(&[][..], Attempts::uri);
        let between = match &self.asked {
            Asked::Peer(peer) if peer.address.is_unix() => ":",
            _ => "",
        };
        let uri = String::from_utf8_lossy(uri);
        format!("{}{}{between}{uri}", self.scheme, self.asked.name())
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Who was asked.
    pub asked: Asked,
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
    pub headers: Rc<weir_wire::header::Headers>,
    /// Its trailers.
    pub trailers: weir_wire::header::Headers,
    /// The head of the request as it goes out.
    pub head: Buf,
    /// Where the URI stands in it.
    pub uri: Range<usize>,
    /// Bytes of early hints so far.
    pub hints: u64,
    /// How many interim responses the attempt has had.
    pub interims: usize,
    new_pass: bool,
}

/// Where a request keeps them.
pub static STATES: State<Attempts> = State::kept(Attempts::default);

impl Drop for Attempts {
    fn drop(&mut self) {
        if let Some(headers) = Rc::get_mut(&mut self.headers) {
            crate::spare::leave_headers(std::mem::take(headers));
        }
    }
}

impl Attempts {
    /// A pass begins: what it does is told apart from what an earlier one did.
    pub fn begin_pass(&mut self) {
        self.new_pass = true;
        self.headers = Rc::default();
        self.trailers.clear();
    }

    /// The URI as it is sent.
    fn uri(&self) -> &[u8] {
        self.head.get(self.uri.clone()).unwrap_or_default()
    }

    /// An attempt begins.
    pub fn begin(&mut self, asked: Asked) {
        self.interims = 0;
        let attempt = Attempt {
            asked,
            status: 0,
            started: clock::millis(),
            connect: None,
            header: None,
            response: None,
            received: 0,
            sent: 0,
            body: 0,
        };
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
