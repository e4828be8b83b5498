//! Heads of SCGI requests (<https://python.ca/scgi/protocol.txt>): a netstring of parameters, which
//! the body follows without framing. Responses are those of CGI ([`crate::cgi`]).

use crate::params::{NullByte, ParamFormat};

/// The head of a request.
#[derive(Debug)]
pub struct Head<'a> {
    out: &'a mut Vec<u8>,
    /// The offset of the netstring.
    start: usize,
}

/// The format of parameters: name and value, each before a null byte.
#[derive(Debug)]
pub enum Scgi {}

impl ParamFormat for Scgi {
    #[inline]
    fn begin(_: usize, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        write(out);
        out.push(0);
    }

    #[inline]
    fn end(name: usize, value: usize, out: &mut Vec<u8>) -> Result<(), NullByte> {
        let name = &out[value - 1 - name..value - 1];
        if name.contains(&0) || memchr::memchr(0, &out[value..]).is_some() {
            return Err(NullByte);
        }
        out.push(0);
        Ok(())
    }
}

impl<'a> Head<'a> {
    /// Begins a request with a body of `length` bytes behind the content of `out`.
    pub fn new(length: u64, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(b"CONTENT_LENGTH\0");
        out.extend_from_slice(length.to_string().as_bytes());
        out.push(0);
        Self { out, start }
    }

    /// The place where parameters are appended, in the format [`Scgi`].
    pub fn params(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Ends the parameters.
    pub fn finish(self) {
        let length = format!("{}:", self.out.len() - self.start);
        self.out.splice(self.start..self.start, length.bytes());
        self.out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_netstring() {
        let mut out = b"before".to_vec();
        let mut head = Head::new(27, &mut out);
        Scgi::put(b"SCGI", b"1", head.params()).unwrap();
        Scgi::put(b"REQUEST_METHOD", b"POST", head.params()).unwrap();
        Scgi::put(b"EMPTY", b"", head.params()).unwrap();
        head.finish();
        let expected: &[u8] =
            b"before52:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0EMPTY\0\0,";
        assert_eq!(out, expected);
    }

    #[test]
    fn no_parameter_hides_another() {
        for (name, value) in [(&b"A"[..], &b"b\0REMOTE_USER\0admin"[..]), (b"A\0", b"")] {
            let mut out = Vec::new();
            let mut head = Head::new(0, &mut out);
            assert_eq!(Scgi::put(name, value, head.params()), Err(NullByte));
        }
    }
}
