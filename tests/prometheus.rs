//! `prometheus`: metrics for Prometheus, in both formats, and what uses them: a dashboard of
//! Grafana, alerts, a how-to.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::harness::{
    Backend, Client, Reply, Server, Signal, children, send_signal, skipped, until,
};
use openmetrics::Metrics;

mod families;
mod odd;
mod openmetrics;
mod queries;

const OPEN: &str = "Accept: application/openmetrics-text; version=1.0.0\r\n";

/// Zones, and an upstream with a server that answers, one that is dead, and a backup.
const CONF: &str = "
    log_format ids $request_id;
    upstream u { zone u 64k; server %a%; server 127.0.0.1:1 max_conns=9 slow_start=5s;
        server %a% backup; queue 5 timeout=1s; outlier_ejection; keepalive 4; }
    server { listen 127.0.0.1:%port%; status_zone 'a \"site\"'; access_log %dir%/ids ids;
        location = /metrics { prometheus;
            gzip on; gzip_types text/plain application/openmetrics-text; }
        location / { status_zone pages; proxy_pass http://u; proxy_http_version 1.1;
            proxy_next_upstream error http_500; } }";

fn start() -> (Server, Backend) {
    let backend = Backend::new(|seen| match seen.target() {
        "/missing" => Reply::with("404 Not Found", "", "no"),
        _ => Reply::ok("yes"),
    });
    let server = Server::http(CONF).set("a", backend.address()).start();
    (server, backend)
}

fn scrape(server: &Server) -> Metrics {
    Metrics::parse(&server.get_with("/metrics", OPEN).text())
}

/// Requests until both servers of the upstream have been chosen.
fn use_all(server: &Server) {
    for target in ["/", "/", "/missing", "/"] {
        server.get(target);
    }
}

/// The answer of promtool to a text; None without promtool.
fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        skipped("there is no promtool");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[track_caller]
fn assert_good(checked: Option<Output>) {
    if let Some(Output { status, stdout, stderr }) = checked {
        let said = [stdout, stderr].concat();
        assert!(status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn the_format_is_negotiated() {
    let (server, _backend) = start();
    let text = server.get("/metrics");
    assert_eq!(text.status, 200);
    assert_eq!(text.header("Content-Type"), Some("text/plain; charset=utf-8; version=0.0.4"));
    assert!(text.text().contains("\n# TYPE weir_http_requests_total counter\n"), "{}", text.text());
    assert!(text.text().contains("\nweir_http_requests_total 1\n"), "{}", text.text());
    let open = server.get_with("/metrics", OPEN);
    let media_type = Some("application/openmetrics-text; charset=utf-8; version=1.0.0");
    assert_eq!(open.header("Content-Type"), media_type);
    assert!(open.text().contains("\n# TYPE weir_http_requests counter\n"), "{}", open.text());
    for accept in ["", OPEN] {
        let packed = server.get_with("/metrics", &format!("{accept}Accept-Encoding: gzip\r\n"));
        assert_eq!(packed.header("Content-Encoding"), Some("gzip"), "{accept}");
    }
}

#[test]
fn methods_that_change_something_are_refused() {
    let (server, _backend) = start();
    let mut client = server.client();
    client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head_response().status, 200);
    let refused = server.ask("POST /metrics HTTP/1.0\r\nContent-Length: 1\r\n\r\na");
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("GET, HEAD")));
}

#[test]
fn strict_parsers_accept_all() {
    let (server, _backend) = start();
    use_all(&server);
    assert_good(promtool(&["check", "metrics"], &server.text("/metrics")));
    let metrics = scrape(&server);
    let zone = [("zone", "a \"site\"")];
    let of_zone = |name: &str| metrics.sum(&format!("weir_http_server_zone_{name}"), &zone);
    let classes = metrics.sum("weir_http_server_zone_responses_total", &[("class", "4xx")]);
    assert_eq!(classes, Some(1.0));
    // The first scrape has ended, this one has begun.
    assert_eq!(of_zone("requests_total"), Some(6.0));
    assert_eq!(of_zone("request_duration_seconds_count"), Some(5.0));
    assert_eq!(of_zone("requests_processing"), Some(1.0));
    let pages = metrics.sum("weir_http_location_zone_requests_total", &[("zone", "pages")]);
    assert_eq!(pages, Some(4.0));
    let of_servers = |name: &str, labels: &[(&str, &str)]| {
        metrics.sum(&format!("weir_http_upstream_server_{name}"), labels)
    };
    let dead = ("server", "127.0.0.1:1");
    assert_eq!(of_servers("responses_total", &[]), Some(4.0));
    assert_eq!(of_servers("response_duration_seconds_count", &[]), Some(4.0));
    assert_eq!(of_servers("failures_total", &[dead, ("reason", "error")]), Some(1.0));
    assert_eq!(of_servers("retries_total", &[dead, ("reason", "error")]), Some(1.0));
    assert_eq!(of_servers("state", &[dead, ("state", "unavail")]), Some(1.0));
    assert_eq!(of_servers("kept_out", &[dead, ("reason", "fails")]), Some(1.0));
    assert_eq!(of_servers("max_conns", &[dead]), Some(9.0));
    assert_eq!(of_servers("backup", &[("twin", "2")]), Some(1.0), "an address that occurs again");
}

