//! HTTP/2 for tests: frames, fields as literals, windows; none of it is the proxy's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use httlib_hpack::Decoder;
use weir_engine::event_loop::JoinHandle;
use weir_engine::sim::{self, Peer};
use weir_engine::{spawn, spawn_joined, timer};

use crate::message::{Reader, Stop, say};

/// Types of frames (RFC 9113 section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 section 7).
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const INTERNAL_ERROR: u32 = 2;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
}

/// Identifiers of settings (RFC 9113 section 6.5.2).
pub(crate) mod setting {
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const WINDOW: i64 = 65_535;
const LARGEST_FRAME: usize = 16_384;
const FRAME_HEAD: usize = 9;

pub(crate) type Fields = Vec<(String, String)>;

/// What came.
#[derive(Debug)]
pub(crate) enum Event {
    Head {
        stream: u32,
        fields: Fields,
        end: bool,
    },
    Data {
        stream: u32,
        bytes: Vec<u8>,
        end: bool,
    },
    Reset {
        stream: u32,
    },
    GoAway {
        last: u32,
    },
    /// Of no concern to requests.
    Other,
}

/// One end of a connection. Frames that are queued leave in order, by a task of their own.
#[derive(Clone)]
pub(crate) struct Link(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    out: Vec<u8>,
    writer: Option<Waker>,
    waiting: Vec<Waker>,
    /// The connection has ended, or ends when the output has been written.
    closed: bool,
    /// Nothing is sent any more, though the connection is open.
    frozen: bool,
    window: i64,
    initial: i64,
    windows: BTreeMap<u32, i64>,
    /// Streams that one of both has reset.
    reset: BTreeSet<u32>,
    reading: Option<JoinHandle<()>>,
}

/// How a side lets the other one send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refill {
    AtOnce,
    /// After this time.
    Late(Duration),
    Never,
}

impl Link {
    /// Starts the task that writes, at most `size` bytes at a time with a pause.
    pub(crate) fn start(peer: &Rc<Peer>, pace: Option<(usize, Duration)>) -> Self {
        let state = State { window: WINDOW, initial: WINDOW, ..State::default() };
        let link = Self(Rc::new(RefCell::new(state)));
        spawn(link.clone().write(Rc::clone(peer), pace));
        link
    }

    async fn write(self, peer: Rc<Peer>, pace: Option<(usize, Duration)>) {
        loop {
            let bytes = poll_fn(|cx| {
                let mut state = self.0.borrow_mut();
                if state.out.is_empty() && !state.closed {
                    state.writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(std::mem::take(&mut state.out))
            })
            .await;
            if bytes.is_empty() {
                peer.finish();
                return;
            }
            let (size, pause) = pace.unwrap_or((bytes.len(), Duration::ZERO));
            for part in bytes.chunks(size) {
                if !say(&peer, part).await {
                    return self.close();
                }
                if !pause.is_zero() {
                    timer::sleep(pause).await;
                }
            }
        }
    }

    /// Ends the connection behind what is queued.
    pub(crate) fn close(&self) {
        let mut state = self.0.borrow_mut();
        state.closed = true;
        state.wake();
    }

    /// Ends the connection at once, with the task that reads.
    pub(crate) fn kill(&self) {
        let mut state = self.0.borrow_mut();
        (state.closed, state.out) = (true, Vec::new());
        if let Some(reading) = state.reading.take() {
            reading.abort();
        }
        state.wake();
    }

    /// Sends nothing any more.
    pub(crate) fn freeze(&self) {
        self.0.borrow_mut().frozen = true;
    }

    /// Whether one of both sides has reset a stream.
    pub(crate) fn is_reset(&self, stream: u32) -> bool {
        self.0.borrow().reset.contains(&stream)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    /// Notes the task that reads, which [`Link::kill`] ends.
    pub(crate) fn read_by(&self, reading: JoinHandle<()>) {
        self.0.borrow_mut().reading = Some(reading);
    }

    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        if !state.frozen && !state.closed {
            state.out.extend_from_slice(bytes);
            state.writer.take().into_iter().for_each(Waker::wake);
        }
    }

    fn frame(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.raw(&bytes);
    }

    pub(crate) fn settings(&self, pairs: &[(u16, u32)]) {
        let pair =
            |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        self.frame(kind::SETTINGS, 0, 0, &pairs.iter().flat_map(pair).collect::<Vec<_>>());
    }

    pub(crate) fn window(&self, stream: u32, increment: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
    }

    pub(crate) fn reset(&self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
        let mut state = self.0.borrow_mut();
        state.reset.insert(stream);
        state.wake();
    }

    pub(crate) fn go_away(&self, last: u32, code: u32) {
        self.frame(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    }

    /// Sends fields, perhaps in several frames.
    pub(crate) fn head(&self, stream: u32, fields: &[(&str, &str)], end: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                assert!(text.len() < 127, "a short field");
                block.push(text.len() as u8);
                block.extend_from_slice(text.as_bytes());
            }
        }
        let cut = match sim::draw(|random| random.u8(..6)) {
            0 => sim::draw(|random| random.usize(..block.len())),
            _ => block.len(),
        };
        let (first, rest) = block.split_at(cut);
        let ends = if end { END_STREAM } else { 0 };
        let whole = if rest.is_empty() { END_HEADERS } else { 0 };
        self.frame(kind::HEADERS, ends | whole, stream, first);
        if !rest.is_empty() {
            self.frame(kind::CONTINUATION, END_HEADERS, stream, rest);
        }
    }

