//! `/http/caches` of the API: the size and the counts of caches.

use serde_json::{Value, json};

use crate::cache::used;
use crate::harness::{Backend, Reply, Server, until};

const CONF: &str = "
    proxy_cache_path %dir%/one keys_zone=one:1m max_size=10m;
    proxy_cache_path %dir%/two keys_zone=two:1m;
    server { listen 127.0.0.1:%port%;
        location /api { api write=on; }
        location / { proxy_pass http://%backend%; proxy_cache one; proxy_cache_key $uri;
            proxy_cache_bypass $arg_bypass; proxy_cache_revalidate on;
            proxy_cache_use_stale http_500 updating;
            add_header X-Cache $upstream_cache_status; }
        location /two { proxy_pass http://%backend%; proxy_cache two; } }";

/// A backend of bodies of five bytes: `/stale…` fails the second time, `/same…` has not changed
/// then, `/old…` is never valid for long, `/no…` is not kept.
fn backend() -> Backend {
    Backend::new(|seen| {
        let target = seen.target().to_owned();
        let again = seen.header("If-Modified-Since").is_some();
        let short = "X-Accel-Expires: 1\r\nLast-Modified: Thu, 01 Jan 1970 00:00:01 GMT\r\n";
        match target.split(['?', '/']).nth(1).unwrap() {
            "stale" if again => Reply::with("500 Oh", "", "wrong"),
            "same" if again => Reply::with("304 Not Modified", "X-Accel-Expires: 600\r\n", ""),
            "stale" | "same" | "old" => Reply::with("200 OK", short, "right"),
            "no" => Reply::with("200 OK", "X-Accel-Expires: 0\r\n", "right"),
            _ => Reply::with("200 OK", "X-Accel-Expires: 600\r\n", "right"),
        }
    })
}

fn cache(server: &Server, name: &str) -> Value {
    server.api_get(&format!("http/caches/{name}"))
}

#[test]
fn each_use_of_a_cache_is_counted() {
    let backend = backend();
    let server = Server::http(CONF).set("backend", backend.address()).start();
    let get = |target: &str, status: &str| assert_eq!(used(&server.get(target)).0, status);
    get("/a", "MISS");
    get("/a", "HIT");
    get("/a", "HIT");
    get("/no", "MISS");
    get("/a?bypass=1", "BYPASS");
    let read = |count: u64| json!({"responses": count, "bytes": 5 * count});
    let fetched = |count: u64, written: u64| {
        json!({"responses": count, "bytes": 5 * count,
            "responses_written": written, "bytes_written": 5 * written})
    };
    let mut expected = json!({
        "size": 4096, "max_size": 10 << 20, "cold": false,
        "hit": read(2), "stale": read(0), "updating": read(0), "revalidated": read(0),
        "miss": fetched(2, 1), "expired": fetched(0, 0), "bypass": fetched(1, 1),
    });
    until("the loader", || cache(&server, "one")["cold"] == json!(false));
    assert_eq!(cache(&server, "one"), expected);
    // Those whose time is over: after a second, or two.
    for (target, status) in [("/stale", "STALE"), ("/same", "REVALIDATED"), ("/old", "EXPIRED")] {
        get(target, "MISS");
        until(status, || used(&server.get(target)).0 == status);
    }
    let now = cache(&server, "one");
    assert_eq!((&now["stale"], &now["revalidated"]), (&read(1), &read(1)));
    assert_eq!(now["expired"], fetched(1, 1));
    assert_eq!(now["miss"], fetched(5, 4));
    assert_eq!(now["size"], json!(4 * 4096));
    // Another cache has counts of its own, and no limit.
    server.get("/two");
    let two = cache(&server, "two");
    assert_eq!((&two["miss"], two.get("max_size")), (&fetched(1, 1), None));
    let all = server.api_get("http/caches");
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["one", "two"]);
    // A reset starts the counts over, not the size; a reload does neither.
    server.reload_http(&CONF.replace("max_size=10m", "max_size=20m"));
    assert_eq!(cache(&server, "one")["stale"], read(1));
    assert_eq!(server.api("DELETE", "http/caches/one", "").status, 204);
    expected["size"] = json!(4 * 4096);
    expected["max_size"] = json!(20 << 20);
    for state in ["hit", "stale", "updating", "revalidated"] {
        expected[state] = read(0);
    }
    for state in ["miss", "expired", "bypass"] {
        expected[state] = fetched(0, 0);
    }
    assert_eq!(cache(&server, "one"), expected);
    assert_eq!(server.api("DELETE", "http/caches/three", "").status, 404);
    assert_eq!(cache(&server, "two")["miss"], fetched(1, 1));
}
