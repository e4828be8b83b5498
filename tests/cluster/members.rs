//! Servers that join a group and leave it while clients ask.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::names::NameServer;
use super::{GROUP, QUIET, hosts, recommended, state, steady, tell};
use crate::harness::{
    Apache, Client, Directory, Etcd, Load, Server, Setup, Traffic, address, etcd_is_there, until,
};

/// The time in which a new server gets its share, as in the parameters below.
const WARM_UP: Duration = Duration::from_secs(2);

/// The windows of which the median counts.
const WINDOW: Duration = Duration::from_millis(250);

/// What a fourth server may add to the latency of 99 of 100 requests while it warms up: a fifth of
/// what it is in the worst window before or after, and the noise of a machine that does other things
/// meanwhile.
const NOISE: Duration = Duration::from_millis(25);

fn windows(load: &Load, time: Duration) -> Vec<Traffic> {
    let count = time.as_millis() / WINDOW.as_millis();
    (0..count).map(|_| load.run_for(WINDOW)).collect()
}

fn median_p99(windows: &[Traffic]) -> Duration {
    let mut times: Vec<_> = windows.iter().map(|seen| seen.p99).collect();
    times.sort();
    times[times.len() / 2]
}

/// A fourth server joins by `join`, warms up, and gets its share.
fn grow(load: &Load, join: impl FnOnce()) {
    let before = windows(load, WARM_UP);
    assert!(before.iter().all(|seen| seen.share('4') == 0.0));
    join();
    let warming = windows(load, WARM_UP);
    let shares: Vec<f64> = warming.iter().map(|seen| seen.share('4')).collect();
    println!("its shares: {shares:.3?}");
    assert!(shares[0] < 0.2, "it begins slowly");
    let mut after = Traffic::default();
    until("a quarter of the requests", || {
        after = load.run_for(QUIET);
        (0.22..0.28).contains(&after.share('4'))
    });
    tell("warm", &after);
    // Other work of the machine comes and goes: what it does to the latency shows before and after.
    let settled = windows(load, WARM_UP);
    let quiet = before.iter().chain(&settled).map(|seen| seen.p99).max().unwrap_or_default();
    let warm = median_p99(&warming);
    let ratio = warm.as_secs_f64() / quiet.as_secs_f64();
    println!("p99 {warm:?} while the fourth warms up, at most {quiet:?} else: {ratio:.2} of it");
    assert!(warm < quiet.mul_f64(1.2) + NOISE, "{warming:?}");
}

/// Waits until the fourth server gets no requests of clients without a session.
fn gone(load: &Load) {
    until("its end", || load.run_for(QUIET / 2).share('4') == 0.0);
    let after = load.run_for(QUIET);
    tell("gone", &after);
    assert_eq!(after.share('4'), 0.0);
}

/// A session with the fourth server: its cookie.
fn session(server: &Server) -> String {
    let mut client = Client::connect(server.address("port"));
    loop {
        let response = client.get("/page");
        let cookie = response.header("Set-Cookie").expect("a new session");
        if response.text() == "4\n" {
            return cookie.split(';').next().unwrap().to_owned();
        }
    }
}

#[test]
fn a_server_is_added_by_the_api_and_drained() {
    let Some((network, directory)) = hosts(4) else { return };
    network.in_front(|| {
        let _apaches: Vec<_> =
            (1..=4).map(|node| Apache::start(&network, &directory, node)).collect();
        let sticky = [("outlier_ejection", "sticky cookie session; outlier_ejection")];
        let server = recommended(&sticky).start();
        let load = steady(&server);
        let mut id = Value::Null;
        grow(&load, || {
            let fourth = json!({
                "server": format!("{}:8080", address(4)), "slow_start": "2s", "max_fails": 0
            });
            id = server.api_json("POST", &format!("{GROUP}/servers"), &fourth, 201)["id"].take();
        });
        let cookie = session(&server);
        let header = format!("Cookie: {cookie}\r\n");
        let bound = Load::start(&server.address("port"), "/page", &header, 100);
        bound.run_for(QUIET);
        let path = format!("{GROUP}/servers/{id}");
        server.api_json("PATCH", &path, &json!({"drain": true}), 200);
        assert_eq!(state(&server, 4), "draining");
        gone(&load);
        let sessions = bound.finish();
        tell("sessions", &sessions);
        sessions.assert_good("sessions of a draining server");
        assert_eq!(sessions.share('4'), 1.0, "sessions are kept to their end");
        // Late clients of a removed server go elsewhere.
        let late = Load::start(&server.address("port"), "/page", &header, 100);
        server.api_json("DELETE", &path, &Value::Null, 200);
        let from = Instant::now();
        late.run_for(QUIET);
        assert_eq!(late.between(from, Instant::now()).share('4'), 0.0);
        late.finish().assert_good("sessions of a removed server");
        load.finish().assert_good("a server that comes and goes by the API");
    });
}

#[test]
fn a_server_is_added_and_removed_by_dns() {
    let Some((network, directory)) = hosts(4) else { return };
    network.in_front(|| {
        let _apaches: Vec<_> =
            (1..=4).map(|node| Apache::start(&network, &directory, node)).collect();
        let names = NameServer::start(&[1, 2, 3]);
        let resolver = format!("resolver 127.0.0.1:{} valid=1s; ", names.port);
        let server = recommended(&[
            ("server 192.168.56.11:8080 max_fails=0 slow_start=10s;", &resolver),
            ("server 192.168.56.12:8080 max_fails=0 slow_start=10s;", ""),
            (
                "server 192.168.56.13:8080 max_fails=0 slow_start=10s;",
                "server backend.test:8080 resolve max_fails=0 slow_start=2s;",
            ),
        ])
        .start();
        until("three servers", || (1..=3).all(|node| state(&server, node) == "up"));
        let load = steady(&server);
        grow(&load, || {
            names.set(&[1, 2, 3, 4]);
            until("a fourth address", || state(&server, 4) == "up");
        });
        names.set(&[3, 2, 1]);
        until("its removal", || state(&server, 4) == "missing");
        gone(&load);
        load.finish().assert_good("a server that comes and goes by DNS");
    });
}

