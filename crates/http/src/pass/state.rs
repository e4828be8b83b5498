//! The attempts at upstreams, with the figures behind `$upstream_*`.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use weir_engine::buffer::Buf;
use weir_engine::clock::{self, Instant, Micros};
use weir_upstream::{Answered, Causes, Exchanged, Group, Peer, Pick, Timings};
use weir_wire::header::Headers;

use super::destination::UrlParts;
use crate::cache::shown::CacheUse;

/// The party asked in an attempt. It becomes text only when needed.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// A peer.
    Peer(Arc<Peer>),
    /// A group without an available peer.
    Group(Arc<Group>),
}

impl Asked {
    /// The peer's address, or the group's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Peer(peer) => &peer.name,
            Self::Group(group) => group.name(),
        }
    }
}

/// One attempt. Times are in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The party asked.
    pub asked: Asked,
    /// The status, 0 while there is none.
    pub status: u16,
    /// The start.
    pub started: Instant,
    /// Whether a connection was opened for it.
    pub connects: bool,
    /// The time in the queue before it; `None` if it did not wait.
    pub queue: Option<Micros>,
    /// The time until the connection was made.
    pub connect: Option<Micros>,
    /// The time until the head was complete.
    pub header: Option<Micros>,
    /// The time until the last byte.
    pub response: Option<Micros>,
    /// Bytes received, including heads.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes of the body.
    pub body: u64,
}

/// The values of variables about a pass (`$proxy_host` and the like).
#[derive(Default)]
pub(crate) struct Shown {
    /// The destination.
    pub place: Option<Arc<UrlParts>>,
    /// Whether the body is chunked.
    pub chunked: bool,
    /// The length of the body as it is sent.
    pub body_length: Option<u64>,
}

/// All attempts of a request, across internal redirects.
#[derive(Default)]
pub(crate) struct Attempts {
    /// The prefix of addresses in the log.
    scheme: &'static str,
    /// The values of variables about the current pass.
    pub shown: Shown,
    /// The attempts in order. The flag marks the first attempt of another pass (an internal
    /// redirect), which variables separate with a colon instead of a comma.
    pub list: Vec<(bool, Attempt)>,
    /// The response's fields as received (`$upstream_http_*`).
    pub headers: Rc<Headers>,
    /// Its trailers.
    pub trailers: Headers,
    /// The head of the request as it is sent.
    pub head: Buf,
    /// The range of the URI in the head.
    pub uri: Range<usize>,
    /// Bytes of early hints so far.
    pub hints: u64,
    /// The number of interim responses in the current attempt.
    pub interims: usize,
    /// The use of the cache.
    pub cache: CacheUse,
    new_pass: bool,
}

impl Attempts {
    /// Resets everything, and keeps the memory.
    #[inline]
    pub(crate) fn reset(&mut self) {
        let Self {
            scheme,
            shown,
            list,
            headers,
            trailers,
            head,
            uri,
            hints,
            interims,
            cache,
            new_pass,
        } = self;
        *scheme = "";
        *shown = Shown::default();
        list.clear();
        clear(headers);
        trailers.clear();
        head.clear();
        *uri = 0..0;
        (*hints, *interims) = (0, 0);
        *new_pass = false;
        cache.reset();
    }

    /// Adds the attempts to the counters of their peers, before they are reset. Returns whether an
    /// exemplar is asked for.
    #[inline]
    pub(crate) fn count(&self) -> bool {
        let mut asked = false;
        for (_, attempt) in &self.list {
            if let Asked::Peer(peer) = &attempt.asked {
                let Attempt { status, connects, connect, header, response, .. } = *attempt;
                // A status without a head is not the peer's.
                let answered = |(header, time)| Answered { status, header, time };
                asked |= peer.count(Exchanged {
                    sent: attempt.sent,
                    received: attempt.received,
                    response: header.zip(response).map(answered),
                    connect: if connects { connect } else { None },
                });
            }
        }
        asked
    }

