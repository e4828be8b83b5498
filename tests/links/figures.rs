//! The state of the pair in the API (`/ha`) and for Prometheus.

use serde_json::{Value, json};

use super::node::{Node, pair_with};
use crate::api_shape;
use crate::harness::{Port, Server, Signal, is_nginx, send_signal, until};

const CONF: &str = "keyval_zone zone=pairs:64k; keyval $arg_key $found zone=pairs;
    server { listen %port%; location /api { api write=on; } location = /metrics { prometheus; }
      location / { return 200 here; } }";

fn state(server: &Server) -> Value {
    let state = server.api_get("ha");
    let schema = json!({ "$ref": "#/components/schemas/Pair" });
    api_shape::check(&api_shape::document(), &schema, &state, "ha");
    state
}

/// Whether a sample is in the metrics.
fn has(node: &Node, sample: &str) -> bool {
    node.server.text("/metrics").lines().any(|line| line == sample)
}

#[test]
fn each_node_tells_of_the_other_one() {
    if is_nginx() {
        return;
    }
    let port = Port::reserve();
    let (a, b) = pair_with(&port, CONF);
    until("the other node's status", || state(&a.server)["links"][0]["weir"].is_string());
    let shown = state(&a.server);
    assert_eq!(shown["configured"], true, "{shown}");
    assert_eq!((&shown["node"], &shown["fit"]), (&json!("a"), &Value::Null), "{shown}");
    let link = &shown["links"][0];
    assert_eq!((&link["node"], &link["up"]), (&json!("b"), &json!(true)), "{shown}");
    assert!(link["same_configuration"].is_boolean(), "{shown}");
    assert!(has(&a, "weir_ha_link_up{node=\"b\"} 1"));
    let one = r#"{"x":"1"}"#;
    a.server.api("POST", "http/keyvals/pairs", one);
    let all_sent = "weir_ha_mirror_lag_parts{node=\"b\"} 0";
    until("the record at both nodes", || {
        let shared = state(&b.server)["mirror"]["records"].as_u64() > Some(0);
        shared && has(&a, all_sent)
    });
    // A question of a worker that has just been started finds its own keeper.
    send_signal(b.worker(), Signal::KILL);
    until("another worker", || state(&b.server)["links"][0]["up"] == true);
    drop(b);
    until("the end of the link", || state(&a.server)["links"][0]["up"] == false);
    let shown = state(&a.server);
    assert_ne!(shown["links"][0]["reason"], "", "{shown}");
    assert!(has(&a, "weir_ha_link_up{node=\"b\"} 0"));
}

#[test]
fn a_server_alone_says_so() {
    let conf = "server { listen 127.0.0.1:%port%; location /api { api; }
        location = /metrics { prometheus; } }";
    let server = Server::http(conf).start();
    assert_eq!(state(&server), json!({ "configured": false }));
    assert!(!server.text("/metrics").contains("weir_ha_"));
}