/// The line of a node's server, as a source lists it.
fn line(node: usize) -> String {
    format!("{}:8080 max_fails=0 slow_start=2s", address(node))
}

/// A cluster whose servers come from a source. A sticky session goes on while its server drains.
fn discovered(discover: &str) -> Setup {
    recommended(&[
        ("server 192.168.56.11:8080 max_fails=0 slow_start=10s;", discover),
        ("server 192.168.56.12:8080 max_fails=0 slow_start=10s;", ""),
        ("server 192.168.56.13:8080 max_fails=0 slow_start=10s;", ""),
        ("outlier_ejection", "sticky cookie session; outlier_ejection"),
    ])
}

/// A fourth server joins by a source, drains and goes. `list` gives the source the lines of the
/// first three nodes and this one of the fourth.
fn come_and_go(server: &Server, list: impl Fn(Option<String>)) {
    until("three servers", || (1..=3).all(|node| state(server, node) == "up"));
    let load = steady(server);
    grow(&load, || {
        list(Some(line(4)));
        until("a fourth server", || state(server, 4) == "up");
    });
    let header = format!("Cookie: {}\r\n", session(server));
    let bound = Load::start(&server.address("port"), "/page", &header, 100);
    bound.run_for(QUIET);
    list(Some(line(4) + " drain"));
    until("its drain", || state(server, 4) == "draining");
    gone(&load);
    let sessions = bound.finish();
    sessions.assert_good("sessions of a draining server");
    assert_eq!(sessions.share('4'), 1.0, "sessions are kept to their end");
    list(None);
    until("its removal", || state(server, 4) == "missing");
    load.finish().assert_good("a server that a source lists and lists no more");
}

#[test]
fn a_server_is_added_and_removed_by_a_file() {
    let Some((network, directory)) = hosts(4) else { return };
    network.in_front(|| {
        let _apaches: Vec<_> =
            (1..=4).map(|node| Apache::start(&network, &directory, node)).collect();
        let folder = Directory::new();
        let path = folder.join("servers");
        let list = |fourth: Option<String>| {
            let lines: Vec<String> = (1..=3).map(line).chain(fourth).collect();
            let fresh = folder.join("servers.new");
            std::fs::write(&fresh, lines.join("\n")).unwrap();
            std::fs::rename(fresh, &path).unwrap();
        };
        list(None);
        let server = discovered(&format!("discover file {};", path.display())).start();
        come_and_go(&server, list);
    });
}

#[test]
fn a_server_is_added_and_removed_by_etcd() {
    if !etcd_is_there() {
        return;
    }
    let Some((network, directory)) = hosts(4) else { return };
    network.in_front(|| {
        let _apaches: Vec<_> =
            (1..=4).map(|node| Apache::start(&network, &directory, node)).collect();
        let Some(etcd) = Etcd::start() else { return };
        (1..=3).for_each(|node| etcd.put(&node.to_string(), &line(node)));
        let discover = format!("discover etcd {} prefix=/services/app/;", etcd.url());
        let server = discovered(&discover).start();
        come_and_go(&server, |fourth| match fourth {
            Some(line) => etcd.put("4", &line),
            None => etcd.remove("4"),
        });
    });
}

/// Does something to etcd.
type Act<'a> = &'a dyn Fn(&mut Etcd);

/// etcd is unplugged, killed, and begins anew without its memory: traffic goes on with the servers
/// that it knew.
#[test]
fn an_etcd_in_trouble_stops_no_traffic() {
    if !etcd_is_there() {
        return;
    }
    let Some((network, directory)) = hosts(4) else { return };
    network.in_front(|| {
        let _apaches: Vec<_> =
            (1..=3).map(|node| Apache::start(&network, &directory, node)).collect();
        let mut etcd = Etcd::on(&network, 4);
        (1..=3).for_each(|node| etcd.put(&node.to_string(), &line(node)));
        let discover = format!("discover etcd {} prefix=/services/app/;", etcd.url());
        let server = discovered(&discover).start();
        let told = |text: &str| server.error_log().matches(text).count();
        until("three servers", || (1..=3).all(|node| state(&server, node) == "up"));
        let load = steady(&server);
        let troubles: [(&str, Act<'_>, Act<'_>); 3] = [
            ("unplugged", &|_| network.plug(4, false), &|_| network.plug(4, true)),
            ("killed", &Etcd::kill, &Etcd::start_again),
            ("without its memory", &Etcd::kill, &|etcd| {
                std::fs::remove_dir_all(etcd.directory.join("data")).unwrap();
                etcd.start_again();
            }),
        ];
        for (number, (name, begin, end)) in troubles.into_iter().enumerate() {
            begin(&mut etcd);
            until("the trouble to be noticed", || told("the last known 3 servers") > number);
            tell(name, &load.run_for(QUIET));
            end(&mut etcd);
            etcd.wait();
            (1..=3).for_each(|node| etcd.put(&node.to_string(), &line(node)));
            until("its end", || told("lists servers again") > number);
            load.run_for(QUIET);
            until(name, || (1..=3).all(|node| state(&server, node) == "up"));
        }
        load.finish().assert_good("an etcd in trouble");
    });
}
