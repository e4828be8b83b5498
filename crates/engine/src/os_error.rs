//! System errors in the format of the error log: `(98: Address already in use)`.

use std::fmt;
use std::io;

/// Formats an error as nginx does: `98: Address already in use`. An error without a number shows
/// only its text.
#[derive(Debug)]
pub struct OsError<'a>(pub &'a io::Error);

impl fmt::Display for OsError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(number) = self.0.raw_os_error() else {
            // Our own timeouts appear as ETIMEDOUT.
            if self.0.kind() == io::ErrorKind::TimedOut {
                return f.write_str("110: Connection timed out");
            }
            return self.0.fmt(f);
        };
        write!(f, "{number}: {}", weir_sys::errno::describe(number))
    }
}

/// Formats a failed call with its error: `bind() failed (98: Address already in use)`.
#[derive(Debug)]
pub struct Failed<'a>(pub &'a str, pub &'a io::Error);

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, OsError(self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_formatted_as_in_nginx() {
        let error = io::Error::from_raw_os_error(98);
        let told = Failed("bind() to 0.0.0.0:80 failed", &error).to_string();
        assert_eq!(told, "bind() to 0.0.0.0:80 failed (98: Address already in use)");
        let error = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(OsError(&error).to_string(), "110: Connection timed out");
    }
}
