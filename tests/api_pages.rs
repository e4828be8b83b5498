//! Pages of groups with many servers: a part of them in a wanted order, sums over the rest, and
//! parts of each (`docs/openapi.json`).

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::api_shape::{check, document};
use crate::harness::Server;

/// The number of servers of the large group.
const SERVERS: usize = 500;

/// A large group, whose servers refuse connections, and a small one.
fn start() -> Server {
    let mut conf = "upstream big { zone big 64k;".to_owned();
    for at in 0..SERVERS {
        let more = match at {
            400 => " down",
            _ if at >= 490 => " backup",
            _ => "",
        };
        write!(conf, "server 127.1.{}.{}:1 fail_timeout=1h{more};", at / 100, at % 100).unwrap();
    }
    conf += "} upstream Small { zone small 64k; server 127.2.0.1:1 down; server 127.2.0.2:1; }
        server { listen 127.0.0.1:%port%; location /api { api write=on; }
        location / { proxy_pass http://big; proxy_next_upstream off; } }";
    Server::http(&conf).start()
}

/// The servers of an answer, by the ends of their addresses.
fn servers(group: &Value) -> Vec<&str> {
    let peers = group["peers"].as_array().unwrap();
    let servers = peers.iter().map(|peer| peer["server"].as_str().unwrap());
    servers.map(|it| it.trim_start_matches("127.").trim_end_matches(":1")).collect()
}

#[test]
fn a_page_has_what_fails_first_and_sums() {
    let server = start();
    let get = |path: &str| server.api_get(&format!("http/upstreams/{path}"));
    // The first request makes its server unavailable.
    assert_eq!(server.get("/").status, 502);
    server.api_json("PATCH", "http/upstreams/big/servers/300", &json!({ "drain": true }), 200);
    let page = get("big?limit=4");
    assert_eq!(servers(&page), ["1.0.0", "1.3.0", "1.4.0", "1.0.1"]);
    assert_eq!(page["matching"], SERVERS);
    let states =
        json!({"up": 497, "draining": 1, "down": 1, "unavail": 1, "checking": 0, "unhealthy": 0});
    assert_eq!(page["summary"]["states"], states);
    let summary = &page["summary"];
    for (name, number) in
        [("servers", SERVERS), ("backups", 10), ("backups_up", 10), ("requests", 1), ("fails", 1)]
    {
        assert_eq!(summary[name], number, "{name}");
    }
    check(&document(), &json!({"$ref": "#/components/schemas/Upstream"}), &page, "a page");
    // Pages follow one another; those behind the end are empty.
    assert_eq!(servers(&get("big?limit=2&start=2")), ["1.4.0", "1.0.1"]);
    assert_eq!(servers(&get("big?start=499")), ["1.4.99"]);
    assert_eq!(servers(&get("big?start=18446744073709551615&limit=1")), [""; 0]);
    // Without a page, everything; a page has a usual size and a largest one.
    let whole = get("big");
    assert_eq!((servers(&whole).len(), whole.get("summary")), (SERVERS, None));
    assert_eq!(servers(&get("big?order=listed")).len(), 100);
    assert_eq!(servers(&get("big?limit=100000")).len(), SERVERS);
    // All groups share one page.
    let all = get("?limit=4");
    assert_eq!(servers(&all["big"]), ["1.0.0", "1.3.0", "1.4.0"]);
    assert_eq!(servers(&all["Small"]), ["2.0.1"]);
    assert_eq!(all["Small"]["summary"]["servers"], 2);
}

#[test]
fn servers_are_found_by_state_name_and_order() {
    let server = start();
    let get = |path: &str| server.api_get(&format!("http/upstreams/{path}"));
    for _ in 0..2 {
        server.get("/");
    }
    let found = get("big?state=down,unavail");
    assert_eq!(servers(&found), ["1.0.0", "1.0.1", "1.4.0"]);
    assert_eq!(found["matching"], 3);
    let found = get("big?find=1.3.4&limit=3");
    assert_eq!(servers(&found), ["1.3.4", "1.3.40", "1.3.41"]);
    assert_eq!((&found["matching"], &found["summary"]["servers"]), (&json!(11), &json!(SERVERS)));
    assert_eq!(servers(&get("big?find=big")), [""; 0]);
    // Of all groups, also those whose name has it.
    let all = get("?find=sMaLL");
    assert_eq!((servers(&all["big"]).len(), servers(&all["Small"]).len()), (0, 2));
    assert_eq!(servers(&get("big?order=requests&limit=3")), ["1.0.0", "1.0.1", "1.0.2"]);
    assert_eq!(servers(&get("big?order=listed&limit=1&start=489")), ["1.4.89"]);
    assert_eq!(servers(&get("big?order=response_time&limit=7")).len(), 7);
    for order in ["active", "fails"] {
        assert_eq!(servers(&get(&format!("big?order={order}&limit=1"))), ["1.0.0"], "{order}");
    }
    for wrong in ["limit=x", "limit=-1", "start=", "order=none", "state=up,"] {
        let path = format!("http/upstreams/big?{wrong}");
        let refused = server.api_json("GET", &path, &Value::Null, 400);
        assert_eq!(refused["error"]["code"], "InvalidArgument", "{wrong}");
        let all = format!("http/upstreams?{wrong}");
        server.api_json("GET", &all, &Value::Null, 400);
    }
}

#[test]
fn parts_of_servers() {
    let server = start();
    let get = |path: &str| server.api_get(&format!("http/upstreams/{path}"));
    let trimmed = get("big?limit=1&fields=peers.server,summary.servers,zone");
    let peers = json!([{"server": "127.1.4.0:1"}]);
    let expected = json!({"peers": peers, "summary": {"servers": SERVERS}, "zone": "big"});
    assert_eq!(trimmed, expected);
    let trimmed = get("?limit=1&fields=peers.id,matching");
    assert_eq!(trimmed["Small"], json!({"peers": [], "matching": 2}));
    assert_eq!(trimmed["big"]["peers"], json!([{"id": 400}]));
}
