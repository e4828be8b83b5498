//! Pictures of the page, in the folder that `WEIR_TEST_PICTURES` names: whole pages to look at, and
//! those of the manual, of a pair under traffic. With it,
//! `cargo test -p weir-tests --test weir -- dashboard::pictures` makes `docs/dashboard-*.png` anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Page;
use crate::harness::{Backend, Browser, Client, Pebble, Port, Reply, Signal, until};
use crate::links::node::{ha, pair};
use crate::resolving::{Ipv6, name_server};

/// The folder that is asked for.
fn folder() -> Option<String> {
    std::env::var("WEIR_TEST_PICTURES").ok()
}

fn looks(page: &Page<'_>, scheme: &str, width: u32, height: u32) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    page.browser.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    let size =
        json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
    page.browser.call("Emulation.setDeviceMetricsOverride", size);
}

fn save(page: &Page<'_>, path: &str, is_whole: bool) {
    page.fits();
    let what = json!({ "format": "png", "captureBeyondViewport": is_whole });
    let picture = page.browser.call("Page.captureScreenshot", what);
    let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Takes whole pages, light, dark and as wide as a phone.
pub(super) fn take(page: &Page<'_>, name: &str) {
    let Some(folder) = folder() else { return };
    for (scheme, width) in [("light", 1400), ("dark", 1400), ("light", 390), ("dark", 390)] {
        looks(page, scheme, width, 900);
        page.browser.value("scrollTo(0, 0)");
        save(page, &format!("{folder}/{name}-{scheme}-{width}.png"), true);
    }
    page.browser.call("Emulation.clearDeviceMetricsOverride", json!({}));
}

const CONF: &str = "
    request_records on slow=20ms;
    resolver 127.0.0.1:%dns% valid=5s status_zone=names;
    acme_issuer ca { %ca% }
    proxy_cache_path %dir%/pages keys_zone=pages:1m max_size=64m;
    limit_req_zone $binary_remote_addr zone=login:1m rate=2r/s;
    limit_conn_zone $binary_remote_addr zone=perip:1m;
    keyval_zone zone=flags:64k; keyval $arg_key $found zone=flags;
    upstream shop { zone shop 256k; least_conn; server %a% weight=2; server %b%; server %c%; server %sick%; keepalive 8; }
    upstream search { zone search 256k; server %b%; server search.test:%port_of_c% resolve; queue 100 timeout=2s; }
    upstream reports { zone reports 256k; server 127.0.0.1:1 max_fails=1 fail_timeout=40s; server 127.0.0.1:2 down; }
    upstream images { zone images 256k; server %c%; }
    server { listen 127.0.0.1:%port_tls% ssl; server_name shop.test; status_zone secure;
        acme_certificate ca; return 200 ok;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
    server { listen 127.0.0.1:%port_tls% ssl; server_name refused.test;
        acme_certificate ca;
        ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
    server { listen 127.0.0.1:%http%; status_zone proofs; return 404; }
    server { listen 127.0.0.1:%port%; status_zone front; keepalive_requests 1000000; server_name shop.test;
        location / { status_zone shop; proxy_pass http://shop; health_check interval=1s uri=/health; }
        location /search { status_zone search; proxy_pass http://search; }
        location /reports { proxy_pass http://reports; }
        location /images { status_zone images; proxy_pass http://images; proxy_cache pages; proxy_cache_valid 2s; }
        location /login { limit_req zone=login burst=2 nodelay; limit_conn perip 9; proxy_pass http://shop; }
        location /none { return 404; }
        location /dash/ { request_records off; dashboard; }
        location /api/ { request_records off; api write=on; }
    }";

/// The targets of the traffic, and what a client waits for after each, in milliseconds.
const TRAFFIC: &[(&[&str], u64)] = &[
    (&["/cart?item=1", "/cart?item=2", "/none", "/cart?item=3"], 9),
    (&["/", "/offers", "/"], 14),
    (&["/search?q=weir", "/search?q=fish", "/search?q=nets"], 30),
    (&["/images/1", "/images/2", "/images/3", "/images/4", "/images/1"], 25),
    (&["/login", "/login", "/reports/year"], 330),
];

/// How long there is traffic before the pictures: the lines of the last minutes need some.
const WARM: Duration = Duration::from_secs(60);

fn backend(delay: u64, of: &'static str) -> Backend {
    Backend::new(move |seen| {
        let number: u64 =
            seen.target().bytes().map(u64::from).sum::<u64>() + seen.connection as u64;
        if seen.target() == "/health" {
            return match of {
                "sick" => Reply::with("503 Away", "", ""),
                _ => Reply::ok("well"),
            };
        }
        thread::sleep(Duration::from_millis(delay + number % 17));
        match number % 97 {
            0 => Reply::with("500 Broken", "", "no"),
            _ => Reply::ok(of.repeat(900)),
        }
    })
}

#[test]
fn of_the_manual() {
    let Some(folder) = folder() else { return };
    let blocked = r#", "domainBlocklist": ["refused.test"]"#;
    let Some(mut pebble) = Pebble::prepare(&[], blocked) else { return };
    let Some(browser) = Browser::open() else { return };
    pebble.launch();
    let port = Port::reserve();
    let (a, _b) = pair(&port);
    let backends = [backend(2, "a"), backend(6, "b"), backend(12, "c"), backend(0, "sick")];
    let dns = name_server(Ipv6::None);
    let mut conf = CONF
        .replace("%dns%", &dns.port.to_string())
        .replace("%ca%", &pebble.lines())
        .replace("%http%", &pebble.http.number().to_string())
        .replace("%port_of_c%", backends[2].address().rsplit_once(':').unwrap().1);
    for (name, backend) in ["%a%", "%b%", "%c%", "%sick%"].iter().zip(&backends) {
        conf = conf.replace(name, &backend.address());
    }
    a.server.rewrite_with(&conf, &ha(&port));
    a.server.signal(Signal::HUP);
    a.wait_lines("exited with code 0", 1);
    let page = Page { browser: &browser, server: &a.server };
    until("the name", || a.server.get("/search").status == 200);
    let ends = Arc::<AtomicBool>::default();
    let clients = TRAFFIC.iter().map(|&(targets, pause)| {
        let (ends, address) = (Arc::clone(&ends), a.server.address("port"));
        thread::spawn(move || {
            let mut client = Client::connect(address);
            for turn in (0..).take_while(|_| !ends.load(Ordering::Relaxed)) {
                client.get(targets[turn % targets.len()]);
                // Traffic comes and goes.
                let wave = 1.0 + 0.6 * (turn as f64 / 300.0).sin();
                thread::park_timeout(Duration::from_secs_f64(pause as f64 / 1000.0 * wave));
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    thread::sleep(WARM);
    a.server.api("POST", "http/keyvals/flags", r#"{"sale":"on"}"#);
    a.server.api_json("PATCH", "http/upstreams/shop/servers/2", &json!({ "drain": true }), 200);
    page.open("port", "/dash/");
    page.asks_as_usual();
    page.shows("table", "draining");
    of_the_parts(&page, &folder);
    take(&page, "lively");
    ends.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
}

/// The top of the page, an open upstream in the dark, and a phone.
fn of_the_parts(page: &Page<'_>, folder: &str) {
    looks(page, "light", 1180, 760);
    page.shows("#live-text", "live");
    page.wait("page.points.length > 20 && page.medians.length > 4");
    save(page, &format!("{folder}/dashboard-light.png"), false);
    looks(page, "dark", 1180, 760);
    page.browser.value("openUpstream('shop')");
    page.wait("document.querySelectorAll('table.servers .acts').length === 4");
    page.wait("document.querySelectorAll('.split').length >= 2");
    // Rates need a second answer.
    page.wait("[...document.querySelectorAll('[data-name=requests]')].some((it) => /[1-9].*\\/s/.test(it.textContent))");
    page.browser.value("document.activeElement.blur(); $('upstreams').scrollIntoView()");
    save(page, &format!("{folder}/dashboard-dark.png"), false);
    looks(page, "light", 390, 844);
    page.browser.value("scrollTo(0, 0)");
    save(page, &format!("{folder}/dashboard-phone.png"), false);
    page.browser.value("$('upstreams').scrollIntoView()");
    save(page, &format!("{folder}/phone-upstreams.png"), false);
    page.click("#last-errors");
    page.click("#requests-body td .plain");
    page.wait("!!document.querySelector('.fall')");
    page.browser.value("$('requests').scrollIntoView()");
    save(page, &format!("{folder}/phone-request.png"), false);
    looks(page, "light", 1180, 760);
    page.browser.value("$('requests').scrollIntoView()");
    save(page, &format!("{folder}/dashboard-request.png"), false);
}
