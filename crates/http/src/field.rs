//! Values of header fields with client data. Variables are decoded and may contain a line feed
//! (`$uri`), which would end the field and let the client add another.

/// Whether a byte ends a field, or a C string.
fn ends(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Whether a value stays within its field.
pub(crate) fn is_clean(value: &[u8]) -> bool {
    !value.iter().any(|&byte| ends(byte))
}

/// Replaces bytes that end a field with spaces, from offset `start`.
pub(crate) fn clean(value: &mut [u8], start: usize) {
    for byte in &mut value[start..] {
        if ends(*byte) {
            *byte = b' ';
        }
    }
}

/// Escapes bytes that end a field, so that the address stays the same.
pub(crate) fn escape_address(address: &mut Vec<u8>) {
    let Some(first) = address.iter().position(|&byte| ends(byte)) else { return };
    let tail = address.split_off(first);
    for byte in tail {
        match ends(byte) {
            true => address.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            false => address.push(byte),
        }
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
