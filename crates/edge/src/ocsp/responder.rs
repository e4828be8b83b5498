//! The URL of a responder.

use weir_conf::Environment;
use weir_engine::Addr;
use weir_engine::url::{UrlOptions, parse_url};

/// The only scheme: responses are signed, and a certificate that secures the question of whether a
/// certificate holds would begin the question anew.
const SCHEME: &str = "http://";

/// A responder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspResponder {
    /// As written, brackets included.
    pub(super) host: String,
    pub(super) port: u16,
    /// The path, which begins with a slash or a question mark.
    pub(super) uri: String,
    /// The addresses that are known without a name server.
    pub(super) addresses: Vec<Addr>,
    /// The host is an address, so that no name server is asked.
    pub(super) is_address: bool,
}

impl OcspResponder {
    /// Parses a URL. With `lookup`, the system's resolver finds the addresses of a name.
    ///
    /// # Errors
    /// nginx's message, which names the URL but not its place.
    pub fn parse(url: &str, lookup: Option<&dyn Environment>) -> Result<Self, OcspUrlError> {
        let fault =
            |what: &str, url: &str| OcspUrlError(format!("{what} in OCSP responder \"{url}\""));
        let rest = url
            .split_at_checked(SCHEME.len())
            .filter(|(scheme, rest)| scheme.eq_ignore_ascii_case(SCHEME) && !rest.is_empty());
        let (_, rest) = rest.ok_or_else(|| fault("invalid URL prefix", url))?;
        let options = UrlOptions { default_port: 80, uri_part: true, lookup };
        let parsed = parse_url(rest, options).map_err(|what| fault(what, rest))?;
        let literal = UrlOptions { lookup: None, ..options };
        let is_address = parse_url(rest, literal).is_ok_and(|url| !url.addresses.is_empty());
        let uri = if parsed.uri.is_empty() { "/".to_owned() } else { parsed.uri };
        let (host, port, addresses) = (parsed.host, parsed.port, parsed.addresses);
        Ok(Self { host, port, uri, addresses, is_address })
    }
}

/// A URL that names no responder, in nginx's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspUrlError(String);

impl std::fmt::Display for OcspUrlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_http_with_a_path() {
        let parsed = OcspResponder::parse("HTTP://127.0.0.1:81", None).unwrap();
        assert_eq!((&*parsed.host, parsed.port, &*parsed.uri), ("127.0.0.1", 81, "/"));
        assert!(parsed.is_address);
        let parsed = OcspResponder::parse("http://ca.test/ocsp", None).unwrap();
        assert_eq!((&*parsed.host, parsed.port, &*parsed.uri), ("ca.test", 80, "/ocsp"));
        assert!(!parsed.is_address && parsed.addresses.is_empty());
    }

    #[test]
    fn faults_are_told_as_by_nginx() {
        let fault = |url| OcspResponder::parse(url, None).unwrap_err().to_string();
        let prefix = "invalid URL prefix in OCSP responder";
        assert_eq!(fault("https://ca.test/"), format!("{prefix} \"https://ca.test/\""));
        assert_eq!(fault("http://"), format!("{prefix} \"http://\""));
        assert_eq!(fault("http://a:0/"), "invalid port in OCSP responder \"a:0/\"");
        assert_eq!(fault("http:///x"), "no host in OCSP responder \"/x\"");
    }
}
