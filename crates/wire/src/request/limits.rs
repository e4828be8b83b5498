//! What a request head may be; the directives of `server` that decide it.

/// Limits and rules for a request head. The defaults are nginx's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `client_header_buffer_size`: bytes of a head that fit without a large buffer.
    pub header_buffer_size: u32,
    /// The number of `large_client_header_buffers`.
    pub large_buffers: u32,
    /// The size of one of `large_client_header_buffers`, which is also the longest line.
    pub large_buffer_size: u32,
    /// `max_headers`: header lines of one request.
    pub max_headers: u32,
    /// `underscores_in_headers`: whether a name with `_` is valid.
    pub underscores: bool,
    /// `ignore_invalid_headers`: whether lines with an invalid name are left out, or kept.
    pub ignore_invalid: bool,
    /// Whether CONNECT is served here.
    pub allow_connect: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_buffer_size: 1024,
            large_buffers: 4,
            large_buffer_size: 8192,
            max_headers: 1000,
            underscores: false,
            ignore_invalid: true,
            allow_connect: false,
        }
    }
}

/// Bytes of blank lines before a request line, which robust servers skip (RFC 9112 section 2.2).
/// nginx skips any number; here the buffer that holds them has an end.
pub(crate) const BLANK_MAX: usize = 16 * 1024;
