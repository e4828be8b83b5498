//! The API: status and changes of groups as JSON.

use serde_json::{Value, json};

use crate::harness::{Backend, H2Upstream, Reply, Response, Server, Setup, until};

/// A server with an API at `/api`, and `conf` in `http`.
fn setup(conf: &str, server: &str) -> Setup {
    Server::http(&format!(
        "{conf} server {{ listen 127.0.0.1:%port%; location /api {{ api write=on; }} {server} }}"
    ))
}

/// The JSON of a response with this status.
#[track_caller]
fn json_of(response: &Response, status: u16) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    serde_json::from_slice(&response.body).expect("the body is JSON")
}

#[track_caller]
fn get(server: &Server, path: &str) -> Value {
    json_of(&server.api("GET", path, ""), 200)
}

/// The code of a refusal with this status.
#[track_caller]
fn refusal(response: &Response, status: u16) -> String {
    let body = json_of(response, status);
    assert_eq!(body["error"]["status"], status);
    assert_eq!(body["request_id"].as_str().unwrap().len(), 32);
    body["error"]["code"].as_str().unwrap().to_owned()
}

const GROUP: &str = "upstream u { zone u 64k; server %a%; server %b% weight=2; }
    upstream fixed { server %a%; }";
const PASS: &str = "location / { proxy_pass http://u; }";

fn group() -> (Server, [Backend; 3]) {
    let backends = ["a", "b", "c"].map(Backend::text);
    let [a, b, _] = &backends;
    let server = setup(GROUP, PASS).set("a", a.address()).set("b", b.address()).start();
    (server, backends)
}