    /// Sends the content of a body as the windows allow; false if it can not be sent any more.
    pub(crate) async fn body(&self, stream: u32, mut rest: &[u8], end: bool) -> bool {
        while !rest.is_empty() {
            let Some(room) = poll_fn(|cx| self.poll_room(cx, stream)).await else { return false };
            let most = room.min(rest.len()).min(LARGEST_FRAME);
            let size = sim::draw(|random| random.usize(1..=most));
            let (piece, left) = rest.split_at(size);
            rest = left;
            let ends = if end && rest.is_empty() { END_STREAM } else { 0 };
            self.frame(kind::DATA, ends, stream, piece);
            let mut state = self.0.borrow_mut();
            let (size, initial) = (size as i64, state.initial);
            state.window -= size;
            *state.windows.entry(stream).or_insert(initial) -= size;
        }
        true
    }

    /// Ends a stream with an empty DATA frame.
    pub(crate) fn end(&self, stream: u32) {
        self.frame(kind::DATA, END_STREAM, stream, &[]);
    }

    /// The bytes that a stream may send; None if it has ended.
    fn poll_room(&self, cx: &mut Context<'_>, stream: u32) -> Poll<Option<usize>> {
        let mut state = self.0.borrow_mut();
        if state.closed || state.reset.contains(&stream) {
            return Poll::Ready(None);
        }
        let own = state.windows.get(&stream).copied().unwrap_or(state.initial);
        match usize::try_from(own.min(state.window)) {
            Ok(room @ 1..) => Poll::Ready(Some(room)),
            _ => {
                state.waiting.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for the task to be woken by a change of the connection.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        self.0.borrow_mut().waiting.push(cx.waker().clone());
    }

    /// Wakes all that wait.
    pub(crate) fn wake(&self) {
        self.0.borrow_mut().wake();
    }

    /// Lets the other side send as much as it has sent.
    fn refill(&self, stream: u32, length: usize, end: bool, refill: Refill) {
        let give = move |link: &Self| {
            link.window(0, length as u32);
            if !end {
                link.window(stream, length as u32);
            }
        };
        match refill {
            _ if length == 0 => {}
            Refill::AtOnce => give(self),
            Refill::Late(pause) => {
                let link = self.clone();
                spawn(async move {
                    timer::sleep(pause).await;
                    give(&link);
                });
            }
            Refill::Never => {}
        }
    }
}

impl State {
    fn wake(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// What comes on a connection.
pub(crate) struct Input {
    reader: Reader,
    decoder: Decoder<'static>,
    link: Link,
    refill: Refill,
}

impl Input {
    pub(crate) fn new(reader: Reader, link: &Link, refill: Refill) -> Self {
        Self { reader, decoder: Decoder::default(), link: link.clone(), refill }
    }

    /// Takes so many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Result<Vec<u8>, Stop> {
        while self.reader.buffered.len() < count {
            self.reader.fill().await?;
        }
        Ok(self.reader.buffered.drain(..count).collect())
    }

    /// The next event. Settings, pings and windows have been attended to.
    pub(crate) async fn event(&mut self) -> Result<Event, Stop> {
        let (kind, flags, stream, payload) = self.frame().await?;
        let number = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        let end = flags & END_STREAM != 0;
        let (is_ack, link) = (flags & ACK != 0, &self.link);
        Ok(match kind {
            kind::HEADERS => return self.block(stream, flags, payload).await,
            kind::DATA => {
                link.refill(stream, payload.len(), end, self.refill);
                Event::Data { stream, bytes: payload, end }
            }
            kind::RST_STREAM => {
                let mut state = link.0.borrow_mut();
                state.reset.insert(stream);
                state.wake();
                Event::Reset { stream }
            }
            kind::SETTINGS if !is_ack => {
                self.take_settings(&payload);
                Event::Other
            }
            kind::PING if !is_ack => {
                link.frame(kind::PING, ACK, 0, &payload);
                Event::Other
            }
            kind::GOAWAY => Event::GoAway { last: number(0) },
            kind::WINDOW_UPDATE => {
                let mut state = link.0.borrow_mut();
                let (increment, initial) = (i64::from(number(0)), state.initial);
                match stream {
                    0 => state.window += increment,
                    _ => *state.windows.entry(stream).or_insert(initial) += increment,
                }
                state.wake();
                Event::Other
            }
            kind::SETTINGS | kind::PING => Event::Other,
            _ => return Err(Stop::Nonsense),
        })
    }

    async fn frame(&mut self) -> Result<(u8, u8, u32, Vec<u8>), Stop> {
        let head = self.take(FRAME_HEAD).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if length > LARGEST_FRAME {
            return Err(Stop::Nonsense);
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.take(length).await?;
        Ok((head[3], head[4], stream, payload))
    }

    /// Reads a head to its end.
    async fn block(&mut self, stream: u32, flags: u8, mut block: Vec<u8>) -> Result<Event, Stop> {
        let (end, mut is_whole) = (flags & END_STREAM != 0, flags & END_HEADERS != 0);
        while !is_whole {
            let (kind, flags, other, payload) = self.frame().await?;
            if (kind, other) != (kind::CONTINUATION, stream) {
                return Err(Stop::Nonsense);
            }
            block.extend(payload);
            is_whole = flags & END_HEADERS != 0;
        }
        let mut fields = Vec::new();
        self.decoder.decode(&mut block, &mut fields).map_err(|_| Stop::Nonsense)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let fields = fields.into_iter().map(|(name, value, _)| (text(name), text(value))).collect();
        Ok(Event::Head { stream, fields, end })
    }

    fn take_settings(&self, payload: &[u8]) {
        let mut state = self.link.0.borrow_mut();
        for pair in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([pair[0], pair[1]]);
            let value = i64::from(u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]));
            if id == setting::INITIAL_WINDOW_SIZE {
                let change = value - state.initial;
                state.initial = value;
                state.windows.values_mut().for_each(|window| *window += change);
            }
        }
        state.wake();
        drop(state);
        self.link.frame(kind::SETTINGS, ACK, 0, &[]);
    }
}

/// Runs the task that reads, so that [`Link::kill`] ends it.
pub(crate) fn read(link: &Link, reading: impl Future<Output = ()> + 'static) {
    let handle = spawn_joined(reading);
    link.read_by(handle);
}
