//! A case: a configuration, its upstreams, and requests. `compare/README.md` describes the format.

use std::collections::BTreeMap;

use super::applications::{Protocol, SCRIPT};
use super::reason::Reason;
use super::text::bytes;

/// A configuration and its requests.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// The file's name without extension.
    pub(crate) theme: String,
    /// The text after `===`.
    pub(crate) title: String,
    /// The oldest nginx version that can run it.
    pub(crate) needs: Option<Version>,
    /// Lines for the main context, for `http { }`, and for its only server.
    pub(crate) conf: BTreeMap<&'static str, String>,
    /// Files in the prefix.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Upstreams by name.
    pub(crate) upstreams: Vec<(String, Vec<Reply>)>,
    /// Relays to real applications by name.
    pub(crate) applications: Vec<(String, Protocol)>,
    /// The exchanges, each on its own connection.
    pub(crate) exchanges: Vec<Exchange>,
    /// Declared differences outside of exchanges.
    pub(crate) reasons: Vec<Reason>,
    /// Declared differences of any exchange.
    pub(crate) everywhere: Vec<Reason>,
}

/// The numbers of a version such as `1.31.5`.
pub(crate) type Version = [u32; 3];

/// An upstream's reaction to a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    /// Selects requests whose first line contains this.
    pub(crate) key: String,
    /// The actions, in order.
    pub(crate) acts: Vec<Act>,
}

/// An upstream's action.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends bytes, without the body in response to HEAD.
    Page(Vec<u8>),
    /// Sends a 200 with this body, or without it in response to HEAD.
    Ordinary(Vec<u8>),
    /// Waits so that earlier bytes arrive separately.
    Pause,
    /// Responds before the request body is read.
    Early,
    /// Closes the connection.
    Close,
    /// Closes the connection with a reset.
    Reset,
    /// Waits until the other side closes.
    Hold,
    /// Echoes until the other side closes.
    Echo,
}

/// A connection and the requests on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    /// The line that starts it, which is its name.
    pub(crate) name: String,
    /// The turns; the responses to one are read before the next is sent.
    pub(crate) turns: Vec<Turn>,
    /// Options.
    pub(crate) options: BTreeMap<String, String>,
    /// Declared differences.
    pub(crate) reasons: Vec<Reason>,
}

/// Requests that are written at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// For each request, whether its response has no body, because it is HEAD.
    pub(crate) heads: Vec<bool>,
    /// Read until this text, instead of complete responses.
    pub(crate) wait: Option<String>,
}

/// Parses the cases of a file.
pub(crate) fn parse(theme: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.lines().chain(["==="]) {
        let fresh = line.strip_prefix("===");
        let head = line.strip_prefix("--- ");
        if fresh.is_none() && head.is_none() {
            lines.push(line);
            continue;
        }
        if let Some(case) = cases.last_mut() {
            case.take(&section, &std::mem::take(&mut lines));
        }
        lines.clear();
        section.clear();
        if let Some(head) = head {
            section.push_str(head.trim());
        } else if let Some(title) = fresh.map(str::trim).filter(|title| !title.is_empty()) {
            let title = title.to_owned();
            cases.push(Case { theme: theme.to_owned(), title, ..Case::default() });
        }
    }
    for case in &mut cases {
        name_apart(&mut case.exchanges);
    }
    cases
}

/// Exchanges of the same name are numbered.
pub(crate) fn name_apart(exchanges: &mut [Exchange]) {
    let mut seen = BTreeMap::new();
    for exchange in exchanges {
        let count = seen.entry(exchange.name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            exchange.name += &format!(" ({count})");
        }
    }
}

