//! What waits to be sent to a partner: a queue with a limit for each class, from which frames
//! leave in turn. So a large configuration delays no counter by more than two frames.

use std::collections::VecDeque;
use std::fmt;

use super::frame::{self, Class, Kind, LARGEST};
use super::message::place;

/// The most messages that wait in one queue.
const MOST_MESSAGES: usize = 4096;

/// The most bytes that wait in the queue of a class. One message may wait in any case, so the
/// largest one fits.
const fn most_bytes(class: Class) -> usize {
    match class {
        Class::Config => 64 * 1024 * 1024,
        Class::State => 8 * 1024 * 1024,
        Class::Counters => 256 * 1024,
    }
}

/// Why a message was not taken. The sender keeps it, or leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no link to the node.
    NotConnected,
    /// The queue of the class is full: the partner takes less than it is sent.
    Full,
    /// No message of the class may be so large.
    TooLarge,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "there is no link to the node",
            Self::Full => "the node does not take messages as fast as they are sent",
            Self::TooLarge => "the message is too large",
        })
    }
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// The bytes of the first message that have left.
    sent: usize,
    bytes: usize,
}

/// The queues to one partner.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Frames that go before all others: status, the end.
    first: Vec<u8>,
    queues: [Queue; Class::ALL.len()],
    /// The class whose turn is next.
    turn: usize,
}

impl Outbound {
    /// Adds a frame that goes before all messages. The caller limits their number.
    pub(super) fn push_first(&mut self, kind: Kind, content: &[u8]) {
        frame::put(&mut self.first, kind, false, &content[..content.len().min(LARGEST)]);
    }

    /// Whether a frame of [`Self::push_first`] waits.
    pub(super) fn has_first(&self) -> bool {
        !self.first.is_empty()
    }

    /// Adds a message.
    ///
    /// # Errors
    /// The queue is full, or the message too large.
    pub(super) fn push(&mut self, class: Class, message: Vec<u8>) -> Result<(), SendError> {
        if message.len() > class.largest() {
            return Err(SendError::TooLarge);
        }
        let queue = &mut self.queues[place(class)];
        let is_full = queue.bytes + message.len() > most_bytes(class);
        if !queue.messages.is_empty() && (is_full || queue.messages.len() >= MOST_MESSAGES) {
            return Err(SendError::Full);
        }
        queue.bytes += message.len();
        queue.messages.push_back(message);
        Ok(())
    }

    /// The bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.first.len() + self.queues.iter().map(|queue| queue.bytes).sum::<usize>()
    }

    /// Appends the next frame, if one waits.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if self.has_first() {
            out.append(&mut self.first);
            return true;
        }
        for step in 0..self.queues.len() {
            let at = (self.turn + step) % self.queues.len();
            let class = Class::ALL[at];
            debug_assert_eq!(place(class), at);
            if self.queues[at].next(class, out) {
                self.turn = (at + 1) % self.queues.len();
                return true;
            }
        }
        false
    }
}

impl Queue {
    fn next(&mut self, class: Class, out: &mut Vec<u8>) -> bool {
        let Some(message) = self.messages.front() else { return false };
        let rest = &message[self.sent..];
        let piece = &rest[..rest.len().min(LARGEST)];
        let more = piece.len() < rest.len();
        frame::put(out, Kind::Message(class), more, piece);
        self.sent += piece.len();
        self.bytes -= piece.len();
        if !more {
            self.sent = 0;
            self.messages.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::frame::Decoder;
    use crate::link::message::{Assembler, Received};

    fn drain(outbound: &mut Outbound) -> Vec<Received> {
        let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
        let mut got = Vec::new();
        while outbound.next(decoder.room()) {
            while let Some(frame) = decoder.take().unwrap() {
                got.extend(assembler.add(&frame).unwrap());
            }
        }
        got
    }

    #[test]
    fn small_messages_pass_a_large_one() {
        let mut outbound = Outbound::default();
        let large = vec![7; 10 * LARGEST + 1];
        outbound.push(Class::Config, large.clone()).unwrap();
        outbound.push(Class::State, b"state".to_vec()).unwrap();
        outbound.push(Class::Counters, b"one".to_vec()).unwrap();
        outbound.push(Class::Counters, b"two".to_vec()).unwrap();
        outbound.push_first(Kind::Status, b"alive");
        assert_eq!(outbound.waiting(), large.len() + 11 + 9);
        let message = |class, text: &[u8]| Received::Message(class, text.to_vec());
        assert_eq!(
            drain(&mut outbound),
            [
                Received::Status(b"alive".to_vec()),
                message(Class::Counters, b"one"),
                message(Class::State, b"state"),
                message(Class::Counters, b"two"),
                message(Class::Config, &large),
            ]
        );
        assert_eq!(outbound.waiting(), 0);
    }

    #[test]
    fn a_full_queue_takes_nothing_and_says_so() {
        let mut outbound = Outbound::default();
        let kilo = || vec![0; 1024];
        for _ in 0..256 {
            outbound.push(Class::Counters, kilo()).unwrap();
        }
        assert_eq!(outbound.push(Class::Counters, kilo()), Err(SendError::Full));
        assert_eq!(outbound.push(Class::State, kilo()), Ok(()), "each class has its own queue");
        let too_large = vec![0; Class::Counters.largest() + 1];
        assert_eq!(outbound.push(Class::Counters, too_large), Err(SendError::TooLarge));
        drain(&mut outbound);
        for _ in 0..MOST_MESSAGES {
            outbound.push(Class::State, Vec::new()).unwrap();
        }
        assert_eq!(outbound.push(Class::State, Vec::new()), Err(SendError::Full));
        assert_eq!(drain(&mut outbound).len(), MOST_MESSAGES);
        outbound.push(Class::Config, vec![0; Class::Config.largest()]).unwrap();
    }
}
