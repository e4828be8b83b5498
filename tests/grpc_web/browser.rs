//! Calls of a page in a real browser, by TLS and HTTP/2, with what the how-to says about other
//! origins.

use super::howto::{examples, replace};
use super::*;
use crate::harness::{Browser, Certificate, is_nginx};

/// What a client of gRPC-Web does, in the page: it reads frames as they come.
const CLIENT: &str = r#"
const message = text => {
    const bytes = new TextEncoder().encode(text);
    return [0, 0, 0, 0, bytes.length, ...bytes];
};
// Opens a call, whose `frames` come one by one: flags and text.
async function call(url, text, body) {
    const type = "application/grpc-web" + (text ? "-text" : "") + "+proto";
    const sent = text ? btoa(String.fromCharCode(...body)) : new Uint8Array(body);
    const headers = { "content-type": type, "x-grpc-web": "1" };
    const answer = await fetch(url, { method: "POST", headers, body: sent });
    const reader = answer.body.getReader();
    let held = [], texts = "";
    const take = chunk => {
        if (!text) return held.push(...chunk);
        texts += String.fromCharCode(...chunk);
        const whole = texts.length - texts.length % 4;
        for (const four of texts.slice(0, whole).match(/.{4}/g) ?? []) {
            held.push(...Array.from(atob(four), character => character.charCodeAt(0)));
        }
        texts = texts.slice(whole);
    };
    const next = async () => {
        for (;;) {
            const length = new DataView(new Uint8Array(held.slice(1, 5).concat(0, 0, 0, 0)).buffer)
                .getUint32(0);
            if (held.length >= 5 && held.length >= 5 + length) {
                const frame = held.splice(0, 5 + length);
                return [frame[0], new TextDecoder().decode(new Uint8Array(frame.slice(5)))];
            }
            const { done, value } = await reader.read();
            if (done) return held.length + texts.length === 0 ? null : "a rest";
            take(value);
        }
    };
    return { answer, next, stop: () => reader.cancel() };
}
async function all(url, text, body) {
    const { answer, next } = await call(url, text, body);
    const frames = [];
    for (let frame; (frame = await next()) !== null;) frames.push(frame);
    const { status, headers } = answer;
    return { status, type: headers.get("content-type"), code: headers.get("grpc-status"), frames };
}
"#;

#[test]
fn a_page_in_a_browser_calls_by_tls() {
    if is_nginx() {
        return;
    }
    let Some(browser) = Browser::open() else { return };
    let (upstream, gate) = service();
    let own = "https://localhost:%port_page%";
    let api = replace(&examples()[1], "listen 443;", "listen 127.0.0.1:%port_api% ssl;");
    let api = replace(&api, "127.0.0.1:50051", "%upstream%");
    let api = replace(&api, "https://app.example", own);
    let setup = Server::http(&format!(
        "ssl_certificate a.crt; ssl_certificate_key a.key; {api}
         server {{ listen 127.0.0.1:%port_page% ssl; http2 on; server_name localhost;
           location / {{ default_type text/html; return 200 '<script src=/client.js></script>'; }}
           location = /client.js {{ root %dir%; default_type text/javascript; }}
           location /a/ {{ grpc_pass grpc://%upstream%; grpc_web on; }} }}"
    ));
    Certificate::self_signed(setup.directory(), "a", "localhost");
    std::fs::write(setup.directory().join("client.js"), CLIENT).unwrap();
    let server = setup.set("upstream", upstream.address()).start();
    let origin =
        |port: &str| format!("https://{}", server.address(port).replace("127.0.0.1", "localhost"));
    let (page, other) = (origin("port_page"), origin("port_api"));
    browser.visit(&page);
    browser.wait("typeof all === 'function'");
    for base in [&page, &other] {
        for text in [false, true] {
            let case = format!("{base} {text}");
            let value = |code: &str| {
                browser.value(
                    &code
                        .replace("BASE", base)
                        .replace("TEXT", if text { "true" } else { "false" }),
                )
            };
            let echo = value("all('BASE/a/Echo', TEXT, [...message('hello'), ...message('ü')])");
            assert_eq!(
                (&echo["status"], &echo["code"]),
                (&200.into(), &serde_json::Value::Null),
                "{case}"
            );
            let kind =
                if text { "application/grpc-web-text+proto" } else { "application/grpc-web+proto" };
            assert_eq!(echo["type"], kind, "{case}");
            let expected = serde_json::json!([[0, "hello"], [0, "ü"], [128, echo["frames"][2][1]]]);
            assert_eq!(echo["frames"], expected, "{case}");
            assert!(
                echo["frames"][2][1].as_str().unwrap().starts_with("grpc-status: 0\r\n"),
                "{case}"
            );
            // Messages of a stream come before there are others.
            value(
                "call('BASE/a/Stream', TEXT, message('')).then(made => void (window.stream = made))",
            );
            for word in ["one", "seven", ""] {
                assert_eq!(value("window.stream.next()"), serde_json::json!([0, word]), "{case}");
                gate.send(()).unwrap();
            }
            assert_eq!(value("window.stream.next()")[0], 128, "{case}");
            assert_eq!(value("window.stream.next()"), serde_json::Value::Null, "{case}");
            // An error is readable, also for a page of another origin.
            let fails = value("all('BASE/a/Fails', TEXT, message(''))");
            assert_eq!((&fails["status"], &fails["code"]), (&200.into(), &"5".into()), "{case}");
        }
    }
    let answers = browser.events("Network.responseReceived");
    let calls = answers.iter().map(|event| &event["params"]["response"]);
    let calls: Vec<_> = calls.filter(|one| one["url"].as_str().unwrap().contains("/a/")).collect();
    assert!(calls.len() >= 12 && calls.iter().all(|one| one["protocol"] == "h2"), "{calls:#?}");
    // A page that leaves a stream ends the call.
    browser.value("call('/a/Stops', false, message('')).then(made => void (window.stream = made))");
    assert_eq!(browser.value("window.stream.next()"), serde_json::json!([0, "one"]));
    browser.value("window.stream.stop()");
    server.wait_log("client canceled stream");
}
