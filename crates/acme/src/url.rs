//! URLs of authorities.

use std::fmt;

/// A URL over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcmeUrl {
    pub(crate) is_secure: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The path with the query.
    pub(crate) path: String,
    /// As written.
    text: String,
}

impl AcmeUrl {
    /// Parses a URL. `None` if it has another scheme, no host, or characters that would break a
    /// request.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_secure = match () {
            () if scheme.eq_ignore_ascii_case("https") => true,
            () if scheme.eq_ignore_ascii_case("http") => false,
            () => return None,
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, rest.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if is_secure => 443,
            None => 80,
        };
        let is_sound = !host.is_empty() && !host.contains(['@', '/', '\\', '[', ']']);
        let (host, text) = (host.to_ascii_lowercase(), text.to_owned());
        is_sound.then_some(Self { is_secure, host, port, path, text })
    }

    /// The value of the field `Host`.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.is_secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Whether a connection to one serves the other.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        self.is_secure == other.is_secure && self.host == other.host && self.port == other.port
    }
}

impl fmt::Display for AcmeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        let url = AcmeUrl::parse("https://CA.test/dir?x=1#y").unwrap();
        assert_eq!((&*url.host, url.port, &*url.path), ("ca.test", 443, "/dir?x=1"));
        assert_eq!(url.authority(), "ca.test");
        let url = AcmeUrl::parse("http://[::1]:14000").unwrap();
        assert_eq!((&*url.host, url.port, &*url.path), ("::1", 14000, "/"));
        assert_eq!(url.authority(), "[::1]:14000");
        for bad in [
            "",
            "ca.test/dir",
            "ftp://a/",
            "https:///x",
            "https://a:0/",
            "https://a b/",
            "https://a/\r\nX: y",
            "https://u@a/",
            "https://a:99999/",
        ] {
            assert_eq!(AcmeUrl::parse(bad), None, "{bad}");
        }
    }
}
