//! Entry points for fuzzing: bytes from the network go in, nothing may panic.

/// A DNS response, as it comes over UDP and over TCP.
pub fn dns_response(bytes: &[u8]) {
    for over_tcp in [false, true] {
        let _ = crate::resolver::message::parse(bytes, over_tcp);
    }
}

/// An address as directives and variables write it.
pub fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for uri_part in [false, true] {
        let options = crate::url::UrlOptions { default_port: 80, uri_part, lookup: None };
        let _ = crate::url::parse_url(&text, options);
    }
}