    /// Keeps the request with this id as an exemplar of the peers that have answered.
    pub(crate) fn keep_exemplars(&self, id: &str) {
        for (_, attempt) in &self.list {
            if let (Asked::Peer(peer), Some(_), Some(time)) =
                (&attempt.asked, attempt.header, attempt.response)
            {
                peer.keep_exemplar(id, time);
            }
        }
    }

    /// Begins a pass, which variables separate from earlier ones. `scheme` precedes addresses in
    /// the log.
    pub(crate) fn begin_pass(&mut self, scheme: &'static str) {
        self.scheme = scheme;
        let is_first = self.list.is_empty() && !self.new_pass;
        self.new_pass = true;
        if is_first {
            // A request begins without anything.
            return;
        }
        self.shown = Shown::default();
        self.cache.begin_pass();
        clear(&mut self.headers);
        self.trailers.clear();
    }

    /// The last upstream as logged: scheme, address, and the URI that was sent. None before the
    /// first.
    pub(crate) fn label(&self) -> Option<String> {
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

    /// The current attempt.
    pub(crate) fn current(&mut self) -> Option<&mut Attempt> {
        self.list.last_mut().map(|(_, attempt)| attempt)
    }

    /// Records the milliseconds in the queue before the attempt.
    pub(crate) fn queued(&mut self, millis: Option<u64>) {
        if let Some(attempt) = self.current() {
            attempt.queue = millis.map(Micros::of_millis);
        }
    }

    /// Records the connection; `kept` if it was there before.
    #[inline]
    pub(crate) fn connected(&mut self, kept: bool) {
        if let Some(attempt) = self.current() {
            attempt.connects = !kept;
            attempt.connect = Some(attempt.elapsed());
        }
    }

    /// Records the head.
    #[inline]
    pub(crate) fn headed(&mut self, status: u16) {
        if let Some(attempt) = self.current() {
            attempt.header = Some(attempt.elapsed());
            attempt.status = status;
        }
    }

    /// Records the end of the attempt.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if let Some(attempt) = self.current()
            && attempt.response.is_none()
        {
            attempt.response = Some(attempt.elapsed());
        }
    }

    /// Records the status of a failed attempt.
    pub(crate) fn set_status(&mut self, status: u16) {
        if let Some(attempt) = self.current()
            && attempt.status == 0
        {
            attempt.status = status;
        }
    }

    /// Counts the failure of the current attempt for its peer; `retried` if another one follows,
    /// `stale` if its kept connection turned out to be closed.
    #[cold]
    pub(crate) fn count_failure(&self, cause: Causes, stale: bool, retried: bool) {
        if let Some((_, Attempt { asked: Asked::Peer(peer), .. })) = self.list.last() {
            peer.count_failure(cause, stale, retried);
        }
    }

    /// The timings for balancing, if the group needs any.
    #[inline]
    pub(crate) fn timings(&mut self, pick: &Pick<'_>) -> Timings {
        if !pick.needs_timings() {
            return Timings::default();
        }
        let Some(attempt) = self.current() else { return Timings::default() };
        if attempt.header.is_none() {
            return Timings::default();
        }
        Timings {
            connect: attempt.connect.map(Micros::millis),
            header: attempt.header.map(Micros::millis),
            response: Some(attempt.response.unwrap_or_else(|| attempt.elapsed()).millis()),
        }
    }

    /// The URI as it is sent.
    fn uri(&self) -> &[u8] {
        self.head.get(self.uri.clone()).unwrap_or_default()
    }

    /// Begins an attempt.
    pub(crate) fn begin(&mut self, asked: Asked) {
        self.interims = 0;
        let attempt = Attempt {
            asked,
            status: 0,
            started: clock::now(),
            connects: false,
            queue: None,
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
    /// Counts for a request whose memory is not reused.
    fn drop(&mut self) {
        let _ = self.count();
    }
}

impl Attempt {
    /// The time since the attempt began.
    fn elapsed(&self) -> Micros {
        clock::now().micros_since(self.started)
    }
}

/// Clears fields in place, or replaces them if they are still shared.
fn clear(headers: &mut Rc<Headers>) {
    match Rc::get_mut(headers) {
        Some(headers) => headers.clear(),
        None => *headers = Rc::default(),
    }
}
