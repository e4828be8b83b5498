//! `request_records`: what happened to a request, found by its id.

mod ways;

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::harness::{
    Backend, H2Client, Reply, Server, Setup, Signal, is_nginx, until, until_some,
};

/// A server with records and their API.
fn setup(http: &str, server: &str) -> Setup {
    Server::http(&format!(
        "{http} server {{ listen 127.0.0.1:%port%; server_name first.test;
            request_records on slow=off sample=100%;
            add_header X-Request-ID $request_id always;
            location /api {{ api write=on; request_records off; }}
            {server} }}"
    ))
}

/// The record of the request with this id.
fn record(server: &Server, id: &str) -> Value {
    until_some("the record", || {
        let answer = server.api("GET", &format!("http/request_records/{id}"), "");
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).unwrap())
    })
}

/// The record of a request for `target`, and its status.
fn recorded(server: &Server, target: &str) -> Value {
    let answer = server.get(target);
    let record = record(server, answer.header("X-Request-ID").expect("an id"));
    assert_eq!(record["sent_status"], answer.status);
    record
}

/// The steps of a kind, each as its fields in this order; absent ones are `-`.
fn steps(record: &Value, kind: &str, fields: &[&str]) -> Vec<String> {
    let steps = record["steps"].as_array().unwrap().iter().filter(|step| step["step"] == kind);
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => {
            text.rsplit('/').next().filter(|_| text.contains(".conf:")).unwrap_or(text).to_owned()
        }
        other => other.to_string(),
    };
    let shown = |step: &Value| fields.iter().map(|name| text(&step[name])).collect::<Vec<_>>();
    steps.map(|step| shown(step).join(" ")).collect()
}

#[test]
fn a_failed_request_is_found_by_the_id_that_its_client_got() {
    let server = setup("", "location /dead { proxy_pass http://127.0.0.1:1; }").start();
    let record = recorded(&server, "/dead?x=1");
    assert_eq!(record["class"], "error");
    assert_eq!(record["status"], 502);
    assert_eq!(record["request"], "GET /dead?x=1 HTTP/1.1");
    assert_eq!(record["server"]["name"], "first.test");
    assert_eq!(record["location"]["name"], "/dead");
    let attempt = &record["attempts"][0];
    assert_eq!(attempt["server"], "127.0.0.1:1");
    assert_eq!(
        attempt["error"],
        "connect() failed (111: Connection refused) while connecting to upstream"
    );
    assert_eq!(attempt["next"], "no server is left to try");
}

