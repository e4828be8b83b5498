//! What happened at each upstream that was asked: the figures behind `$upstream_*`.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use weir_engine::buffer::Buf;
use weir_upstream::{Exchanged, Group, Peer, Timings};
use weir_wire::header::Headers;

use super::clock;
use super::target::Place;

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

/// What variables tell about a pass (`$proxy_host` and its like).
#[derive(Default)]
pub struct Shown {
    /// Where to.
    pub place: Option<Arc<Place>>,
    /// Whether the body goes out in chunks.
    pub chunked: bool,
    /// How long the body is as it goes out.
    pub body_length: Option<u64>,
}

/// All attempts of a request, over internal redirects.
#[derive(Default)]
pub struct Attempts {
    /// What stands before an address in the log.
    scheme: &'static str,
    /// What variables tell about the pass under way.
    pub shown: Shown,
    /// In order. The flag says that an attempt was the first of another pass (an internal
    /// redirect), which the variables show by a colon instead of a comma.
    pub list: Vec<(bool, Attempt)>,
    /// The response's fields as the upstream sent them (`$upstream_http_*`).
    pub headers: Rc<Headers>,
    /// Its trailers.
    pub trailers: Headers,
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

impl Attempts {
    /// Forgets everything and keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.count();
        let Self { scheme, shown, list, headers, trailers, head, uri, hints, interims, new_pass } =
            self;
        *scheme = "";
        *shown = Shown::default();
        list.clear();
        clear(headers);
        trailers.clear();
        head.clear();
        *uri = 0..0;
        (*hints, *interims) = (0, 0);
        *new_pass = false;
    }

    /// Tells the peers what their attempts have come to.
    fn count(&self) {
        for (_, attempt) in &self.list {
            if let Asked::Peer(peer) = &attempt.asked {
                // A status without a head is ours.
                let response = attempt.header.and(attempt.response);
                let response = response.map(|time| (attempt.status, time));
                let (sent, received) = (attempt.sent, attempt.received);
                peer.count(Exchanged { sent, received, response });
            }
        }
    }

    /// A pass begins: what it does is told apart from what an earlier one did. `scheme` stands
    /// before addresses in the log.
    pub fn begin_pass(&mut self, scheme: &'static str) {
        self.scheme = scheme;
        self.shown = Shown::default();
        self.new_pass = true;
        clear(&mut self.headers);
        self.trailers.clear();
    }

    /// How the log calls the upstream that was asked last: scheme, address, and the URI that was
    /// sent. None before the first.
    pub fn label(&self) -> Option<String> {
        let (_, last) = self.list.last()?;
        let between = match &last.asked {
            Asked::Peer(peer) if peer.address.is_unix() => ":",
            _ => "",
        };
        let uri = weir_wire::shown(self.uri());
        Some(format!("{}{}{between}{uri}", self.scheme, last.asked.name()))
    }

    /// The fields of the response, to be filled in.
    pub(super) fn headers_to_fill(&mut self) -> &mut Headers {
        Rc::make_mut(&mut self.headers)
    }

    /// The attempt under way.
    pub fn current(&mut self) -> Option<&mut Attempt> {
        self.list.last_mut().map(|(_, attempt)| attempt)
    }

    /// The connection is there.
    pub fn connected(&mut self) {
        if let Some(attempt) = self.current() {
            attempt.connect = Some(attempt.elapsed());
        }
    }

    /// The head is there.
    pub fn headed(&mut self, status: u16) {
        if let Some(attempt) = self.current() {
            attempt.header = Some(attempt.elapsed());
            attempt.status = status;
        }
    }

    /// The attempt has ended.
    pub fn finish(&mut self) {
        if let Some(attempt) = self.current()
            && attempt.response.is_none()
        {
            attempt.response = Some(attempt.elapsed());
        }
    }

    /// The attempt failed with this status.
    pub fn set_status(&mut self, status: u16) {
        if let Some(attempt) = self.current()
            && attempt.status == 0
        {
            attempt.status = status;
        }
    }

    /// What balancing wants to know.
    pub fn timings(&mut self) -> Timings {
        let Some(attempt) = self.current() else { return Timings::default() };
        if attempt.header.is_none() {
            return Timings::default();
        }
        Timings {
            connect: attempt.connect,
            header: attempt.header,
            response: Some(attempt.response.unwrap_or_else(|| attempt.elapsed())),
        }
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

impl Drop for Attempts {
    /// Of a request whose memory is not used again.
    fn drop(&mut self) {
        self.count();
    }
}

impl Attempt {
    /// Milliseconds since the attempt began.
    fn elapsed(&self) -> u64 {
        clock::millis().saturating_sub(self.started)
    }
}

/// Empties fields, in their own memory unless somebody else still reads them.
fn clear(headers: &mut Rc<Headers>) {
    match Rc::get_mut(headers) {
        Some(headers) => headers.clear(),
        None => *headers = Rc::default(),
    }
}
