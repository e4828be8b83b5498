//! Methods and versions.

/// A request's method. Other methods are [`Method::Other`] and are passed on as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Mkcol,
    Copy,
    Move,
    Options,
    Propfind,
    Proppatch,
    Lock,
    Unlock,
    Patch,
    Trace,
    Connect,
    #[default]
    Other,
}

impl Method {
    /// The method at the start of `text` with its length, if it is a common one and a space
    /// follows.
    #[inline]
    pub(crate) fn usual(text: &[u8]) -> Option<(Self, usize)> {
        match text {
            [b'G', b'E', b'T', b' ', ..] => Some((Self::Get, 3)),
            [b'P', b'O', b'S', b'T', b' ', ..] => Some((Self::Post, 4)),
            [b'H', b'E', b'A', b'D', b' ', ..] => Some((Self::Head, 4)),
            [b'P', b'U', b'T', b' ', ..] => Some((Self::Put, 3)),
            _ => None,
        }
    }

    /// The name; None for other methods.
    pub const fn name(self) -> Option<&'static [u8]> {
        Some(match self {
            Self::Get => b"GET",
            Self::Head => b"HEAD",
            Self::Post => b"POST",
            Self::Put => b"PUT",
            Self::Delete => b"DELETE",
            Self::Mkcol => b"MKCOL",
            Self::Copy => b"COPY",
            Self::Move => b"MOVE",
            Self::Options => b"OPTIONS",
            Self::Propfind => b"PROPFIND",
            Self::Proppatch => b"PROPPATCH",
            Self::Lock => b"LOCK",
            Self::Unlock => b"UNLOCK",
            Self::Patch => b"PATCH",
            Self::Trace => b"TRACE",
            Self::Connect => b"CONNECT",
            Self::Other => return None,
        })
    }

    /// The method of a word; case-sensitive.
    #[inline]
    pub fn from_bytes(word: &[u8]) -> Self {
        match word {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"MKCOL" => Self::Mkcol,
            b"COPY" => Self::Copy,
            b"MOVE" => Self::Move,
            b"OPTIONS" => Self::Options,
            b"PROPFIND" => Self::Propfind,
            b"PROPPATCH" => Self::Proppatch,
            b"LOCK" => Self::Lock,
            b"UNLOCK" => Self::Unlock,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// An HTTP version as major × 1000 + minor, so that versions compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// HTTP/0.9, a request line without a version.
    pub const HTTP_09: Self = Self(9);
    /// HTTP/1.0.
    pub const HTTP_10: Self = Self(1000);
    /// HTTP/1.1.
    pub const HTTP_11: Self = Self(1001);
    /// HTTP/2.
    pub const HTTP_2: Self = Self(2000);
    /// HTTP/3.
    pub const HTTP_3: Self = Self(3000);
}

impl Default for Version {
    /// The version of responses before the request line is known.
    fn default() -> Self {
        Self::HTTP_10
    }
}
