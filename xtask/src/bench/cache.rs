//! Caches with many responses: the memory of a key, and the time from a start until the first hit.
//!
//! Weir and nginx fetch the same keys from themselves, 16 at a time, and are stopped and started
//! again. `bench/README.md` explains the table.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use super::account;
use crate::Failure;
use crate::scratch::Scratch;
use crate::server::Server;

/// The number of keys by default.
const KEYS: usize = 1_000_000;

/// The number of connections that fill a cache.
const CONNECTIONS: usize = 16;

/// The number of requests that are sent before their responses are read.
const AHEAD: usize = 16;

/// Keys in a megabyte of nginx's `keys_zone`, with some room.
const KEYS_PER_MEGABYTE: usize = 7000;

/// The time for which the index may be read after a start.
const READING: Duration = Duration::from_secs(60);

/// Measures the programs with this many keys, and prints a table.
pub(super) fn run(binary: &Path, nginx: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let keys = match arguments {
        [] => KEYS,
        [keys] => keys.parse().map_err(|_| "bench cache [KEYS]".to_owned())?,
        _ => return Err("bench cache [KEYS]".to_owned()),
    };
    println!("{keys} keys, each with a response of 10 bytes.\n");
    let columns = [
        "server",
        "bytes per key",
        "MiB",
        "MiB after a start",
        "ms from the start to two hits",
        "ms until the index is read",
        "bytes of the index",
    ];
    println!("| {} |", columns.join(" | "));
    println!("|---|{}", "---:|".repeat(columns.len() - 1));
    for (name, program) in [("Weir", binary), ("nginx", nginx)] {
        println!("| {name} | {} |", measure(name, program, keys)?);
    }
    Ok(())
}

/// The cells of a server.
fn measure(name: &str, program: &Path, keys: usize) -> Result<String, Failure> {
    let scratch = Scratch::new("cache")?;
    let cache = scratch.folder("cache")?;
    let start = || {
        Server::start(&scratch, name, None, &|port, folder| {
            let conf = folder.join("nginx.conf");
            let text = configuration(port, folder, &cache, keys);
            std::fs::write(&conf, text).map_err(|error| error.to_string())?;
            let mut line = vec![program.into()];
            line.extend(["-e", "stderr", "-g", "daemon off;", "-c"].map(Into::into));
            line.push(conf.into());
            Ok(line)
        })
    };
    let server = start()?;
    fill(server.port, 0..keys / 2)?;
    let half = account::memory(server.process());
    fill(server.port, keys / 2..keys)?;
    let full = account::memory(server.process());
    let per_key = full.saturating_sub(half) / (keys - keys / 2) as u64;
    server.end();
    let server = start()?;
    // The last one that was kept, and the first: neither is new to the index.
    let hits = [keys - 1, 0].map(|key| fetch(server.port, &[key]));
    let first = server.started.elapsed().as_millis();
    for hit in hits {
        if !hit? {
            return Err(format!("{name}: no hit after a start"));
        }
    }
    let log = || std::fs::read_to_string(server.folder.join("error.log")).unwrap_or_default();
    let mut read = "-".to_owned();
    let index = std::fs::metadata(cache.join("weir/index")).map(|found| found.len().to_string());
    while name == "Weir" && server.started.elapsed() < READING {
        if log().contains(" responses from the index") {
            read = format!("< {}", server.started.elapsed().as_millis());
            break;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    // nginx's loader begins after a minute.
    let again = (name == "Weir").then(|| account::memory(server.process()));
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let again = again.map_or("-".to_owned(), mebibytes);
    let index = index.unwrap_or("-".to_owned());
    Ok(format!("{per_key} | {} | {again} | {first} | {read} | {index}", mebibytes(full)))
}

fn configuration(port: u16, folder: &Path, cache: &Path, keys: usize) -> String {
    let (folder, cache) = (folder.display(), cache.display());
    let megabytes = keys / KEYS_PER_MEGABYTE + 1;
    format!(
        "worker_processes 1; pid {folder}/pid; error_log {folder}/error.log notice;
         events {{ worker_connections 1024; }}
         http {{
             access_log off; keepalive_requests 1000000000;
             proxy_temp_path {folder}/temp; client_body_temp_path {folder}/body;
             proxy_cache_path {cache} levels=1:2 keys_zone=one:{megabytes}m inactive=1d
                 use_temp_path=off;
             upstream back {{ server unix:{folder}/back; keepalive {CONNECTIONS}; }}
             server {{
                 listen 127.0.0.1:{port};
                 location / {{
                     proxy_pass http://back; proxy_http_version 1.1;
                     proxy_set_header Connection \"\";
                     proxy_cache one; proxy_cache_key $uri;
                     add_header X-Cache $upstream_cache_status;
                 }}
             }}
             server {{
                 listen unix:{folder}/back;
                 add_header Cache-Control max-age=86400;
                 return 200 0123456789;
             }}
         }}"
    )
}

/// Fetches keys.
fn fill(port: u16, keys: Range<usize>) -> Result<(), Failure> {
    let begun = Instant::now();
    let part = keys.len().div_ceil(CONNECTIONS);
    let fetch_part = |from: usize| {
        let all: Vec<_> = (from..keys.end.min(from + part)).collect();
        fetch(port, &all).map(|_| ())
    };
    std::thread::scope(|scope| {
        let parts = keys.clone().step_by(part);
        let fetch_part = &fetch_part;
        let threads: Vec<_> = parts.map(|from| scope.spawn(move || fetch_part(from))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err("a thread has panicked".to_owned()))
        })
    })?;
    eprintln!("filled in {} s", begun.elapsed().as_secs());
    Ok(())
}

/// Fetches keys on one connection. Returns whether all responses came from the cache.
fn fetch(port: u16, keys: &[usize]) -> Result<bool, Failure> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
    let mut reader = BufReader::new(stream.try_clone().map_err(told)?);
    let mut all_hit = true;
    for some in keys.chunks(AHEAD) {
        let asked: String =
            some.iter().map(|key| format!("GET /{key} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        stream.write_all(asked.as_bytes()).map_err(told)?;
        for _ in some {
            all_hit &= read_response(&mut reader).map_err(told)?;
        }
    }
    Ok(all_hit)
}

/// Reads a response. Returns whether it came from the cache.
fn read_response(reader: &mut impl BufRead) -> std::io::Result<bool> {
    let (mut length, mut is_hit, mut line) = (0, false, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().unwrap_or(0),
            Some(("X-Cache", value)) => is_hit = value == "HIT",
            _ if line == "\r\n" => break,
            _ => {}
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    Ok(is_hit)
}
