//! One link: the exchange of hellos, and then frames in both directions until it ends.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;

use weir_engine::clock::{self, Instant};
use weir_engine::{Conn, Deadline, spawn};

use super::frame::{self, Decoder, FrameError, HEAD, Kind, LARGEST};
use super::hello::{Hello, Mismatch};
use super::hub::Hub;
use super::message::{Assembler, Received};
use super::pace::Pace;
use super::status::Status;

/// The interval of status frames.
pub const BEAT: Duration = Duration::from_secs(1);

/// A partner from which nothing has come for this time is disconnected, and so is one that takes
/// nothing for this time.
pub const SILENCE: Duration = Duration::from_secs(3);

/// The most bytes of one receive: a frame and its head.
const RECEIVE: usize = HEAD + LARGEST;

/// The time in which a partner that was told farewell should close the connection.
const LINGER: Duration = Duration::from_secs(1);

/// The receives in one turn of the loop, so that a partner that floods holds up no other task.
const RECEIVES_PER_TURN: usize = 8;

/// The reason in a farewell: the partner keeps another link to this node.
const CROSSING: &[u8] = b"another link is kept";
/// The reason in a farewell: a newer process of the partner's own node has taken over.
pub(super) const REPLACED: &[u8] = b"a newer process of this node has the link";

/// The reason in a farewell: the node has been forgotten, or has another certificate or address.
const GONE: &[u8] = b"the settings of the link have changed";

/// Why a link ended, or none came about.
#[derive(Debug)]
pub(super) enum End {
    /// A call failed, or the partner closed the connection.
    Io(io::Error),
    /// Nothing has come for too long.
    Silent,
    /// The partner has taken nothing for too long.
    Stuck,
    /// The partner sends what it must not.
    Frame(FrameError),
    /// A frame that does not belong there.
    Unexpected,
    /// The partner does not fit.
    Mismatch(Mismatch),
    /// The partner says farewell, with this reason.
    Bye(String),
    /// Another link to the partner has taken its place.
    Replaced,
    /// The partner's own newer process has taken its place.
    Newer,
    /// The partner has been forgotten, or its settings have changed.
    Gone,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it closed the connection")
            }
            Self::Io(error) => write!(f, "{error}"),
            Self::Silent => write!(f, "nothing has come from it for {} s", SILENCE.as_secs()),
            Self::Stuck => write!(f, "it has taken nothing for {} s", SILENCE.as_secs()),
            Self::Frame(error) => write!(f, "it has sent {error}"),
            Self::Unexpected => f.write_str("it has sent a frame out of turn"),
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::Bye(reason) => write!(f, "it said farewell: {reason}"),
            Self::Replaced => f.write_str("another link has taken its place"),
            Self::Gone => f.write_str("the settings of the link have changed"),
            Self::Newer => f.write_str("a newer process has the link"),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection on which both sides have introduced themselves.
pub(super) struct Greeted {
    pub(super) conn: Conn,
    decoder: Decoder,
    pub(super) hello: Hello,
    pub(super) version: u16,
}

/// Exchanges hellos. Both sides send theirs first, so that both can tell a mismatch.
///
/// # Errors
/// There is no link, for this reason.
pub(super) async fn greet(mut conn: Conn, own: &Hello, pinned: &str) -> Result<Greeted, End> {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, Kind::Hello, false, &own.encode());
    conn.send_all(&[&bytes], SILENCE).await?;
    let mut decoder = Decoder::default();
    let content = loop {
        match decoder.take().map_err(End::Frame)? {
            Some(frame) if frame.kind == Kind::Hello => break frame.content.to_vec(),
            Some(frame) if frame.kind == Kind::Bye => return Err(bye(frame.content)),
            Some(_) => return Err(End::Unexpected),
            None => {}
        }
        if conn.recv(decoder.room(), RECEIVE, SILENCE).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    let (hello, version) = own.judge(&content, pinned).map_err(End::Mismatch)?;
    Ok(Greeted { conn, decoder, hello, version })
}

/// Says farewell, if the socket takes it at once, and closes the connection when the partner has,
/// or soon: a connection that is closed with unread data is reset, and the farewell with it.
pub(super) fn farewell(mut conn: Conn, reason: &[u8]) {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, Kind::Bye, false, reason);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let _ = conn.poll_send(&mut cx, &[IoSlice::new(&bytes)]);
    spawn(async move {
        let until = clock::precise() + LINGER;
        let mut unread = Vec::new();
        while clock::precise() < until
            && matches!(conn.recv(&mut unread, RECEIVE, LINGER).await, Ok(1..))
        {
            unread.clear();
        }
        conn.close();
    });
}

/// The reason in a farewell on a link that [`Hub::admit`] has not taken.
pub(super) fn why_not(hub: &Hub, node: &str) -> &'static [u8] {
    if hub.knows(node) { CROSSING } else { GONE }
}

fn bye(reason: &[u8]) -> End {
    match reason {
        CROSSING => End::Replaced,
        REPLACED => End::Newer,
        other => {
            let text = String::from_utf8_lossy(&other[..other.len().min(200)]);
            End::Bye(text.replace(char::is_control, " "))
        }
    }
}

