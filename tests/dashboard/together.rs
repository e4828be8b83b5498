//! A page among others: two viewers of one server, a reload while something is open, a page that
//! nobody sees, and keys while everything moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Page, button};
use crate::harness::{Backend, Browser, Client, Server, is_nginx, until};

const CONF: &str = "
    upstream shop { zone shop 128k; server %a%; server %b%; server 127.0.0.1:1 down; }
    upstream gone { zone gone 128k; server %a%; server 127.0.0.1:2 down; }
    server { listen 127.0.0.1:%port%; status_zone front; keepalive_requests 1000000;
        location / { proxy_pass http://shop; }
        location /gone { proxy_pass http://gone; }
        location /dash/ { dashboard; }
        location /api/ { api write=on; }
    }";

#[test]
fn among_others() {
    if is_nginx() {
        return;
    }
    let Some(browser) = Browser::open() else { return };
    let [a, b] = [Backend::text("a"), Backend::text("b")];
    let server = Server::http(CONF).set("a", a.address()).set("b", b.address()).start();
    let page = Page { browser: &browser, server: &server };
    two_viewers(&page);
    hidden(&page);
    keys_while_all_moves(&page);
    without_motion(&page);
    an_open_group_is_removed(&page);
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
}

fn open_shop(page: &Page<'_>) {
    page.open("port", "/dash/");
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 3");
    page.browser.value("globalThis.servers = [...document.querySelectorAll('table.servers td.name')].map((it) => it.textContent)");
}

fn shop(page: &Page<'_>, id: usize) -> Value {
    page.server.api_get(&format!("http/upstreams/shop/servers/{id}"))
}

/// Both look at one server and ask at the same time; the second to answer is told.
fn two_viewers(page: &Page<'_>) {
    let first = page.browser.tab();
    open_shop(page);
    let ask = |word: &str| {
        // The first row is the one that is down.
        let wanted = button(1, word);
        page.wait(&format!("!!{wanted}"));
        page.browser.value(&format!("{wanted}.click()"));
        page.wait("document.querySelector('#ask').open");
    };
    ask("Drain");
    let second = page.browser.another();
    open_shop(page);
    ask("Down");
    page.click("#ask button.first");
    until("the server is down", || shop(page, 0)["down"] == true);
    page.shows("#toasts", "is down.");
    page.browser.turn_to(&first);
    page.browser.call("Page.bringToFront", json!({}));
    page.click("#ask button.first");
    page.shows("#toasts .bad", "is unchanged: it has been changed meanwhile; ");
    page.shows("#toasts .bad", "has \"down\" true and not false");
    assert_ne!(shop(page, 0)["drain"], true);
    // What the other one has done is seen, and may be taken back by either.
    page.shows("table.servers .why", "set down");
    ask("Up");
    page.click("#ask button.first");
    until("the server is up", || shop(page, 0)["down"] == false);
    // The way back of the other is none any more.
    page.browser.turn_to(&second);
    page.browser.call("Page.bringToFront", json!({}));
    page.click("#toasts .toast:last-child .undo");
    page.shows("#toasts .bad", "it has been changed meanwhile");
    assert_eq!(shop(page, 0)["down"], false);
    // In the same moment, one of both is made.
    for tab in [&first, &second] {
        page.browser.turn_to(tab);
        page.browser.call("Page.bringToFront", json!({}));
        page.browser.value("[...document.querySelectorAll('.toast')].forEach((it) => it.remove())");
        ask("Weight");
    }
    for (tab, weight) in [(&first, 5), (&second, 6)] {
        page.browser.turn_to(tab);
        page.browser.value(&format!("document.querySelector('#weight').value = {weight}; setTimeout(() => document.querySelector('#ask button.first').click())"));
    }
    let mut told = [0, 0];
    for (at, tab) in [&first, &second].into_iter().enumerate() {
        page.browser.turn_to(tab);
        page.browser.call("Page.bringToFront", json!({}));
        page.wait("document.querySelectorAll('.toast').length === 1");
        let bad = page.browser.value("document.querySelectorAll('.toast.bad').length");
        told[at] = bad.as_u64().unwrap();
    }
    assert_eq!(told[0] + told[1], 1, "one of both is refused: {told:?}");
    let weight = if told[0] == 0 { 5 } else { 6 };
    assert_eq!(shop(page, 0)["weight"], weight);
    page.browser.turn_to(&first);
    page.browser.call("Page.bringToFront", json!({}));
}

/// A page behind another one asks nothing, and goes on as soon as it is seen.
fn hidden(page: &Page<'_>) {
    let seen = page.browser.tab();
    open_shop(page);
    page.asks_as_usual();
    let asked = "performance.getEntriesByType('resource').length";
    let front = page.browser.another();
    page.browser.turn_to(&seen);
    page.wait("document.hidden");
    // Questions under way may end.
    page.wait("!page.asking");
    let before = page.browser.value(asked);
    // Nothing is to come: neither a question nor a clock that leads to one.
    page.browser.value("new Promise((done) => setTimeout(done, 2 * EVERY + 500))");
    assert_eq!(page.browser.value(asked), before);
    page.browser.call("Page.bringToFront", json!({}));
    page.wait(&format!("!document.hidden && {asked} > {before}"));
    page.shows("#live-text", "live");
    page.browser.turn_to(&front);
    page.browser.call("Page.close", json!({}));
    page.browser.turn_to(&seen);
}

/// Requests on a connection of its own, until it is dropped.
struct Traffic {
    ends: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Traffic {
    fn start(server: &Server, target: &'static str) -> Self {
        let ends = Arc::<AtomicBool>::default();
        let (until, address) = (Arc::clone(&ends), server.address("port"));
        let thread = thread::spawn(move || {
            let mut client = Client::connect(address);
            while !until.load(Ordering::Relaxed) {
                client.get(target);
                thread::park_timeout(Duration::from_millis(5));
            }
        });
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The focus stays on "Drain" of one server while figures, states and the order change; Enter
/// then asks about that server.
fn keys_while_all_moves(page: &Page<'_>) {
    let traffic = Traffic::start(page.server, "/");
    page.open("port", "/dash/");
    // A new answer is there once a second; the page asks more often than it would.
    page.browser.value("globalThis.moves = setInterval(() => poll(true), 40)");
    page.browser.value("document.querySelector('.skip').focus()");
    let focus = "document.activeElement";
    let mut keys = 0;
    while page.browser.value(&format!("{focus}.textContent")) != json!("shop") {
        page.browser.press("Tab");
        keys += 1;
        assert!(keys < 60, "no way to the upstream by Tab");
    }
    page.browser.press("Enter");
    page.wait("document.querySelectorAll('table.servers .acts').length === 3");
    let server =
        |text: &str| format!("{focus}.getAttribute('aria-label')?.startsWith({})", json!(text));
    // To the third one, which is up: two of them are buttons of the one that is down.
    keys = 0;
    while page.browser.value(&server("Drain ")) != json!(true) {
        page.browser.press("Tab");
        keys += 1;
        assert!(keys < 8, "no way to Drain by Tab");
    }
    page.browser.value(&format!("globalThis.held = {focus}; globalThis.label = held.getAttribute('aria-label'); globalThis.row = held.closest('tr')"));
    let label = page.browser.value("label");
    let id =
        if label.as_str().unwrap().contains(
            page.server.api_get("http/upstreams/shop/servers/0")["server"].as_str().unwrap(),
        ) {
            0
        } else {
            1
        };
    let turns = "document.querySelector('#facts').textContent";
    let _ = page.browser.value(turns);
    // Others change other servers, which come before this one.
    for (other, body, words) in [
        (1 - id, json!({ "drain": true }), "draining"),
        (2, json!({ "down": false }), "3 of 3"),
        (1 - id, json!({ "drain": false, "down": true }), "down"),
    ] {
        let before = page.browser.value("page.at");
        let path = format!("http/upstreams/shop/servers/{other}");
        page.server.api_json("PATCH", &path, &body, 200);
        let _ = words;
        page.wait(&format!("page.at > {before} + 900"));
        page.wait(
            "document.activeElement === held && held.isConnected && held.closest('tr') === row",
        );
        assert_eq!(page.browser.value("held.getAttribute('aria-label')"), label);
    }
    page.browser.press("Enter");
    page.wait("document.querySelector('#ask').open");
    let wanted = format!("{}?", label.as_str().unwrap().split(" of shop").next().unwrap());
    page.shows("#ask h2", &wanted);
    page.browser.press("Escape");
    page.wait("!document.querySelector('#ask').open && document.activeElement === held");
    // The words of the button follow the state, at the same place.
    page.server.api_json(
        "PATCH",
        &format!("http/upstreams/shop/servers/{id}"),
        &json!({ "drain": true }),
        200,
    );
    page.wait("document.activeElement === held && held.textContent === 'Up'");
    page.browser.press("Enter");
    page.wait("document.querySelector('#ask').open");
    page.browser.press("Enter");
    until("the server is up", || shop(page, id)["drain"] != true);
    page.browser.value("clearInterval(moves)");
    drop(traffic);
}

/// Whoever wants no motion sees none.
fn without_motion(page: &Page<'_>) {
    let motion = |value: &str| {
        let features = json!([{ "name": "prefers-reduced-motion", "value": value }]);
        page.browser.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    };
    let moving = "(toast('here'), [...document.querySelectorAll('*')].filter((it) => {
        const style = getComputedStyle(it);
        const lasts = (text) => text.split(',').some((one) => parseFloat(one) > 0);
        return (style.animationName !== 'none' && lasts(style.animationDuration))
            || lasts(style.transitionDuration) || style.scrollBehavior === 'smooth';
    }).length)";
    let quiet = "[...document.querySelectorAll('.toast')].forEach((it) => it.remove())";
    page.browser.value(quiet);
    motion("no-preference");
    assert_eq!(page.browser.value(moving), json!(1), "the message comes with motion");
    motion("reduce");
    assert_eq!(page.browser.value(moving), json!(0));
    motion("no-preference");
    page.browser.value(quiet);
}

/// A reload removes the upstream that is open, with a question about one of its servers.
fn an_open_group_is_removed(page: &Page<'_>) {
    page.open("port", "/dash/");
    page.browser.value("openUpstream('gone')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
    page.click("table.servers tr:last-child .acts button");
    page.wait("document.querySelector('#ask').open");
    let without = CONF
        .replace("upstream gone { zone gone 128k; server %a%; server 127.0.0.1:2 down; }", "")
        .replace("location /gone { proxy_pass http://gone; }", "");
    page.server.reload_http(&without);
    page.shows("#ask .is-bad", "The configuration does not have this upstream any more.");
    page.wait("document.querySelector('#ask button.first').disabled");
    page.wait("document.activeElement.textContent === 'Cancel'");
    page.browser.press("Enter");
    page.wait("!document.querySelector('#ask').open");
    // The focus is not lost, and the rest goes on.
    page.wait("document.activeElement.matches('.toggle, #filter')");
    page.wait("document.querySelectorAll('tr.group').length === 1");
    page.wait("!document.querySelector('tr.detail')");
    page.shows("#live-text", "live");
    // It is open again when it is back, with its servers as they are then.
    page.server.reload_http(CONF);
    page.shows("tr.detail table.servers .name", "127.0.0.1:2");
    page.wait("document.querySelectorAll('table.servers .acts').length === 2");
}
