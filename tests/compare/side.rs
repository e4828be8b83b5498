//! One side of a comparison: a server that runs a case, and all observations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::applications::Applications;
use super::case::{Case, Exchange, Version};
use super::connection::{self, PROBE_BODY, PROBE_HOST};
use super::text::show;
use super::upstream::Upstream;
use crate::harness::{Certificate, Directory, PATIENCE, Server, Signal, until};

/// The observations of an exchange, as text by aspect.
pub(crate) type Aspects = BTreeMap<&'static str, String>;

/// The observations of a case.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// By exchange.
    pub(crate) exchanges: Vec<Aspects>,
    /// Outside of exchanges: the case's own logs, messages without a connection.
    pub(crate) rest: Aspects,
}

/// The modification time of all files.
const CHANGED: Duration = Duration::from_secs(1_000_000_000);

/// The variables of the log, shown one per line. The first two identify the connection of a line
/// and are not compared; `bytes` depends on chunks and compression, and is compared only without
/// them.
const LOG: &str = r#"log_format compare escape=json '$realip_remote_port:$server_port $connection '
    'remote=$remote_addr|user=$remote_user|request=$request|status=$status|'
    'bytes=$body_bytes_sent,$bytes_sent|length=$request_length|method=$request_method|uri=$uri|'
    'args=$args|host=$host|server=$server_name|file=$request_filename|protocol=$server_protocol|'
    'scheme=$scheme|number=$connection_requests|completion=$request_completion|'
    'type=$sent_http_content_type|size=$sent_http_content_length|location=$sent_http_location|'
    'upstream=$upstream_addr|upstream status=$upstream_status|'
    'upstream length=$upstream_response_length|'
    'upstream bytes=$upstream_bytes_sent,$upstream_bytes_received|'
    'cache=$upstream_cache_status|';
    access_log %dir%/compare.log compare;
"#;

/// Runs a case with a binary.
pub(crate) fn run(
    binary: &Path,
    version: Version,
    applications: Option<&Applications>,
    case: &Case,
) -> Observations {
    let conf = conf(case, version);
    let upstreams = upstreams(case, applications);
    let mut setup = Server::conf(&conf).binary(binary).alerts_expected();
    for (name, upstream) in &upstreams {
        setup = setup.set(name, format!("127.0.0.1:{}", upstream.port));
    }
    for (name, content) in &case.files {
        setup = setup.file(name, content);
    }
    if conf.contains("ssl_certificate") {
        certificate(setup.directory());
    }
    age(setup.directory().path());
    let mut server = setup.start();
    let mut names = Names::default();
    names.add(server.directory().path().display().to_string(), "%dir%");
    for (name, upstream) in &upstreams {
        names.add(upstream.port.to_string(), &format!("%{name}%"));
    }
    for port in ports(&conf) {
        names.add(server.port(&port).to_string(), &format!("%{port}%"));
    }
    let mut exchanges = Vec::new();
    let mut used = BTreeSet::new();
    for exchange in &case.exchanges {
        exchanges.push(ask(exchange, &server, &upstreams, &names, &mut used));
    }
    server.signal(Signal::QUIT);
    server.wait_exit();
    let mut outcome = Observations::default();
    let mut lines = Lines::read(server.directory(), &names);
    for (ports, mut seen) in exchanges {
        lines.assign(&ports, &mut seen);
        if is_old(version) {
            forgive(&mut seen);
        }
        outcome.exchanges.push(seen);
    }
    outcome.rest = lines.rest();
    outcome.rest.extend(own_logs(server.directory(), &names));
    outcome
}

/// Starts the upstreams of a case.
fn upstreams<'a>(case: &'a Case, applications: Option<&Applications>) -> Vec<(&'a str, Upstream)> {
    let scripted =
        case.upstreams.iter().map(|(name, replies)| (&**name, Upstream::start(replies.clone())));
    let relays = case.applications.iter().map(|(name, protocol)| {
        let socket = applications.expect("the applications run").socket(*protocol);
        (&**name, Upstream::relay(*protocol, socket))
    });
    scripted.chain(relays).collect()
}

