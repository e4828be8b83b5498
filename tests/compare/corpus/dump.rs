//! The servers of a configuration, parsed from the output of `nginx -T`.

use std::collections::BTreeSet;

/// A server block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) listens: Vec<Listen>,
    pub(super) names: Vec<String>,
    /// The arguments of its locations, modifiers first.
    pub(super) locations: Vec<(String, String)>,
}

/// A `listen` directive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listen {
    /// The address to connect to.
    pub(super) address: String,
    pub(super) port: u16,
    /// With `ssl`.
    pub(super) tls: bool,
    /// With `proxy_protocol`.
    pub(super) proxy_protocol: bool,
}

/// The relevant parts of a dump.
#[derive(Debug, Default)]
pub(super) struct Dump {
    pub(super) servers: Vec<Server>,
    /// The addresses of possible upstreams.
    pub(super) upstreams: BTreeSet<(String, u16)>,
    /// The names of all its directives.
    pub(super) directives: BTreeSet<String>,
}

impl Dump {
    /// Parses the text; blocks other than `http` are ignored.
    pub(super) fn parse(text: &str) -> Self {
        let mut dump = Self::default();
        let mut blocks: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for token in tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::End => {
                    dump.directive(&blocks, &words);
                    words.clear();
                }
                Token::Open => {
                    dump.open(&blocks, &words);
                    blocks.push(words.first().cloned().unwrap_or_default());
                    words.clear();
                }
                Token::Close => {
                    blocks.pop();
                    words.clear();
                }
            }
        }
        for server in dump.servers.iter_mut().filter(|server| server.listens.is_empty()) {
            server.listens.push(Listen {
                address: "127.0.0.1".to_owned(),
                port: 80,
                ..Listen::default()
            });
        }
        dump
    }

    /// Whether it contains the directive.
    pub(super) fn has(&self, directive: &str) -> bool {
        self.directives.contains(directive)
    }

    /// The ports that it listens on.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        self.servers.iter().flat_map(|server| &server.listens).map(|listen| listen.port).collect()
    }

    fn open(&mut self, blocks: &[String], words: &[String]) {
        let is_http = blocks.first().is_some_and(|block| block == "http");
        match words.first().map(String::as_str) {
            Some("server") if is_http && blocks.len() == 1 => self.servers.push(Server::default()),
            Some("location") if is_http => {
                let Some(server) = self.servers.last_mut() else { return };
                let location = match words {
                    [_, path] => (String::new(), path.clone()),
                    [_, modifier, path] => (modifier.clone(), path.clone()),
                    _ => return,
                };
                server.locations.push(location);
            }
            _ => {}
        }
    }

    fn directive(&mut self, blocks: &[String], words: &[String]) {
        let [name, arguments @ ..] = words else { return };
        self.directives.insert(name.clone());
        let is_server = blocks.len() == 2 && blocks[0] == "http" && blocks[1] == "server";
        let is_upstream = blocks.last().is_some_and(|block| block == "upstream");
        match (&**name, arguments) {
            ("listen", [address, parameters @ ..]) if is_server => {
                if let (Some(listen), Some(server)) =
                    (listen(address, parameters), self.servers.last_mut())
                {
                    server.listens.push(listen);
                }
            }
            ("server_name", names) if is_server => {
                let server = self.servers.last_mut();
                server.into_iter().for_each(|server| server.names.extend_from_slice(names));
            }
            ("server", [address, ..]) if is_upstream => self.upstream(address, 80),
            ("proxy_pass", [url]) => {
                let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://"))
                {
                    (Some(rest), _) => (rest, 80),
                    (_, Some(rest)) => (rest, 443),
                    _ => return,
                };
                self.upstream(rest.split('/').next().unwrap_or_default(), port);
            }
            _ => {}
        }
    }

    fn upstream(&mut self, address: &str, port: u16) {
        let (host, port) = match address.split_once(':') {
            // A port that is not a number is a variable.
            Some((host, port)) => (host, port.parse().unwrap_or(0)),
            None => (address, port),
        };
        if host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()) && port != 0 {
            self.upstreams.insert((host.to_owned(), port));
        }
    }
}

fn listen(address: &str, parameters: &[String]) -> Option<Listen> {
    if address.starts_with("unix:") || address.starts_with('[') {
        return None;
    }
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => match address.parse() {
            Ok(port) => ("*", port),
            Err(_) => (address, 80),
        },
    };
    let has = |name: &str| parameters.iter().any(|parameter| parameter == name);
    let host = if matches!(host, "*" | "0.0.0.0" | "localhost") { "127.0.0.1" } else { host };
    let (tls, proxy_protocol) = (has("ssl"), has("proxy_protocol"));
    (!has("quic")).then(|| Listen { address: host.to_owned(), port, tls, proxy_protocol })
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

/// The words of a configuration accepted by nginx; Lua blocks and the like may be garbled.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&next) = chars.peek() {
        match next {
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            ';' | '{' | '}' => {
                chars.next();
                tokens.push(match next {
                    ';' => Token::End,
                    '{' => Token::Open,
                    _ => Token::Close,
                });
            }
            '"' | '\'' => {
                chars.next();
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| *c != next) {
                    word.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
                }
                chars.next();
                tokens.push(Token::Word(word));
            }
            c if c.is_whitespace() => {
                chars.next();
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    let variable = c == '{' && word.ends_with('$');
                    let in_braces = word.rfind("${").is_some_and(|at| !word[at..].contains('}'));
                    let ends = c.is_whitespace() || matches!(c, ';' | '{') && !variable;
                    if ends || c == '}' && !in_braces && !word.contains('{') {
                        break;
                    }
                    word.push(c);
                    chars.next();
                }
                if word.is_empty() {
                    chars.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_with_their_addresses_and_locations() {
        let dump = Dump::parse(
            "daemon off; http { upstream a { server 127.3.0.1:81 weight=2; } # server {\n\
             server { listen 8080 ssl; listen [::]:1; listen 127.0.0.5:9000 proxy_protocol;\n\
             server_name a.example \"b;c\"; location = /x { proxy_pass http://127.0.0.9/y; }\n\
             location ~ \\.php$ { if ($x = \"}\") { return 200 ${y}; } } } server { } }\n\
             stream { server { listen 1; } }",
        );
        assert!(dump.has("daemon") && !dump.has("user"));
        assert_eq!(dump.servers.len(), 2);
        let [first, second] = &dump.servers[..] else { panic!("two servers") };
        assert_eq!((first.listens.len(), first.listens[0].tls), (2, true));
        assert_eq!((&*first.listens[1].address, first.listens[1].port), ("127.0.0.5", 9000));
        assert!(first.listens[1].proxy_protocol);
        assert_eq!(first.names, ["a.example", "b;c"]);
        assert_eq!(first.locations[0], ("=".to_owned(), "/x".to_owned()));
        assert_eq!(first.locations[1], ("~".to_owned(), "\\.php$".to_owned()));
        assert_eq!(second.listens[0].port, 80);
        let upstreams: Vec<_> =
            dump.upstreams.iter().map(|(host, port)| (&**host, *port)).collect();
        assert_eq!(upstreams, [("127.0.0.9", 80), ("127.3.0.1", 81)]);
    }
}
