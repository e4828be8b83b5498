//! The sections of single requests and of the process, filled by real traffic, real certificates and
//! real reloads; and names that would be markup if the page took them for it.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Page, under_way};
use crate::harness::{
    Backend, Browser, Certificate, Client, Directory, Reply, Server, Signal, run, until,
};

const CONF: &str = r#"
    request_records on slow=20ms sample=100%;
    request_records_field X-Evil;
    proxy_cache_path %dir%/kept keys_zone=kept:1m max_size=10m;
    limit_req_zone $uri zone=narrow:1m rate=1r/m;
    limit_conn_zone $uri zone=alone:1m;
    upstream pool { zone pool 128k; least_conn; server %dead% weight=5 max_fails=0;
        server %a% slow_start=1h; server 127.0.0.1:2 down; }
    upstream held { zone held 64k; server %a%; }
    upstream "<img src=x onerror=boom=1>" { zone "<img src=x>" 64k; server %dead% down; }
    server { listen 127.0.0.1:%port%; status_zone "<script>boom=1</script>"; server_name first.test;
        add_header X-Request-ID $request_id always;
        rewrite ^/old/(.*)$ /new/$1;
        location /new/ { proxy_pass http://pool; }
        location /hang { proxy_pass http://held; }
        location /kept { proxy_pass http://%a%; proxy_cache kept; proxy_cache_valid 1m; }
        location /narrow { limit_req zone=narrow; limit_conn alone 9; proxy_pass http://%a%; }
        location /broken { proxy_pass http://%dead%; }
        location /dash/ { request_records off; dashboard; }
        location /api/ { request_records off; api write=on; }
    }
    server { listen 127.0.0.1:%port_tls% ssl; server_name soon.test;
        ssl_certificate soon.crt; ssl_certificate_key soon.key; }
    server { listen 127.0.0.1:%port_tls% ssl; server_name old.test;
        ssl_certificate old.crt; ssl_certificate_key old.key; }"#;

/// What a certificate that is no longer valid is signed with.
const AUTHORITY: &str = "[ca]\ndefault_ca = it\n[it]\ndatabase = index\nnew_certs_dir = .\nserial = serial\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n";

/// Makes a certificate that has expired, and one that expires in two days.
fn certificates(directory: &Directory) {
    Certificate::self_signed(directory, "old", "old.test");
    Certificate::self_signed(directory, "soon", "soon.test");
    directory.write("index", "");
    directory.write("serial", "01\n");
    directory.write("authority", AUTHORITY);
    let script = "cd $0 && openssl req -new -key old.key -subj /CN=old.test -out old.csr &&
        openssl ca -batch -config authority -selfsign -keyfile old.key -in old.csr -notext \
            -startdate 20200101000000Z -enddate 20200201000000Z -out old.crt &&
        openssl req -x509 -key soon.key -subj /CN=soon.test -days 2 -out soon.crt";
    let made = run("sh", &["-c", script, directory.path().to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

pub(super) fn are_filled(browser: &Browser) {
    let a = Backend::new(|seen| {
        if seen.target().contains("hang") {
            return Reply::hold();
        }
        if seen.target().contains("slow") {
            sleep(Duration::from_millis(30));
        }
        Reply::with("200 OK", "Cache-Control: max-age=60\r\n", "a")
    });
    let setup = Server::http(CONF).set("a", a.address()).set("dead", "127.0.0.1:1");
    certificates(setup.directory());
    let server = setup.alerts_expected().start();
    let page = Page { browser, server: &server };
    let slow = traffic(&server);
    page.open("port", "/dash/");
    requests(&page, &slow);
    under_way::are_shown(&page);
    process(&page);
    slow_starts(&page);
    reloads(&page);
    errors_by_cause(&page);
    pair(&page);
    let found = "document.querySelectorAll('main img, main i, main script').length";
    let bars = "document.querySelectorAll('.bar i').length";
    page.wait(&format!("{found} === {bars} && globalThis.boom === undefined"));
    super::pictures::take(&page, "sections");
}

/// Makes traffic, and returns the id of a slow request that was tried again.
fn traffic(server: &Server) -> String {
    for target in ["/kept", "/kept", "/narrow", "/narrow", "/broken", "/new/<img/src=x>"] {
        server.get(target);
    }
    let mut s_client = Command::new("openssl");
    s_client.args(["s_client", "-servername", "old.test", "-connect", &server.address("port_tls")]);
    s_client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    Client::connect(server.address("port_tls"))
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .response();
    let evil = "X-Evil: <img src=x onerror=boom=1>\r\n";
    let answer = server.get_with("/old/slow?a=<script>boom=1</script>", evil);
    assert_eq!(answer.text(), "a");
    answer.header("X-Request-ID").unwrap().to_owned()
}

fn requests(page: &Page<'_>, slow: &str) {
    page.click("#last-slow");
    page.shows("#requests-body td .plain", "GET /old/slow?a=<script>boom=1</script> HTTP/1.1");
    page.shows("#requests-body td", "/new/");
    page.click("#last-errors");
    page.shows("#requests-body td.num .is-bad", "502");
    page.click("#requests-body td .plain");
    page.shows("#requests-body", "(111: Connection refused)");
    page.shows("#requests-body", "no server is left to try");
    // By its id: the keys go to the field, and Enter finds it.
    page.browser.value(&format!("$('request-id').value = ' {slow} '"));
    page.browser.press("r");
    page.browser.press("Enter");
    page.shows("#requests-body h3", &format!("Request {slow}"));
    let shown = |text: &str| page.shows("#requests-body", text);
    for text in ["first.test", "/new/", "nginx.conf:", "sent in full", "<img src=x onerror=boom=1>"]
    {
        shown(text);
    }
    shown("/old/slow → /new/slow");
    // The attempts, with the rivals and their scores.
    shown("Attempt 1: 127.0.0.1:1 of pool");
    shown("Attempt 2: ");
    shown("Chosen by least_conn among 3 servers");
    page.shows("#requests-body tr.chosen td", "chosen");
    page.shows("#requests-body td", "down");
    // Phases and attempts over time, none of which sticks out.
    for label in ["rewrite phase", "127.0.0.1:1", "head is ready"] {
        page.shows(".fall .label", label);
    }
    page.wait(
        "[...document.querySelectorAll('.fall rect')].every((it) =>
            parseFloat(it.getAttribute('x')) + parseFloat(it.getAttribute('width')) < 101)
            && document.querySelectorAll('.fall rect.f-header').length >= 1",
    );
    page.browser.value("findRequest('<img src=x onerror=boom=1>/../x?y')");
    page.shows("#requests-body .is-bad", "There is no record of a request <img src=x");
    page.browser.value(&format!("findRequest('{slow}')"));
    page.shows("#requests-body h3", &format!("Request {slow}"));
}

fn process(page: &Page<'_>) {
    page.shows("#wrong .bad", "The certificate of CN=old.test expired");
    page.shows("#wrong .bad", "The certificate of CN=soon.test expires in 1 d");
    page.shows("#tls td .is-bad", "expired, 2020-02-01");
    page.shows("#tls td.wide", "old.crt");
    page.shows("#tls .facts dd", "1, 0 % resumed");
    page.shows("#tls .facts dd", "1: not tls 1");
    page.shows("#tls .facts dd", "TLSv1.3 1");
    page.shows("#caches td", "50 %");
    page.shows("#limits td", "narrow");
    page.shows("#limits td", "alone");
    page.shows("#limits td.num", "1");
    page.shows("#process td", "weir-0");
    page.shows("#process td.num", "ms");
    page.shows("#process .facts dd", "at most");
    page.shows("#process .facts dd", "narrow");
    page.shows("#zones td", "<script>boom=1</script>");
    page.shows("tr.group .toggle", "<img src=x onerror=boom=1>");
    page.browser.value("openUpstream('<img src=x onerror=boom=1>')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 1");
    page.browser.value("toggle('<img src=x onerror=boom=1>')");
}

fn slow_starts(page: &Page<'_>) {
    let path = "http/upstreams/pool/servers/1";
    for down in [true, false] {
        assert_eq!(
            page.server.api("PATCH", path, &json!({ "down": down }).to_string()).status,
            200
        );
    }
    page.browser.value("openUpstream('pool')");
    page.shows("table.servers .why", "slow start: has 0 % of its weight");
}

fn reloads(page: &Page<'_>) {
    let file = page.server.directory().join("nginx.conf");
    let conf = std::fs::read_to_string(&file).unwrap();
    page.server.directory().write("nginx.conf", format!("nonsense;\n{conf}"));
    page.server.signal(Signal::HUP);
    page.shows("#wrong .bad", "The last reload failed");
    page.shows("#wrong .bad .why", "unknown directive \"nonsense\" in ");
    page.shows("#process .facts dd", "0 good, 1 failed");
    page.shows("#process .facts .is-bad", "unknown directive \"nonsense\"");
    page.server.directory().write("nginx.conf", conf);
    page.server.signal(Signal::HUP);
    page.shows("#process .facts dd", "1 good, 1 failed; the last took");
    page.shows("#facts", "configuration 2");
    page.wait("![...document.querySelectorAll('#wrong .bad')].some((it) => it.textContent.includes('reload'))");
}

/// Errors by cause.
fn errors_by_cause(page: &Page<'_>) {
    let counted = || page.server.api_get("errors")["causes"]["upstream_refused"]["total"].clone();
    until("errors", || counted().as_u64() >= Some(1));
    let total: Value = counted();
    page.shows("#errors td", "the server refused the connection");
    page.shows("#errors td.num", &total.to_string());
    page.shows("#errors td", "a limit of requests (limit_req)");
}

/// The pair, ordered certificates and resolvers, as the API tells of them: here without a second
/// machine, an authority and a name server.
fn pair(page: &Page<'_>) {
    let ha = json!({
        "configured": true, "node": "a", "fit": false, "unfit": "the worker stands still",
        "groups": [{ "addresses": ["192.0.2.10/24"], "holds": true, "for_ms": 61_000, "why": "it was preferred" }],
        "links": [
            { "node": "b", "up": true, "weir": "0.1.0", "waiting": 3, "fit": true, "same_configuration": false },
            { "node": "<i>c", "up": false, "reason": "no answer" },
        ],
        "mirror": { "has_configuration": true, "version": { "counter": 7, "proposer": "a" }, "acknowledged": true,
            "records": 12, "left_out": 1, "untold": 0, "under_way": null,
            "trouble": { "version": { "counter": 8, "proposer": "b" }, "reason": "no such file" },
            "nodes": [{ "node": "b", "connected": true, "waiting": 0, "version": { "counter": 7, "proposer": "a" } }] },
    });
    let soon = "2099-01-01T00:00:00Z";
    let acme = json!({
        "le-one": { "state": "valid", "issuer": "le", "names": ["one.test"], "not_after": soon, "renew_at": soon },
        "le-two": { "state": "failed", "issuer": "le", "names": ["two.test"], "next_try": soon, "fault": "the authority is away" },
    });
    let resolvers = json!({ "names": {
        "requests": { "name": 12, "srv": 1, "addr": 0 }, "responses": { "noerror": 9, "nxdomain": 4 } } });
    page.asks_as_usual();
    page.browser.value(&format!(
        "page.paused = true; take({{ ...page.state, at: page.state.at + 1, api: {{ ...page.api, ha: {ha}, resolvers: {resolvers}, 'http/acme_certificates': {acme} }} }}); show()"
    ));
    page.shows(
        "#wrong .bad",
        "This node is not fit to hold the addresses of the pair — the worker stands still",
    );
    page.shows("#wrong .warn", "Node <i>c is not connected — no answer");
    page.shows("#wrong .warn", "Node b has another configuration");
    page.shows("#wrong .warn", "1 record is not shared");
    page.shows("#wrong .warn", "not shared with the other nodes — no such file");
    page.shows("#pair .facts .is-bad", "no such file");
    page.shows("#pair td", "192.0.2.10/24");
    page.shows("#pair td .is-good", "held");
    page.shows("#pair .facts dd", "version 7 of a, which all nodes have");
    page.shows("#tls td .is-good", "valid");
    page.shows("#tls td", "failed the authority is away");
    page.shows(
        "#wrong .bad",
        "The certificate le-two could not be ordered — the authority is away",
    );
    page.shows("#resolvers td", "nxdomain 4");
}