/// Exemplars are kept from the first scrape on that can show them.
#[test]
fn exemplars_have_ids_of_requests() {
    let (server, _backend) = start();
    use_all(&server);
    assert_eq!(scrape(&server).exemplars.len(), 0);
    use_all(&server);
    let exemplars = scrape(&server).exemplars;
    let ids: BTreeSet<_> = exemplars.iter().map(|labels| labels["request_id"].clone()).collect();
    // In the zones, and for the server that answers.
    assert!(exemplars.len() >= 3 && !ids.is_empty(), "{exemplars:?}");
    let logged = server.wait_lines("ids", 10);
    assert!(ids.iter().all(|id| logged.contains(id)), "{ids:?} {logged:?}");
}

#[test]
fn removed_servers_vanish_and_others_count_on() {
    let (server, backend) = start();
    use_all(&server);
    let good = backend.address();
    let answered = |metrics: &Metrics| {
        let labels = [("server", good.as_str()), ("class", "2xx")];
        metrics.sum("weir_http_upstream_server_responses_total", &labels)
    };
    assert_eq!(answered(&scrape(&server)), Some(3.0));
    server.reload_http(&CONF.replace("server 127.0.0.1:1 max_conns=9 slow_start=5s;", ""));
    until("the server is gone", || {
        let metrics = scrape(&server);
        assert_eq!(answered(&metrics), Some(3.0), "a reload keeps the counts");
        let dead = [("server", "127.0.0.1:1")];
        metrics.sum("weir_http_upstream_server_requests_total", &dead).is_none()
    });
}

/// The counters belong to the worker: Prometheus sees them start over.
#[test]
fn a_replaced_worker_counts_anew() {
    let backend = Backend::text("a");
    let server = Server::http(CONF).set("a", backend.address()).alerts_expected().start();
    use_all(&server);
    let worker = || children(server.pid()).first().copied();
    let first = worker().unwrap();
    send_signal(first, Signal::KILL);
    until("another worker", || worker().is_some_and(|pid| pid != first));
    let metrics = scrape(&server);
    assert_eq!(metrics.sum("weir_workers_respawned_total", &[]), Some(1.0));
    assert_eq!(metrics.sum("weir_http_server_zone_requests_total", &[]), Some(1.0));
}

#[test]
fn a_thousand_servers_can_be_scraped() {
    let servers: String = (0..1000)
        .map(|number| format!("server 10.0.{}.{}:80;", number / 250, number % 250 + 1))
        .collect();
    let conf = CONF.replace("server 127.0.0.1:1 max_conns=9 slow_start=5s;", &servers);
    let backend = Backend::text("a");
    let server = Server::http(&conf).set("a", backend.address()).start();
    let begun = Instant::now();
    let text = server.get_with("/metrics", OPEN).text();
    println!("{} bytes in {:?}", text.len(), begun.elapsed());
    let metrics = Metrics::parse(&text);
    let of_server =
        |labels: &openmetrics::Labels| labels.get("server").is_some_and(|it| it == LAST);
    let series = metrics.samples.keys().filter(|(_, labels)| of_server(labels));
    assert_eq!(series.count(), SERIES_OF_A_SERVER, "the number in docs/howto/prometheus.md");
    assert_eq!(metrics.sum("weir_http_upstream_server_weight", &[]), Some(1002.0));
    assert!(text.len() < 16 << 20, "{}", text.len());
}

/// The last of the thousand.
const LAST: &str = "10.0.3.250:80";

