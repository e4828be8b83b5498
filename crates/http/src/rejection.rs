//! Rejections: the status of the error response that takes the place of the wanted one.

/// The status of an error response, which says whose fault it is: 4xx the client's, 500 ours or the
/// configuration's, 502 an upstream's or a resolver's (RFC 9110, sections 15.5 and 15.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection(u16);

impl Rejection {
    /// The client's bytes are not a request, or cannot be passed on.
    pub const BAD_REQUEST: Self = Self(400);
    /// The client asks for a file that it may not have.
    pub const FORBIDDEN: Self = Self(403);
    /// The client asks for a file that is not there.
    pub const NOT_FOUND: Self = Self(404);
    /// The client was too slow.
    pub const TIMEOUT: Self = Self(408);
    /// The client's condition does not hold.
    pub const PRECONDITION_FAILED: Self = Self(412);
    /// The client's body is larger than allowed.
    pub const TOO_LARGE: Self = Self(413);
    /// The client's ranges are outside the response.
    pub const BAD_RANGE: Self = Self(416);
    /// The response is broken off, and the connection closed (nginx's own status).
    pub const CLOSE: Self = Self(444);
    /// The client is gone (nginx's own status, which is only logged).
    pub const CLIENT_GONE: Self = Self(499);
    /// A fault of this server, its files or its configuration.
    pub const INTERNAL: Self = Self(500);
    /// A fault of an upstream, or of the resolver that should find it.
    pub const BAD_GATEWAY: Self = Self(502);

    /// The status, from 400 to 599.
    pub fn status(self) -> u16 {
        self.0
    }
}
