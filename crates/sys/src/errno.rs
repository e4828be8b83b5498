//! System errors in nginx's form.

use std::ffi::CStr;
use std::fmt;
use std::io;

/// Displays an error as nginx appends it to a message: `(2: No such file or directory)`.
#[derive(Debug, Clone, Copy)]
pub struct Errno<'a>(pub &'a io::Error);

impl fmt::Display for Errno<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.raw_os_error() {
            Some(number) => write!(f, "({number}: {})", describe(number)),
            None => write!(f, "({})", self.0),
        }
    }
}

/// The C library's text for an error number, as strerror(3).
pub fn describe(number: i32) -> String {
    /// Longer than any message of glibc or musl.
    const ROOM: usize = 256;
    let mut text = [0; ROOM];
    // SAFETY: the buffer is as long as the call is told, and POSIX's strerror_r ends it with a 0.
    let result = unsafe { libc::strerror_r(number, text.as_mut_ptr(), text.len()) };
    let bytes: [u8; ROOM] = text.map(libc::c_char::cast_unsigned);
    match CStr::from_bytes_until_nul(&bytes) {
        Ok(text) if result == 0 => text.to_string_lossy().into_owned(),
        _ => format!("Unknown error {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_nginx() {
        let error = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(Errno(&error).to_string(), "(2: No such file or directory)");
        let error = io::Error::other("odd");
        assert_eq!(Errno(&error).to_string(), "(odd)");
    }
}
