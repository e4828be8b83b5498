//! The first location with `api` in the configuration, and a socket that leads to it.

use std::path::{Path, PathBuf};

use weir_conf::{FileId, Node, parser};
use weir_sys::glob;

use super::reason::Reason;
use super::url::Url;
use crate::paths::{Paths, full_name};

/// The depth at which files that include themselves are given up.
const DEEPEST: usize = 16;

/// The API of a configuration.
///
/// # Errors
/// There is none, or the configuration cannot be read.
pub(super) fn api(paths: &Paths) -> Result<Url, Reason> {
    let top = read(&paths.conf)
        .map_err(|error| Reason::new(format!("{}: {error}", paths.conf.display())))?;
    let folder = paths.conf.parent().unwrap_or(Path::new("")).to_owned();
    let tree = Tree { folder };
    let http = tree.named(&top, "http", 0);
    let servers = http.iter().flat_map(|http| tree.named(block(http), "server", 0));
    let mut only_tls = false;
    for server in servers {
        if let Some(path) = tree.location(block(&server), 0) {
            let listens = tree.named(block(&server), "listen", 0);
            match socket(&listens) {
                Some(socket) => return Ok(Url::new(&socket, &path)),
                None => only_tls = true,
            }
        }
    }
    if only_tls {
        return Err(Reason::new(
            "\"weir top\" speaks no TLS, and the server with \"api\" has no other listener: give it \
             a \"listen 127.0.0.1:8000;\"",
        ));
    }
    Err(Reason::new(format!(
        "no location of {} has \"api\": give one \"location /api/ {{ api; }}\", or name the URL of \
         another server's",
        paths.conf.display()
    )))
}

/// The directives of a file.
fn read(path: &Path) -> std::io::Result<Vec<Node>> {
    Ok(parser::parse(&std::fs::read(path)?, FileId(0)).nodes)
}

fn block(node: &Node) -> &[Node] {
    node.block.as_deref().unwrap_or_default()
}

/// The configuration with its included files.
struct Tree {
    /// The folder of the main file, to which names of included ones relate.
    folder: PathBuf,
}

impl Tree {
    /// The directives of this name, those of included files as well.
    fn named(&self, nodes: &[Node], name: &str, depth: usize) -> Vec<Node> {
        let mut found = Vec::new();
        for node in nodes {
            if node.name.is(name) {
                found.push(node.clone());
            }
            for included in self.included(node, depth) {
                found.extend(self.named(&included, name, depth + 1));
            }
        }
        found
    }

    /// The files of an `include`, which are passed over if they cannot be read: the server's own
    /// user may read more.
    fn included(&self, node: &Node, depth: usize) -> Vec<Vec<Node>> {
        let pattern = node.args.first().filter(|_| node.name.is("include") && depth < DEEPEST);
        let Some(pattern) = pattern else { return Vec::new() };
        let pattern = full_name(&self.folder.join(""), Path::new(&*pattern.text()));
        let paths = glob::glob(&pattern.to_string_lossy()).unwrap_or_default();
        paths.iter().filter_map(|path| read(path).ok()).collect()
    }

    /// The path of the first location with `api`, which no regular expression matches.
    fn location(&self, nodes: &[Node], depth: usize) -> Option<String> {
        for location in self.named(nodes, "location", depth) {
            let content = block(&location);
            let path = location.args.last()?.text().into_owned();
            let is_plain = !location.args[0].value.starts_with(b"~") && path.starts_with('/');
            if is_plain && !self.named(content, "api", depth).is_empty() {
                return Some(path);
            }
            if let Some(path) = self.location(content, depth) {
                return Some(path);
            }
        }
        None
    }
}

/// A socket from the `listen` directives of a server, one that is asked in plain HTTP; `None` if
/// there is none.
fn socket(listens: &[Node]) -> Option<String> {
    let is_plain = |node: &&Node| {
        let others = ["ssl", "quic", "proxy_protocol"];
        !node.args.iter().any(|word| others.iter().any(|other| word.is(other)))
    };
    if listens.is_empty() {
        return Some("127.0.0.1:80".to_owned());
    }
    let address = listens.iter().find(is_plain)?.args.first()?.text().into_owned();
    if address.starts_with("unix:") {
        return Some(address);
    }
    let has_host = address.contains(['.', ':', '*']) || address.parse::<u16>().is_err();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ if has_host => (address.as_str(), "80"),
        _ => ("*", address.as_str()),
    };
    let host = match host {
        "*" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket_of(listens: &str) -> String {
        socket(&parser::parse(listens.as_bytes(), FileId(0)).nodes).unwrap_or_default()
    }

    #[test]
    fn a_socket_is_that_of_a_listen_without_tls() {
        assert_eq!(socket_of(""), "127.0.0.1:80");
        assert_eq!(socket_of("listen 443 ssl; listen 8000;"), "127.0.0.1:8000");
        assert_eq!(socket_of("listen 443 ssl; listen 80 proxy_protocol;"), "");
        assert_eq!(socket_of("listen *:81;"), "127.0.0.1:81");
        assert_eq!(socket_of("listen 10.0.0.1;"), "10.0.0.1:80");
        assert_eq!(socket_of("listen [::]:82;"), "[::1]:82");
        assert_eq!(socket_of("listen [::1];"), "[::1]:80");
        assert_eq!(socket_of("listen name;"), "name:80");
        assert_eq!(socket_of("listen unix:/run/w.sock;"), "unix:/run/w.sock");
    }
}
