//! The API at the paths of NGINX Plus: what its objects have there is here, with the same types.
//! The table was made from the fields that nginx.org describes for version 9.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use serde_json::Value;

use crate::harness::{Backend, Certificate, Server, until};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Text,
    /// As in 2026-01-02T03:04:05.678Z.
    Time,
}

use Kind::{Bool, Int, Text, Time};

/// Fields of an object: where they are, their type, their names. `*` is any name, and `[]` each
/// element of an array.
type Fields = (&'static str, Kind, &'static str);

const RESPONSES: [Fields; 2] =
    [("responses", Int, "1xx 2xx 3xx 4xx 5xx total"), ("responses.codes", Int, "*")];

const HANDSHAKES: &str = "handshakes handshakes_failed session_reuses no_common_protocol \
                          handshake_timeout peer_rejected_cert";

const HITS: &str = "responses bytes";
const FETCHES: &str = "responses bytes responses_written bytes_written";

/// The objects: their path, and the fields. A path with `*` at its end is a map of them, too.
const OBJECTS: &[(&str, &[Fields])] = &[
    (
        "nginx",
        &[
            ("", Text, "version build address"),
            ("", Int, "generation pid ppid"),
            ("", Time, "load_timestamp timestamp"),
        ],
    ),
    ("processes", &[("", Int, "respawned")]),
    ("connections", &[("", Int, "accepted dropped active idle")]),
    ("slabs/*", &[("pages", Int, "used free")]),
    (
        "workers/*",
        &[
            ("", Int, "id pid"),
            ("connections", Int, "accepted dropped active idle"),
            ("http.requests", Int, "total current"),
        ],
    ),
    (
        "resolvers/*",
        &[
            ("requests", Int, "name srv addr"),
            ("responses", Int, "noerror formerr servfail nxdomain notimp refused timedout unknown"),
        ],
    ),
    (
        "ssl",
        &[
            ("", Int, HANDSHAKES),
            ("", Int, "no_common_cipher"),
            ("verify_failures", Int, "no_cert expired_cert revoked_cert hostname_mismatch other"),
        ],
    ),
    ("http/requests", &[("", Int, "total current")]),
    (
        "http/server_zones/*",
        &[
            ("", Int, "processing requests discarded received sent"),
            RESPONSES[0],
            RESPONSES[1],
            ("ssl", Int, HANDSHAKES),
            ("ssl", Int, "no_common_cipher"),
            ("ssl.verify_failures", Int, "no_cert expired_cert revoked_cert other"),
        ],
    ),
    (
        "http/location_zones/*",
        &[("", Int, "requests discarded received sent"), RESPONSES[0], RESPONSES[1]],
    ),
    ("http/limit_reqs/*", &[("", Int, "passed delayed rejected delayed_dry_run rejected_dry_run")]),
    ("http/limit_conns/*", &[("", Int, "passed rejected rejected_dry_run")]),
    (
        "http/caches/*",
        &[
            ("", Int, "size max_size"),
            ("", Bool, "cold"),
            ("hit", Int, HITS),
            ("stale", Int, HITS),
            ("updating", Int, HITS),
            ("revalidated", Int, HITS),
            ("miss", Int, FETCHES),
            ("expired", Int, FETCHES),
            ("bypass", Int, FETCHES),
        ],
    ),
    ("http/keyvals/*", &[("", Text, "*")]),
    (
        "http/upstreams/*",
        &[
            ("", Int, "keepalive zombies"),
            ("", Text, "zone"),
            ("queue", Int, "size max_size overflows"),
            ("peers[]", Int, "id weight active max_conns requests sent received fails unavail"),
            ("peers[]", Int, "downtime header_time response_time"),
            ("peers[]", Text, "server service name state"),
            ("peers[]", Bool, "backup"),
            ("peers[]", Time, "downstart selected"),
            ("peers[].responses", Int, "1xx 2xx 3xx 4xx 5xx total"),
            ("peers[].responses.codes", Int, "*"),
            ("peers[].health_checks", Int, "checks fails unhealthy"),
            ("peers[].health_checks", Bool, "last_passed"),
            ("peers[].ssl", Int, HANDSHAKES),
            (
                "peers[].ssl.verify_failures",
                Int,
                "expired_cert revoked_cert hostname_mismatch other",
            ),
            ("peers[].response_time_hist", Int, "count sum"),
            (
                "peers[].response_time_hist.buckets",
                Int,
                "5 10 25 50 75 100 250 500 750 1000 2500 5000 7500 10000 inf",
            ),
        ],
    ),
    (
        "http/upstreams/u/servers/*",
        &[
            ("", Int, "id weight max_conns max_fails"),
            ("", Text, "server service fail_timeout slow_start route parent host"),
            ("", Bool, "backup down drain"),
        ],
    ),
];

