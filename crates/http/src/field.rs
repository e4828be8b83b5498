//! Values of header fields that are computed from what a client sent. Variables are decoded and may
//! hold a line feed (`$uri`), which would end the field and begin another of the client's own.

use weir_script::Template;

use crate::request::Request;

/// What would end a field, or a reader's string.
fn ends(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Whether a value stays within its field.
pub fn is_clean(value: &[u8]) -> bool {
    !value.iter().any(|&byte| ends(byte))
}

/// Puts spaces in place of what would end a field, from `start` on.
pub fn clean(value: &mut [u8], start: usize) {
    for byte in &mut value[start..] {
        if ends(*byte) {
            *byte = b' ';
        }
    }
}

/// Escapes what would end a field, so that the address still is the same one.
pub fn escape_address(address: &mut Vec<u8>) {
    let Some(first) = address.iter().position(|&byte| ends(byte)) else { return };
    let tail = address.split_off(first);
    for byte in tail {
        match ends(byte) {
            true => address.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            false => address.push(byte),
        }
    }
}

impl Request {
    /// The value of a template as that of a header field, behind what `out` holds.
    pub fn eval_field(&mut self, template: &Template, out: &mut Vec<u8>) {
        let start = out.len();
        template.eval(self, out);
        clean(out, start);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_value_ends_its_field() {
        let mut value = b"a\r\nb: c\0\t\x7f".to_vec();
        super::clean(&mut value, 2);
        assert_eq!(value, b"a\r b: c \t\x7f");
        let mut address = b"/a b\r\nc\0".to_vec();
        super::escape_address(&mut address);
        assert_eq!(address, b"/a b%0D%0Ac%00");
    }
}
