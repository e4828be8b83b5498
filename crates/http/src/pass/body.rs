//! The body of an upstream's response: where it ends.

use weir_engine::buffer::Buf;
use weir_wire::h1::Chunked;

/// How the body ends.
#[derive(Default)]
pub enum BodyReader {
    /// There is none.
    #[default]
    None,
    /// After so many bytes more.
    Length(u64),
    /// With its last chunk.
    Chunked(Box<Chunked>),
    /// With the connection.
    Close,
}

impl BodyReader {
    /// Whether nothing more belongs to the body.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::None | Self::Length(0))
            || matches!(self, Self::Chunked(chunked) if chunked.is_done())
    }

    /// How many bytes are still to come, when that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close => None,
        }
    }

    /// Takes what belongs to the body out of `input` and hands it to `sink`. A body that is all of
    /// the buffer moves without a copy.
    ///
    /// # Errors
    /// Broken chunks, in words for the log.
    pub fn take(
        &mut self,
        input: &mut Buf,
        mut sink: impl FnMut(Buf),
    ) -> Result<bool, &'static str> {
        match self {
            Self::None => Ok(true),
            Self::Close => {
                if !input.is_empty() {
                    sink(std::mem::take(input));
                }
                Ok(false)
            }
            Self::Length(left) => {
                let n = (input.len() as u64).min(*left) as usize;
                *left -= n as u64;
                if n > 0 {
                    sink(crate::body::split_front(input, n));
                }
                Ok(*left == 0)
            }
            Self::Chunked(chunked) => {
                let (data, ended) = crate::body::dechunk(chunked, input)
                    .map_err(|_| "upstream sent invalid chunked response")?;
                if !data.is_empty() {
                    sink(data);
                }
                Ok(ended)
            }
        }
    }
}