#[test]
fn rewrites_and_redirects_have_places() {
    let backend = Backend::text("a");
    let server = setup(
        "",
        "
        rewrite ^/first/(.*)$ /second/$1;
        location /second/ {
            if ($arg_a) { rewrite ^/second/(.*)$ /third/$1 last; }
        }
        location /third/ { try_files /none @fourth; }
        location @fourth { error_page 404 =200 /fifth; return 404; }
        location /fifth { proxy_pass http://%a%; }",
    )
    .set("a", backend.address())
    .start();
    let record = recorded(&server, "/first/x?a=1");
    let rewrites = steps(&record, "rewrite", &["name", "from", "to", "status"]);
    assert_eq!(
        rewrites,
        [
            "rewrite /first/x /second/x -",
            "if - - -",
            "rewrite /second/x /third/x -",
            "return - - 404",
        ]
    );
    let redirects = steps(&record, "redirect", &["name", "from", "to", "status"]);
    assert_eq!(redirects, ["try_files /third/x @fourth -", "error_page /third/x /fifth 404"]);
    let locations = steps(&record, "location", &["name", "to"]);
    assert_eq!(
        locations,
        ["prefix /second/", "if /second/", "prefix /third/", "named @fourth", "prefix /fifth"]
    );
    for kind in ["rewrite", "redirect", "location"] {
        for place in steps(&record, kind, &["place"]) {
            assert!(place.contains(".conf:"), "{kind}: {place}");
        }
    }
}

#[test]
fn the_how_to_finds_a_request() {
    if is_nginx() {
        return;
    }
    let page = include_str!("../docs/howto/find-a-request.md");
    let block = |language: &str, place: usize| {
        let fence = format!("```{language}\n");
        let mut parts = page.split(&fence).skip(1 + place);
        parts.next().unwrap().split("```").next().unwrap().to_owned()
    };
    let conf = block("nginx", 0);
    let inner = conf.trim().strip_prefix("http {").unwrap().strip_suffix('}').unwrap();
    let inner = inner.replace("listen 80;", "listen 127.0.0.1:%port%;").replace("8081", "1");
    let server = Server::http(&inner.replace("8082", "1")).start();
    let answer = server.get("/");
    let id = answer.header("X-Request-ID").unwrap().to_owned();
    assert_eq!(answer.status, 502);
    assert!(answer.text().ends_with(&format!("this number: {id}")), "{}", answer.text());
    record(&server, &id);
    let ask = |script: String| {
        let script =
            script.replace("http://127.0.0.1/", &format!("http://{}/", server.address("port")));
        let output = Command::new("sh").args(["-ec", &script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let example = "0c1a8e9e1f5f4c1cb6d5a60a1f7a4ad5";
    let found = ask(block("sh", 0).replace(example, &id));
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["id"], *id);
    assert_eq!(found["location"]["name"], "/sorry");
    let lists = ask(block("sh", 1));
    assert_eq!(lists.matches(&id).count(), 2, "{lists}");
}

#[test]
fn an_error_page_elsewhere_hides_no_error() {
    let server = Server::http(
        "server { listen 127.0.0.1:%port%; add_header X-Request-ID $request_id always;
            location /api { api; }
            location /on { request_records on; error_page 502 =200 /off; proxy_pass http://127.0.0.1:1; }
            location /off { return 200; }
            location /bad { error_page 502 /on-late; proxy_pass http://127.0.0.1:1; }
            location /on-late { request_records on sample=100%; return 200; }
            location /never { proxy_pass http://127.0.0.1:1; } }",
    )
    .start();
    // The status that the client got is no error, but it is what the log says.
    let (quiet, late) = (server.get("/on"), server.get("/bad"));
    let late = record(&server, late.header("X-Request-ID").unwrap());
    assert_eq!(late["status"], 502);
    assert_eq!(late["locations"], serde_json::json!(["/on-late"]));
    server.get("/never");
    let all = server.api_get("http/request_records/");
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    assert_eq!(quiet.status, 200);
}

#[test]
fn an_attempt_names_the_rivals_of_its_server() {
    let backend = Backend::text("a");
    let upstream = "upstream u { zone u 64k; server %a%; server 127.0.0.1:1 max_fails=1;
        server 127.0.0.1:2 down; server 127.0.0.1:3 backup; }";
    let server =
        setup(upstream, "location / { proxy_pass http://u; }").set("a", backend.address()).start();
    let records: Vec<_> = (0..3).map(|_| recorded(&server, "/")).collect();
    let rivals = |attempt: &Value| {
        let rivals = attempt["choice"]["rivals"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let shown = |rival: &Value| [text(&rival["server"]), text(&rival["excluded"])].join(" ");
        rivals.map(shown).collect::<Vec<_>>()
    };
    let retried = records.iter().find(|record| record["attempts"].as_array().unwrap().len() == 2);
    let attempts = &retried.expect("one was tried on the dead server")["attempts"];
    let a = backend.address();
    assert_eq!(attempts[0]["next"], "another server is tried");
    assert_eq!(rivals(&attempts[0]), ["127.0.0.1:1 -", &format!("{a} -"), "127.0.0.1:2 down"]);
    let mut then = rivals(&attempts[1]);
    then[1..].sort_unstable();
    assert_eq!(then, [&*format!("{a} -"), "127.0.0.1:1 tried", "127.0.0.1:2 down"]);
    assert_eq!(attempts[1]["choice"]["method"], "round_robin");
    assert_eq!(attempts[1]["choice"]["servers"], 3);
    let last = recorded(&server, "/");
    let last = rivals(&last["attempts"][0]);
    assert!(last.contains(&"127.0.0.1:1 unavail".to_owned()), "{last:?}");
}

#[test]
fn waits_subrequests_and_decisions_are_steps() {
    let backend = Backend::new(|seen| match seen.target().starts_with("/login") {
        true => Reply::with("204 No Content", "", ""),
        false => Reply::ok("page"),
    });
    let server = setup(
        "limit_req_zone $server_name zone=slow:64k rate=20r/s;
         proxy_cache_path %dir%/cache keys_zone=kept:64k;",
        "location /limited { limit_req zone=slow burst=5; proxy_pass http://%a%; }
         location /asked { auth_request /login; proxy_pass http://%a%; }
         location /login { internal; proxy_pass http://%a%; }
         location /denied { deny all; }
         location /kept { proxy_cache kept; proxy_cache_valid 1h; proxy_pass http://%a%; }
         location /body { proxy_pass http://%a%; }",
    )
    .set("a", backend.address())
    .start();
    // A second one within a share of the rate waits.
    let took = until_some("a delay", || {
        let record = recorded(&server, "/limited");
        let mut waits = record["steps"].as_array().unwrap().iter();
        let wait = waits.find(|step| step["name"] == "limit_req" && step["step"] == "wait")?;
        wait["took"].as_u64()
    });
    assert!(took > 0);

    let asked = recorded(&server, "/asked");
    assert_eq!(steps(&asked, "subrequest", &["subrequest", "to"]), ["1 /login"]);
    assert_eq!(steps(&asked, "subrequest_end", &["subrequest", "status"]), ["1 204"]);
    assert_eq!(steps(&asked, "decision", &["name", "to"])[..1], ["auth_request granted"]);
    assert_eq!(asked["attempts"][0]["subrequest"], 1);
    assert_eq!(asked["attempts"][0]["status"], 204);
    assert_eq!(asked["attempts"][1]["status"], 200);

    let denied = recorded(&server, "/denied");
    assert_eq!(steps(&denied, "decision", &["name", "status"])[..1], ["access 403"]);

    recorded(&server, "/kept");
    let hit = recorded(&server, "/kept");
    assert_eq!(hit["cache"]["status"], "HIT");
    assert_eq!(steps(&hit, "cache", &["name"]), ["HIT"]);

    let answer = server
        .ask("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab");
    let body = record(&server, answer.header("X-Request-ID").unwrap());
    assert_eq!(steps(&body, "wait", &["name"]), ["request_body"]);
}

#[test]
fn secrets_are_masked_and_records_outlive_a_reload() {
    let conf = "server { listen 127.0.0.1:%port%; request_records on sample=100%;
        request_records_field Cookie; request_records_field Authorization;
        request_records_field User-Agent; add_header X-Request-ID $request_id always;
        location /api { api write=on; request_records off; } location / { return 200; } }";
    let server = Server::http(conf).start();
    let lines = "Cookie: a=secret\r\nAuthorization: Basic secret\r\nUser-Agent: me\r\n";
    let answer = server.get_with("/", lines);
    let id = answer.header("X-Request-ID").unwrap();
    let before = record(&server, id);
    assert!(!before.to_string().contains("secret"), "{before}");
    let fields = serde_json::json!({"cookie": "***", "authorization": "***", "user-agent": "me"});
    assert_eq!(before["fields"], fields);
    server.reload_http(&conf.replace("server {", "\n\nserver {"));
    assert_eq!(record(&server, id), before);
    assert_eq!(server.api("DELETE", "http/request_records/", "").status, 204);
    assert_eq!(server.api_get("http/request_records/"), serde_json::json!([]));
}

#[test]
fn a_flood_of_errors_leaves_the_slow_ones() {
    let conf =
        "request_records_size 64k; server { listen 127.0.0.1:%port%; keepalive_requests 9999;
        request_records on slow=0 sample=0%; location /api { api; request_records off; }
        location = /bad { return 503; } location / { return 200; } }";
    let server = Server::http(conf).start();
    server.get("/slow");
    let mut client = server.client();
    for _ in 0..200 {
        assert_eq!(client.get("/bad").status, 503);
    }
    let slow = until_some("the slow one", || {
        let all = server.api_get("http/request_records/?slow&limit=1000");
        let is_slow = |record: &&Value| record["class"] == "slow";
        all.as_array().unwrap().iter().find(is_slow).cloned()
    });
    assert_eq!(slow["request"], "GET /slow HTTP/1.1");
    let errors = server.api_get("http/request_records/?errors&limit=1000");
    let kept = errors.as_array().unwrap().len();
    assert!((1..200).contains(&kept), "{kept}");
}

#[test]
fn streams_and_upgraded_connections_are_recorded_at_their_end() {
    let backend = Backend::new(|_| {
        Reply::Custom(Box::new(|stream| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: echo\r\n\r\n";
            let _ = std::io::Write::write_all(stream, head.as_bytes());
            let _ = std::io::copy(&mut &*stream, &mut std::io::sink());
        }))
    });
    let conf =
        "server { listen 127.0.0.1:%port%; http2 on; request_records on slow=10m sample=100%;
        location /api { api; request_records off; }
        location /up { proxy_pass http://%a%; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
        location / { return 503; } }";
    let server = Server::http(conf).set("a", backend.address()).start();
    let mut client = server.client();
    client.send("GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.head().status, 101);
    assert_eq!(server.api_get("http/request_records/"), serde_json::json!([]));
    drop(client);
    let listed = |query: &str| {
        until_some("a record", || {
            server.api_get(&format!("http/request_records/?{query}")).get(0).cloned()
        })
    };
    let upgraded = listed("location=/up");
    assert_eq!(upgraded["status"], 101);
    assert_eq!(upgraded["slow"], false);
    assert_eq!(H2Client::of(&server).get("/h2").whole().0, 503);
    let of_stream = listed("status=503");
    assert_eq!(of_stream["request"], "GET /h2 HTTP/2.0");
    assert_eq!(record(&server, of_stream["id"].as_str().unwrap())["protocol"], "HTTP/2.0");
}

/// The only request under way at a path, once it does something.
fn under_way(server: &Server, path: &str, doing: &str) -> Value {
    until_some(&format!("{path}, {doing}"), || {
        let all = server.api_get("http/requests_under_way/");
        let is_it = |request: &&Value| request["request"].as_str().unwrap().contains(path);
        all.as_array().unwrap().iter().find(is_it).filter(|it| it["doing"] == doing).cloned()
    })
}

#[test]
fn a_request_that_hangs_is_seen_before_it_ends() {
    // It takes connections, and answers nothing.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hung.local_addr().unwrap().to_string();
    let conf = "upstream u { zone u 64k; server %hung% max_conns=1; queue 5; }
        server { listen 127.0.0.1:%port%; server_name first.test;
            request_records on slow=off sample=0%;
            location /api { api; request_records off; }
            location /hung { proxy_pass http://u; }
            location /body { proxy_pass http://u; } }";
    let server = Server::http(conf).set("hung", &address).start();
    assert_eq!(server.api_get("http/requests_under_way/"), serde_json::json!([]));
    let mut first = server.client();
    first.send("GET /hung/1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let request = under_way(&server, "/hung/1", "response_head");
    assert_eq!(request["request"], "GET /hung/1 HTTP/1.1");
    assert_eq!((&request["host"], &request["server"]), (&"a.test".into(), &"first.test".into()));
    assert_eq!((&request["client"], &request["upstream"]), (&"127.0.0.1".into(), &"u".into()));
    assert_eq!(request["upstream_server"], address);
    assert_eq!(request["location"]["name"], "/hung");
    assert!(request["doing_for"].as_u64() <= request["age"].as_u64());

    // Its whole story so far.
    let path = format!("http/requests_under_way/{}", request["id"].as_str().unwrap());
    let whole = server.api_get(&path);
    assert_eq!(steps(&whole, "location", &["name", "to"]), ["prefix /hung"]);
    assert_eq!(whole["attempts"][0]["choice"]["method"], "only server");
    assert!(whole["attempts"][0]["ended"].is_null());

    // Others wait for the server, or for their bodies.
    let (mut second, mut third) = (server.client(), server.client());
    second.send("GET /hung/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(under_way(&server, "/hung/2", "wait")["what"], "queue");
    third.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na");
    assert_eq!(under_way(&server, "/body", "wait")["what"], "request_body");
    let list = |query: &str| {
        let list = server.api_get(&format!("http/requests_under_way/?{query}"));
        let lines = list.as_array().unwrap().iter().map(|it| it["request"].to_string());
        lines.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The oldest first.
    assert_eq!(list(""), ["/hung/1", "/hung/2", "/body"]);
    assert_eq!(list("limit=1"), ["/hung/1"]);
    assert_eq!(list("location=/body"), ["/body"]);
    assert_eq!(list("upstream=u"), ["/hung/1"]);
    assert_eq!(server.api("GET", "http/requests_under_way/?limit=x", "").status, 400);

    // They outlive a reload, and are gone with their clients.
    let new = "\n\nserver { location /new { return 204; }";
    server.rewrite_http(&conf.replacen("server {", new, 1).replace("%hung%", &address));
    server.signal(Signal::HUP);
    until("the reload", || server.get("/new").status == 204);
    assert_eq!(server.api_get(&path)["location"], request["location"]);
    drop((first, second, third));
    until("the end of all", || list("").is_empty());
    assert_eq!(server.api("GET", &path, "").status, 404);
}
