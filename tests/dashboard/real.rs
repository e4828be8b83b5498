//! Sections filled by parts that the server only has in earnest: certificates ordered from an
//! authority, a linked node, names that are resolved, a cache, limits and health checks.

use serde_json::{Value, json};

use super::Page;
use crate::harness::{Backend, Browser, Pebble, Port, Reply, Signal, is_nginx, until};
use crate::links::node::{Node, ha, pair};
use crate::resolving::{Ipv6, name_server};

/// What the first node serves.
const CONF: &str = "
    request_records on slow=20ms;
    resolver 127.0.0.1:%dns% valid=1s status_zone=names;
    acme_issuer ca { %ca% contact admin@example.test; }
    proxy_cache_path %dir%/kept keys_zone=kept:1m max_size=10m;
    limit_req_zone $uri zone=narrow:1m rate=1r/m sync;
    keyval_zone zone=pairs:64k; keyval $arg_key $found zone=pairs;
    upstream named { zone named 256k; server name.test:%backend% resolve; }
    upstream checked { zone checked 256k; server %a%; server %failing%; }
    server { listen 127.0.0.1:%port_tls% ssl; server_name ordered.test;
        acme_certificate ca; return 200 ok;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
    server { listen 127.0.0.1:%port_tls% ssl; server_name refused.test;
        acme_certificate ca;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
    server { listen 127.0.0.1:%http%; status_zone proofs; return 404; }
    server { listen 127.0.0.1:%port%; status_zone front;
        location / { proxy_pass http://named; }
        location /checked { proxy_pass http://checked; health_check interval=100ms uri=/health; }
        location /kept { proxy_pass http://%a%; proxy_cache kept; proxy_cache_valid 1m; }
        location /narrow { limit_req zone=narrow; proxy_pass http://%a%; }
        location /none { set $name none.test; proxy_pass http://$name; }
        location /found { return 200 $found; }
        location /dash/ { request_records off; dashboard; }
        location /api/ { request_records off; api write=on; }
    }";

/// The rows of a section, as the texts of their cells.
fn rows(page: &Page<'_>, section: &str) -> Vec<Vec<String>> {
    let rows = format!(
        "[...document.querySelectorAll('#{section} tbody tr')]
            .map((row) => [...row.cells].map((cell) => cell.textContent))"
    );
    serde_json::from_value(page.browser.value(&rows)).unwrap()
}

/// Rows that are told of if the test fails.
struct Seen(Vec<Vec<String>>);

impl Drop for Seen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the rows are {:?}", self.0);
        }
    }
}

/// Waits until a section has a row with this first cell that is as wanted.
#[track_caller]
fn wait_row(page: &Page<'_>, section: &str, name: &str, wanted: impl Fn(&[String]) -> bool) {
    let mut seen = Seen(Vec::new());
    until(&format!("{name} in {section}"), || {
        seen.0 = rows(page, section);
        seen.0.iter().any(|row| row[0] == name && wanted(&row[1..]))
    });
}

fn count(cell: &str) -> u64 {
    cell.replace(',', "").parse().unwrap_or_else(|_| panic!("{cell} is no number"))
}

#[test]
fn what_only_a_real_server_has_is_shown() {
    if is_nginx() {
        return;
    }
    let blocked = r#", "domainBlocklist": ["refused.test"]"#;
    let Some(mut pebble) = Pebble::prepare(&[], blocked) else { return };
    let Some(browser) = Browser::open() else { return };
    pebble.launch();
    let port = Port::reserve();
    let (a, b) = pair(&port);
    let good = Backend::text("a");
    let failing = Backend::new(|seen| match seen.target() {
        "/health" => Reply::with("503 Away", "", ""),
        _ => Reply::ok("b"),
    });
    let dns = name_server(Ipv6::None);
    let conf = CONF
        .replace("%dns%", &dns.port.to_string())
        .replace("%ca%", &pebble.lines())
        .replace("%http%", &pebble.http.number().to_string())
        .replace("%a%", &good.address())
        .replace("%backend%", good.address().rsplit_once(':').unwrap().1)
        .replace("%failing%", &failing.address());
    a.server.rewrite_with(&conf, &ha(&port));
    a.server.signal(Signal::HUP);
    a.wait_lines("exited with code 0", 1);
    let page = Page { browser: &browser, server: &a.server };
    until("the name", || a.server.get("/").status == 200);
    for target in ["/kept", "/kept", "/kept", "/narrow", "/narrow", "/checked", "/none"] {
        a.server.get(target);
    }
    page.open("port", "/dash/");
    certificates(&page, &pebble);
    names(&page);
    kept_and_limited(&page);
    checked(&page, &failing);
    links(&page, b);
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
    super::pictures::take(&page, "real");
}

fn certificates(page: &Page<'_>, pebble: &Pebble) {
    until("a certificate", || pebble.issued() >= 1);
    page.shows("#tls h3", "Ordered by Weir");
    wait_row(page, "tls", "CN=ordered.test", |row| row[0].starts_with("in "));
    page.shows("#tls td .is-good", "valid");
    page.shows("#tls td", "ordered.test");
    page.shows("#tls td", "renewed in ");
    // The authority's own words.
    page.shows("#tls td .is-bad", "failed");
    page.shows("#tls td .why", "refused.test");
    page.shows("#tls td", "tried again in ");
    page.shows("#wrong .bad", "could not be ordered");
}

/// Other names are looked up in the same zone, such as that of the authority.
fn names(page: &Page<'_>) {
    wait_row(page, "resolvers", "names", |row| {
        let [names, _, _, answered, failed, failures] = row else { panic!("{row:?}") };
        count(names) >= 1
            && count(answered) >= 1
            && count(failed) >= 1
            && failures.contains("nxdomain")
    });
    page.browser.value("openUpstream('named')");
    page.shows("table.servers .name", "(name.test:");
    page.browser.value("toggle('named')");
}

fn kept_and_limited(page: &Page<'_>) {
    wait_row(page, "caches", "kept", |row| row[0] == "67 %" && count(&row[3]) == 1);
    wait_row(page, "limits", "narrow", |row| count(&row[0]) == 1 && count(&row[2]) == 1);
    wait_row(page, "zones", "front", |row| row[0].ends_with("/s"));
}

/// A server that fails its checks is told, with the reason, and again when it has recovered.
fn checked(page: &Page<'_>, failing: &Backend) {
    let unhealthy = format!("{} of checked is unhealthy", failing.address());
    page.shows("#wrong .warn", &unhealthy);
    page.shows("#wrong .warn .why", "fails its health check, for ");
    page.browser.value("openUpstream('checked')");
    page.shows("table.servers .state.is-bad", "unhealthy");
    page.shows("table.servers td", " failed");
    page.browser.value("toggle('checked')");
}

fn links(page: &Page<'_>, mut b: Node) {
    page.shows("#pair .facts dd", "a");
    wait_row(page, "pair", "b", |row| row[0] == "up");
    page.server.api("POST", "http/keyvals/pairs", r#"{"x":"1"}"#);
    let records = "[...document.querySelectorAll('#pair .facts dt')]
        .find((it) => it.textContent === 'Records')?.nextSibling.textContent";
    page.wait(&format!("parseInt({records}) >= 1"));
    b.server.kill();
    page.shows("#wrong .warn", "Node b is not connected");
    wait_row(page, "pair", "b", |row| row[0].starts_with("down"));
    b.server.resume();
    wait_row(page, "pair", "b", |row| row[0] == "up");
    let gone = json!("Node b is not connected");
    page.wait(&format!("!document.querySelector('#wrong').textContent.includes({gone})"));
}
