//! Fields of responses that are not passed on, or have no effect.

use weir_conf::bitmask;
use weir_wire::header::{Known, NameSet};

bitmask! {
    /// Response fields without effect (`proxy_ignore_headers`).
    pub struct Ignored {
        /// No internal redirect.
        "X-Accel-Redirect" => REDIRECT = 2,
        /// Ignored.
        "X-Accel-Expires" => EXPIRES = 4,
        /// Ignored.
        "Expires" => EXPIRES_FIELD = 8,
        /// Ignored.
        "Cache-Control" => CACHE_CONTROL = 16,
        /// Ignored.
        "Set-Cookie" => SET_COOKIE = 32,
        /// No rate limit.
        "X-Accel-Limit-Rate" => LIMIT_RATE = 64,
        /// No change of buffering.
        "X-Accel-Buffering" => BUFFERING = 128,
        /// No charset.
        "X-Accel-Charset" => CHARSET = 256,
        /// Ignored.
        "Vary" => VARY = 512,
    }
}

/// The fields that a protocol hides unless `…_pass_header` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usual {
    /// Those of servers that are proxied: responses get fields like `Server` of our own.
    #[default]
    Http,
    /// Those of applications: what says how to respond.
    Cgi,
    /// Those of applications whose status line comes first.
    Uwsgi,
}

impl Usual {
    fn names(self) -> impl Iterator<Item = &'static str> {
        let own: &[&str] = match self {
            Self::Http => &["Date", "Server", "X-Pad"],
            Self::Cgi => &["Status"],
            Self::Uwsgi => &[],
        };
        own.iter().chain(X_ACCEL).copied()
    }
}

/// The hidden response fields, by `proxy_hide_header` and `proxy_pass_header`. Prepared with the
/// configuration.
#[derive(Clone, Debug, Default)]
pub struct Hidden(NameSet);

impl Hidden {
    /// Hides the fields in `hide`, and the usual ones that are not in `pass`.
    pub fn new(hide: &[String], pass: &[String], usual: Usual) -> Self {
        let is_passed = |name: &str| pass.iter().any(|passed| passed.eq_ignore_ascii_case(name));
        let usual = usual.names().filter(|name| !is_passed(name));
        let mut names = NameSet::default();
        for name in usual {
            names.insert(name.as_bytes());
        }
        for name in hide {
            names.insert(name.as_bytes());
        }
        Self(names)
    }

    /// Whether the field with this name is hidden.
    pub fn has(&self, name: &[u8], known: Known) -> bool {
        self.0.contains(name, known)
    }
}

/// The fields for us.
const X_ACCEL: &[&str] = &[
    "X-Accel-Expires",
    "X-Accel-Redirect",
    "X-Accel-Limit-Rate",
    "X-Accel-Buffering",
    "X-Accel-Charset",
];