#[test]
fn versions_and_endpoints_are_listed() {
    let (server, _backends) = group();
    for root in ["/api", "/api/"] {
        assert_eq!(json_of(&server.get(root), 200), json!([1, 2, 3, 4, 5, 6, 7, 8, 9]));
    }
    let roots = get(&server, "");
    for name in ["nginx", "processes", "connections", "slabs", "http", "workers"] {
        assert!(roots.as_array().unwrap().contains(&json!(name)), "{roots}");
    }
    let first = json_of(&server.get("/api/1/"), 200);
    assert!(!first.as_array().unwrap().contains(&json!("workers")));
    assert!(get(&server, "http/").as_array().unwrap().contains(&json!("upstreams")));
    let mut client = server.client();
    client.send("HEAD /api/9/nginx HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head_response().status, 200);
    assert_eq!(client.get("/api/9/processes").text(), r#"{"respawned":0}"#);
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let (server, _backends) = group();
    assert_eq!(refusal(&server.get("/api/10/"), 404), "UnknownVersion");
    assert_eq!(refusal(&server.get("/api/nginx"), 404), "UnknownVersion");
    assert_eq!(refusal(&server.get("/api/9/nginy"), 404), "PathNotFound");
    assert_eq!(refusal(&server.get("/api/8/workers/"), 404), "PathNotFound");
    let post = server.api("POST", "nginx", "{}");
    assert_eq!(refusal(&post, 405), "MethodDisabled");
    assert_eq!(post.header("Allow"), Some("GET, HEAD"));
    let put = server.api("PUT", "http/upstreams/u/servers/0", "{}");
    assert_eq!(put.header("Allow"), Some("GET, HEAD, PATCH, DELETE"));
    let old = json_of(&server.get("/api/3/nginy"), 404);
    assert_eq!((&old["path"], &old["method"]), (&json!(""), &json!("")));
}

#[test]
fn nothing_is_written_unless_permitted() {
    for off in ["api;", "api write=off;"] {
        let server = Server::http(&format!(
            "upstream u {{ zone u 64k; server 127.0.0.1:1; }}
             server {{ listen 127.0.0.1:%port%; location /api {{ {off} }}
                location / {{ proxy_pass http://u; }} }}"
        ))
        .start();
        for (method, path) in [
            ("POST", "http/upstreams/u/servers"),
            ("PATCH", "http/upstreams/u/servers/0"),
            ("DELETE", "http/upstreams/u/servers/0"),
            ("DELETE", "http/upstreams/u"),
            ("DELETE", "connections"),
        ] {
            let answer = server.api(method, path, "{}");
            assert_eq!(refusal(&answer, 405), "MethodDisabled", "{method} {path}");
        }
        assert_eq!(get(&server, "http/upstreams/u/servers").as_array().unwrap().len(), 1);
    }
}

#[test]
fn access_is_limited_as_elsewhere() {
    let server = Server::http(
        "server { listen 127.0.0.1:%port%;
            location /none { api write=on; deny all; }
            location /some { limit_except GET { deny all; } api write=on; }
            location /asked { auth_request /no; api; }
            location /any { satisfy any; deny all; auth_request /yes; api; }
            location /no { return 403; }
            location /yes { return 204; } }",
    )
    .start();
    assert_eq!(server.get("/none/9/nginx").status, 403);
    assert_eq!(server.get("/asked/9/nginx").status, 403);
    assert_eq!(server.get("/any/9/nginx").status, 200);
    assert_eq!(server.get("/some/9/nginx").status, 200);
    let delete = "DELETE /some/9/connections HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(delete).status, 403);
}

#[test]
fn the_instance_is_described() {
    let (server, _backends) = group();
    let nginx = get(&server, "nginx");
    assert_eq!(nginx["ppid"], server.pid());
    assert_eq!(nginx["generation"], 1);
    assert_eq!(nginx["address"], "127.0.0.1");
    let some = get(&server, "nginx?fields=generation,address");
    assert_eq!(some, json!({"generation": 1, "address": "127.0.0.1"}));
    assert_eq!(get(&server, "processes"), json!({"respawned": 0}));
    let requests = get(&server, "http/requests");
    assert_eq!(requests["current"], 1);
    assert!(requests["total"].as_u64().unwrap() > 3);
    assert_eq!(server.api("DELETE", "http/requests", "").status, 204);
    assert_eq!(get(&server, "http/requests")["total"], 1);
    assert_eq!(server.api("DELETE", "connections", "").status, 204);
    let connections = get(&server, "connections");
    assert_eq!((&connections["accepted"], &connections["dropped"]), (&json!(1), &json!(0)));
    assert_eq!(get(&server, "workers")[0]["id"], 0);
    assert_eq!(refusal(&server.api("GET", "workers/1", ""), 404), "WorkerNotFound");
}

#[test]
fn zones_show_their_counts() {
    let server = setup(
        "limit_req_zone $arg_key zone=r:64k rate=1r/m;
         limit_conn_zone $arg_key zone=c:64k;",
        "status_zone s;
         location /l { status_zone l; return 200 l; }
         location /r { limit_req zone=r; return 200 r; try_files /none =200; }
         location /c { limit_conn c 1; try_files /none =204; }
         location /limited { limit_req zone=r; try_files /none =204; }",
    )
    .start();
    for target in ["/l", "/l", "/limited?key=1", "/limited?key=1", "/c?key=1"] {
        server.get(target);
    }
    let zone = get(&server, "http/location_zones/l");
    assert_eq!((&zone["requests"], &zone["responses"]["2xx"]), (&json!(2), &json!(2)));
    assert_eq!(zone["responses"]["codes"], json!({"200": 2}));
    assert_eq!(zone.get("processing"), None);
    let old = json_of(&server.get("/api/6/http/location_zones/l"), 200);
    assert_eq!(old["responses"].get("codes"), None);
    let all = get(&server, "http/server_zones");
    assert_eq!(all["s"]["responses"]["codes"]["503"], 1);
    assert_eq!(get(&server, "http/server_zones?fields="), json!(["s"]));
    let limited = get(&server, "http/limit_reqs/r");
    assert_eq!((&limited["passed"], &limited["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(get(&server, "http/limit_conns")["c"]["passed"], 1);
    assert_eq!(get(&server, "slabs/r")["pages"]["used"], 1);
    for (path, code) in [
        ("http/server_zones", "ServerZoneNotFound"),
        ("http/location_zones", "LocationZoneNotFound"),
        ("http/limit_reqs", "LimitReqNotFound"),
        ("http/limit_conns", "LimitConnNotFound"),
        ("slabs", "SlabNotFound"),
    ] {
        assert_eq!(refusal(&server.api("GET", &format!("{path}/x"), ""), 404), code);
        assert_eq!(refusal(&server.api("DELETE", &format!("{path}/x"), ""), 404), code);
    }
    for (path, count) in [
        ("http/location_zones/l", "requests"),
        ("http/limit_reqs/r", "rejected"),
        ("http/limit_conns/c", "passed"),
    ] {
        assert_eq!(server.api("DELETE", path, "").status, 204);
        assert_eq!(get(&server, path)[count], 0, "{path}");
    }
}

#[test]
fn groups_show_their_peers() {
    let (server, backends) = group();
    let [a, ..] = &backends;
    for _ in 0..3 {
        server.get("/");
    }
    let all = get(&server, "http/upstreams");
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["u"]);
    // The client may have its answer before the attempt is counted.
    until("both have answered", || {
        let peers = get(&server, "http/upstreams/u/")["peers"].clone();
        peers[0]["responses"]["total"] == 1 && peers[1]["responses"]["total"] == 2
    });
    let group = get(&server, "http/upstreams/u");
    assert_eq!((&group["zone"], &group["zombies"]), (&json!("u"), &json!(0)));
    let peer = &group["peers"][0];
    assert_eq!((&peer["id"], &peer["server"]), (&json!(0), &json!(a.address())));
    assert_eq!((&peer["state"], &peer["requests"]), (&json!("up"), &json!(1)));
    assert_eq!((&peer["response_time_hist"]["count"], &peer["active"]), (&json!(1), &json!(0)));
    assert_eq!(peer["health_checks"], json!({"checks": 0, "fails": 0, "unhealthy": 0}));
    assert_eq!((&peer["downtime"], peer.get("downstart")), (&json!(0), None));
    assert!(peer["selected"].as_str().unwrap().ends_with('Z'));
    assert_eq!(group["keepalive"], 2);
    assert_eq!(server.api("DELETE", "http/upstreams/u", "").status, 204);
    assert_eq!(get(&server, "http/upstreams/u")["peers"][0]["requests"], 0);
    let fixed = server.api("GET", "http/upstreams/fixed", "");
    assert_eq!(refusal(&fixed, 400), "UpstreamStatic");
    let none = server.api("GET", "http/upstreams/none", "");
    assert_eq!(refusal(&none, 404), "UpstreamNotFound");
}

/// Connections of HTTP/2 that requests share count as kept while they serve none.
#[test]
fn idle_connections_of_http2_are_kept_ones() {
    let upstream = H2Upstream::echo();
    let group = "upstream u { zone u 64k; server %upstream%; keepalive 2; }";
    let pass = "location / { proxy_http_version 2; proxy_pass http://u; }
                location /calls { grpc_pass grpc://u; }";
    let server = setup(group, pass).set("upstream", upstream.address()).start();
    let kept = || get(&server, "http/upstreams/u")["keepalive"].clone();
    assert_eq!(kept(), 0);
    for path in ["/", "/calls", "/"] {
        assert_eq!(server.get(path).status, 200);
        until("the connection is idle", || kept() == 1);
    }
}

/// Names of any characters are one segment of a path, escaped as in any URI.
#[test]
fn names_have_any_characters() {
    let names = "upstream a/b { zone a/b 64k; server 127.0.0.1:1; }
        upstream \"odd %2F ä?\" { zone o 64k; server 127.0.0.1:1; }
        keyval_zone zone=k/v:64k; keyval $arg_k $v zone=k/v;
        limit_req_zone $uri zone=r/r:64k rate=1r/s;
        limit_conn_zone $uri zone=c/c:64k;";
    let server = setup(
        names,
        "status_zone s/s; location / { limit_conn c/c 9; limit_req zone=r/r; root html; }",
    )
    .start();
    for (path, name) in [
        ("upstreams", "a/b"),
        ("upstreams", "odd %2F ä?"),
        ("keyvals", "k/v"),
        ("limit_reqs", "r/r"),
        ("limit_conns", "c/c"),
        ("server_zones", "s/s"),
    ] {
        let escape = |byte: u8| format!("%{byte:02X}");
        let escaped: String = name.bytes().map(escape).collect();
        let all = get(&server, &format!("http/{path}"));
        let own = all[name].as_object().unwrap_or_else(|| panic!("no {name} in {all}"));
        let one = get(&server, &format!("http/{path}/{escaped}"));
        assert!(own.keys().eq(one.as_object().unwrap().keys()), "{one}");
    }
    let list = "http/upstreams/a%2Fb/servers";
    let added = server.api("POST", list, &json!({"server": "127.0.0.1:2"}).to_string());
    let at = format!("http://localhost:{}/api/9/{list}/1", server.port("port"));
    assert_eq!(added.header("Location"), Some(at.as_str()));
    assert_eq!(get(&server, &format!("{list}/1"))["server"], "127.0.0.1:2");
    assert_eq!(server.api("DELETE", &format!("{list}/1"), "").status, 200);
    assert_eq!(server.api("GET", "http/upstreams/a/b", "").status, 404);
    let pair = server.api("POST", "http/keyvals/k%2Fv", r#"{"x": "1"}"#);
    assert_eq!(pair.status, 201);
    assert!(pair.header("Location").unwrap().ends_with("/http/keyvals/k%2Fv"));
    assert_eq!(get(&server, "http/keyvals/k%2Fv?key=x"), json!({"x": "1"}));
}

#[test]
fn servers_come_change_and_go() {
    let (server, backends) = group();
    let [.., c] = &backends;
    let list = "http/upstreams/u/servers";
    let added = server.api("POST", list, &json!({"server": c.address()}).to_string());
    let at = format!("http://localhost:{}/api/9/{list}/2", server.port("port"));
    assert_eq!(added.header("Location"), Some(at.as_str()));
    let shown = json!({
        "id": 2, "server": c.address(), "weight": 1, "max_conns": 0, "max_fails": 1,
        "fail_timeout": "10s", "slow_start": "0s", "route": "", "backup": false, "down": false,
        "drain": false,
    });
    assert_eq!(json_of(&added, 201), shown);
    let third = format!("{list}/2");
    assert_eq!(get(&server, &third), shown);
    let again = server.api("POST", list, &json!({"server": c.address()}).to_string());
    assert_eq!(refusal(&again, 409), "EntryExists");
    let texts = || (0..4).map(|_| server.text("/")).collect::<String>();
    assert!(texts().contains('c'));

    let changed = server.api("PATCH", &third, r#"{"down": true, "weight": 3}"#);
    let changed = json_of(&changed, 200);
    assert_eq!((&changed["down"], &changed["weight"]), (&json!(true), &json!(3)));
    assert!(!texts().contains('c'));
    let open = server.api("PATCH", &third, r#"{"down": false, "backup": false}"#);
    assert_eq!(json_of(&open, 200)["down"], false);
    assert!(texts().contains('c'));

    let left = json_of(&server.api("DELETE", &third, ""), 200);
    assert_eq!(left.as_array().unwrap().len(), 2);
    assert!(!texts().contains('c'));
    assert_eq!(refusal(&server.api("GET", &third, ""), 404), "UpstreamServerNotFound");
    assert_eq!(refusal(&server.api("DELETE", &third, ""), 404), "UpstreamServerNotFound");
}

#[test]
fn servers_that_cannot_be_are_refused() {
    let (server, _backends) = group();
    let list = "http/upstreams/u/servers";
    for (method, path, body, status, code) in [
        ("POST", list, "{", 415, "JsonError"),
        ("POST", list, "", 415, "JsonError"),
        ("POST", list, "{}", 400, "UpstreamConfFormatError"),
        ("POST", list, r#"{"server":"a.test"}"#, 400, "UpstreamConfNoResolver"),
        (
            "PATCH",
            "http/upstreams/u/servers/0",
            r#"{"backup":true}"#,
            400,
            "UpstreamServerImmutable",
        ),
        ("PATCH", "http/upstreams/u/servers/0", r#"{"id":0}"#, 400, "UpstreamConfFormatError"),
        (
            "PATCH",
            "http/upstreams/u/servers/0",
            r#"{"server":"a.test"}"#,
            400,
            "UpstreamBadAddress",
        ),
        ("PATCH", "http/upstreams/u/servers/9", "{}", 404, "UpstreamServerNotFound"),
        ("PATCH", "http/upstreams/u/servers/x", "{}", 400, "UpstreamBadServerId"),
        ("POST", "http/upstreams/none/servers", "{}", 404, "UpstreamNotFound"),
        ("POST", "http/upstreams/fixed/servers", "{}", 400, "UpstreamStatic"),
    ] {
        let answer = server.api(method, path, body);
        assert_eq!(refusal(&answer, status), code, "{method} {path} {body}");
    }
    let large = format!(r#"{{"route":"{}"}}"#, "a".repeat(100_000));
    assert_eq!(refusal(&server.api("POST", list, &large), 413), "RequestEntityTooLarge");
    let chunked = server.ask(format!(
        "POST /api/9/{list} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    ));
    assert_eq!(refusal(&chunked, 413), "RequestEntityTooLarge");
    assert_eq!(get(&server, list).as_array().unwrap().len(), 2);
}

#[test]
fn a_change_may_depend_on_what_the_server_is() {
    let (server, _backends) = group();
    let path = "http/upstreams/u/servers/0";
    let first = get(&server, path);
    let change = |body: Value| server.api("PATCH", path, &body.to_string());
    let body = json!({ "if": { "server": first["server"], "weight": 1 }, "weight": 7 });
    assert_eq!(json_of(&change(body.clone()), 200)["weight"], 7);
    // Another has changed it.
    let refused = change(body);
    assert_eq!(refusal(&refused, 412), "UpstreamServerDiffers");
    assert!(refused.text().contains(r#"has \"weight\" 7 and not 1"#), "{}", refused.text());
    assert_eq!(
        refusal(&change(json!({ "if": { "none": 1 }, "weight": 3 })), 412),
        "UpstreamServerDiffers"
    );
    for wrong in [json!({ "if": 7 }), json!({ "if": [], "weight": 3 })] {
        assert_eq!(refusal(&change(wrong), 400), "UpstreamConfFormatError");
    }
    let added = json!({ "if": { "weight": 1 }, "server": "127.0.0.1:9" });
    let added = server.api("POST", "http/upstreams/u/servers", &added.to_string());
    assert_eq!(refusal(&added, 400), "UpstreamConfFormatError");
    // Nothing to change is no change.
    assert_eq!(json_of(&change(json!({})), 200)["weight"], 7);
    assert_eq!(get(&server, path)["weight"], 7);
}

#[test]
fn a_removed_server_finishes_its_requests() {
    let held = Backend::new(|_| Reply::hold());
    let server =
        setup("upstream u { zone u 64k; server %a%; }", PASS).set("a", held.address()).start();
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    held.wait(0);
    assert_eq!(get(&server, "http/upstreams/u")["peers"][0]["active"], 1);
    assert_eq!(json_of(&server.api("DELETE", "http/upstreams/u/servers/0", ""), 200), json!([]));
    let group = get(&server, "http/upstreams/u");
    assert_eq!((&group["peers"], &group["zombies"]), (&json!([]), &json!(1)));
    drop(client);
    until("the request has ended", || get(&server, "http/upstreams/u")["zombies"] == 0);
}

#[test]
fn pairs_are_looked_up_and_changed() {
    let server = setup(
        "keyval_zone zone=one:64k; keyval $arg_key $found zone=one;
         keyval_zone zone=timed:64k timeout=1h; keyval $arg_key $timed zone=timed;
         keyval_zone zone=nets:64k type=ip; keyval $arg_key $net zone=nets;
         keyval_zone zone=starts:64k type=prefix; keyval $arg_key $start zone=starts;",
        "location / { return 200 \"$found|$timed|$net|$start\"; }",
    )
    .start();
    let look = |key: &str| server.text(&format!("/?key={key}"));
    assert_eq!(look("a"), "|||");
    let one = "http/keyvals/one";
    let added = server.api("POST", one, r#"{"a":"1","b":"2"}"#);
    assert_eq!((added.status, added.body.len()), (201, 0));
    assert!(added.header("Location").unwrap().ends_with("/api/9/http/keyvals/one"));
    assert_eq!(look("a"), "1|||");
    assert_eq!(server.api("PATCH", one, r#"{"a":"3"}"#).status, 204);
    assert_eq!(server.api("PATCH", one, r#"{"b":null}"#).status, 204);
    assert_eq!(get(&server, one), json!({"a": "3"}));
    assert_eq!(get(&server, &format!("{one}?key=a")), json!({"a": "3"}));
    let timed = server.api("POST", "http/keyvals/timed", r#"{"a":{"value":"4","expire":600000}}"#);
    assert_eq!(timed.status, 201);
    let nets = r#"{"10.0.0.0/8":"wide","10.1.0.0/16":"narrow"}"#;
    assert_eq!(server.api("POST", "http/keyvals/nets", nets).status, 201);
    assert_eq!(server.api("POST", "http/keyvals/starts", r#"{"10.":"ten"}"#).status, 201);
    assert_eq!((look("a").as_str(), look("10.1.2.3").as_str()), ("3|4||", "||narrow|ten"));
    assert_eq!(get(&server, "http/keyvals?fields="), json!(["nets", "one", "starts", "timed"]));
    assert!(get(&server, "slabs/one")["pages"]["used"].as_u64() > Some(0));
    server.signal(crate::harness::Signal::HUP);
    until("the reload", || get(&server, "nginx")["generation"] == 2);
    assert_eq!(look("a"), "3|4||");
    assert_eq!(server.api("DELETE", one, "").status, 204);
    assert_eq!(look("a"), "|4||");
}

#[test]
fn pairs_that_cannot_be_are_refused() {
    let server = setup(
        "keyval_zone zone=one:32k; keyval $arg_key $found zone=one;
         keyval_zone zone=nets:32k type=ip; keyval $arg_key $net zone=nets;",
        "",
    )
    .start();
    let one = "http/keyvals/one";
    assert_eq!(server.api("POST", one, r#"{"a":"1"}"#).status, 201);
    let format = "KeyvalFormatError";
    for (method, path, body, status, code) in [
        ("POST", one, "{", 415, "JsonError"),
        ("POST", one, "[]", 400, format),
        ("POST", one, "{}", 400, format),
        ("POST", one, r#"{"b":1}"#, 400, format),
        ("POST", one, r#"{"b":null}"#, 400, format),
        ("POST", one, r#"{"b":"1","c":"2"}"#, 400, format),
        ("POST", one, r#"{"b":{"value":"1","expire":5}}"#, 400, format),
        ("POST", one, r#"{"a":"1"}"#, 409, "KeyvalKeyExists"),
        ("PATCH", one, r#"{"b":"1"}"#, 404, "KeyvalKeyNotFound"),
        ("PATCH", one, r#"{"b":null}"#, 404, "KeyvalKeyNotFound"),
        ("PATCH", one, r#"{"a":"1","b":"2"}"#, 400, format),
        ("GET", "http/keyvals/one?key=b", "", 404, "KeyvalKeyNotFound"),
        ("GET", "http/keyvals/none", "", 404, "KeyvalNotFound"),
        ("POST", "http/keyvals/none", r#"{"a":"1"}"#, 404, "KeyvalNotFound"),
        ("POST", "http/keyvals/nets", r#"{"a":"1"}"#, 400, format),
    ] {
        let answer = server.api(method, path, body);
        assert_eq!(refusal(&answer, status), code, "{method} {path} {body}");
    }
    let codes = (0..100).map(|number| {
        let body = json!({number.to_string(): "v".repeat(2000)}).to_string();
        server.api("POST", one, &body).status
    });
    let full = codes.filter(|status| *status == 400).count();
    assert!((90..100).contains(&full), "{full}");
    let body = json!({"full": "v".repeat(2000)}).to_string();
    assert_eq!(refusal(&server.api("POST", one, &body), 400), "KeyvalOutOfMemory");
}

#[test]
fn zones_of_pairs_are_checked() {
    for (conf, fault) in [
        ("keyval_zone zone=a:64k sync timeout=1m;", "\"sync\" is not supported"),
        ("keyval_zone zone=a:64k type=regex;", "invalid parameter \"type=regex\""),
        ("keyval_zone state=x;", "must have \"zone\" parameter"),
        ("keyval_zone zone=a:1k;", "is too small"),
        ("keyval_zone zone=a:64k; keyval_zone zone=a:64k;", "duplicate keyval zone \"a\""),
        ("keyval $arg_a $b zone=a;", "zero size shared memory zone \"a\""),
        ("keyval_zone zone=a:64k state=%dir%/bad;", "invalid JSON at line 1 column 1"),
    ] {
        let output = setup(conf, "").file("bad", "root:secret").check();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(fault), "{conf}: {told}");
    }
}
