//! The requests to a configuration: ordinary and odd ones for each server.

use std::collections::BTreeSet;

use super::super::case::{Exchange, Turn};
use super::dump::{Listen, Server};

/// The number of locations tried per server.
const LOCATIONS: usize = 8;

/// The number of servers tried per case.
const SERVERS: usize = 6;

/// An exchange and its destination.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) listen: Listen,
    pub(super) exchange: Exchange,
}

/// The requests to all servers, with unique names.
pub(super) fn questions(servers: &[Server]) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut asked = BTreeSet::new();
    for server in servers {
        let Some(listen) = server.listens.first() else { continue };
        let host = host(server);
        if asked.len() < SERVERS && asked.insert((listen.port, host.clone())) {
            questions.extend(requests(server, &host).into_iter().enumerate().map(|(at, bytes)| {
                let name =
                    format!("{}:{} {host} {at} {}", listen.address, listen.port, title(&bytes));
                question(listen, &host, name, bytes)
            }));
        }
    }
    questions
}

/// A host name of the server, if it has one.
fn host(server: &Server) -> String {
    let plain = |name: &&String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    let name = server.names.iter().find(plain).map_or("other.invalid", |name| name);
    name.trim_start_matches('.').to_owned()
}

fn title(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    super::super::text::show(line)
}

fn question(listen: &Listen, host: &str, name: String, bytes: Vec<u8>) -> Question {
    let heads = vec![bytes.starts_with(b"HEAD ")];
    let mut options = std::collections::BTreeMap::new();
    let closes = bytes.windows(CLOSE.len()).any(|part| part == CLOSE);
    options.insert(if closes { "to-end" } else { "noprobe" }.to_owned(), String::new());
    options.insert("to".to_owned(), listen.address.clone());
    if listen.tls {
        options.insert("tls".to_owned(), String::new());
        options.insert("sni".to_owned(), host.to_owned());
    }
    if listen.proxy_protocol {
        let line = format!("PROXY TCP4 127.0.0.7 {} 40000 {}", listen.address, listen.port);
        options.insert("proxy".to_owned(), line);
    }
    let turns = vec![Turn { bytes, heads, wait: None }];
    Question {
        listen: listen.clone(),
        exchange: Exchange { name, turns, options, reasons: Vec::new() },
    }
}

/// The requests to a server, as sent.
fn requests(server: &Server, host: &str) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    for path in paths(server) {
        requests.push(request("GET", &path, host, ""));
        requests.push(request("GET", &format!("{path}x/../y.php?a=b&c=%20d"), host, BROWSER));
        requests.push(request("HEAD", &path, host, ""));
        requests.push(request("POST", &path, host, "Content-Length: 3\r\n"));
        requests.last_mut().into_iter().for_each(|request| request.extend_from_slice(b"a=b"));
    }
    for (method, path, fields) in ODD {
        requests.push(request(method, path, host, fields));
    }
    requests.extend(RAW.iter().map(|raw| raw.replace("HOST", host).into_bytes()));
    requests
}

/// Paths that match the locations.
fn paths(server: &Server) -> Vec<String> {
    let mut paths = vec!["/".to_owned()];
    for (modifier, text) in &server.locations {
        let path = match &**modifier {
            "~" | "~*" => likely(text),
            _ if text.starts_with('/') => text.clone(),
            _ => continue,
        };
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain && !paths.contains(&path) && paths.len() < LOCATIONS {
            paths.push(path);
        }
    }
    paths
}

/// A path that may match a regular expression: its letters, and one of its extensions.
pub(crate) fn likely(regex: &str) -> String {
    let ending = regex.rsplit("\\.").next().unwrap_or_default();
    let ending: String = ending
        .trim_start_matches(['(', '?', ':'])
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let folder: String = regex
        .trim_start_matches('^')
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "/-_".contains(*c))
        .collect();
    let folder = if folder.starts_with('/') { folder } else { format!("/{folder}") };
    if regex.contains("\\.") { format!("{folder}a.{ending}") } else { folder }
}

fn request(method: &str, path: &str, host: &str, fields: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n")
        .into_bytes()
}

/// Closes the connection after the response.
const CLOSE: &[u8] = b"Connection: close";

const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\
    Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: de,en;q=0.7\r\nCookie: a=b; session=0123\r\nReferer: http://example.org/x\r\n\
    X-Forwarded-For: 10.1.2.3, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n";

/// Method, path and fields.
const ODD: &[(&str, &str, &str)] = &[
    ("GET", "/a/../b//c%2fd%3fe/./", ""),
    ("GET", "/.git/config", ""),
    ("GET", "/../../etc/passwd", ""),
    ("GET", "/%00", ""),
    ("GET", "/%zz", ""),
    ("GET", "/index.html", "If-None-Match: *\r\nRange: bytes=0-1\r\n"),
    ("GET", "/", "If-Modified-Since: Sun, 06 Nov 2033 08:49:37 GMT\r\n"),
    ("GET", "/", "Accept-Encoding: gzip\r\nUser-Agent: curl/8.0\r\n"),
    ("GET", "/robots.txt", ""),
    ("GET", "/favicon.ico", ""),
    ("GET", "/missing.png", "Origin: http://a.example\r\n"),
    ("OPTIONS", "/", "Origin: http://a.example\r\nAccess-Control-Request-Method: PUT\r\n"),
    ("OPTIONS", "*", ""),
    ("TRACE", "/", ""),
    ("DELETE", "/x", ""),
    ("PROPFIND", "/", ""),
    ("PUT", "/x", "Content-Length: 0\r\n"),
    ("get", "/", ""),
    ("GET", "/ws", "Upgrade: websocket\r\n"),
    ("GET", "/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    ("POST", "/", "Content-Length: -1\r\n"),
    ("GET", "/", "Host: again.invalid\r\n"),
    ("GET", "/", "A b: c\r\n"),
    ("GET", "/", "A_b: c\r\n"),
];

/// Requests that cannot be composed; HOST stands for the server's name.
const RAW: &[&str] = &[
    "GET / HTTP/1.0\r\n\r\n",
    "GET /\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET http://HOST/absolute HTTP/1.1\r\nHost: other.invalid\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: HOST:81\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: HOST.\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\na=b\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_give_paths() {
        assert_eq!(likely(r"\.php$"), "/a.php");
        assert_eq!(likely(r"^/img/.*\.(?:png|jpg)$"), "/img/a.png");
        assert_eq!(likely(r"^/api/v1"), "/api/v1");
        assert_eq!(likely(r"/\.ht"), "/a.ht");
    }

    #[test]
    fn names_of_questions_are_unique() {
        let listen = Listen { address: "127.0.0.1".to_owned(), port: 81, ..Listen::default() };
        let server = Server { listens: vec![listen], ..Server::default() };
        let questions = questions(&[server.clone(), server]);
        let names: BTreeSet<&str> = questions.iter().map(|q| &*q.exchange.name).collect();
        assert_eq!((names.len(), questions.len() > 30), (questions.len(), true));
    }
}
