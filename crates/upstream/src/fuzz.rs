//! Entry points of fuzz targets: no input from the network may cause a panic.

use weir_conf::environment::Memory;
use weir_engine::url::{UrlOptions, parse_listen, parse_url};

/// Parses a DNS response, as over UDP and over TCP.
pub fn dns_response(bytes: &[u8]) {
    for over_tcp in [false, true] {
        let _ = crate::resolver::message::parse(bytes, over_tcp);
    }
}

/// Parses an address, as in directives and variables.
pub fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for uri_part in [false, true] {
        let options = UrlOptions { default_port: 80, uri_part, lookup: None };
        let _ = parse_url(&text, options);
    }
    let _ = parse_listen(&text, 80, &Memory::default());
}
