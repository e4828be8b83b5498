//! FastCGI 1.0, one request of the role *responder* at a time on a connection
//! (<https://fastcgi-archives.github.io/FastCGI_Specification.html>).
//!
//! ```text
//! BEGIN_REQUEST  PARAMS  PARAMS(empty)  STDIN …  STDIN(empty)   ─▶
//!                     ◀─   STDOUT/STDERR …  STDOUT(empty)  END_REQUEST
//! ```

mod error;
pub mod fuzz;
mod records;
#[cfg(test)]
mod tests;

pub use error::{RecordError, TooLong};
pub use records::{Part, Records};

use crate::params::{NullByte, ParamFormat};

/// The version of the protocol.
const VERSION: u8 = 1;

/// The id of every request.
const REQUEST_ID: u8 = 1;

/// The length of a record's header, in bytes.
const HEADER: usize = 8;

/// The types of records.
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// The maximum length of the content of a record, in bytes.
pub const MAX_CONTENT: usize = 0xffff;

/// The maximum length of a STDIN record's content as nginx writes it, in bytes.
pub const STDIN_MOST: u64 = 32 * 1024;

/// The padding after the content of a record.
static PADDING: [u8; 8] = [0; 8];

/// The record after the last one of a request's body.
pub const END_OF_STDIN: &[u8] = &header(STDIN, 0);

/// The header of a record whose content has this length.
const fn header(kind: u8, length: u16) -> [u8; HEADER] {
    let [high, low] = length.to_be_bytes();
    let padding = (8 - low % 8) % 8;
    [VERSION, kind, 0, REQUEST_ID, high, low, padding, 0]
}

/// The header of a STDIN record with `length` bytes, at most [`MAX_CONTENT`].
pub fn stdin_header(length: u64) -> [u8; HEADER] {
    debug_assert!(length <= MAX_CONTENT as u64);
    header(STDIN, u16::try_from(length).unwrap_or(u16::MAX))
}

/// The bytes after a record's content of `length` bytes: contents are padded to a multiple of 8.
pub fn padding(length: u64) -> &'static [u8] {
    &PADDING[..((8 - length % 8) % 8) as usize]
}

/// The format of parameters: the lengths of the name and of the value, and then both.
#[derive(Debug)]
pub enum FastCgi {}

impl ParamFormat for FastCgi {
    #[inline]
    fn begin(length: usize, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        match u8::try_from(length) {
            Ok(short @ ..=SHORT) => out.extend_from_slice(&[short, 0]),
            _ => {
                out.extend_from_slice(&long(length));
                out.push(0);
            }
        }
        write(out);
    }

    #[inline]
    fn end(name: usize, value: usize, out: &mut Vec<u8>) -> Result<(), NullByte> {
        let (place, length) = (value - name - 1, out.len() - value);
        match u8::try_from(length) {
            Ok(short @ ..=SHORT) => out[place] = short,
            _ => drop(out.splice(place..=place, long(length))),
        }
        Ok(())
    }
}

/// The maximum length of a name or a value whose length takes one byte.
const SHORT: u8 = 127;

/// A length in four bytes, which the first bit marks. What exceeds it exceeds the record.
fn long(length: usize) -> [u8; 4] {
    (length as u32 | 1 << 31).to_be_bytes()
}

/// The start of a request: the records before its body.
#[derive(Debug)]
pub struct Start<'a> {
    out: &'a mut Vec<u8>,
    /// The offset of the content of the PARAMS record.
    params: usize,
}

impl<'a> Start<'a> {
    /// Begins a request behind the content of `out`. `keep`: the application keeps the connection
    /// open.
    pub fn new(keep: bool, out: &'a mut Vec<u8>) -> Self {
        const RESPONDER: u8 = 1;
        out.extend_from_slice(&header(BEGIN_REQUEST, 8));
        out.extend_from_slice(&[0, RESPONDER, u8::from(keep), 0, 0, 0, 0, 0]);
        out.extend_from_slice(&header(PARAMS, 0));
        let params = out.len();
        Self { out, params }
    }

    /// The place where parameters are appended, in the format [`FastCgi`].
    pub fn params(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Ends the parameters.
    ///
    /// # Errors
    /// Their length exceeds [`MAX_CONTENT`].
    pub fn finish(self) -> Result<(), TooLong> {
        let Self { out, params } = self;
        let length = out.len() - params;
        let Ok(content) = u16::try_from(length) else { return Err(TooLong(length)) };
        out[params - HEADER..params].copy_from_slice(&header(PARAMS, content));
        out.extend_from_slice(padding(length as u64));
        out.extend_from_slice(&header(PARAMS, 0));
        Ok(())
    }
}
