//! Input: from bytes to frames.

use super::{Connection, Event, Millis, Role};
use crate::h2::error::{ConnectionError, ErrorCode};
use crate::h2::frame::PREFACE;
use crate::h2::frame::{FrameHead, HEAD, flag, kind};
use crate::h2::limits;

/// What a connection expects.
///
/// ```text
///  server ─▶ Preface ─┐
///  client ────────────┴▶ Settings ─▶ Frames ─▶ Ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client's preface, of which so many bytes were received.
    Preface(u8),
    /// The first frame.
    Settings,
    /// Frames.
    Frames,
    /// Nothing: input is dropped.
    Ended,
}

impl Phase {
    pub(super) fn first(role: Role) -> Self {
        match role {
            Role::Server => Self::Preface(0),
            Role::Client => Self::Settings,
        }
    }
}

pub(super) type Outcome<'i> = Result<Option<Event<'i>>, ConnectionError>;

pub(super) const fn protocol_error(reason: &'static str) -> ConnectionError {
    ConnectionError { code: ErrorCode::PROTOCOL_ERROR, reason }
}

impl Connection {
    /// Processes the input up to the next event, and removes what it has used from its front. None:
    /// the input is used up (an incomplete frame is kept inside, but for DATA, which is handed out
    /// as it comes).
    ///
    /// # Errors
    /// The peer's fault ends the connection. The output then ends with a GOAWAY.
    pub fn receive<'i>(&mut self, input: &mut &'i [u8], now: Millis) -> Outcome<'i> {
        self.now = now;
        let result = self.advance(input);
        if let Err(error) = &result {
            self.abort(error.code);
        }
        if self.phase == Phase::Ended {
            *input = &[];
        }
        result
    }

    fn advance<'i>(&mut self, input: &mut &'i [u8]) -> Outcome<'i> {
        loop {
            match self.phase {
                Phase::Ended => return Ok(None),
                Phase::Preface(received) => {
                    if !self.preface(input, received)? {
                        return Ok(None);
                    }
                }
                Phase::Settings | Phase::Frames => {
                    if let Some(event) = self.next_unprocessed() {
                        return Ok(Some(event));
                    }
                    if self.body.is_under_way() {
                        if input.is_empty() {
                            return Ok(None);
                        }
                        if let Some(event) = self.body_piece(input) {
                            return Ok(Some(event));
                        }
                    } else if let Some(event) = self.next_frame(input)? {
                        return Ok(Some(event));
                    } else if input.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Compares the preface. False if it is incomplete.
    fn preface(&mut self, input: &mut &[u8], received: u8) -> Result<bool, ConnectionError> {
        let missing = &PREFACE[usize::from(received)..];
        let (now, rest) = input.split_at(input.len().min(missing.len()));
        if !missing.starts_with(now) {
            return Err(protocol_error("invalid connection preface"));
        }
        *input = rest;
        let whole = now.len() == missing.len();
        self.phase =
            if whole { Phase::Settings } else { Phase::Preface(received + now.len() as u8) };
        Ok(whole)
    }

    /// Processes a frame if it is complete, else holds what there is.
    fn next_frame<'i>(&mut self, input: &mut &'i [u8]) -> Outcome<'i> {
        if !self.held.is_empty() {
            return self.next_held_frame(input);
        }
        let Some((head, payload)) = input.split_first_chunk::<HEAD>() else {
            self.held.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        };
        let head = FrameHead::parse(head);
        self.check_head(head)?;
        let needed = prefix(head);
        if payload.len() < needed {
            self.held.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        }
        let (payload, rest) = payload.split_at(needed);
        *input = rest;
        self.frame(head, payload)
    }

    /// As [`Self::next_frame`], for a frame whose start is held.
    fn next_held_frame<'i>(&mut self, input: &mut &'i [u8]) -> Outcome<'i> {
        if self.held.len() < HEAD && !top_up(&mut self.held, HEAD, input) {
            return Ok(None);
        }
        let Some(&head) = self.held.first_chunk::<HEAD>() else { return Ok(None) };
        let head = FrameHead::parse(&head);
        self.check_head(head)?;
        if !top_up(&mut self.held, HEAD + prefix(head), input) {
            return Ok(None);
        }
        let mut held = std::mem::take(&mut self.held);
        let result = self.frame(head, &held[HEAD..]);
        held.clear();
        self.held = held;
        result
    }

    /// What can be told before the payload is there. May be asked more than once.
    fn check_head(&self, head: FrameHead) -> Result<(), ConnectionError> {
        if head.length > self.config.max_frame {
            return Err(TOO_LARGE);
        }
        // Servers are not so strict, as nginx: clients that begin otherwise work with it.
        let strict = self.config.role == Role::Client;
        let is_settings = head.kind == kind::SETTINGS && !head.has(flag::ACK);
        if self.phase == Phase::Settings && strict && !is_settings {
            return Err(protocol_error("the first frame is not SETTINGS"));
        }
        if head.kind == kind::PUSH_PROMISE {
            return Err(protocol_error("PUSH_PROMISE is not allowed"));
        }
        if self.block.is_under_way() {
            let continues = head.kind == kind::CONTINUATION && head.stream == self.block.stream();
            if !continues {
                return Err(protocol_error("a header block is interrupted"));
            }
        }
        let limit = match head.kind {
            kind::HEADERS | kind::CONTINUATION => self.block_limit(),
            kind::DATA => u32::MAX,
            _ if head.kind > kind::CONTINUATION && head.kind != kind::PRIORITY_UPDATE => u32::MAX,
            _ => limits::CONTROL_FRAME,
        };
        if head.length > limit { Err(TOO_MUCH) } else { Ok(()) }
    }

    /// Processes a frame, of whose payload as much as [`prefix`] says is there.
    #[inline]
    fn frame<'i>(&mut self, head: FrameHead, payload: &[u8]) -> Outcome<'i> {
        match head.kind {
            kind::DATA => self.data(head, payload),
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            kind::RST_STREAM => self.reset_by_peer(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.ping_received(head, payload),
            kind::GOAWAY => self.go_away_received(head, payload),
            kind::PRIORITY => self.old_priority(head, payload),
            kind::PRIORITY_UPDATE => self.priority_update(head, payload),
            _ => {
                self.spend(limits::cost::FRAME)?;
                self.body.skip(head.length);
                Ok(None)
            }
        }
    }

    /// Takes from the budget for frames without use.
    #[inline]
    pub(super) fn spend(&mut self, cost: u32) -> Result<(), ConnectionError> {
        if self.overhead.spend(cost, self.now) { Ok(()) } else { Err(FLOOD) }
    }
}

