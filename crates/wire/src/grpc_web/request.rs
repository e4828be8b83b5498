//! The body of a request, from gRPC-Web to gRPC.

use super::base64::Reader;
use super::messages::Messages;
use super::{Fault, Step};

/// The translation of one body. It holds no byte that is complete.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The place in base64, if the body is a text.
    text: Option<Reader>,
    messages: Messages,
}

impl Decoder {
    /// The translation of a body, which is in base64 or not.
    pub fn new(text: bool) -> Self {
        Self { text: text.then(Reader::default), messages: Messages::default() }
    }

    /// Translates a piece of the body.
    ///
    /// # Errors
    /// The body is malformed. Of what was appended, nothing is to be used.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Fault> {
        let Some(text) = &mut self.text else {
            self.messages.check(input)?;
            return Ok(Step::Unchanged);
        };
        let start = out.len();
        let read = text.read(input, out);
        // A fault of the messages comes before one of the text behind them, however they are split.
        self.messages.check(&out[start..])?;
        read.map(|()| Step::Appended)
    }

    /// The end of the body.
    ///
    /// # Errors
    /// It is cut.
    pub fn end(&self) -> Result<(), Fault> {
        if let Some(text) = &self.text {
            text.end()?;
        }
        self.messages.end()
    }
}
