//! `dashboard`: the page in a browser, and what it asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{
    Backend, Browser, Reply, Server, Signal, children, is_nginx, send_signal, until,
};

mod odd;
mod pictures;
mod prefix;
mod real;
mod sections;
mod together;
mod under_way;

/// Several viewers: one who may change servers, below a path; one for whom the API only reads; one
/// whom it refuses; and one without an API.
const CONF: &str = "
    proxy_cache_path %dir%/cache keys_zone=pages:1m;
    limit_req_zone $uri zone=few:1m rate=1r/m;
    upstream shop { zone shop 128k; server %a% weight=2; server %b%; }
    upstream dead { zone dead 128k; server 127.0.0.1:1 max_fails=1; server 127.0.0.1:2 down; }
    upstream off { server 127.0.0.1:4 down; }
    upstream plain { server %a%; }
    server { listen 127.0.0.1:%port%; status_zone front;
        location / { proxy_pass http://shop; }
        location /dead { proxy_pass http://dead; }
        location /plain { proxy_pass http://plain; proxy_cache pages; proxy_cache_valid 1m; }
        location /few { limit_req zone=few; return 200; }
        location /x/y/dash/ { dashboard; }
        location /x/api/ { api write=on; }
    }
    server { listen 127.0.0.1:%port_reading%;
        location = /dash { dashboard; }
        location /api { api write=on; limit_except GET { deny all; } }
    }
    server { listen 127.0.0.1:%port_refused%;
        location ~ ^/d { dashboard; }
        location /api { api write=on; deny all; }
    }
    server { listen 127.0.0.1:%port_secret%;
        location = /dash { dashboard; }
        location /api { api write=on; auth_basic secret; auth_basic_user_file users; }
    }
    server { listen 127.0.0.1:%port_alone%; location / { dashboard; } }";

struct Page<'a> {
    browser: &'a Browser,
    server: &'a Server,
}

impl Page<'_> {
    fn open(&self, port: &str, path: &str) {
        self.browser.visit(&format!("http://{}{path}", self.server.address(port)));
        self.wait("document.querySelector('#live-text')?.textContent === 'live'");
        // Tests wait for what the page would ask for in two seconds.
        self.browser.value("globalThis.often = setInterval(() => poll(true), 300)");
    }

    /// From now on, the page asks by itself alone.
    fn asks_as_usual(&self) {
        self.browser.value("clearInterval(often)");
        self.wait("!page.asking");
    }

    #[track_caller]
    fn wait(&self, expression: &str) {
        self.browser.wait(expression);
    }

    /// Waits until an element has a text.
    #[track_caller]
    fn shows(&self, selector: &str, text: &str) {
        let of = format!("[...document.querySelectorAll({})]", json!(selector));
        self.wait(&format!("{of}.some((it) => it.textContent.includes({}))", json!(text)));
    }

    #[track_caller]
    fn click(&self, selector: &str) {
        self.wait(&format!("!!document.querySelector({})", json!(selector)));
        self.browser.value(&format!("document.querySelector({}).click()", json!(selector)));
    }

    fn state(&self, server: usize) -> Value {
        let path = format!("http/upstreams/shop/servers/{server}");
        let answer = self.server.ask(format!("GET /x/api/9/{path} HTTP/1.0\r\nHost: a\r\n\r\n"));
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Nothing sticks out of the page in its width.
    #[track_caller]
    fn fits(&self) {
        let widths = self.browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{widths}");
    }
}

/// Finds texts whose contrast to what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
const CONTRAST: &str = "(() => {
    const parts = (text) => { const it = text.match(/[\\d.]+/g).map(Number); return it.length < 4 ? [...it, 1] : it; };
    const light = (it) => { const [r, g, b] = it.slice(0, 3).map((c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = (element) => { for (; element; element = element.parentElement) { const it = parts(getComputedStyle(element).backgroundColor); if (it[3] === 1) return it; } return [255, 255, 255, 1]; };
    const found = [];
    let seen = 0;
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.getClientRects().length || element.closest('svg')) continue;
        seen++;
        const [one, other] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
        const ratio = (one + 0.05) / (other + 0.05);
        if (ratio < 4.5) found.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)}: ${element.textContent.slice(0, 30)}`);
    }
    return [seen, found];
})()";

#[test]
fn the_page_in_a_browser() {
    if is_nginx() {
        return;
    }
    let Some(browser) = Browser::open() else { return };
    let broken = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&broken);
    let [a, b] = [
        Backend::text("a"),
        Backend::new(move |_| match fails.load(Ordering::Relaxed) {
            true => Reply::with("500 X", "", "no"),
            false => Reply::ok("b"),
        }),
    ];
    let conf = CONF.replace("%a%", &a.address()).replace("%b%", &b.address());
    let server = Server::http(&conf).file("users", "a:{PLAIN}b").alerts_expected().start();
    let page = Page { browser: &browser, server: &server };
    sections_are_filled(&page, &broken);
    colours_and_widths(&page);
    changes_by_click(&page);
    changes_by_keys(&page);
    refusals(&page);
    restarts(&page, &conf);
    is_quiet(&page);
    sections::are_filled(&browser);
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
}

fn sections_are_filled(page: &Page<'_>, broken: &AtomicBool) {
    let server = page.server;
    broken.store(true, Ordering::Relaxed);
    for target in ["/", "/", "/", "/plain", "/plain", "/few", "/few"] {
        server.get(target);
    }
    broken.store(false, Ordering::Relaxed);
    assert_eq!(server.get("/dead").status, 502);
    page.open("port", "/x/y/dash/");
    page.shows("tr.group:nth-child(1) .toggle", "dead");
    page.shows("tr.group:nth-child(2) .toggle", "off");
    page.shows(
        "#wrong .bad",
        "Upstream dead has no server that takes new requests — 1 down, 1 unavail",
    );
    page.shows("#wrong .warn", "127.0.0.1:1 of dead is unavail — too many failed requests");
    page.shows("#wrong .info", "127.0.0.1:2 of dead is down — set down");
    page.wait("Number(document.querySelector('#nav-wrong .count')?.textContent) >= 2");
    for name in ["Requests", "Connections", "Server errors (5xx)", "Sent", "Attempts at servers"] {
        page.shows("#tiles .tile .name", name);
    }
    // With the history of the server, there is a line at once.
    page.wait("document.querySelector('#tiles path.line').getAttribute('d').length > 5");
    page.shows("#upstreams-count", "4 with 6 servers");
    page.shows("#zones td", "front");
    page.shows("#caches td", "50 %");
    page.shows("#limits td", "few");
    page.shows("#process", "number 1, loaded");
    page.click(".toggle");
    page.shows("tr.detail", "set down");
    // The worst is first, and what is asked for is shown.
    page.shows("tr.group:first-child .toggle", "dead");
    page.browser.value("openUpstream('shop')");
    page.shows("tr.detail .split", "Response time");
    page.wait("document.querySelectorAll('table.servers tbody tr').length === 4");
    page.browser.value("openUpstream('plain')");
    page.shows("tr.detail", "This group has no zone");
    page.browser.value("openUpstream('dead'); toggle('plain'); toggle('dead')");
}

fn colours_and_widths(page: &Page<'_>) {
    let check = || {
        let contrast = page.browser.value(CONTRAST);
        assert!(contrast[0].as_u64() > Some(40), "{contrast}");
        assert_eq!(contrast[1], json!([]));
    };
    let scheme = |name: &str| {
        let features = json!([{ "name": "prefers-color-scheme", "value": name }]);
        page.browser.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    };
    let back = "getComputedStyle(document.body).backgroundColor";
    scheme("light");
    let light = page.browser.value(back);
    check();
    scheme("dark");
    assert_ne!(page.browser.value(back), light);
    check();
    // The switch precedes the system, and is kept.
    page.click("#theme");
    assert_eq!(page.browser.value(back), light);
    page.open("port", "/x/y/dash/");
    assert_eq!(page.browser.value(back), light);
    page.shows("#theme", "light");
    page.click("#theme");
    scheme("light");
    assert_ne!(page.browser.value(back), light);
    check();
    page.click("#theme");
    for width in [1400, 768, 390] {
        let size =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        page.browser.call("Emulation.setDeviceMetricsOverride", size);
        page.browser.value("shown.open.has('shop') || openUpstream('shop')");
        page.wait("document.querySelectorAll('table.servers tbody tr').length >= 2");
        page.fits();
    }
    page.browser.call("Emulation.clearDeviceMetricsOverride", json!({}));
    page.browser.value("toggle('shop')");
}

/// The button of a server with this text.
fn button(server: usize, text: &str) -> String {
    format!(
        "[...document.querySelectorAll('table.servers tr')]
            .find((row) => row.querySelector('.name')?.textContent === globalThis.servers[{server}])
            ?.querySelectorAll('button').values().find((it) => it.textContent === '{text}')"
    )
}

fn changes_by_click(page: &Page<'_>) {
    page.open("port", "/x/y/dash/");
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    page.browser.value("globalThis.servers = [...document.querySelectorAll('table.servers td.name')].map((it) => it.textContent)");
    let set = |server: usize, body: &Value| {
        let path = format!("/x/api/9/http/upstreams/shop/servers/{server}");
        let body = body.to_string();
        let length = body.len();
        let call =
            format!("PATCH {path} HTTP/1.0\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        assert_eq!(page.server.ask(call).status, 200);
    };
    let act = |server: usize, text: &str| {
        page.wait(&format!("!!{}", button(server, text)));
        page.browser.value(&format!("{}.click()", button(server, text)));
        page.wait("document.querySelector('#ask').open");
    };
    // A question that is not affirmed changes nothing.
    act(0, "Drain");
    page.shows("#ask", "1 server of shop remains up.");
    page.click("#ask button[type=button]");
    page.wait("!document.querySelector('#ask').open");
    assert_ne!(page.state(0)["drain"], true);
    act(0, "Drain");
    page.click("#ask button.first");
    page.shows("#toasts", "drains.");
    until("the drain", || page.state(0)["drain"] == true);
    page.shows("table.servers .state", "draining");
    page.shows("table.servers .why", "draining: only bound requests");
    // Enter does not take the last one away, which another viewer may make of it meanwhile.
    act(1, "Down");
    page.shows("#ask .is-bad", "No other server of shop is up");
    page.shows("#ask button.danger", "Take down the last one");
    page.wait("document.activeElement.textContent === 'Cancel'");
    set(0, &json!({ "drain": false }));
    page.shows("#ask", "1 server of shop remains up.");
    page.wait("!document.querySelector('#ask .danger')");
    set(0, &json!({ "drain": true }));
    page.shows("#ask button.danger", "Take down the last one");
    page.click("#ask button[type=button]");
    // The way back.
    page.click("#toasts .undo");
    until("the undo", || page.state(0)["drain"] != true && page.state(0)["down"] == false);
    page.shows("#toasts", "is as it was before");
    act(1, "Down");
    page.click("#ask button.first");
    until("the server is down", || page.state(1)["down"] == true);
    act(1, "Up");
    page.click("#ask button.first");
    until("the server is up", || page.state(1)["down"] == false);
    act(0, "Weight");
    page.browser.value("document.querySelector('#weight').value = 7");
    page.click("#ask button.first");
    until("the weight", || page.state(0)["weight"] == 7);
    page.shows("#toasts .toast:last-child", "has weight 7.");
    page.shows("table.servers td", "7");
    page.click("#toasts .toast:last-child .undo");
    until("the weight before", || page.state(0)["weight"] == 2);
    edits_of_others(page, &act, &set);
    // What the API refuses is said in its words: here, the server is gone.
    page.browser.value("begun('shop', { id: 99, server: 'a' }, drain)");
    page.shows("#toasts .bad", "(404)");
}

/// What another has changed since the question, or since the change, stays.
fn edits_of_others(page: &Page<'_>, act: &dyn Fn(usize, &str), set: &dyn Fn(usize, &Value)) {
    act(0, "Weight");
    set(0, &json!({ "weight": 9 }));
    page.browser.value("document.querySelector('#weight').value = 5");
    page.click("#ask button.first");
    page.shows("#toasts .bad", "has \"weight\" 9 and not 2");
    act(1, "Weight");
    page.browser.value("document.querySelector('#weight').value = 4");
    page.click("#ask button.first");
    until("the weight", || page.state(1)["weight"] == 4);
    page.shows("#toasts .toast:last-child", "has weight 4");
    set(1, &json!({ "weight": 1 }));
    page.click("#toasts .toast:last-child .undo");
    page.shows("#toasts .bad", "has \"weight\" 1 and not 4");
    assert_eq!((&page.state(0)["weight"], &page.state(1)["weight"]), (&json!(9), &json!(1)));
    set(0, &json!({ "weight": 2 }));
}

fn changes_by_keys(page: &Page<'_>) {
    page.open("port", "/x/y/dash/");
    let keys = |keys: &[&str]| keys.iter().for_each(|key| page.browser.press(key));
    let focus = |text: &str| {
        page.wait(&format!("document.activeElement.textContent === {}", json!(text)));
    };
    keys(&["?"]);
    page.shows("#help[open]", "what is wrong");
    keys(&["Escape"]);
    page.wait("!document.querySelector('#help').open");
    keys(&["/", "s", "h", "o"]);
    page.wait("document.querySelectorAll('tr.group').length === 1");
    // Past the order to the one upstream.
    keys(&["Tab", "Tab"]);
    focus("shop");
    page.wait("document.activeElement.matches(':focus-visible')");
    page.wait("getComputedStyle(document.activeElement).outlineStyle === 'solid'");
    keys(&["Enter"]);
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    keys(&["Tab"]);
    focus("Drain");
    keys(&["Enter"]);
    page.wait("document.querySelector('#ask').open");
    focus("Drain");
    keys(&["Enter"]);
    page.shows("#toasts", "drains.");
    let drains = || (0..2).any(|server| page.state(server)["drain"] == true);
    until("the drain by keys", drains);
    keys(&["z"]);
    until("the undo by keys", || !drains());
    keys(&["r"]);
    page.wait("document.activeElement.id === 'request-id'");
    keys(&["Escape", "/", "Escape", "w"]);
    page.wait("document.activeElement.id === 'wrong'");
    // Tables and drawings have names, and fields labels.
    let unnamed = "[...document.querySelectorAll('table')].filter((it) => !it.caption).length
        + [...document.querySelectorAll('svg')].filter((it) => !it.getAttribute('aria-label') && it.getClientRects().length && !it.closest('[hidden]')).length
        + [...document.querySelectorAll('input, select')].filter((it) => !it.labels.length).length";
    page.wait(&format!("({unnamed}) === 0"));
}

fn refusals(page: &Page<'_>) {
    let none = || assert_eq!(page.browser.value("document.querySelectorAll('.acts').length"), 0);
    for (port, path, words) in [
        ("port_reading", "/dash", "the API at /api says this is not permitted to you (403)"),
        ("port_refused", "/dashboards", "the API at /api says this is not permitted to you (403)"),
        ("port_secret", "/dash", "Servers can be changed by those who sign in."),
    ] {
        page.open(port, path);
        page.browser.value("openUpstream('shop')");
        page.shows("#edit-note", words);
        page.wait("document.querySelectorAll('table.servers tbody tr').length === 2");
        none();
    }
    // The browser asks for the password and sends it from then on.
    let password = json!({ "headers": { "Authorization": "Basic YTpi" } });
    page.browser.call("Network.setExtraHTTPHeaders", password);
    page.click("#edit-note button");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    page.browser.call("Network.setExtraHTTPHeaders", json!({ "headers": {} }));
    page.open("port_alone", "/");
    page.shows("#edit-note", "api write=on;");
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers tbody tr').length === 2");
    assert_eq!(page.browser.value("document.querySelectorAll('.acts').length"), 0);
}

fn restarts(page: &Page<'_>, conf: &str) {
    page.open("port", "/x/y/dash/");
    let more = format!("{conf} upstream another {{ server 127.0.0.1:3; }}");
    page.server.reload_http(&more);
    page.shows("#facts", "configuration 2");
    page.shows("tr.group .toggle", "another");
    for worker in children(page.server.pid()) {
        send_signal(worker, Signal::KILL);
    }
    page.shows("#wrong .warn", "The worker has died once");
    page.shows("#live-text", "live");
}

/// No faults of the script, no violations of the policy, and no other host.
fn is_quiet(page: &Page<'_>) {
    assert_eq!(page.browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
    let entries = page.browser.events("Log.entryAdded");
    let level = |entry: &&Value| {
        let entry = &entry["params"]["entry"];
        entry["level"] == "error" && entry["source"] != "network"
    };
    let faults: Vec<_> = entries.iter().filter(level).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let said = page.browser.events("Runtime.consoleAPICalled");
    assert!(said.is_empty(), "{said:#?}");
    let requests = page.browser.events("Network.requestWillBeSent");
    let addresses = ["port", "port_reading", "port_refused", "port_secret", "port_alone"];
    let own = addresses.map(|name| format!("http://{}/", page.server.address(name)));
    assert!(requests.len() > 20);
    for request in requests {
        let url = request["params"]["request"]["url"].as_str().unwrap();
        assert!(own.iter().any(|own| url.starts_with(own.as_str())), "{url}");
    }
}

#[test]
fn the_policy_permits_nothing_else() {
    let server = Server::http(CONF).set("a", "127.0.0.1:1").set("b", "127.0.0.1:2").start();
    let page = server.get("/x/y/dash/");
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
    // What did not change is not sent again.
    let tag = format!("If-None-Match: {}\r\n", page.header("ETag").unwrap());
    assert_eq!(server.get_with("/x/y/dash/", &tag).status, 304);
    let zipped = server.get_with("/x/y/dash/", "Accept-Encoding: gzip\r\n");
    assert_eq!(zipped.header("Content-Encoding"), Some("gzip"));
    assert!(zipped.body.len() < page.body.len() / 3, "{}", zipped.body.len());
    assert_eq!(server.get("/x/y/dash/none").status, 404);
    let refused = server.ask("POST /x/y/dash/ HTTP/1.0\r\nContent-Length: 1\r\n\r\na");
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("GET, HEAD")));
    let moved = server.get("/x/y/dash");
    assert_eq!(moved.status, 301);
    // Questions from within only read.
    let state: Value = serde_json::from_slice(&server.get("/x/y/dash/?state").body).unwrap();
    assert_eq!(state["groups"][0][0], "shop");
    assert_eq!(server.get("/x/y/dash/?api=http/upstreams/none").status, 404);
}

#[test]
fn viewers_share_an_answer() {
    let server = Server::http(CONF).set("a", "127.0.0.1:1").set("b", "127.0.0.1:2").start();
    let ask = |path: &str| server.get(path).text();
    let pairs = (0..20).filter(|_| ask("/x/y/dash/?state") == ask("/x/y/dash/?state")).count();
    // Each has the time in it: only those that ask across the end of a second differ.
    assert!(pairs > 0);
}

#[test]
fn the_api_refuses_changes_by_other_sites() {
    let server = Server::http(CONF).set("a", "127.0.0.1:1").set("b", "127.0.0.1:2").start();
    let address = server.address("port");
    let change = |lines: &str| {
        let body = r#"{"drain":true}"#;
        server.ask(format!(
            "PATCH /x/api/9/http/upstreams/shop/servers/0 HTTP/1.0\r\nHost: {address}\r\n{lines}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let refused = change("Origin: http://evil.example\r\nContent-Type: text/plain\r\n");
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("CrossSite"), "{}", refused.text());
    assert_eq!(change("Sec-Fetch-Site: cross-site\r\n").status, 403);
    assert_eq!(change(&format!("Origin: http://{address}\r\n")).status, 200);
    assert_eq!(change("Sec-Fetch-Site: same-origin\r\n").status, 200);
    assert_eq!(change("").status, 200);
}

#[test]
fn the_how_to_shows_a_page_that_may_change_servers() {
    let page = include_str!("../docs/howto/dashboard.md");
    let block = page.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap();
    let conf =
        format!("server {{ listen 127.0.0.1:%port%; {block} location / {{ return 204; }} }}");
    let server = Server::http(&conf).start();
    assert_eq!(server.get("/").status, 204);
    assert!(server.get("/dash/").text().contains("<title>Weir</title>"));
    let here: Value = serde_json::from_slice(&server.get("/dash/?here").body).unwrap();
    assert_eq!(here, json!({ "write": "/api/", "signed_in": false, "path": "/dash/" }));
    let state: Value = serde_json::from_slice(&server.get("/dash/?state").body).unwrap();
    assert!(state["api"]["http/server_zones"]["front"]["responses"]["2xx"].as_u64() >= Some(2));
}