/// How many bytes of the payload must be there for the frame to be processed.
#[inline]
fn prefix(head: FrameHead) -> usize {
    match head.kind {
        kind::DATA => usize::from(head.has(flag::PADDED) && head.length > 0),
        kind::PRIORITY_UPDATE => head.length as usize,
        _ if head.kind > kind::CONTINUATION => 0,
        _ => head.length as usize,
    }
}

/// Moves input behind held bytes until they have this length. False if it does not suffice.
fn top_up(held: &mut Vec<u8>, length: usize, input: &mut &[u8]) -> bool {
    let missing = length.saturating_sub(held.len());
    let (now, rest) = input.split_at(input.len().min(missing));
    held.extend_from_slice(now);
    *input = rest;
    held.len() >= length
}

const TOO_LARGE: ConnectionError =
    ConnectionError { code: ErrorCode::FRAME_SIZE_ERROR, reason: "a frame exceeds MAX_FRAME_SIZE" };

const TOO_MUCH: ConnectionError = ConnectionError {
    code: ErrorCode::ENHANCE_YOUR_CALM,
    reason: "a head or a control frame is too large",
};

const FLOOD: ConnectionError =
    ConnectionError { code: ErrorCode::ENHANCE_YOUR_CALM, reason: "too many frames without use" };
