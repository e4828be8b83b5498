//! The body of a response, from gRPC to gRPC-Web.

use super::base64::Writer;
use super::messages::{Messages, PREFIX};
use super::{Fault, Step, TRAILERS};

/// The translation of one body. In base64, each message has a text of its own, so that a client can
/// read it as soon as it has come; of one that is still coming, two bytes at most are held.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// The place in base64, if the body becomes a text.
    text: Option<Writer>,
    messages: Messages,
}

impl Encoder {
    /// The translation to a body in base64, or not.
    pub fn new(text: bool) -> Self {
        Self { text: text.then(Writer::default), messages: Messages::default() }
    }

    /// Translates a piece of the body.
    ///
    /// # Errors
    /// The body has a frame that is no message. Of what was appended, nothing is to be used.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<Step, Fault> {
        let Some(text) = &mut self.text else {
            self.messages.check(input)?;
            return Ok(Step::Unchanged);
        };
        while !input.is_empty() {
            let taken = self.messages.step(input)?;
            text.write(&input[..taken], out);
            if self.messages.is_between() {
                text.end(out);
            }
            input = &input[taken..];
        }
        Ok(Step::Appended)
    }

    /// Whether a message has begun that has not ended.
    pub fn is_within_message(&self) -> bool {
        !self.messages.is_between()
    }

    /// Ends the body with a frame of these fields, whose names become lower-case.
    ///
    /// # Errors
    /// The body is cut.
    pub fn end<'a>(
        &mut self,
        trailers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.messages.end()?;
        let mut frame = vec![0; PREFIX];
        for (name, value) in trailers {
            frame.extend(name.iter().map(u8::to_ascii_lowercase));
            frame.extend_from_slice(b": ");
            // A field has no line ends, or it would be several here.
            frame.extend(value.iter().map(|&byte| match byte {
                b'\r' | b'\n' => b' ',
                byte => byte,
            }));
            frame.extend_from_slice(b"\r\n");
        }
        let length = u32::try_from(frame.len() - PREFIX).unwrap_or(u32::MAX);
        frame[0] = TRAILERS;
        frame[1..PREFIX].copy_from_slice(&length.to_be_bytes());
        match &mut self.text {
            Some(text) => {
                text.write(&frame, out);
                text.end(out);
            }
            None => out.extend_from_slice(&frame),
        }
        Ok(())
    }
}
