//! A cluster: real Apaches on hosts of their own behind one server, which clients ask at a steady
//! rate. Hosts are network namespaces, so that a cable can be pulled.

use std::time::{Duration, Instant};

use crate::harness::{
    Apache, Directory, Load, Network, Server, Setup, Traffic, address, is_nginx, skipped, until,
};

mod faults;
mod members;
mod names;

/// The requests per second, on a machine that can do more than twice as many.
const RATE: u32 = 2000;

/// Of a load that a machine bears, 99 of 100 requests are answered in this time.
const EASY: Duration = Duration::from_millis(50);

/// A time of quiet load, before and after something happens.
const QUIET: Duration = Duration::from_millis(500);

/// The configuration around that of `docs/howto/lose-a-server.md`. A frozen server makes a second's
/// worth of requests wait, each with two connections.
const MAIN: &str = "
daemon off;
pid %dir%/nginx.pid;
error_log %dir%/error.log info;
worker_processes 2;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path %dir%/client_body_temp;
    proxy_temp_path %dir%/proxy_temp;
";

/// The network and the directory of a test with so many nodes; `None`, and told, where there can be
/// none.
fn hosts(nodes: usize) -> Option<(Network, Directory)> {
    if is_nginx() {
        return None;
    }
    if !Apache::is_there() {
        skipped("it needs Apache");
        return None;
    }
    match Network::new(nodes) {
        Ok(network) => Some((network, Directory::new())),
        Err(reason) => {
            skipped(&reason);
            None
        }
    }
}

/// The configuration of `docs/howto/lose-a-server.md`, with these replacements and an API.
fn recommended(replacements: &[(&str, &str)]) -> Setup {
    let page = include_str!("../docs/howto/lose-a-server.md");
    let conf = page.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let api = "listen 127.0.0.1:%port%; location /api { api write=on; }";
    let mut conf = conf.replace("listen 80;", api);
    for (from, to) in replacements {
        assert!(conf.contains(from), "{from} is not in {conf}");
        conf = conf.replace(from, to);
    }
    Server::conf(&format!("{MAIN}{conf}}}\n"))
}

/// A load at the tests' rate, or, on a machine that is too slow for it, at a half or a quarter of it
/// and so on.
fn steady(server: &Server) -> Load {
    let mut rate = RATE;
    loop {
        let load = Load::start(&server.address("port"), "/page", "", rate);
        let seen = load.run_for(QUIET);
        let wanted = f64::from(rate) * QUIET.as_secs_f64();
        if rate < 100 || seen.requests as f64 > 0.8 * wanted && seen.p99 < EASY {
            println!("{rate} requests a second: {seen:?}");
            return load;
        }
        load.finish();
        rate /= 2;
    }
}

/// The path of the group in the API.
const GROUP: &str = "http/upstreams/backend";

/// The state of a node's server, as the API shows it.
fn state(server: &Server, node: usize) -> String {
    let group = server.api_get(GROUP);
    let name = format!("{}:8080", address(node));
    let mut peers = group["peers"].as_array().unwrap().iter();
    let peer = peers.find(|peer| peer["server"] == name.as_str());
    peer.map_or("missing", |peer| peer["state"].as_str().unwrap()).to_owned()
}

/// Waits for a state of a node's server; returns the time that it took.
#[track_caller]
fn wait_for(server: &Server, node: usize, wanted: fn(&str) -> bool) -> Duration {
    let start = Instant::now();
    until("another state of a server", || wanted(&state(server, node)));
    start.elapsed()
}

fn tell(what: &str, seen: &Traffic) {
    println!("{what}: {seen:?}");
}
