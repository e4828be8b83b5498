//! The messages of gRPC's health checking protocol
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>), each after the five bytes
//! that precede a message of gRPC.

/// The path of the method that is called.
pub const PATH: &str = "/grpc.health.v1.Health/Check";

/// The key of the first field, of bytes: the name of the service asked about.
const SERVICE: u8 = 1 << 3 | 2;

/// The key of the first field, a number: the status of the service.
const STATUS: u64 = 1 << 3;

/// The status of a service that works.
const SERVING: u64 = 1;

/// A request about a service; an empty name means the server.
pub fn request(service: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(SERVICE);
        let mut length = service.len();
        while length > 0x7f {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service);
    }
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], &message].concat()
}

/// Whether a response says that the service works; None if it is malformed.
pub fn is_serving(response: &[u8]) -> Option<bool> {
    let (&[compressed, a, b, c, d], message) = response.split_first_chunk()?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if compressed != 0 {
        return None;
    }
    let mut rest = message.get(..length)?;
    let mut status = 0;
    while !rest.is_empty() {
        let key = number(&mut rest)?;
        match key & 7 {
            0 => {
                let value = number(&mut rest)?;
                if key == STATUS {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(number(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status == SERVING)
}

/// A number in groups of seven bits.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_the_service() {
        assert_eq!(request(b""), [0; 5]);
        assert_eq!(request(b"abc"), *b"\0\0\0\0\x05\x0a\x03abc");
        let long = request(&[b'x'; 200]);
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
        assert_eq!(long.len(), 208);
    }

    #[test]
    fn responses_say_whether_the_service_works() {
        for (response, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(true)),
            (b"\0\0\0\0\x02\x08\x02", Some(false)),
            (b"\0\0\0\0\0", Some(false)),
            // Fields of the future.
            (b"\0\0\0\0\x07\x12\x01x\x18\x05\x08\x01", Some(true)),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\0\0\0\0\x02\x08\x81", None),
            (b"\0\0\0\0\x02\x12\x09", None),
            (b"\0\0\0", None),
        ] {
            assert_eq!(is_serving(response), expected, "{response:?}");
        }
    }
}
