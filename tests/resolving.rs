//! Server names that are resolved at run time.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::harness::{Backend, Server, Setup, Signal, children, send_signal, until};

/// Types of DNS records (RFC 1035, RFC 3596).
const A: u8 = 1;
const AAAA: u8 = 28;

/// The name server's answer to AAAA questions.
#[derive(Clone, Copy)]
pub(crate) enum Ipv6 {
    /// A failure.
    Failure,
    /// No records.
    None,
}

/// A name server that resolves every name to 127.0.0.1, but those that begin with the label `none`,
/// which do not exist. It ends with the tests.
pub(crate) struct NameServer {
    pub(crate) port: u16,
    /// The first labels of the requested names, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// The number of answered questions.
    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The number of questions for names with this first label.
    fn count_of(&self, label: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == label).count()
    }
}

pub(crate) fn name_server(ipv6: Ipv6) -> NameServer {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answered = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let mut answer = query[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            let label = query[13..13 + usize::from(query[12])].to_vec();
            match (answer[length - 3], ipv6) {
                _ if label == b"none" => answer[3] |= 3,
                (A, _) => {
                    answer[7] = 1;
                    answer.extend([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
                }
                (AAAA, Ipv6::Failure) => answer[3] |= 2,
                _ => {}
            }
            let _ = socket.send_to(&answer, from);
            answered.lock().unwrap().push(String::from_utf8_lossy(&label).into_owned());
        }
    });
    NameServer { port, asked }
}

