//! What an outsider may find: odd names, clocks that disagree, and upstreams of very many servers.

use serde_json::{Value, json};

use super::{Page, button};
use crate::harness::{Backend, Browser, Server, is_nginx, until};

/// Names that would do something if the page or its questions took them for more than text.
const NAMES: &[&str] = &[
    r"<script>boom=1</script>",
    r#"a\"b'c`d${boom=1}&amp;"#,
    "a b",
    "?limit=0&x#y%2e%",
    "__proto__",
    "größe-Ω-🦀-\u{202e}abc",
    "..",
];

fn conf() -> String {
    let long = "l".repeat(200);
    let groups: String = NAMES
        .iter()
        .copied()
        .chain([long.as_str()])
        .enumerate()
        .map(|(at, name)| {
            let server = ["unix:%dir%/<b>$x\\\"'.sock", "127.0.0.1:1"][at % 2];
            format!(
                "upstream \"{name}\" {{ zone \"{name}\" 128k; server \"{server}\"; server %a%; }}\n"
            )
        })
        .collect();
    format!(
        "{groups} server {{ listen 127.0.0.1:%port%; status_zone \"<b>{long}\";
            location / {{ proxy_pass http://%a%; }}
            location /dash/ {{ dashboard; }} location /api/ {{ api write=on; }} }}"
    )
}

#[test]
fn odd_names_are_text() {
    if is_nginx() {
        return;
    }
    let Some(browser) = Browser::open() else { return };
    let a = Backend::text("a");
    let server = Server::http(&conf()).set("a", a.address()).alerts_expected().start();
    let page = Page { browser: &browser, server: &server };
    let names: Vec<String> = {
        let state: Value = serde_json::from_slice(&server.get("/dash/?state").body).unwrap();
        let groups = state["groups"].as_array().unwrap();
        groups.iter().map(|group| group[0].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names.len(), NAMES.len() + 1);
    page.open("port", "/dash/");
    page.wait(&format!("document.querySelectorAll('tr.group').length === {}", names.len()));
    for name in &names {
        let quoted = json!(name);
        page.browser.value(&format!("$('filter').value = ''; openUpstream({quoted})"));
        let inside =
            format!("shown.rows.get({quoted}).detail?.querySelectorAll('SELECTOR').length === 2");
        page.wait(&inside.replace("SELECTOR", "table.servers tbody tr"));
        // A browser takes this name out of every path, before it is sent: there are no buttons.
        if name == ".." {
            page.wait("document.querySelectorAll('.acts').length === 0");
        } else {
            page.wait(&inside.replace("SELECTOR", ".acts"));
            page.browser.value("globalThis.servers = [...document.querySelectorAll('table.servers td.name')].map((it) => it.textContent)");
            page.browser.value(&format!("{}.click()", button(1, "Weight")));
            page.wait("document.querySelector('#ask').open");
            page.browser.value("document.querySelector('#weight').value = 3");
            page.click("#ask button.first");
            page.shows("#toasts", "has weight 3.");
            page.browser
                .value("[...document.querySelectorAll('.toast')].forEach((it) => it.remove())");
        }
        page.fits();
        page.browser.value(&format!("toggle({quoted})"));
    }
    for width in [1400, 390] {
        let size =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        page.browser.call("Emulation.setDeviceMetricsOverride", size);
        page.browser.value(&format!("toggle({})", json!(names[0])));
        page.fits();
    }
    page.wait(
        "globalThis.boom === undefined && !document.querySelector('main script, main b:not(li b)')",
    );
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
}

const TIMES: &str = "
    request_records on sample=100%;
    upstream shop { zone shop 128k; server %a%; server 127.0.0.1:1 max_fails=1 fail_timeout=1h; }
    server { listen 127.0.0.1:%port%; status_zone front;
        location / { proxy_pass http://shop; }
        location /dash/ { request_records off; dashboard; }
        location /api/ { api write=on; } }";

/// Ages are by the server's clock alone.
#[test]
fn clocks_may_disagree() {
    if is_nginx() {
        return;
    }
    let Some(browser) = Browser::open() else { return };
    let a = Backend::text("a");
    let server = Server::http(TIMES).set("a", a.address()).start();
    let page = Page { browser: &browser, server: &server };
    until("the failure", || {
        server.get("/");
        server.api_get("http/upstreams/shop")["peers"][1]["state"] == "unavail"
    });
    for days in [-400, 400] {
        let skew = format!(
            "{{ const now = Date.now, Real = Date, skew = {days} * 86400000;
                globalThis.Date = class extends Real {{
                    constructor(...given) {{ given.length ? super(...given) : super(now() + skew); }}
                    static now() {{ return now() + skew; }} }}; }}"
        );
        let made = browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": skew }));
        page.open("port", "/dash/");
        page.wait(&format!("Math.abs(Date.now() - page.at - {days} * 86400000) < 3600000"));
        page.shows("#wrong .warn", "is unavail — too many failed requests, for ");
        let ages =
            "[...document.body.innerText.matchAll(/(?:for|in|loaded|ended) (\\d+) (d|h|min)\\b/g)]
            .filter(([, count, unit]) => unit === 'd' || (unit === 'h' && count > 1))
            .map(([text]) => text)";
        assert_eq!(page.browser.value(ages), json!([]));
        page.wait("document.querySelector('#tiles path.line').getAttribute('d').length > 5");
        browser.call("Page.removeScriptToEvaluateOnNewDocument", made);
    }
    set_back(&page);
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
}

