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

/// The hidden response fields, by `proxy_hide_header` and `proxy_pass_header`. Prepared with the
/// configuration.
#[derive(Clone, Debug, Default)]
pub struct Hidden(NameSet);

impl Hidden {
    /// Hides the fields in `hide`, and the usual ones that are not in `pass`.
    pub fn new(hide: &[String], pass: &[String]) -> Self {
        let is_passed = |name: &str| pass.iter().any(|passed| passed.eq_ignore_ascii_case(name));
        let usual = HIDDEN.iter().copied().filter(|name| !is_passed(name));
        let mut names = NameSet::default();
        for name in hide.iter().map(String::as_str).chain(usual) {
            names.insert(name.as_bytes());
        }
        Self(names)
    }

    /// Whether the field with this name is hidden.
    pub fn has(&self, name: &[u8], known: Known) -> bool {
        self.0.contains(name, known)
    }
}

/// Fields that are hidden unless `proxy_pass_header` names them.
const HIDDEN: &[&str] = &[
    "Date",
    "Server",
    "X-Pad",
    "X-Accel-Expires",
    "X-Accel-Redirect",
    "X-Accel-Limit-Rate",
    "X-Accel-Buffering",
    "X-Accel-Charset",
];