/// The nginx versions whose upstream requests differ in field order and `Connection: close`, and
/// which keep no connections by default.
fn is_old(version: Version) -> bool {
    version < [1, 30, 0]
}

/// The complete configuration, with the runner's own server on each address.
fn conf(case: &Case, version: Version) -> String {
    let part = |name| case.conf.get(name).map_or("", String::as_str);
    let server = match part("server") {
        "" => String::new(),
        text => format!("server {{ listen 127.0.0.1:%port%; server_name localhost;\n{text}}}\n"),
    };
    let text = format!("{}{server}", part("http"));
    let certificate = if text.contains("ssl_certificate") {
        "ssl_certificate cert.crt; ssl_certificate_key cert.key;"
    } else {
        ""
    };
    // Without it, older versions send HTTP/1.0 to upstreams and newer ones 1.1.
    let http_version = if is_old(version) { "proxy_http_version 1.0;" } else { "" };
    let listens: String = listens(&text).map(|address| format!("listen {address}; ")).collect();
    format!(
        "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log info;\n{}
events {{ worker_connections 256; }}
http {{
    {LOG}
    {http_version}
    default_type text/plain;
    root %dir%/html;
    client_body_temp_path %dir%/client_body_temp;
    proxy_temp_path %dir%/proxy_temp;
    fastcgi_temp_path %dir%/fastcgi_temp;
    uwsgi_temp_path %dir%/uwsgi_temp;
    scgi_temp_path %dir%/scgi_temp;
{text}
server {{ {listens} server_name {PROBE_HOST}; access_log off; {certificate}
    return 299 \"{PROBE_BODY}\"; }}
}}\n",
        part("main"),
    )
}

/// The distinct addresses that a configuration listens on, with `ssl` and other parameters.
fn listens(conf: &str) -> impl Iterator<Item = &str> {
    let mut known = Vec::new();
    conf.split("listen ").skip(1).filter_map(move |rest| {
        let address = rest.split(';').next()?.split(" default").next()?.trim();
        let is_new = !known.contains(&address);
        known.push(address);
        (is_new && address.contains("%port")).then_some(address)
    })
}

/// The ports that a configuration names.
fn ports(conf: &str) -> Vec<String> {
    let names = conf.split('%').filter(|word| word.starts_with("port") && !word.contains(' '));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn certificate(directory: &Directory) {
    Certificate::self_signed(directory, "cert", "localhost");
}

/// Gives every file the same time, since ETags and listings contain it.
fn age(path: &Path) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).unwrap();
        entries.for_each(|entry| age(&entry.unwrap().path()));
    }
    let changed = SystemTime::UNIX_EPOCH + CHANGED;
    let file = std::fs::File::open(path).unwrap();
    let _ = file.set_modified(changed);
}

/// Runs an exchange and returns both ports with the observations.
fn ask(
    exchange: &Exchange,
    server: &Server,
    upstreams: &[(&str, Upstream)],
    names: &Names,
    used: &mut BTreeSet<u16>,
) -> (String, Aspects) {
    let mut seen = Aspects::new();
    let port = exchange.options.get("port").map_or("port", String::as_str);
    let port = server.port(port);
    let outcome = match connection::run(exchange, port, used) {
        Ok(outcome) => outcome,
        Err(error) => {
            seen.insert("response", format!("no connection: {error}"));
            return (String::new(), seen);
        }
    };
    if let Some(count) = exchange.options.get("seen") {
        let count: usize = count.parse().unwrap();
        until("requests at the upstreams", || {
            upstreams.iter().map(|(_, upstream)| upstream.count()).sum::<usize>() >= count
        });
    }
    // The client is gone, and with it what waits for its bytes.
    let is_receiving = || upstreams.iter().any(|(_, upstream)| upstream.is_receiving());
    let since = Instant::now();
    while is_receiving() && since.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let mut names = names.clone();
    names.add(outcome.port.to_string(), "%client%");
    seen.insert("response", names.even_out(&outcome.received));
    seen.insert("connection", outcome.end.to_owned());
    let mut requests = Vec::new();
    for (name, upstream) in upstreams {
        for request in upstream.take() {
            let cut = if request.whole { "" } else { " (cut off)" };
            // Numbers would repeat a difference for each following request.
            let new = if request.first { "new" } else { "kept" };
            let text = request.render();
            requests.push(format!("{name}, {new} connection{cut}:\n{text}"));
        }
    }
    if exchange.options.contains_key("any-order") {
        requests.sort();
    }
    seen.insert("upstream", names.even_out(&requests.concat()));
    (format!("{}:{port}", outcome.port), seen)
}

