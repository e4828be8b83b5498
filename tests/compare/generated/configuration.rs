//! The configuration of a generated case.

use fastrand::Rng;

use super::Places;
use super::lines::{
    AUTH, BACK, CACHE, COMBINED, COMMON, COMPUTED, FASTCGI, FILES, GROUPS, HTTP, LOCATION, PARAMS,
    PROXY, SCRIPTS, SERVER, SIMPLE, URIS, UWSGI,
};

/// A server block and what its requests need.
#[derive(Debug)]
pub(super) struct Server {
    /// Its names, as written.
    pub(super) names: Vec<String>,
    /// Its locations: modifier and path or pattern.
    pub(super) locations: Vec<(String, String)>,
}

/// Draws the servers of a case.
pub(super) fn servers(rng: &mut Rng, places: &Places) -> Vec<Server> {
    let mut names = places.names.clone();
    rng.shuffle(&mut names);
    let count = rng.usize(1..4);
    names
        .chunks(3)
        .take(count)
        .map(|names| {
            let mut locations: Vec<(String, String)> = Vec::new();
            for _ in 0..rng.usize(4..9) {
                let drawn = places.locations[rng.usize(..places.locations.len())];
                let location = match drawn.split_once(' ') {
                    Some((modifier, path)) => (modifier.to_owned(), path.to_owned()),
                    None => (String::new(), drawn.to_owned()),
                };
                // A prefix conflicts with itself behind another modifier.
                if !locations.iter().any(|(_, path)| *path == location.1) {
                    locations.push(location);
                }
            }
            if !locations.iter().any(|(modifier, path)| path == "/" && modifier != "=") {
                locations.push((String::new(), "/".to_owned()));
            }
            if rng.u8(..3) > 0 && !locations.iter().any(|(_, path)| path == r"\.php$") {
                locations.push(("~".to_owned(), r"\.php$".to_owned()));
            }
            let names = names[..rng.usize(1..=names.len())].iter().map(|&name| name.to_owned());
            Server { names: names.collect(), locations }
        })
        .collect()
}

/// Writes the configuration inside of `http { }`.
pub(super) fn write(rng: &mut Rng, servers: &[Server], combined: bool) -> String {
    let mut out = String::from(
        "types { text/html html; text/css css; text/plain txt; image/png png;
            application/javascript js; }\n",
    );
    let is_cached = rng.bool();
    if is_cached {
        let paths = ["proxy", "fastcgi", "uwsgi"].map(|prefix| {
            format!("{prefix}_cache_path %dir%/{prefix}_cache levels=1:2 keys_zone={prefix}:1m;\n")
        });
        out += &paths.concat();
    }
    out += COMPUTED;
    out += &some(rng, HTTP, 4);
    for server in servers {
        out += &format!(
            "server {{ listen 127.0.0.1:%port%; server_name {};\n",
            server.names.join(" ")
        );
        out += "location @named { return 200 \"named $uri $args\\n\"; }
            location @back { proxy_pass http://%b%; add_header X-Back $status always; }\n";
        let mut own = some(rng, SERVER, 3);
        if combined {
            out += AUTH;
            own = add(&own, &some(rng, COMBINED, 2));
        }
        out += &own;
        for (modifier, path) in &server.locations {
            let mut body = location(rng, modifier, path, is_cached, combined);
            if combined {
                body = add(&body, &some(rng, COMBINED, 3));
            }
            out += &format!("location {modifier} {path} {{\n{body}}}\n");
        }
        out += "}\n";
    }
    out
}

/// Up to `most` different lines of a list.
fn some(rng: &mut Rng, list: &[&str], most: usize) -> String {
    let count = rng.usize(..=most);
    let mut order: Vec<usize> = (0..list.len()).collect();
    rng.shuffle(&mut order);
    let mut chosen: Vec<&str> = Vec::new();
    for line in order.into_iter().map(|at| list[at]) {
        // Most directives may occur once.
        let clashes = |name: &str| {
            let is_there = |other: &&str| names(other).any(|other| other == name);
            !REPEATED.iter().any(|part| name.contains(part)) && chosen.iter().any(is_there)
        };
        let is_new = !names(line).any(|name| name != "if" && clashes(name));
        if chosen.len() < count && is_new {
            chosen.push(line);
        }
    }
    chosen.iter().map(|line| format!("    {line}\n")).collect()
}

