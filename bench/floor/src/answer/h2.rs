//! The backend's side of HTTP/2 with prior knowledge: every request gets the same small answer, whose
//! fields are never looked up or compressed.

/// What a client begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// SETTINGS with MAX_CONCURRENT_STREAMS, nginx's default.
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80";

/// The acknowledgement of the client's.
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

/// `:status: 200`, and `content-type`, `content-length`, `server` and `date` as literals without
/// indexing, with names of the static table.
const BLOCK: &[u8] = b"\x88\x0f\x10\x0atext/plain\x0f\x0d\x016\
    \x0f\x27\x0cnginx/1.22.1\x0f\x12\x1dMon, 23 Nov 2026 00:00:00 GMT";

const BODY: &[u8] = b"hello\n";

/// Bytes of the head of a frame.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS_FRAME: u8 = 4;
const PING: u8 = 6;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A connection: what of its input is not processed.
#[derive(Default)]
pub struct Connection {
    has_begun: bool,
    /// The start of a frame that is not complete.
    held: Vec<u8>,
    /// Bytes of a frame that are still to come, and are skipped.
    skipped: usize,
}

impl Connection {
    /// Processes input, and puts answers behind those of `out`.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = input;
        if !self.held.is_empty() {
            self.held.extend_from_slice(input);
            joined = std::mem::take(&mut self.held);
            rest = &joined;
        }
        if !self.has_begun {
            let Some(behind) = rest.strip_prefix(PREFACE) else {
                self.held = rest.to_vec();
                return;
            };
            rest = behind;
            out.extend_from_slice(SETTINGS);
            self.has_begun = true;
        }
        loop {
            let skipped = self.skipped.min(rest.len());
            rest = &rest[skipped..];
            self.skipped -= skipped;
            let Some((head, payload)) = rest.split_first_chunk::<HEAD>() else { break };
            let &[a, b, c, kind, flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            match kind {
                HEADERS | DATA if flags & END_STREAM != 0 => answer(stream, out),
                SETTINGS_FRAME if flags & ACK == 0 => out.extend_from_slice(SETTINGS_ACK),
                PING if flags & ACK == 0 => {
                    let Some(payload) = payload.get(..length) else { break };
                    out.extend_from_slice(&[0, 0, length as u8, PING, ACK, 0, 0, 0, 0]);
                    out.extend_from_slice(payload);
                }
                _ => {}
            }
            rest = payload;
            self.skipped = length;
        }
        self.held = rest.to_vec();
    }
}

/// The answer to a stream whose request is complete. The windows of any client have room for it.
fn answer(stream: [u8; 4], out: &mut Vec<u8>) {
    let mut frame = |kind, flags, payload: &[u8]| {
        out.extend_from_slice(&[0, 0, payload.len() as u8, kind, flags]);
        out.extend_from_slice(&stream);
        out.extend_from_slice(payload);
    };
    frame(HEADERS, END_HEADERS, BLOCK);
    frame(DATA, END_STREAM, BODY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_do_not_depend_on_how_the_input_is_cut() {
        let request = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
        let ping = b"\0\0\x08\x06\0\0\0\0\012345678";
        let input = [PREFACE, b"\0\0\0\x04\0\0\0\0\0", request, ping].concat();
        let mut whole = Vec::new();
        Connection::default().receive(&input, &mut whole);
        assert!(whole.ends_with(b"\0\0\x08\x06\x01\0\0\0\012345678"));
        for cut in 1..input.len() {
            let (mut connection, mut out) = (Connection::default(), Vec::new());
            connection.receive(&input[..cut], &mut out);
            connection.receive(&input[cut..], &mut out);
            assert_eq!(out, whole, "{cut}");
        }
    }
}
