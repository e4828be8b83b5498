//! Every call that `docs/openapi.json` describes, with answers of the described shape.

use std::cell::RefCell;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::{Backend, Client, Server, until, until_some};

const CONF: &str = "
    upstream u { zone u 64k; server %a%; server 127.0.0.1:1 backup; queue 5; agent_check port=1; load_report; }
    limit_req_zone $arg_key zone=limit_req:64k rate=1r/s;
    limit_conn_zone $arg_key zone=limit_conn:64k;
    proxy_cache_path %dir%/cache keys_zone=cache:64k max_size=1m;
    keyval_zone zone=keyval:64k timeout=1h; keyval $arg_key $value zone=keyval;
    resolver 127.0.0.1 status_zone=resolver;
    server { listen 127.0.0.1:%port%; status_zone server_zone;
        location /api { api write=on; }
        location /hung { request_records on; proxy_pass http://%hung%; }
        location / { request_records on sample=100%; status_zone location_zone; limit_req zone=limit_req; limit_conn limit_conn 9;
            proxy_cache cache;
            proxy_pass http://u; } }";

/// The values of a path's parameters: those that exist, by the path.
const NAMES: &[(&str, &str)] = &[
    ("/workers/{worker}", "0"),
    ("/slabs/{zone}", "keyval"),
    ("/resolvers/{zone}", "resolver"),
    ("/http/request_records/{request}", TRACE),
    ("/http/server_zones/{zone}", "server_zone"),
    ("/http/location_zones/{zone}", "location_zone"),
    ("/http/limit_reqs/{zone}", "limit_req"),
    ("/http/limit_conns/{zone}", "limit_conn"),
    ("/http/caches/{zone}", "cache"),
    ("/http/keyvals/{zone}", "keyval"),
];

/// The id of a trace with a recorded request.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

thread_local! {
    /// The id of a request that is under way in the test of this thread.
    static UNDER_WAY: RefCell<String> = RefCell::default();
}

/// The bodies of calls that have one, by their names.
const BODIES: &[(&str, &str)] = &[
    ("addPairs", r#"{"a": "1", "b": {"value": "2", "expire": 60000}}"#),
    ("changePair", r#"{"a": "3"}"#),
    ("addServer", r#"{"server": "127.0.0.1:2", "weight": 2, "slow_start": "5s"}"#),
    ("changeServer", r#"{"drain": true}"#),
];

/// The methods in an order in which all calls succeed.
const METHODS: [&str; 4] = ["post", "patch", "get", "delete"];

/// The document.
pub(crate) fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The paths and names of parameters in a path of the document.
fn named(path: &str) -> String {
    if path == "/http/requests_under_way/{request}" {
        return UNDER_WAY.with_borrow(|id| path.replace("{request}", id));
    }
    let name = NAMES.iter().find(|(known, _)| *known == path).map_or("", |(_, name)| name);
    path.replace("{zone}", name)
        .replace("{worker}", name)
        .replace("{request}", name)
        .replace("{upstream}", "u")
        .replace("{id}", "0")
}

/// The server, and what it needs.
fn start() -> (Server, (Backend, TcpListener, Client)) {
    let backend = Backend::text("a");
    // It takes connections, and answers nothing.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Server::http(CONF).set("a", backend.address());
    let server = setup.set("hung", hung.local_addr().unwrap()).start();
    let mut client = server.client();
    client.send("GET /hung HTTP/1.1\r\nHost: a\r\n\r\n");
    let id = until_some("a request under way", || {
        let all = server.api_get("http/requests_under_way/");
        Some(all.get(0)?["id"].as_str()?.to_owned())
    });
    UNDER_WAY.set(id);
    server.get_with("/?key=1", &format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n"));
    let path = format!("http/request_records/{TRACE}");
    until("a record", || server.api("GET", &path, "").status == 200);
    (server, (backend, hung, client))
}

/// A call; the answer's status and JSON, if it has any.
fn call(server: &Server, method: &str, path: &str, body: &str) -> (u16, Option<Value>) {
    let answer = server.api(&method.to_uppercase(), path.trim_start_matches('/'), body);
    let json = !answer.body.is_empty();
    (answer.status, json.then(|| serde_json::from_slice(&answer.body).unwrap()))
}

#[test]
fn answers_have_the_described_shape() {
    let document = document();
    let (server, _backend) = start();
    let mut calls = 0;
    for method in METHODS {
        for (path, operations) in document["paths"].as_object().unwrap() {
            let Some(operation) = operations.get(method) else { continue };
            let name = operation["operationId"].as_str().unwrap();
            let body = BODIES.iter().find(|(known, _)| *known == name).map_or("", |(_, body)| body);
            assert_eq!(operation.get("requestBody").is_some(), !body.is_empty(), "{name}");
            if !body.is_empty() {
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                check(&document, schema, &serde_json::from_str(body).unwrap(), name);
            }
            let (status, answer) = call(&server, method, &named(path), body);
            assert!((200..300).contains(&status), "{name}: {status} {answer:?}");
            check_answer(&document, operation, status, answer.as_ref(), name);
            calls += 1;
        }
    }
    assert!(calls > 40, "{calls}");
}

#[test]
fn refusals_have_the_described_shape() {
    let document = document();
    let (server, _backend) = start();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "patch", "delete", "put"] {
            let Some(operation) = operations.get(method) else {
                let (status, answer) = call(&server, method, &named(path), "{}");
                assert_eq!(status, 405, "{method} {path}");
                check(
                    &document,
                    &json!({"$ref": "#/components/schemas/Error"}),
                    &answer.unwrap(),
                    path,
                );
                continue;
            };
            let name = operation["operationId"].as_str().unwrap();
            if path.contains('{') {
                let unknown = path.replace("{id}", "9").replace(['{', '}'], "");
                let (status, answer) = call(&server, method, &unknown, "{}");
                assert_eq!(status, 404, "{method} {unknown}");
                check_answer(&document, operation, status, answer.as_ref(), name);
            }
            if operation.get("requestBody").is_some() {
                for (body, status) in [("{", 415), ("[]", 400), (r#"{"weight": {}}"#, 400)] {
                    let (answered, answer) = call(&server, method, &named(path), body);
                    assert_eq!(answered, status, "{name} {body}");
                    check_answer(&document, operation, status, answer.as_ref(), name);
                }
            }
        }
    }
}

/// The listed endpoints are those of the document.
#[test]
fn no_endpoint_is_left_out() {
    let document = document();
    let (server, _backend) = start();
    let described = |prefix: &str| {
        let paths = document["paths"].as_object().unwrap().keys();
        let below = paths.filter_map(|path| path.strip_prefix(prefix));
        let mut names: Vec<_> =
            below.filter_map(|rest| rest.split('/').next()).filter(|it| !it.is_empty()).collect();
        names.dedup();
        names.sort_unstable();
        names.dedup();
        json!(names)
    };
    for prefix in ["/", "/http/"] {
        let (_, listed) = call(&server, "get", prefix, "");
        let mut listed: Vec<String> = serde_json::from_value(listed.unwrap()).unwrap();
        listed.sort_unstable();
        assert_eq!(json!(listed), described(prefix));
    }
}

/// Checks an answer against the description of its status.
#[track_caller]
fn check_answer(
    document: &Value,
    operation: &Value,
    status: u16,
    answer: Option<&Value>,
    name: &str,
) {
    let described = &operation["responses"][status.to_string()];
    assert!(described.is_object(), "{name}: {status} is not described");
    match (described.pointer("/content/application~1json/schema"), answer) {
        (None, None) => {}
        (Some(schema), Some(answer)) => check(document, schema, answer, name),
        (_, answer) => panic!("{name}: {status} with {answer:?}"),
    }
}

/// Checks a value against a schema: types, required and further fields, limits, alternatives.
#[track_caller]
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Err(fault) = fits(document, schema, value) {
        panic!("{at}: {fault} in {value}");
    }
}

fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return fits(document, document.pointer(pointer).expect(name), value);
    }
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    // Answers to questions without `fields` have the first shape.
    if let Some(all) = schema["anyOf"].as_array() {
        return fits(document, &all[0], value);
    }
    if let Some(all) = schema["oneOf"].as_array() {
        let fitting = all.iter().filter(|one| fits(document, one, value).is_ok()).count();
        return (fitting == 1).then_some(()).ok_or_else(|| format!("{fitting} alternatives"));
    }
    let is_right = match schema["type"].as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => return Err(format!("unknown type \"{other}\"")),
    };
    if !is_right {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return Err(format!("{value} is not listed"));
    }
    if value.as_i64().is_some_and(|number| number < schema["minimum"].as_i64().unwrap_or(i64::MIN))
    {
        return Err(format!("{value} is too small"));
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item)?;
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, field) in object {
        let own = schema["properties"].get(name);
        let others = &schema["additionalProperties"];
        match own.or(others.is_object().then_some(others)) {
            Some(schema) => fits(document, schema, field).map_err(|e| format!("{name}: {e}"))?,
            None => return Err(format!("\"{name}\" is not described")),
        }
    }
    Ok(())
}
