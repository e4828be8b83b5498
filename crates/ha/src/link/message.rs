//! Messages, put together from frames.

use super::frame::{Class, Frame, FrameError, Kind};

/// What a partner sent, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A hello.
    Hello(Vec<u8>),
    /// The end, with its reason.
    Bye(Vec<u8>),
    /// The status.
    Status(Vec<u8>),
    /// A message.
    Message(Class, Vec<u8>),
    /// What belongs to no link.
    Other,
}

/// The beginnings of messages, one for each class.
#[derive(Debug, Default)]
pub struct Assembler {
    begun: [Vec<u8>; Class::ALL.len()],
}

impl Assembler {
    /// Adds a frame; returns the message that it completes.
    ///
    /// # Errors
    /// The message is longer than its class allows, or of a kind that is never divided.
    pub fn add(&mut self, frame: &Frame<'_>) -> Result<Option<Received>, FrameError> {
        let content = frame.content;
        let class = match frame.kind {
            Kind::Message(class) => class,
            _ if frame.more => return Err(FrameError::Message(super::frame::LARGEST)),
            Kind::Hello => return Ok(Some(Received::Hello(content.to_vec()))),
            Kind::Bye => return Ok(Some(Received::Bye(content.to_vec()))),
            Kind::Wish | Kind::Answer => return Ok(Some(Received::Other)),
            Kind::Status => return Ok(Some(Received::Status(content.to_vec()))),
        };
        let begun = &mut self.begun[place(class)];
        if begun.len() + content.len() > class.largest() {
            return Err(FrameError::Message(class.largest()));
        }
        begun.extend_from_slice(content);
        let done = (!frame.more).then(|| std::mem::take(begun));
        Ok(done.map(|message| Received::Message(class, message)))
    }
}

/// The place of a class among the queues.
pub(super) fn place(class: Class) -> usize {
    match class {
        Class::Counters => 0,
        Class::State => 1,
        Class::Config => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::frame::LARGEST;

    fn frame(kind: Kind, more: bool, content: &[u8]) -> Frame<'_> {
        Frame { kind, more, content }
    }

    #[test]
    fn messages_of_several_classes_grow_side_by_side() {
        let mut assembler = Assembler::default();
        let (config, state) = (Kind::Message(Class::Config), Kind::Message(Class::State));
        assert_eq!(assembler.add(&frame(config, true, b"one ")), Ok(None));
        let got = assembler.add(&frame(state, false, b"between"));
        assert_eq!(got, Ok(Some(Received::Message(Class::State, b"between".to_vec()))));
        let got = assembler.add(&frame(Kind::Status, false, b"alive"));
        assert_eq!(got, Ok(Some(Received::Status(b"alive".to_vec()))));
        let got = assembler.add(&frame(config, false, b"two"));
        assert_eq!(got, Ok(Some(Received::Message(Class::Config, b"one two".to_vec()))));
        let got = assembler.add(&frame(config, false, b"three"));
        assert_eq!(got, Ok(Some(Received::Message(Class::Config, b"three".to_vec()))));
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let mut assembler = Assembler::default();
        let piece = vec![0; LARGEST];
        let kind = Kind::Message(Class::Counters);
        let pieces = Class::Counters.largest() / LARGEST;
        for _ in 0..pieces {
            assert_eq!(assembler.add(&frame(kind, true, &piece)), Ok(None));
        }
        let refused = assembler.add(&frame(kind, true, &piece));
        assert_eq!(refused, Err(FrameError::Message(Class::Counters.largest())));
        assert!(assembler.add(&frame(Kind::Hello, true, b"x")).is_err());
    }
}