/// The directives of a line.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(';').filter_map(|part| part.split_whitespace().next()).filter(|name| *name != "}")
}

/// Parts of the directives that may be repeated.
const REPEATED: &[&str] =
    &["add_header", "_param", "_set_header", "_hide_header", "_pass_header", "error_page"];

/// Adds lines to those of a block, unless one of their directives is there.
fn add(body: &str, lines: &str) -> String {
    let mut out = body.to_owned();
    for line in lines.lines() {
        let repeats = |name: &str| ["add_header", "error_page", "auth_request_set"].contains(&name);
        let is_there = |name: &str| !repeats(name) && out.contains(&format!("{name} "));
        if !names(line).any(is_there) {
            out = format!("{line}\n{out}");
        }
    }
    out
}

fn location(rng: &mut Rng, modifier: &str, path: &str, is_cached: bool, combined: bool) -> String {
    // Neither patterns nor named locations may pass requests to another path.
    let is_pattern = modifier.starts_with('~') || path.starts_with(['@', '~']);
    let mut out = some(rng, LOCATION, 2);
    let is_php = path.contains("php") && rng.u8(..4) > 0;
    match if is_php { 6 } else { rng.u8(..12) } {
        0 => out += SIMPLE[rng.usize(..SIMPLE.len())],
        1 if !is_pattern && path.starts_with('/') => out += "alias %dir%/html/;\n",
        1 | 2 => out += FILES[rng.usize(..FILES.len())],
        3..=5 => out += &passed(rng, "proxy", is_pattern, is_cached, combined),
        6..=8 => out += &passed(rng, "fastcgi", is_pattern, is_cached, combined),
        _ => out += &passed(rng, "uwsgi", is_pattern, is_cached, combined),
    }
    out
}

/// A location that passes requests on.
fn passed(
    rng: &mut Rng,
    prefix: &str,
    is_pattern: bool,
    is_cached: bool,
    combined: bool,
) -> String {
    let mut out = some(rng, COMMON, 3);
    match prefix {
        "proxy" => {
            let uris: &[&str] =
                if is_pattern { &["", "$request_uri", "/v/$1$is_args$args"] } else { URIS };
            out += &some(rng, PROXY, 4);
            let group = GROUPS[rng.usize(..GROUPS.len())];
            out += &format!("proxy_pass http://{group}{};\n", uris[rng.usize(..uris.len())]);
        }
        "fastcgi" => {
            out += &some(rng, FASTCGI, 4);
            out += SCRIPTS[rng.usize(..SCRIPTS.len())];
            out += PARAMS;
            out += "fastcgi_pass %p%;\n";
        }
        _ => {
            out += &some(rng, UWSGI, 3);
            out += PARAMS;
            out += "uwsgi_param PATH_INFO $document_uri; uwsgi_pass %u%;\n";
        }
    }
    if is_cached && rng.u8(..4) > 0 {
        out += &some(rng, CACHE, 5);
        out += "@_cache @; add_header X-Cache $upstream_cache_status always;\n";
        if combined && prefix == "proxy" && !out.contains("_set_header Range") && rng.bool() {
            out = out.replace("@_cache_key", "set $key");
            out += "slice 100; proxy_set_header Range $slice_range;\n";
            out += "@_cache_key $uri$is_args$args$slice_range; proxy_cache_valid 200 206 1h;\n";
        }
        if !out.contains("@_cache_key") {
            out += "@_cache_key $request_method$host$request_uri;\n";
        }
        if !out.contains("@_cache_valid") {
            out += "@_cache_valid 200 302 404 1h;\n";
        }
    }
    out.replace('@', prefix).replace(BACK, "@back")
}