/// What is deliberately not there, as `docs/differences.md` says: paths with their status 404.
const NO_PATHS: [&str; 2] = ["license", "stream"];

const CONF: &str = "
    upstream u { zone u 64k; queue 5; resolver %dns% status_zone=names;
        server %a% max_conns=9; server 127.0.0.1:1 fail_timeout=1h; server %a% backup;
        server a.test service=http resolve; }
    upstream checked { zone checked 64k; server %a%; }
    upstream tls { zone tls 64k; server 127.0.0.1:%port2%; }
    limit_req_zone $uri zone=rate:64k rate=1r/m; limit_conn_zone $uri zone=crowd:64k;
    proxy_cache_path %dir%/cache keys_zone=kept:64k max_size=1m;
    keyval_zone zone=pairs:64k; keyval $arg_key $found zone=pairs;
    server { listen 127.0.0.1:%port%; status_zone site;
        location /api { api write=on; }
        location / { status_zone pages; proxy_pass http://u; limit_req zone=rate burst=99 nodelay;
            limit_conn crowd 9; }
        location /kept { proxy_pass http://u; proxy_cache kept; }
        location /checked { proxy_pass http://checked; health_check interval=10ms; }
        location /tls { proxy_pass https://tls; } }
    server { listen 127.0.0.1:%port2% ssl; server_name b.test; status_zone secure;
        ssl_certificate b.crt; ssl_certificate_key b.key; location / { return 200 secure; } }";

/// A name server: a service of one server, and the address of any name. It ends with the tests.
fn name_server() -> String {
    const SRV: u8 = 33;
    const A: u8 = 1;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let mut answer = query[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            let kind = answer[length - 3];
            if [SRV, A].contains(&kind) {
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
            }
            match kind {
                // Its priority, weight, port 1 and the name b.test.
                SRV => answer.extend(b"\x0e\0\0\0\x01\0\x01\x01b\x04test\0"),
                A => answer.extend([4, 127, 0, 0, 1]),
                _ => {}
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// The single values in a document by their paths. Elements of arrays share theirs.
fn leaves(value: &Value, at: &str, into: &mut BTreeMap<String, Vec<Value>>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if at.is_empty() { "" } else { "." };
                leaves(value, &format!("{at}{dot}{name}"), into);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| leaves(one, &format!("{at}[]"), into)),
        single => into.entry(at.to_owned()).or_default().push(single.clone()),
    }
}

impl Kind {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Bool => value.is_boolean(),
            Int => value.is_u64() || value.is_i64(),
            Text => value.is_string(),
            Time => value.as_str().is_some_and(|text| {
                let shape: String =
                    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                shape == "0000-00-00T00:00:00.000Z"
            }),
        }
    }
}

/// The fields that are missing, or have another type, in documents of the same kind.
fn faults(path: &str, fields: &[Fields], documents: &[Value]) -> Vec<String> {
    let mut known = BTreeMap::new();
    documents.iter().for_each(|document| leaves(document, "", &mut known));
    let mut all = Vec::new();
    for (place, kind, names) in fields {
        for name in names.split_whitespace() {
            let dot = if place.is_empty() { "" } else { "." };
            let prefix = format!("{place}{dot}");
            let fits = |known: &&String| match name {
                "*" => known.strip_prefix(&*prefix).is_some_and(|rest| !rest.contains('.')),
                name => **known == format!("{prefix}{name}"),
            };
            let found: Vec<_> = known.keys().filter(fits).collect();
            if found.is_empty() {
                all.push(format!("{path}: no {prefix}{name}"));
            }
            let wrong = found.iter().flat_map(|field| &known[*field]).find(|it| !kind.is_of(it));
            all.extend(wrong.map(|value| format!("{path}: {prefix}{name} is {value}")));
        }
    }
    all
}

/// The documents of a row: those of a map, which its single paths have, too.
fn documents(server: &Server, path: &str) -> Vec<Value> {
    let Some(map) = path.strip_suffix('*') else { return vec![server.api_get(path)] };
    let all = server.api_get(map);
    let named: Vec<(String, Value)> = match &all {
        Value::Object(all) => all.iter().map(|(name, one)| (name.clone(), one.clone())).collect(),
        Value::Array(all) => all.iter().map(|one| (one["id"].to_string(), one.clone())).collect(),
        other => panic!("{path}: {other}"),
    };
    for (name, one) in &named {
        let alone = server.api_get(&format!("{map}{name}"));
        let names = |value: &Value| match value.as_object() {
            Some(fields) => fields.keys().cloned().collect::<Vec<_>>(),
            None => Vec::new(),
        };
        assert_eq!(names(&alone), names(one), "{map}{name}");
    }
    named.into_iter().map(|(_, one)| one).collect()
}

fn start() -> (Server, Backend) {
    let backend = Backend::text("a");
    let setup = Server::http(CONF).set("a", backend.address()).set("dns", name_server());
    Certificate::self_signed(setup.directory(), "b", "b.test");
    let server = setup.start();
    for target in ["/", "/1", "/2", "/kept", "/checked", "/tls"] {
        assert_eq!(server.get(target).status, 200, "{target}");
    }
    assert_eq!(server.api("POST", "http/keyvals/pairs", r#"{"a": "1"}"#).status, 201);
    (server, backend)
}

#[test]
fn each_field_of_nginx_plus_is_there_with_its_type() {
    let (server, _backend) = start();
    // Some come with a name that is resolved, a check, or a server that fails.
    let mut told = Vec::new();
    until("every field", || {
        let of_row =
            |(path, fields): &(&str, &[Fields])| faults(path, fields, &documents(&server, path));
        let faults: Vec<_> = OBJECTS.iter().flat_map(of_row).collect();
        if faults != told {
            println!("{}\n", faults.join("\n"));
            told = faults;
        }
        told.is_empty()
    });
}

#[test]
fn what_is_not_there_is_written_down() {
    let (server, _backend) = start();
    let page = include_str!("../docs/differences.md");
    for path in NO_PATHS {
        let answer = server.api("GET", path, "");
        assert_eq!(answer.status, 404, "{path}");
        let code = serde_json::from_slice::<Value>(&answer.body).unwrap();
        assert_eq!(code["error"]["code"], "PathNotFound", "{path}");
        let line = page.lines().find(|line| line.contains("(404, `PathNotFound`)"));
        assert!(line.is_some_and(|line| line.contains(&format!("`/{path}`"))), "{path}");
    }
    // Its zones have no slots.
    let slabs = server.api_get("slabs/");
    assert!(slabs["rate"]["slots"].as_object().is_some_and(|slots| slots.is_empty()), "{slabs}");
    assert!(page.contains("with empty `slots`"));
}

#[test]
fn missing_fields_and_other_types_are_found() {
    let document = serde_json::json!({"a": 1, "b": [{"c": "x"}, {"c": 2}], "d": {"200": 1}});
    let of = |fields: Fields| faults("it", &[fields], std::slice::from_ref(&document)).len();
    assert_eq!((of(("", Int, "a")), of(("d", Int, "*"))), (0, 0));
    assert_eq!((of(("", Text, "a")), of(("b[]", Text, "c")), of(("", Int, "z"))), (1, 1, 1));
    assert_eq!((of(("e", Int, "*")), of(("d", Bool, "*"))), (1, 1));
}
