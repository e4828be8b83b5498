//! Entry points of fuzz targets: no input from the network may cause a panic.

use std::collections::BTreeMap;

use weir_conf::environment::Memory;
use weir_engine::{
    journal,
    url::{UrlOptions, parse_listen, parse_url},
};

/// Parses a DNS response, as over UDP and over TCP.
pub fn dns_response(bytes: &[u8]) {
    for over_tcp in [false, true] {
        let _ = crate::resolver::message::parse(bytes, over_tcp);
    }
}

/// Reads what a worker leaves: a journal, and in it a group; and a state file.
pub fn left(bytes: &[u8]) {
    journal::replay(bytes, &mut BTreeMap::new());
    crate::record::fuzz(bytes);
}

/// Reads what other nodes tell: the health of servers; and a session, whose key and value a NUL
/// and 16 bytes part.
pub fn shared(bytes: &[u8]) {
    crate::findings::fuzz(bytes);
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (key, value) = bytes.split_at((end + 17).min(bytes.len()));
    crate::sticky::fuzz(key, value);
}

/// Reads a list of servers.
pub fn list(bytes: &[u8]) {
    crate::discovery::list::fuzz(bytes);
}

/// Reads answers of etcd, and the keys and changes in them.
pub fn etcd(bytes: &[u8]) {
    crate::discovery::etcd::fuzz(bytes);
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
