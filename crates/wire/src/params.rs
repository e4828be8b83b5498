//! Parameters of requests to applications, in the format of a protocol (FastCGI, SCGI, uwsgi).
//!
//! ```text
//! begin ─▶ the value is appended ─▶ end
//! ```
//!
//! What `begin` appends depends on the name alone, so it can be prepared, as can whole parameters
//! with constant values. Values are written where they stay.

/// A byte that ends a name or a value is within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NullByte;

/// How a protocol writes a parameter.
pub trait ParamFormat {
    /// Appends the beginning of a parameter, up to its value. `write` appends its name, which has
    /// `length` bytes.
    fn begin(length: usize, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>);

    /// Completes the parameter at the end of `out`, whose name has `name` bytes and whose value
    /// begins at the offset `value`.
    ///
    /// # Errors
    /// A null byte, where that would begin another parameter.
    fn end(name: usize, value: usize, out: &mut Vec<u8>) -> Result<(), NullByte>;

    /// Appends a parameter.
    ///
    /// # Errors
    /// As for [`ParamFormat::end`].
    fn put(name: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), NullByte> {
        Self::begin(name.len(), |out| out.extend_from_slice(name), out);
        let at = out.len();
        out.extend_from_slice(value);
        Self::end(name.len(), at, out)
    }
}
