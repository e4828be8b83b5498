//! Every family of metrics has a row in `docs/howto/prometheus.md`, and every row a family: on a
//! server on which everything is switched on, and everything has happened once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;

use super::openmetrics::Metrics;
use super::{OPEN, assert_good, promtool, queries};
use crate::harness::{Backend, Certificate, H2Client, Reply, Server, is_nginx, run, until};

const CONF: &str = "
    otel_exporter { endpoint http://%closed%/v1/traces; interval 10ms; }
    acme_issuer ca { uri https://%closed%/directory; state_path %dir%/ca; account_key ecdsa; }
    resolver %dns% status_zone=names; resolver_timeout 1s;
    proxy_cache_path %dir%/cache keys_zone=kept:64k max_size=1m;
    limit_req_zone $uri zone=rate:64k rate=1r/m; limit_conn_zone $uri zone=crowd:64k;
    keyval_zone zone=pairs:64k; keyval $arg_key $found zone=pairs;
    upstream all { zone all 128k; server %good%; server 127.0.0.1:1 max_conns=9 slow_start=5s;
        server %good% backup; queue 5 timeout=1s; keepalive 4; }
    upstream judged { zone judged 64k; server %bad% max_fails=0; server %good%;
        outlier_ejection consecutive=1 time=1h max_time=1h; }
    upstream says { zone says 64k; server %good%; load_report; }
    upstream secure { zone secure 64k; server 127.0.0.1:%port2%; }
    server { listen 127.0.0.1:%port%; http2 on; status_zone site; otel_trace on;
        request_records on sample=100%;
        location = /metrics { prometheus; }
        location / { status_zone pages; proxy_pass http://all; }
        location /checked { proxy_pass http://says; health_check interval=10ms; }
        location /judged { proxy_pass http://judged; }
        location /says { proxy_pass http://says; }
        location /secure { proxy_pass https://secure; proxy_cache kept; limit_req zone=rate;
            limit_conn crowd 9; }
        location /named { set $name a.test; proxy_pass http://$name; } }
    server { listen 127.0.0.1:%port2% ssl; server_name b.test; status_zone secure;
        ssl_certificate b.crt; ssl_certificate_key b.key; ssl_session_cache shared:sessions:1m;
        location / { return 200 secure; } }
    server { listen 127.0.0.1:%port3% ssl; server_name ordered.test; acme_certificate ca;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }";

/// What a row says of a family, and what a scrape shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) kind: String,
    unit: String,
    /// The labels that every sample has.
    pub(super) always: BTreeSet<String>,
    /// Those that some have.
    pub(super) sometimes: BTreeSet<String>,
}

impl Family {
    /// Whether a row describes it. A label that only some samples have may be on none.
    fn is_as(&self, row: &Self) -> bool {
        (&self.kind, &self.unit, &self.always) == (&row.kind, &row.unit, &row.always)
            && self.sometimes.is_subset(&row.sometimes)
    }
}

/// The rows of the page: `| name | type | unit | labels | what it is |`, optional labels in
/// parentheses.
pub(super) fn rows() -> BTreeMap<String, Family> {
    let page = include_str!("../../docs/howto/prometheus.md");
    let section = page.split("\n## Every metric\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `weir_")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, labels, _] = cells[..] else { panic!("{line}") };
        let mut family =
            Family { kind: kind.to_owned(), unit: unit.to_owned(), ..Family::default() };
        for label in labels.split(", ").filter(|label| !label.is_empty()) {
            let is_optional = label.starts_with('(');
            let set = if is_optional { &mut family.sometimes } else { &mut family.always };
            assert!(set.insert(label.trim_matches(['(', ')', '`']).to_owned()), "{line}");
        }
        let name = name.trim_matches('`').to_owned();
        assert!(rows.insert(name, family).is_none(), "twice: {line}");
    }
    rows
}

/// The families of a scrape, by their names in Prometheus's format.
fn families(metrics: &Metrics) -> BTreeMap<String, Family> {
    let mut found = BTreeMap::new();
    for (name, (kind, unit)) in &metrics.families {
        let (suffixes, name): (&[&str], _) = match kind.as_str() {
            "counter" => (&[""], format!("{name}_total")),
            "info" => (&[""], format!("{name}_info")),
            "histogram" => (&["_bucket", "_sum", "_count"], name.clone()),
            _ => (&[""], name.clone()),
        };
        let samples: Vec<BTreeSet<String>> = metrics
            .samples
            .keys()
            .filter(|(of, _)| of.strip_prefix(&*name).is_some_and(|rest| suffixes.contains(&rest)))
            .map(|(_, labels)| labels.keys().filter(|label| *label != "le").cloned().collect())
            .collect();
        let all: BTreeSet<_> = samples.iter().flatten().cloned().collect();
        let has_all = |label: &&String| samples.iter().all(|labels| labels.contains(*label));
        let always: BTreeSet<_> = all.iter().filter(has_all).cloned().collect();
        let sometimes = all.difference(&always).cloned().collect();
        let unit = unit.clone().unwrap_or_default();
        found.insert(name, Family { kind: kind.clone(), unit, always, sometimes });
    }
    found
}

/// What differs between the rows and a scrape. The rows of the pair are compared where their
/// families are written.
fn differences(metrics: &Metrics) -> Vec<String> {
    let (rows, found) = (rows(), families(metrics));
    let of_pair = |name: &str| name.starts_with("weir_ha_");
    let mut all = Vec::new();
    for (name, row) in rows.iter().filter(|(name, _)| !of_pair(name)) {
        match found.get(name) {
            None => all.push(format!("no family {name}")),
            Some(family) if !family.is_as(row) => {
                all.push(format!("{name}: {row:?} {family:?}"));
            }
            Some(_) => {}
        }
    }
    let unknown = found.keys().filter(|name| !rows.contains_key(*name));
    all.extend(unknown.map(|name| format!("no row for {name}")));
    all
}

/// Lets everything happen that some family counts.
fn use_all(server: &Server) {
    for target in ["/", "/", "/missing", "/judged", "/judged", "/says", "/says", "/secure"] {
        server.get(target);
    }
    server.get("/named");
    server.ask("nonsense\r\n\r\n");
    assert_eq!(H2Client::of(server).get("/").whole().0, 200);
}

#[test]
fn each_family_has_a_row_and_each_row_a_family() {
    if is_nginx() {
        return;
    }
    let good = Backend::new(|seen| match seen.target() {
        "/missing" => Reply::with("404 Not Found", "", "no"),
        _ => Reply::with(
            "200 OK",
            "Endpoint-Load-Metrics: TEXT cpu_utilization:0.5,rps_fractional:10\r\n",
            "a",
        ),
    });
    let bad = Backend::new(|_| Reply::with("500 No", "", "bad"));
    // It takes questions and answers nothing.
    let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = crate::harness::Port::reserve();
    let setup = Server::http(CONF)
        .set("good", good.address())
        .set("bad", bad.address())
        .set("dns", dns.local_addr().unwrap())
        .set("closed", format!("127.0.0.1:{}", closed.number()))
        .alerts_expected();
    Certificate::self_signed(setup.directory(), "b", "b.test");
    let server = setup.start();
    use_all(&server);
    let address = server.address("port2");
    run("sh", &["-c", &format!("openssl s_client -connect {address} </dev/null")]);
    let mut told = Vec::new();
    until("every row", || {
        let differences = differences(&Metrics::parse(&server.get_with("/metrics", OPEN).text()));
        if differences != told {
            println!("{}\n", differences.join("\n"));
            told = differences;
        }
        told.is_empty()
    });
    assert_good(promtool(&["check", "metrics"], &server.text("/metrics")));
    let metrics = Metrics::parse(&server.get_with("/metrics", OPEN).text());
    assert_eq!(queries::unknown_values(&metrics), [""; 0]);
}
