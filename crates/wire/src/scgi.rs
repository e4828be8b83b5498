//! Heads of SCGI requests (<https://python.ca/scgi/protocol.txt>): a netstring of parameters, which
//! the body follows without framing. Responses are those of CGI ([`crate::cgi`]).

/// The head of a request.
#[derive(Debug)]
pub struct Head<'a> {
    out: &'a mut Vec<u8>,
    /// The offset of the netstring.
    start: usize,
}

/// A byte that ends a name or a value is within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NullByte;

impl<'a> Head<'a> {
    /// Begins a request with a body of `length` bytes behind the content of `out`.
    pub fn new(length: u64, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        let mut head = Self { out, start };
        head.push(b"CONTENT_LENGTH", length.to_string().as_bytes());
        head
    }

    /// Appends a parameter.
    ///
    /// # Errors
    /// A null byte in it, which would begin another parameter.
    pub fn param(&mut self, name: &[u8], value: &[u8]) -> Result<(), NullByte> {
        if name.contains(&0) || value.contains(&0) {
            return Err(NullByte);
        }
        self.push(name, value);
        Ok(())
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        for part in [name, b"\0", value, b"\0"] {
            self.out.extend_from_slice(part);
        }
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
        head.param(b"SCGI", b"1").unwrap();
        head.param(b"REQUEST_METHOD", b"POST").unwrap();
        head.param(b"EMPTY", b"").unwrap();
        head.finish();
        let expected: &[u8] =
            b"before52:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0EMPTY\0\0,";
        assert_eq!(out, expected);
    }

    #[test]
    fn no_parameter_hides_another() {
        let mut out = Vec::new();
        let mut head = Head::new(0, &mut out);
        assert_eq!(head.param(b"A", b"b\0REMOTE_USER\0admin"), Err(NullByte));
        assert_eq!(head.param(b"A\0", b""), Err(NullByte));
        head.finish();
        assert_eq!(out, b"17:CONTENT_LENGTH\x000\0,");
    }
}