impl Case {
    fn take(&mut self, section: &str, lines: &[&str]) {
        let (name, argument) = section.split_once(' ').unwrap_or((section, ""));
        let conf = |name| (name, lines.join("\n") + "\n");
        match name {
            "" => self.take_head(lines),
            "main" => self.conf.extend([conf("main")]),
            "http" => self.conf.extend([conf("http")]),
            "server" => self.conf.extend([conf("server")]),
            "file" => {
                let content = lines.iter().flat_map(|line| bytes(line, b"\n")).collect();
                self.files.push((argument.to_owned(), content));
            }
            "upstream" => self.upstreams.push((argument.to_owned(), replies(lines))),
            "php" => {
                self.files.push(("html/index.php".to_owned(), SCRIPT.into()));
                self.applications.push((argument.to_owned(), Protocol::FastCgi));
            }
            "uwsgi" => self.applications.push((argument.to_owned(), Protocol::Uwsgi)),
            "requests" => self.exchanges.extend(exchanges(lines)),
            _ => panic!("{}: {}: no such section: {section}", self.theme, self.title),
        }
    }

    fn take_head(&mut self, lines: &[&str]) {
        for &line in lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(version) = line.strip_prefix("needs nginx ") {
                self.needs = Some(parse_version(version));
            } else if let Some(reason) = line.strip_prefix("~ ") {
                self.reasons.push(Reason::parse(reason));
            } else if let Some(reason) = line.strip_prefix("~~ ") {
                self.everywhere.push(Reason::parse(reason));
            } else {
                panic!("{}: {}: {line}", self.theme, self.title);
            }
        }
    }
}

/// Parses `1.31.5`.
pub(crate) fn parse_version(text: &str) -> Version {
    let mut numbers = text.trim().split('.').map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

/// Parses the replies of an upstream.
pub(crate) fn replies(lines: &[&str]) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut sent: Vec<u8> = Vec::new();
    let flush = |replies: &mut Vec<Reply>, sent: &mut Vec<u8>| {
        if let Some(reply) = replies.last_mut().filter(|_| !sent.is_empty()) {
            reply.acts.push(Act::Send(std::mem::take(sent)));
        }
    };
    let mut after_key = false;
    for line in lines {
        if let Some(key) = line.strip_prefix('@') {
            flush(&mut replies, &mut sent);
            let (key, body) = key.split_once(" = ").map_or((key, None), |(k, b)| (k, Some(b)));
            let acts = body.map(|body| Act::Ordinary(bytes(body, b"")));
            after_key = body.is_some();
            replies.push(Reply { key: key.trim().to_owned(), acts: acts.into_iter().collect() });
        } else if let Some(act) = line.strip_prefix('!') {
            if let Some(text) = act.strip_prefix("repeat ") {
                let (count, text) = text.split_once(' ').expect("!repeat COUNT TEXT");
                sent.extend(bytes(text, b"").repeat(count.parse().expect("a count")));
                continue;
            }
            flush(&mut replies, &mut sent);
            let reply = replies.last_mut().expect("a reply begins with @");
            reply.acts.push(self::act(act));
        } else if !(after_key && line.is_empty()) {
            sent.extend(bytes(line, b"\r\n"));
        }
    }
    flush(&mut replies, &mut sent);
    replies
}

fn act(name: &str) -> Act {
    match name.trim() {
        "pause" => Act::Pause,
        "early" => Act::Early,
        "close" => Act::Close,
        "reset" => Act::Reset,
        "hold" => Act::Hold,
        "echo" => Act::Echo,
        other => panic!("upstreams cannot !{other}"),
    }
}

/// Parses exchanges.
pub(crate) fn exchanges(lines: &[&str]) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let start = at;
        while lines.get(at).is_some_and(|line| line.starts_with("  ")) {
            at += 1;
        }
        let details = lines[start..at].iter().map(|line| &line[2..]);
        let (notes, details): (Vec<&str>, Vec<&str>) =
            details.partition(|line| line.starts_with("~ "));
        let reasons: Vec<Reason> = notes.iter().map(|note| Reason::parse(&note[2..])).collect();
        let (line, options) = options(line);
        let (mark, line) = match line.as_bytes() {
            [b'+', b' ', ..] => ('+', &line[2..]),
            [b'&', b' ', ..] => ('&', &line[2..]),
            _ => (' ', line),
        };
        let turn = turn(line, &details, &options);
        match (mark, exchanges.last_mut()) {
            (' ', _) | (_, None) => {
                let first = details.first().unwrap_or(&"");
                let name =
                    if line == "raw" { format!("raw {}", first.trim()) } else { line.to_owned() };
                exchanges.push(Exchange { name, turns: vec![turn], options, reasons });
            }
            ('&', Some(exchange)) => {
                exchange.reasons.extend(reasons);
                let last = exchange.turns.last_mut().expect("a turn");
                last.bytes.extend(turn.bytes);
                last.heads.extend(turn.heads);
            }
            (_, Some(exchange)) => {
                exchange.reasons.extend(reasons);
                exchange.turns.push(turn);
            }
        }
    }
    exchanges
}

