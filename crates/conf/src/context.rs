//! Contexts: the kinds of blocks, in which directives are allowed.

use std::fmt;

/// A set of contexts. An open block has exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Contexts(u32);

macro_rules! contexts_table {
    ($($(#[doc = $doc:literal])* $upper:ident $lower:ident = $bit:literal, $text:literal;)*) => {
        impl Contexts {
            $($(#[doc = $doc])* pub const $upper: Self = Self(1 << $bit);)*
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$upper, $text)),*];
        }

        /// The contexts under their names in `directives!`.
        #[allow(non_upper_case_globals, missing_docs)]
        pub mod names {
            use super::Contexts;
            $(pub const $lower: Contexts = Contexts::$upper;)*
            pub const any: Contexts = Contexts::ANY;
        }
    };
}

contexts_table! {
    /// Outside of all blocks.
    MAIN main = 0, "main";
    /// `events {}`
    EVENTS events = 1, "events";
    /// `http {}`
    HTTP http = 2, "http";
    /// `server {}` in http.
    SERVER server = 3, "server";
    /// `location {}`
    LOCATION location = 4, "location";
    /// `if {}` in a server.
    SERVER_IF server_if = 5, "if in server";
    /// `if {}` in a location.
    LOCATION_IF location_if = 6, "if in location";
    /// `limit_except {}`
    LIMIT_EXCEPT limit_except = 7, "limit_except";
    /// `upstream {}` in http.
    UPSTREAM upstream = 8, "upstream";
    /// `stream {}`
    STREAM stream = 9, "stream";
    /// `server {}` in stream.
    STREAM_SERVER stream_server = 10, "server in stream";
    /// `upstream {}` in stream.
    STREAM_UPSTREAM stream_upstream = 11, "upstream in stream";
    /// `mail {}`
    MAIL mail = 12, "mail";
    /// `server {}` in mail.
    MAIL_SERVER mail_server = 13, "server in mail";
    /// `mgmt {}`
    MGMT mgmt = 14, "mgmt";
    /// A block of Weir's own beside `http {}`.
    EXTENSION extension = 15, "extension";
    /// `match {}` in http.
    MATCH matching = 16, "match";
    /// `ha {}`
    HA ha = 17, "ha";
    /// `acme_issuer {}` in http.
    ACME_ISSUER acme_issuer = 18, "acme_issuer";
}

impl Contexts {
    /// No context.
    pub const NONE: Self = Self(0);
    /// Every context.
    pub const ANY: Self = Self(u32::MAX);

    /// The union of both sets.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets share a context.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the contexts, in nginx's order.
    pub fn list(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(set, _)| self.intersects(*set)).map(|&(_, name)| name)
    }

    /// All contexts of the top-level blocks (http, stream, mail) that these contexts belong to;
    /// main and events are families of their own.
    pub(crate) fn family(self) -> Self {
        const HTTP: u32 = 0b1_1111_1100 | Contexts::MATCH.0 | Contexts::ACME_ISSUER.0;
        const STREAM: u32 = 0b1110_0000_0000;
        const MAIL: u32 = 0b11_0000_0000_0000;
        let mut all = self.0;
        for family in [HTTP, STREAM, MAIL] {
            if all & family != 0 {
                all |= family;
            }
        }
        Self(all)
    }
}

impl fmt::Display for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.list().enumerate() {
            write!(f, "{}{name}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// The union of contexts by their names in [`names`].
#[macro_export]
macro_rules! contexts {
    ($($name:ident),* $(,)?) => {
        $crate::Contexts::NONE$(.union($crate::context::names::$name))*
    };
}