/// Removes the differences between nginx versions in all upstream requests.
fn forgive(seen: &mut Aspects) {
    if let Some(text) = seen.get_mut("upstream") {
        let requests = text.split("\n\n").map(|request| {
            let lines = request.lines().filter(|line| *line != "Connection: close");
            let number =
                |line: &str| line.replace(", new connection", "").replace(", kept connection", "");
            let mut lines: Vec<String> = lines.map(number).collect();
            lines.sort_unstable();
            lines.join("\n")
        });
        *text = requests.collect::<Vec<_>>().join("\n\n");
    }
    if let Some(text) = seen.get_mut("access log") {
        let lines = text.split_inclusive('\n').filter(|line| !line.starts_with("upstream bytes="));
        *text = lines.collect();
    }
}

/// The logs that the case itself configures, below `logs/`.
fn own_logs(directory: &Directory, names: &Names) -> Aspects {
    let text = |path: PathBuf| show(&std::fs::read(path).unwrap_or_default());
    let logs = std::fs::read_dir(directory.join("logs")).into_iter().flatten();
    let mut paths: Vec<PathBuf> = logs.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let text: String = paths.into_iter().map(|path| names.even_out(&text(path))).collect();
    [("own log", text)].into()
}

/// Values that differ on each side: ports and folders.
#[derive(Clone, Debug, Default)]
struct Names(Vec<(String, String)>);

impl Names {
    fn add(&mut self, value: String, name: &str) {
        self.0.push((value, name.to_owned()));
    }

    /// Replaces values by names and removes times and versions.
    fn even_out(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, name) in &self.0 {
            text = replace_whole(&text, value, name);
        }
        even_out(&text)
    }
}

/// Replaces a value where it is no part of a longer number or word, such as a port.
fn replace_whole(text: &str, value: &str, name: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let joins = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let joined = value.bytes().all(|byte| byte.is_ascii_digit())
            && (joins(before.bytes().last()) || joins(after.bytes().next()));
        out += before;
        out += if joined { value } else { name };
        rest = after;
    }
    out + rest
}

/// Removes times, versions and random numbers.
pub(crate) fn even_out(text: &str) -> String {
    let mut text = text.to_owned();
    let boundary = text.split_once("boundary=").map(|(_, rest)| {
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().to_owned()
    });
    if let Some((_, rest)) = text.split_once("excess: ") {
        let excess = rest.split(' ').next().unwrap_or_default().to_owned();
        let rounded: f64 = excess.parse().unwrap_or(f64::NAN);
        text = text.replace(&format!("excess: {excess}"), &format!("excess: {rounded:.0}"));
    }
    if let Some(boundary) = boundary.filter(|boundary| boundary.len() == 20) {
        text = text.replace(&boundary, "(boundary)");
    }
    let text = without_numbers(&text);
    let lines = text.split_inclusive('\n').map(|line| {
        let is_far = line.contains(" 1970 ") || line.contains(" 2037 ");
        match line.split_once(": ") {
            Some(("Date", _)) => "Date: (now)\n".to_owned(),
            Some(("Expires", date)) if date.ends_with("GMT\n") && !is_far => {
                "Expires: (some day)\n".to_owned()
            }
            _ => version(line),
        }
    });
    lines.collect()
}

/// Removes the numbers of temporary files, which count other files, too.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split("_temp/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "_temp/";
        out += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out
}

/// Removes the version from `nginx/1.22.1`.
fn version(line: &str) -> String {
    let Some((before, after)) = line.split_once("nginx/1.") else { return line.to_owned() };
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    format!("{before}nginx/1.N{}", version(after))
}