/// A link that is up.
struct Session<'a> {
    hub: &'a Hub,
    node: &'a str,
    conn: Conn,
    decoder: Decoder,
    assembler: Assembler,
    pace: Pace,
    /// Frames on their way into the socket, from `sent` on.
    leaving: Vec<u8>,
    sent: usize,
    /// The last time at which the partner took something, or had nothing to take.
    taken: Instant,
    /// The last time at which something came.
    heard: Instant,
    /// The next status.
    beat: Deadline,
    /// The end of a pause in receiving.
    pause: Deadline,
}

/// Runs a link until it ends. `number` is what [`Hub::admit`] returned.
pub(super) async fn run(
    hub: &Hub,
    node: &str,
    number: u64,
    greeted: Greeted,
    status: &dyn Fn() -> Status,
) -> End {
    let Greeted { conn, decoder, hello, .. } = greeted;
    let now = clock::precise();
    let mut session = Session {
        hub,
        node,
        conn,
        decoder,
        assembler: Assembler::default(),
        pace: Pace::of_frames(),
        leaving: Vec::new(),
        sent: 0,
        taken: now,
        heard: now,
        beat: Deadline::new(),
        pause: Deadline::new(),
    };
    session.beat.set(now);
    let end = poll_fn(|cx| session.poll(cx, number, status)).await;
    if !hub.is_current(node, number) {
        let (reason, end) = match hub.instance(node) {
            None => (GONE, End::Gone),
            Some(instance) if instance == hello.instance => (CROSSING, End::Replaced),
            Some(_) => (REPLACED, End::Replaced),
        };
        farewell(session.conn, reason);
        return end;
    }
    session.conn.close();
    end
}

impl Session<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        number: u64,
        status: &dyn Fn() -> Status,
    ) -> Poll<End> {
        if !self.hub.is_current(self.node, number) {
            return Poll::Ready(End::Replaced);
        }
        if let Poll::Ready(end) = self.poll_beat(cx, status) {
            return Poll::Ready(end);
        }
        if let Err(end) = self.send(cx) {
            // The partner may have said why it takes nothing more.
            return Poll::Ready(match self.receive(cx) {
                Err(said @ (End::Bye(_) | End::Replaced | End::Newer)) => said,
                _ => end,
            });
        }
        match self.receive(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Queues the status when it is due, and looks whether the partner is alive.
    fn poll_beat(&mut self, cx: &mut Context<'_>, status: &dyn Fn() -> Status) -> Poll<End> {
        while self.beat.poll(cx).is_ready() {
            let now = clock::precise();
            self.beat.set(now + BEAT);
            if now - self.heard >= SILENCE {
                return Poll::Ready(End::Silent);
            }
            if now - self.taken >= SILENCE {
                return Poll::Ready(End::Stuck);
            }
            self.hub.send_first(self.node, Kind::Status, &status().encode());
        }
        Poll::Pending
    }

    /// Sends what waits, as far as the socket takes it. Only whole batches count as taken: a
    /// partner that takes a byte now and then is stuck as well.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            if self.sent == self.leaving.len() {
                self.leaving.clear();
                self.sent = 0;
                match self.conn.poll_flush(cx) {
                    Poll::Ready(done) => done?,
                    Poll::Pending => return Ok(()),
                }
                self.taken = clock::now();
                if !self.hub.next_frame(self.node, cx, &mut self.leaving) {
                    return Ok(());
                }
            }
            match self.conn.poll_send(cx, &[IoSlice::new(&self.leaving[self.sent..])]) {
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(done) => self.sent += done?,
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Receives what has come, at the partner's pace and no faster than the mirror takes it.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        for _ in 0..RECEIVES_PER_TURN {
            if !self.take_frames(cx)? {
                return Ok(());
            }
            match self.conn.poll_recv(cx, self.decoder.room(), RECEIVE) {
                Poll::Ready(Ok(0)) => {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Ready(Ok(_)) => self.heard = clock::now(),
                Poll::Pending => return Ok(()),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Handles whole frames; `false` if receiving has to pause. The partner is not blamed for a
    /// silence in a pause.
    fn take_frames(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        loop {
            let now = clock::precise();
            if self.hub.poll_room(cx).is_pending() {
                self.heard = now;
                return Ok(false);
            }
            if let Some(wait) = self.pace.wait(now - Instant::default()) {
                self.heard = now;
                self.pause.set(now + wait);
                if self.pause.poll(cx).is_pending() {
                    return Ok(false);
                }
                continue;
            }
            let Some(frame) = self.decoder.take().map_err(End::Frame)? else { return Ok(true) };
            self.pace.count(now - Instant::default());
            let Some(received) = self.assembler.add(&frame).map_err(End::Frame)? else { continue };
            match received {
                Received::Message(class, message) => self.hub.received(self.node, class, message),
                Received::Status(bytes) => {
                    let status = Status::decode(&bytes).ok_or(End::Unexpected)?;
                    self.hub.note_status(self.node, status);
                }
                Received::Bye(reason) => return Err(bye(&reason)),
                Received::Hello(_) | Received::Other => return Err(End::Unexpected),
            }
        }
    }
}

#[cfg(test)]
mod tests;
