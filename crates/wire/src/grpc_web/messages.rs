//! The boundaries of messages in a body.

use super::{Fault, TRAILERS};

/// The length of what precedes a message: flags and the length in bytes, big-endian.
pub(super) const PREFIX: usize = 5;

/// The place in a sequence of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    prefix: [u8; PREFIX],
    /// The number of bytes of the prefix that have come; all while the message itself comes.
    have: usize,
    /// The number of bytes left of the message.
    left: u32,
}

impl Messages {
    /// Goes on to the end of the message, or of `input`. Returns the number of bytes taken.
    ///
    /// # Errors
    /// A frame that is no message.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let mut taken = 0;
        if self.have < PREFIX {
            taken = input.len().min(PREFIX - self.have);
            self.prefix[self.have..self.have + taken].copy_from_slice(&input[..taken]);
            self.have += taken;
            let [flags, length @ ..] = self.prefix;
            if taken > 0 && flags & TRAILERS != 0 {
                return Err(Fault::Trailers);
            }
            if self.have < PREFIX {
                return Ok(taken);
            }
            self.left = u32::from_be_bytes(length);
        }
        let rest = u32::try_from(input.len() - taken).unwrap_or(u32::MAX);
        let of_message = rest.min(self.left);
        self.left -= of_message;
        if self.left == 0 {
            self.have = 0;
        }
        Ok(taken + of_message as usize)
    }

    /// Takes a whole piece of a body.
    ///
    /// # Errors
    /// As for [`Messages::step`].
    pub(super) fn check(&mut self, mut input: &[u8]) -> Result<(), Fault> {
        while !input.is_empty() {
            let taken = self.step(input)?;
            input = &input[taken..];
        }
        Ok(())
    }

    /// Whether no message has begun that has not ended.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0
    }

    /// The end of the body.
    ///
    /// # Errors
    /// It is within a message.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.is_between() { Ok(()) } else { Err(Fault::Cut) }
    }
}