/// The server's clock is set back by an hour, as seen by the page: figures go on from there, without
/// a rate that never was.
fn set_back(page: &Page<'_>) {
    page.open("port", "/dash/");
    page.wait("page.before !== null");
    page.asks_as_usual();
    let (hour, more) = (3_600_000, 1000);
    let rate = page.browser.value(&format!(
        "page.paused = true;
         const one = {{ ...page.state, at: page.at - {hour}, point: [...page.state.point] }};
         one.point[0] -= {hour};
         one.groups = one.groups.map((row) => row[0] === 'shop' ? [row[0], row[1], row[2], row[3], [row[4][0], row[4][1] + 50, row[4][2], row[4][3]], row[5]] : row);
         take(one); show();
         page.rates.get('shop').requests"
    ));
    assert_eq!(rate, json!(0), "over a clock that is set back, nothing is known");
    let rate = page.browser.value(&format!(
        "const two = {{ ...one, at: one.at + {more}, point: [...one.point] }};
         two.point[0] += {more}; two.point[1] += 30;
         two.groups = two.groups.map((row) => row[0] === 'shop' ? [row[0], row[1], row[2], row[3], [row[4][0], row[4][1] + 20, row[4][2], row[4][3]], row[5]] : row);
         take(two); show();
         [page.rates.get('shop').requests, document.querySelector('#tiles .value').textContent, page.points.every((it) => it.at <= page.at)]"
    ));
    assert_eq!(rate, json!([20, "30/s", true]));
}