/// Splits `{a, b=c}` off the end of a line.
fn options(line: &str) -> (&str, BTreeMap<String, String>) {
    let found = line.strip_suffix('}').and_then(|line| line.rsplit_once(" {"));
    let Some((line, list)) = found else { return (line, BTreeMap::new()) };
    let pair = |option: &str| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        (name.trim().to_owned(), value.to_owned())
    };
    (line, list.split(", ").map(pair).collect())
}

fn turn(line: &str, details: &[&str], options: &BTreeMap<String, String>) -> Turn {
    let bytes = if line == "raw" {
        details.iter().flat_map(|line| bytes(line, b"\r\n")).collect()
    } else {
        request(line, details, options)
    };
    let head = bytes.starts_with(b"HEAD ");
    let count = options.get("answers").map_or(1, |count| count.parse().expect("a count"));
    Turn { bytes, heads: vec![head; count], wait: options.get("wait").cloned() }
}

/// Parses `GET /a`, with lines for fields, and `= text` or `| text` for a body with or without its
/// length.
fn request(line: &str, details: &[&str], options: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = bytes(line, b"");
    let last = line.rsplit(' ').next().unwrap_or_default();
    if !last.starts_with("HTTP/") {
        out.extend_from_slice(b" HTTP/1.1");
    }
    out.extend_from_slice(b"\r\n");
    let is_host = |line: &&str| line.to_ascii_lowercase().starts_with("host:");
    if !details.iter().any(is_host) && !options.contains_key("nohost") {
        out.extend_from_slice(b"Host: localhost\r\n");
    }
    let mut body: Vec<u8> = Vec::new();
    let mut sized = false;
    for line in details {
        if let Some(text) = line.strip_prefix("= ") {
            body.extend(bytes(text, b""));
            sized = true;
        } else if let Some(text) = line.strip_prefix("| ") {
            body.extend(bytes(text, b"\r\n"));
        } else if *line == "|" {
            body.extend_from_slice(b"\r\n");
        } else if let Some((name, count)) = line.split_once(": !repeat ") {
            out.extend_from_slice(format!("{name}: ").as_bytes());
            let (count, text) = count.split_once(' ').expect("!repeat COUNT TEXT");
            out.extend(bytes(text, b"").repeat(count.parse().expect("a count")));
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend(bytes(line, b"\r\n"));
        }
    }
    if sized {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_cases() {
        let text = "# comment\n=== one\nneeds nginx 1.29.3\n--- server\nlocation / {}\n\
            --- upstream a\n@x = hi\n@\nHTTP/1.1 204 No\n\n!close\n--- requests\nGET /a {tls}\n  \
            A: b\n  = body\n+ GET /b\n& HEAD /c\n\nraw {half}\n  X\\\n";
        let cases = parse("theme", text);
        let [case] = &cases[..] else { panic!("one case") };
        assert_eq!((&*case.title, case.needs), ("one", Some([1, 29, 3])));
        assert_eq!(case.upstreams[0].1.len(), 2);
        let [first, second] = &case.exchanges[..] else { panic!("two exchanges") };
        assert!(first.options.contains_key("tls") && second.options.contains_key("half"));
        assert_eq!(
            first.turns[0].bytes,
            b"GET /a HTTP/1.1\r\nHost: localhost\r\nA: b\r\nContent-Length: 4\r\n\r\nbody"
        );
        assert_eq!(first.turns[1].heads, [false, true]);
        assert_eq!(second.turns[0].bytes, b"X");
    }
}