/// The lines of both logs.
struct Lines {
    /// Both ports, and the rest of the line.
    access: Vec<(String, String)>,
    /// The connection, and the rest of the line.
    error: Vec<(Option<String>, String)>,
}

impl Lines {
    fn read(directory: &Directory, names: &Names) -> Self {
        let access = directory.read("compare.log");
        let error = directory.read("error.log");
        Self {
            access: access
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(ports, line)| (ports.to_owned(), names.even_out(line)))
                .collect(),
            error: error.lines().map(|line| error_line(&names.even_out(line))).collect(),
        }
    }

    /// Moves the lines of a connection, by its ports, to the exchange's observations.
    fn assign(&mut self, ports: &str, seen: &mut Aspects) {
        let client = ports.split(':').next().unwrap_or_default();
        let mut access = Vec::new();
        let mut connections = Vec::new();
        self.access.retain(|(of, line)| {
            if of != ports {
                return true;
            }
            let (connection, line) = line.split_once(' ').unwrap_or((line, ""));
            connections.push(Some(connection.to_owned()));
            access.push(without_sizes(line, &seen["response"]) + "\n");
            false
        });
        if seen["response"].contains("HTTP/2 ") {
            // Streams end in any order.
            access.sort_by_key(|line| {
                line.lines().find(|line| line.starts_with("number=")).map(str::to_owned)
            });
        }
        let mut error = String::new();
        self.error.retain(|(connection, line)| {
            let taken = connection.is_some() && connections.contains(connection);
            if taken {
                error += &line.replace(client, "%client%");
                error.push('\n');
            }
            !taken
        });
        seen.insert("access log", access.concat());
        seen.insert("error log", error);
    }

    fn rest(self) -> Aspects {
        let bad = |line: &str| {
            ["[warn]", "[error]", "[crit]", "[alert]", "[emerg]"]
                .iter()
                .any(|level| line.starts_with(level))
        };
        let error =
            self.error.into_iter().filter(|(connection, line)| connection.is_some() || bad(line));
        let error: String = error.map(|(_, line)| line + "\n").collect();
        let access = self.access.iter().map(|(_, line)| {
            let line = line.split_once(' ').map_or(&**line, |(_, line)| line);
            line.replace('|', "\n") + "\n"
        });
        [("error log", error), ("access log", access.collect())].into()
    }
}

/// Byte counts are not compared if they depend on chunks, compression or frames.
fn without_sizes(line: &str, response: &str) -> String {
    let marks = ["\n[chunked: ", "[gzip", "HTTP/2 "];
    let varies = marks.iter().any(|mark| response.contains(mark));
    let fields = line.split('|').filter(|field| !(varies && field.starts_with("bytes=")));
    fields.collect::<Vec<_>>().join("\n")
}

/// The length in bytes up to which messages are compared.
const LONGEST_ERROR: usize = 1900;

/// Splits a line into `[level] message` and the number of its connection.
fn error_line(line: &str) -> (Option<String>, String) {
    let Some((level, rest)) = line.split_once(" [").and_then(|(_, rest)| rest.split_once("] "))
    else {
        return (None, line.to_owned());
    };
    let mut rest = rest.split_once(": ").map_or(rest, |(_, rest)| rest);
    if rest.len() > LONGEST_ERROR {
        // Where a long line is cut off depends on the digits of the process number before it.
        let end = (0..=LONGEST_ERROR).rfind(|&at| rest.is_char_boundary(at)).unwrap_or(0);
        rest = &rest[..end];
    }
    match rest.strip_prefix('*').and_then(|rest| rest.split_once(' ')) {
        Some((number, message)) => (Some(number.to_owned()), format!("[{level}] {message}")),
        None => (None, format!("[{level}] {rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_within_numbers_stay() {
        let even = |text| replace_whole(text, "3456", "%port%");
        assert_eq!(even("a:3456/ 3456"), "a:%port%/ %port%");
        assert_eq!(even("0123456789 a3456 3456b"), "0123456789 a3456 3456b");
        assert_eq!(replace_whole("x/dir1/dir", "/dir", "%"), "x%1%");
    }
}
