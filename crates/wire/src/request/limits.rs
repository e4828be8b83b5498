//! Limits of a request head, set by directives of `server`.

/// Limits and rules for a request head. The defaults are nginx's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `client_header_buffer_size`: the bytes of a head that fit without a large buffer.
    pub header_buffer_size: u32,
    /// The number of `large_client_header_buffers`.
    pub large_buffers: u32,
    /// The size of one of `large_client_header_buffers`, which is also the limit of a line.
    pub large_buffer_size: u32,
    /// `max_headers`: the limit of header lines in one request.
    pub max_headers: u32,
    /// `underscores_in_headers`: whether names with `_` are valid.
    pub underscores: bool,
    /// `ignore_invalid_headers`: whether lines with invalid names are dropped or kept.
    pub ignore_invalid: bool,
    /// Whether CONNECT is allowed.
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

/// The limit of blank lines before a request line in bytes, which robust servers skip (RFC 9112
/// section 2.2). nginx has no limit.
pub(crate) const BLANK_MAX: usize = 16 * 1024;
