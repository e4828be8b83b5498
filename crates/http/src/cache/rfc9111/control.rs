//! `Cache-Control` of responses (RFC 9111 section 5.2.2, RFC 5861), and what both directions share.

use std::borrow::Cow;

/// The greatest number of seconds, which larger ones count as (RFC 9111 section 1.2.2).
pub(super) const MOST_SECONDS: i64 = u32::MAX as i64;

/// A directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive<'t> {
    /// The name as written.
    pub(super) name: &'t [u8],
    /// The argument, without quotes.
    pub(super) argument: Option<Cow<'t, [u8]>>,
}

/// The directives of a list. A comma in a quoted text separates nothing.
pub(super) fn directives(list: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    let mut quoted = false;
    let mut escaped = false;
    let items = list.split(move |&byte| {
        let separates = byte == b',' && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && quoted && !escaped;
        separates
    });
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty()).map(directive)
}

fn directive(item: &[u8]) -> Directive<'_> {
    let Some(at) = item.iter().position(|&byte| byte == b'=') else {
        return Directive { name: item, argument: None };
    };
    let (name, argument) = (&item[..at], &item[at + 1..]);
    let inner = argument.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let argument = match inner {
        Some(inner) if inner.contains(&b'\\') => Cow::Owned(unescaped(inner)),
        Some(inner) => Cow::Borrowed(inner),
        None => Cow::Borrowed(argument),
    };
    Directive { name, argument: Some(argument) }
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut escaped = false;
    for &byte in text {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            out.push(byte);
        }
    }
    out
}

/// A number of seconds; None for anything but decimal digits.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |all: i64, digit: &u8| (all * 10 + i64::from(digit - b'0')).min(MOST_SECONDS);
    Some(text.iter().fold(0, add))
}

/// What a response says about keeping it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) no_store: bool,
    /// Must be validated before each use.
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    pub(super) must_revalidate: bool,
    pub(super) proxy_revalidate: bool,
    pub(super) must_understand: bool,
    /// The lifetimes in seconds; 0 if the argument is invalid.
    pub(super) max_age: Option<i64>,
    pub(super) s_maxage: Option<i64>,
    /// The seconds after the lifetime in which the response may be used while it is updated.
    pub(super) updating: Option<i64>,
    /// The seconds after the lifetime in which it may be used if the upstream fails.
    pub(super) error: Option<i64>,
    /// The fields that are not kept (`no-cache="…"`, `private="…"`), in lower case.
    pub(super) withheld: Vec<Vec<u8>>,
}

impl Said {
    /// What lines of `Cache-Control` say. Of several equal directives the first counts.
    pub(super) fn of<'t>(lines: impl Iterator<Item = &'t [u8]>) -> Self {
        let mut said = Self::default();
        for Directive { name, argument } in lines.flat_map(directives) {
            said.heed(&name.to_ascii_lowercase(), argument.as_deref());
        }
        said
    }

    /// Notes a directive with its name in lower case.
    pub(super) fn heed(&mut self, name: &[u8], argument: Option<&[u8]>) {
        // An argument that cannot be understood makes the response stale (section 4.2.1).
        let lifetime = || Some(argument.and_then(seconds).unwrap_or(0));
        match name {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache |= !self.withhold(argument),
            b"private" => self.private |= !self.withhold(argument),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"max-age" => self.max_age = self.max_age.or_else(lifetime),
            b"s-maxage" => self.s_maxage = self.s_maxage.or_else(lifetime),
            b"stale-while-revalidate" => self.updating = self.updating.or_else(lifetime),
            b"stale-if-error" => self.error = self.error.or_else(lifetime),
            _ => {}
        }
    }

    /// Notes the fields in the argument of `no-cache` or `private`. Returns whether there are any;
    /// without, the directive applies to the whole response.
    fn withhold(&mut self, argument: Option<&[u8]>) -> bool {
        let names = argument.unwrap_or_default().split(|&byte| byte == b',');
        let names = names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        let before = self.withheld.len();
        self.withheld.extend(names.map(<[u8]>::to_ascii_lowercase));
        self.withheld.len() > before
    }

    /// The lifetime that is said explicitly. A shared cache prefers `s-maxage` (section 4.2.1).
    pub(super) fn lifetime(&self) -> Option<i64> {
        self.s_maxage.or(self.max_age)
    }

    /// Whether the response must not be used when its lifetime is over, whatever the
    /// configuration allows (section 4.2.4).
    pub(super) fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache || self.s_maxage.is_some()
    }

    /// Whether a response to a request with `Authorization` may be kept for others (section 3.5).
    pub(super) fn is_for_all(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }
}
