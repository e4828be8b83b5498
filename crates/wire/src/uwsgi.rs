//! Heads of uwsgi requests: a packet of parameters, which the body follows without framing
//! (<https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html>). Responses are those of CGI
//! ([`crate::cgi`]).

use crate::params::{NullByte, ParamFormat};

/// The maximum length of the content of a packet, in bytes.
pub const MAX_PACKET: usize = 0xffff;

/// The length of a packet's header, in bytes.
const HEADER: usize = 4;

/// A packet with a content of this length, in bytes, which exceeds [`MAX_PACKET`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub usize);

impl TooLong {
    /// The message for the error log, in nginx's words.
    pub fn message(self) -> String {
        format!("uwsgi request is too big: {}", self.0)
    }
}

/// The format of parameters: name and value, each after its length.
#[derive(Debug)]
pub enum Uwsgi {}

impl ParamFormat for Uwsgi {
    #[inline]
    fn begin(length: usize, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        out.extend_from_slice(&length_bytes(length));
        write(out);
        out.extend_from_slice(&[0, 0]);
    }

    #[inline]
    fn end(_: usize, value: usize, out: &mut Vec<u8>) -> Result<(), NullByte> {
        let length = length_bytes(out.len() - value);
        out[value - 2..value].copy_from_slice(&length);
        Ok(())
    }
}

/// The length of a name or a value. What exceeds it exceeds the packet, which is then refused.
fn length_bytes(length: usize) -> [u8; 2] {
    (length.min(MAX_PACKET) as u16).to_le_bytes()
}

/// The packet that begins a request.
#[derive(Debug)]
pub struct Packet<'a> {
    out: &'a mut Vec<u8>,
    /// The offset of the header.
    start: usize,
}

impl<'a> Packet<'a> {
    /// Begins a request behind the content of `out`, with the modifiers of its kind.
    pub fn new(modifiers: [u8; 2], out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        let [first, second] = modifiers;
        out.extend_from_slice(&[first, 0, 0, second]);
        Self { out, start }
    }

    /// The place where parameters are appended, in the format [`Uwsgi`].
    pub fn params(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Ends the packet with these bytes.
    ///
    /// # Errors
    /// The length of its content exceeds [`MAX_PACKET`].
    pub fn finish(self, last: &[u8]) -> Result<(), TooLong> {
        let Self { out, start } = self;
        out.extend_from_slice(last);
        let length = out.len() - start - HEADER;
        let Ok(content) = u16::try_from(length) else { return Err(TooLong(length)) };
        out[start + 1..start + 3].copy_from_slice(&content.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_its_length_and_modifiers() {
        let mut out = b"before".to_vec();
        let mut packet = Packet::new([5, 200], &mut out);
        Uwsgi::put(b"A", b"bc", packet.params()).unwrap();
        Uwsgi::put(b"EMPTY", b"", packet.params()).unwrap();
        packet.finish(b"last").unwrap();
        assert_eq!(out, b"before\x05\x14\x00\xc8\x01\0A\x02\0bc\x05\0EMPTY\0\0last");
        let long = [b'x'; 256];
        let mut out = Vec::new();
        let mut packet = Packet::new([0, 0], &mut out);
        Uwsgi::put(&long, &long, packet.params()).unwrap();
        packet.finish(b"").unwrap();
        assert_eq!(out[..6], [0, 4, 2, 0, 0, 1]);
    }

    #[test]
    fn a_packet_has_a_limit() {
        for (length, fits) in [(MAX_PACKET - 5, true), (MAX_PACKET - 4, false), (200_000, false)] {
            let mut out = Vec::new();
            let mut packet = Packet::new([0, 0], &mut out);
            Uwsgi::put(b"A", &vec![b'x'; length], packet.params()).unwrap();
            assert_eq!(packet.finish(b""), if fits { Ok(()) } else { Err(TooLong(length + 5)) });
        }
    }
}