const CONF: &str = "
    resolver 127.0.0.1:%dns% valid=1s;
    upstream u { zone u 256k; server name.test:%backend% resolve; }
    server { listen 127.0.0.1:%port%; location / { proxy_pass http://u; } }";

fn resolving(dns: &NameServer, backend: &Backend) -> Setup {
    let port = backend.address().rsplit_once(':').unwrap().1.to_owned();
    Server::http(CONF).set("dns", dns.port).set("backend", port)
}

/// A starting worker waits half a second for names, which a busy machine may exceed: of ten first
/// requests, three have to find the server.
#[test]
fn the_first_request_finds_servers_by_name() {
    let backend = Backend::text("here");
    let dns = name_server(Ipv6::None);
    let server = resolving(&dns, &backend).alerts_expected().start();
    let mut found = 0;
    for _ in 0..10 {
        found += usize::from(server.text("/") == "here");
        if found == 3 {
            return;
        }
        let workers = children(server.pid());
        workers.iter().for_each(|&worker| send_signal(worker, Signal::KILL));
        until("their end", || !children(server.pid()).iter().any(|child| workers.contains(child)));
    }
    panic!("{found} of ten first requests found the server");
}

/// A reload may end every thread but one.
#[test]
fn resolution_survives_the_end_of_threads() {
    let backend = Backend::text("here");
    let dns = name_server(Ipv6::None);
    let server = resolving(&dns, &backend).main("worker_processes 4;").start();
    until("the name to be resolved", || server.get("/").status == 200);
    // Any thread may be the first to serve with a group.
    for (generation, threads) in [(2, 4), (3, 1)] {
        server.rewrite(&format!(
            "daemon off; pid %dir%/nginx.pid; error_log %dir%/error.log info;
             worker_processes {threads}; events {{ worker_connections 1024; }}
             http {{ access_log off; client_body_temp_path %dir%/client_body_temp;
             proxy_temp_path %dir%/proxy_temp; {} }}",
            CONF.replace("name.test:", "other.test:")
        ));
        server.signal(Signal::HUP);
        until("the reload", || {
            server.error_log().matches("exited with code 0").count() >= generation - 1
        });
    }
    let before = dns.count();
    until("the name to be resolved anew", || dns.count() >= before + 4);
    assert_eq!(server.text("/"), "here");
}

/// An upstream of one name, used by `location /NAME`.
fn upstream(name: &str, port: &str) -> String {
    format!(
        "upstream {name} {{ zone {name} 256k; server {name}.test:{port} resolve; }}
         server {{ listen 127.0.0.1:%port_{name}%; location / {{ proxy_pass http://{name}; }} }}"
    )
}

/// A reload ends questions for removed names; those for others go on.
#[test]
fn names_of_removed_upstreams_are_not_resolved() {
    let backend = Backend::text("here");
    let port = backend.address().rsplit_once(':').unwrap().1.to_owned();
    let dns = name_server(Ipv6::None);
    let resolver = format!("resolver 127.0.0.1:{} valid=1s ipv6=off;", dns.port);
    let (stays, goes) = (upstream("stays", &port), upstream("goes", &port));
    let server = Server::http(&format!("{resolver}{stays}{goes}")).start();
    until("both names", || dns.count_of("stays") > 0 && dns.count_of("goes") > 0);
    server.rewrite_http(&format!("{resolver}{stays}"));
    server.signal(Signal::HUP);
    server.wait_log("exited with code 0");
    // A question may have been in transit.
    let (stays, goes) = (dns.count_of("stays"), dns.count_of("goes"));
    until("the other name again", || dns.count_of("stays") >= stays + 3);
    assert!(dns.count_of("goes") <= goes + 1, "{} and {goes}", dns.count_of("goes"));
}

/// A reload causes no questions for names that it keeps, whatever else it changes, and requests
/// find their addresses.
#[test]
fn a_reload_does_not_resolve_known_names() {
    let backend = Backend::text("here");
    let port = backend.address().rsplit_once(':').unwrap().1.to_owned();
    let dns = name_server(Ipv6::None);
    let many: Vec<String> = (0..20).map(|n| format!("server n{n}.test:{port} resolve;")).collect();
    let conf = |more: &str| {
        format!(
            "resolver 127.0.0.1:{} valid=1h ipv6=off;
             upstream u {{ zone u 256k; {} {more} }}
             server {{ listen 127.0.0.1:%port%; location / {{ proxy_pass http://u; }} }}",
            dns.port,
            many.concat()
        )
    };
    let server = Server::http(&conf("")).main("worker_processes 2;").start();
    until("all names", || dns.count() == many.len());
    until("their addresses", || server.get("/").status == 200);
    let changes = ["", "server 127.0.0.1:%backend%;", "server last.test:%backend% resolve;"];
    for (reload, change) in changes.iter().enumerate() {
        let change = change.replace("%backend%", &port);
        let main = format!("worker_processes {};", 4 - reload);
        server.rewrite_with(&conf(&change), &main);
        server.signal(Signal::HUP);
        until("the reload", || server.error_log().matches("exited with code 0").count() > reload);
        assert_eq!(server.text("/"), "here");
    }
    // The new name's answer arrives after any for earlier names.
    until("the new name", || dns.count_of("last") > 0);
    assert_eq!(dns.count(), many.len() + 1);
}

/// After the reload, only the new name servers are asked.
#[test]
fn a_reload_changes_the_name_servers() {
    let backend = Backend::text("here");
    let port = backend.address().rsplit_once(':').unwrap().1.to_owned();
    let (old, new) = (name_server(Ipv6::None), name_server(Ipv6::None));
    let conf = |dns: &NameServer| {
        let upstream = upstream("name", &port);
        format!("resolver 127.0.0.1:{} valid=1s ipv6=off; {upstream}", dns.port)
    };
    let server = Server::http(&conf(&old)).start();
    until("an answer", || old.count() > 0);
    server.rewrite_http(&conf(&new));
    server.signal(Signal::HUP);
    server.wait_log("exited with code 0");
    let before = old.count();
    until("answers of the new one", || new.count() >= 3);
    assert!(old.count() <= before + 1);
}

/// A server is reached by the address family that was resolved.
#[test]
fn a_failure_for_ipv6_leaves_ipv4() {
    if crate::harness::is_nginx() {
        // nginx takes the failure for the whole answer.
        return;
    }
    let backend = Backend::text("here");
    let dns = name_server(Ipv6::Failure);
    let server = resolving(&dns, &backend).start();
    until("the name to be resolved", || server.get("/").status == 200);
    assert_eq!(server.text("/"), "here");
}

/// `status_zone=` counts questions and what comes of them, and not what the cache answers.
#[test]
fn zones_count_questions() {
    let backend = Backend::text("here");
    let dns = name_server(Ipv6::None);
    let port = backend.address().rsplit_once(':').unwrap().1.to_owned();
    let conf = "
        resolver 127.0.0.1:%dns% valid=1h ipv6=off status_zone=names;
        server { listen 127.0.0.1:%port%;
            location /api { api write=on; }
            location /metrics { prometheus; }
            location /silent { resolver 127.0.0.1:%silent% status_zone=silent; resolver_timeout 1ms;
                proxy_pass http://$arg_name:%backend%; }
            location / { proxy_pass http://$arg_name:%backend%; } }";
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let setup = Server::http(conf).set("dns", dns.port).set("backend", port);
    let server = setup.set("silent", silent.local_addr().unwrap().port()).alerts_expected().start();
    for name in ["a.test", "a.test", "b.test"] {
        assert_eq!(server.text(&format!("/?name={name}")), "here");
    }
    assert_eq!(server.get("/silent?name=a.test").status, 502);
    let zones = server.api_get("resolvers/");
    assert_eq!(zones["names"]["requests"], json!({"name": 2, "srv": 0, "addr": 0}));
    assert_eq!(zones["names"]["responses"]["noerror"], 2);
    assert_eq!(zones["silent"]["requests"]["name"], 1);
    let metrics = server.text("/metrics");
    for line in [
        "weir_resolver_requests_total{zone=\"names\",kind=\"name\"} 2\n",
        "weir_resolver_responses_total{zone=\"names\",result=\"noerror\"} 2\n",
        "weir_resolver_responses_total{zone=\"names\",result=\"nxdomain\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    // The questions of a zone go on over a reload, and start over with `DELETE`.
    server.reload_http(conf);
    assert_eq!(server.api_get("resolvers/names")["requests"]["name"], 2);
    assert_eq!(server.api("DELETE", "resolvers/names", "").status, 204);
    assert_eq!(server.api_get("resolvers/names")["responses"]["noerror"], 0);
    assert_eq!(server.api("GET", "resolvers/other", "").status, 404);
}
