//! The page behind a proxy that strips a prefix of its path; and a server that goes away and comes
//! back.

use serde_json::Value;

use super::{Page, button};
use crate::harness::{Backend, Browser, Server, is_nginx, until};

const CONF: &str = "
    request_records on sample=100%;
    upstream shop { zone shop 128k; server %a% weight=2; server %b%; }
    server { listen 127.0.0.1:%port%; status_zone front;
        location / { proxy_pass http://shop; }
        location /dash/ { request_records off; dashboard; }
        location /x/api/ { request_records off; api write=on; }
    }
    server { listen 127.0.0.1:%port_root%;
        location / { dashboard; }
        location /api/ { api write=on; }
    }";

/// Locations as people write them for nginx: the host is that of the inner server, unless the proxy
/// is told to pass the client's on.
const OUTER: &str = "
    server { listen 127.0.0.1:%port%; server_name ops.test;
        location /ops/ { proxy_pass http://%inner%/; }
        location /deep/er/ { proxy_pass http://%root%/; }
        location /hosted/ { proxy_pass http://%inner%/; proxy_set_header Host $http_host; }
    }";

#[test]
fn behind_a_stripped_prefix() {
    if is_nginx() {
        return;
    }
    let Some(browser) = Browser::open() else { return };
    let [a, b] = [Backend::text("a"), Backend::text("b")];
    let mut inner = Server::http(CONF).set("a", a.address()).set("b", b.address()).start();
    let outer = Server::http(OUTER)
        .set("inner", inner.address("port"))
        .set("root", inner.address("port_root"))
        .start();
    let page = Page { browser: &browser, server: &outer };
    for _ in 0..4 {
        assert_eq!(inner.get("/").status, 200);
    }
    // Without the final slash, the redirect of the inner server leads to the outer address.
    page.open("port", "/ops/dash");
    page.wait("location.pathname === '/ops/dash/'");
    changes(&page, &inner);
    // Details come through it, too.
    page.click("#last-slow");
    page.shows("#requests-body", "There is no record of slow requests.");
    let id = inner.api_at("/x/api", "http/request_records")[0]["id"].clone();
    let id = id.as_str().unwrap();
    page.browser.value(&format!("findRequest('{id}')"));
    page.shows("#requests-body h3", &format!("Request {id}"));
    page.shows("#requests-body h3", "Attempt 1: ");
    // The shortest page there can be, below two prefixes.
    page.open("port", "/deep/er/");
    page.wait("edits.path === '/deep/er/api'");
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    by_a_name(&page);
    goes_away(&page, &mut inner);
    stays_outside(&page);
    without_a_proxy(&page, &mut inner);
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
}

/// No question went past the proxy.
fn stays_outside(page: &Page<'_>) {
    let own = format!("http://{}/", page.server.address("port"));
    let named = format!("http://ops.test:{}/", page.server.port("port"));
    for request in page.browser.events("Network.requestWillBeSent") {
        let url = request["params"]["request"]["url"].as_str().unwrap();
        assert!(url.starts_with(&own) || url.starts_with(&named), "{url}");
    }
}

/// Drains, takes down and up, and weighs a server by clicks.
fn changes(page: &Page<'_>, inner: &Server) {
    let state =
        |server: usize| inner.api_at("/x/api", &format!("http/upstreams/shop/servers/{server}"));
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    page.browser.value("globalThis.servers = [...document.querySelectorAll('table.servers td.name')].map((it) => it.textContent)");
    let act = |text: &str| {
        page.wait(&format!("!!{}", button(0, text)));
        page.browser.value(&format!("{}.click()", button(0, text)));
        page.wait("document.querySelector('#ask').open");
        if text == "Weight" {
            page.browser.value("document.querySelector('#weight').value = 7");
        }
        page.click("#ask button.first");
    };
    act("Drain");
    until("the drain", || state(0)["drain"] == true);
    page.shows("table.servers .why", "draining: only bound requests");
    act("Down");
    until("the server is down", || state(0)["down"] == true);
    act("Up");
    until("the server is up", || state(0)["down"] == false && state(0)["drain"] != true);
    act("Weight");
    until("the weight", || state(0)["weight"] == 7);
    page.shows("#toasts .toast:last-child", "has weight 7.");
    page.shows("table.servers td", "7");
    page.click("#toasts .toast:last-child .undo");
    until("the weight before", || state(0)["weight"] == 2);
    assert_eq!(page.browser.value("edits.path"), "/ops/x/api");
}

/// Over plain HTTP and by a name, a browser does not say that the page is of the same site: the
/// proxy has to pass the host on, and the page says so where it does not.
fn by_a_name(page: &Page<'_>) {
    let port = page.server.port("port");
    let open = |path: &str| {
        page.browser.visit(&format!("http://ops.test:{port}{path}"));
        page.wait("document.querySelector('#live-text')?.textContent === 'live'");
        page.browser.value("openUpstream('shop')");
        page.wait("document.querySelectorAll('table.servers tbody tr').length === 2");
    };
    open("/ops/dash/");
    page.shows("#edit-note", "changes by pages of other sites are refused");
    page.shows("#edit-note", "a proxy has to pass the field Host");
    open("/hosted/dash/");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    page.wait("document.querySelector('#edit-note').hidden");
}

/// The page says that the server is away, keeps what it has, and goes on when it is back.
fn goes_away(page: &Page<'_>, inner: &mut Server) {
    page.open("port", "/ops/dash/");
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    page.asks_as_usual();
    inner.pause();
    page.shows("#live.stale #live-text", "the proxy in front has no answer (502); figures are of ");
    // What was known is still there, and a change says that it was not made.
    page.shows("tr.group .toggle", "shop");
    page.wait("document.querySelectorAll('table.servers tbody tr').length === 2");
    page.click("table.servers .acts button");
    page.shows("#toasts .bad", "is unchanged: the proxy in front has no answer (502)");
    page.wait("!document.querySelector('#ask').open");
    inner.resume();
    page.wait("document.querySelector('#live-text').textContent === 'live'");
    page.wait("!document.querySelector('#live').className");
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    page.click("table.servers .acts button");
    page.wait("document.querySelector('#ask').open");
    page.click("#ask button[type=button]");
}

/// Without a proxy, there is no connection at all.
fn without_a_proxy(page: &Page<'_>, inner: &mut Server) {
    page.browser.visit(&format!("http://{}/dash/", inner.address("port")));
    page.shows("#live-text", "live");
    inner.pause();
    page.shows("#live.stale #live-text", "no connection; figures are of ");
    inner.resume();
    // The browser's network is back: the page asks at once.
    page.browser.value("dispatchEvent(new Event('online'))");
    page.shows("#live-text", "live");
}