/// The series of a server without anything optional that has not been used yet.
const SERIES_OF_A_SERVER: usize = 71;

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("weir_")).map(str::to_owned).collect()
}

/// docs/howto/prometheus.md: its configuration serves metrics, and Prometheus takes its own.
#[test]
fn the_howto_does_what_it_says() {
    let page = include_str!("../docs/howto/prometheus.md");
    let block = |language: &str| {
        let fence = format!("```{language}\n");
        page.split(fence.as_str()).nth(1).unwrap().split("```").next().unwrap().to_owned()
    };
    let backend = Backend::text("a");
    let conf = block("nginx").replace("10.0.0.1:8080", &backend.address());
    let conf = conf.replace("listen 9145;", "listen 127.0.0.1:%port2%;");
    let server = Server::http(&conf.replace("listen 80;", "listen 127.0.0.1:%port%;")).start();
    assert_eq!(server.text("/"), "a");
    let mut client = Client::connect(server.address("port2"));
    let text = client.get("/metrics").text();
    let overview = page.split("## Every metric").next().unwrap();
    for name in names(overview) {
        // Those by reason and by status appear when there is something to count.
        let later = [
            "_by_status",
            "kept_out",
            "failures",
            "retries_total",
            "ejections",
            "_queue",
            "weir_ha_",
            "_cache_",
            "_limit_",
            "_resolver_",
        ];
        if !later.iter().any(|part| name.contains(part)) {
            assert!(text.contains(&name), "{name}");
        }
    }
    let directory = server.directory();
    directory.write("prometheus.yml", block("yaml"));
    directory.write("weir.rules.yml", include_str!("../contrib/prometheus/weir.rules.yml"));
    let path = directory.join("prometheus.yml").display().to_string();
    assert_good(promtool(&["check", "config", &path], ""));
}

/// The causes without a zone are all there are, and each is explained.
#[test]
fn the_howto_explains_all_causes() {
    let (server, _backend) = start();
    let metrics = scrape(&server);
    let of_causes = metrics.samples.keys().filter(|(name, _)| name == "weir_errors_total");
    let rows =
        of_causes.map(|(_, labels)| format!("| `{}` | {} |", labels["cause"], labels["side"]));
    let page = include_str!("../docs/howto/prometheus.md");
    let table = page.split("## Errors by cause").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<_> = rows.collect();
    let missing: Vec<_> = rows.iter().filter(|row| !table.contains(*row)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(table.matches("\n| `").count(), rows.len());
}

#[test]
fn caches_and_limits_are_counted() {
    let backend = Backend::text("body");
    let conf = "proxy_cache_path %dir%/cache keys_zone=kept:64k max_size=1m;
        limit_req_zone $uri zone=rate:64k rate=1r/m; limit_conn_zone $uri zone=crowd:64k;
        server { listen 127.0.0.1:%port%; location = /metrics { prometheus; }
          location / { proxy_pass http://%a%; proxy_cache kept; proxy_cache_valid 1h; }
          location /limited { limit_req zone=rate; limit_conn crowd 9; proxy_pass http://%a%; } }";
    let server = Server::http(conf).set("a", backend.address()).start();
    for target in ["/", "/", "/", "/limited", "/limited"] {
        server.get(target);
    }
    let metrics = scrape(&server);
    assert_good(promtool(&["check", "metrics"], &server.text("/metrics")));
    let sum =
        |name: &str, labels: &[(&str, &str)]| metrics.sum(&format!("weir_http_{name}"), labels);
    let state = |state| [("cache", "kept"), ("state", state)];
    assert_eq!(sum("cache_responses_total", &state("hit")), Some(2.0));
    assert_eq!(sum("cache_responses_total", &state("miss")), Some(1.0));
    assert_eq!(sum("cache_sent_bytes_total", &state("hit")), Some(8.0));
    assert_eq!(sum("cache_responses_written_total", &state("miss")), Some(1.0));
    assert_eq!(sum("cache_size_limit_bytes", &[]), Some(1_048_576.0));
    let result = |result| [("result", result)];
    assert_eq!(sum("limit_req_requests_total", &result("rejected")), Some(1.0));
    assert_eq!(sum("limit_req_requests_total", &result("passed")), Some(1.0));
    assert_eq!(sum("limit_conn_requests_total", &result("passed")), Some(1.0));
    assert_eq!(metrics.sum("weir_log_lines_lost_total", &[]), Some(0.0));
}