/// Of very many servers, the page has those that fail and some others, asks for no more, and finds
/// the rest.
#[test]
fn many_servers_are_a_bounded_list() {
    if is_nginx() {
        return;
    }
    let Some(browser) = Browser::open() else { return };
    // The first request goes to the heaviest one, which refuses it.
    let servers: String = (0..10_000)
        .map(|at| {
            let marks = match at {
                9_990 => " weight=60000 max_fails=1 fail_timeout=1h",
                9_995 | 9_996 => " down",
                _ => "",
            };
            format!("server 127.9.{}.{}:1{marks};\n", at / 250, at % 250 + 1)
        })
        .collect();
    let conf = format!(
        "upstream big {{ zone big 64m; {servers} }}
         server {{ listen 127.0.0.1:%port%; status_zone front;
            location / {{ proxy_pass http://big; proxy_next_upstream off; }}
            location /dash/ {{ dashboard; }} location /api/ {{ api write=on; }} }}"
    );
    let server = Server::http(&conf).start();
    let page = Page { browser: &browser, server: &server };
    assert_eq!(server.get("/").status, 502);
    page.open("port", "/dash/");
    page.browser.value("openUpstream('big')");
    let rows = "document.querySelectorAll('table.servers tbody tr').length";
    let names = "[...document.querySelectorAll('table.servers .name')].map((it) => it.textContent)";
    page.wait(&format!("{rows} === 100"));
    // Those that take no requests come first: 9,990, and those that are down.
    let first = page.browser.value(&format!("{names}.slice(0, 4)"));
    assert_eq!(first, json!(["127.9.39.241:1", "127.9.39.246:1", "127.9.39.247:1", "127.9.0.1:1"]));
    page.shows(".more:not([hidden])", "Show 100 of 9,900 more");
    // An answer is far from what 10,000 servers take.
    let largest =
        "Math.max(...performance.getEntriesByType('resource').map((it) => it.decodedBodySize))";
    page.wait(&format!("{largest} < 600000"));
    // The list has an end, behind which servers are found.
    for shown in [200, 300, 400, 500] {
        page.click(".detail button.more");
        page.wait(&format!("{rows} === {shown}"));
    }
    page.wait("document.querySelector('.detail button.more').hidden");
    page.shows(".detail p.more", "9,500 more servers are not listed: find them by a part");
    page.browser.value("document.querySelector('.find input').focus()");
    for key in "9.20.7:".split("").filter(|key| !key.is_empty()) {
        page.browser.press(key);
    }
    page.wait(&format!("{rows} === 1"));
    page.shows("table.servers .name", "127.9.20.7:1");
    page.wait("document.activeElement.matches('.find input')");
    found_servers_are_changed(&page);
    assert_eq!(browser.events("Runtime.exceptionThrown"), Vec::<Value>::new());
}

/// The server that was found is changed as any other, and then among the first of the list.
fn found_servers_are_changed(page: &Page<'_>) {
    let rows = "document.querySelectorAll('table.servers tbody tr').length";
    let names = "[...document.querySelectorAll('table.servers .name')].map((it) => it.textContent)";
    page.wait("document.querySelectorAll('table.servers .acts').length === 1");
    page.click("table.servers .acts button");
    page.shows("#ask h2", "Drain 127.9.20.7:1?");
    page.click("#ask button.first");
    page.shows("#toasts", "127.9.20.7:1 of big drains.");
    page.shows("table.servers .state", "draining");
    page.browser.value(
        "Object.assign(document.querySelector('.find input'), { value: 'none' })
            .dispatchEvent(new Event('input'))",
    );
    page.shows(".detail p:not([hidden])", "No server has this in its address or name.");
    page.browser.value(
        "Object.assign(document.querySelector('.find input'), { value: '' })
            .dispatchEvent(new Event('input'))",
    );
    // The one that drains is among the first now.
    page.wait(&format!("{rows} === 100 && {names}.indexOf('127.9.20.7:1') < 4"));
    // Where somebody is, the row stays, though it leaves the list.
    page.browser.value("[...document.querySelectorAll('table.servers tr')].find((it) => it.textContent.includes('127.9.20.7')).querySelector('button').focus(); globalThis.held = document.activeElement");
    let id = page.browser.value("[...shown.rows.get('big').servers.rows].find(([, known]) => known.name.textContent === '127.9.20.7:1')[0]");
    page.server.api_json(
        "PATCH",
        &format!("http/upstreams/big/servers/{id}"),
        &json!({ "drain": false }),
        200,
    );
    page.shows("#wrong", "127.9.39.246:1");
    page.wait("!page.unfit.some((it) => it.server === '127.9.20.7:1')");
    page.browser.value("askServers('big')");
    page.wait("document.activeElement === held && held.isConnected");
}
