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
